//! The kinds of jobs, the versions of their API, and the roles that replicas have in them.

use std::fmt;

/// The API group of all kinds.
pub const GROUP: &str = "kubeflow.org";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    TfJob,
    PyTorchJob,
}

impl Kind {
    pub const ALL: [Self; 2] = [Self::TfJob, Self::PyTorchJob];

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// As objects say it, and as reasons of conditions begin.
    pub fn name(self) -> &'static str {
        match self {
            Self::TfJob => "TFJob",
            Self::PyTorchJob => "PyTorchJob",
        }
    }

    pub fn plural(self) -> &'static str {
        match self {
            Self::TfJob => "tfjobs",
            Self::PyTorchJob => "pytorchjobs",
        }
    }

    pub fn singular(self) -> &'static str {
        match self {
            Self::TfJob => "tfjob",
            Self::PyTorchJob => "pytorchjob",
        }
    }

    pub fn short(self) -> &'static str {
        match self {
            Self::TfJob => "tfj",
            Self::PyTorchJob => "ptj",
        }
    }

    /// The name of the definition.
    pub fn definition(self) -> String {
        format!("{}.{GROUP}", self.plural())
    }

    /// Oldest first; the last is the one that is stored.
    pub fn versions(self) -> &'static [Version] {
        match self {
            Self::TfJob => &[
                Version::V1Alpha2,
                Version::V1Beta1,
                Version::V1Beta2,
                Version::V1,
            ],
            Self::PyTorchJob => &[
                Version::V1Alpha1,
                Version::V1Beta1,
                Version::V1Beta2,
                Version::V1,
            ],
        }
    }

    /// The container that trains.
    pub fn container(self) -> &'static str {
        match self {
            Self::TfJob => "tensorflow",
            Self::PyTorchJob => "pytorch",
        }
    }

    /// The name of the port of that container.
    pub fn port_name(self) -> &'static str {
        match self {
            Self::TfJob => "tfjob-port",
            Self::PyTorchJob => "pytorchjob-port",
        }
    }

    pub fn port(self) -> i32 {
        match self {
            Self::TfJob => 2222,
            Self::PyTorchJob => 23456,
        }
    }

    /// The field of the spec that holds the replicas.
    pub fn replicas_field(self) -> &'static str {
        match self {
            Self::TfJob => "tfReplicaSpecs",
            Self::PyTorchJob => "pytorchReplicaSpecs",
        }
    }

    /// The value of the label `operator-name`.
    pub fn operator(self) -> &'static str {
        match self {
            Self::TfJob => "tfjob-controller",
            Self::PyTorchJob => "pytorchjob-controller",
        }
    }

    /// The roles that replicas of this kind may have.
    pub fn roles(self) -> &'static [Role] {
        match self {
            Self::TfJob => &[
                Role::Chief,
                Role::Master,
                Role::Ps,
                Role::Worker,
                Role::Evaluator,
            ],
            Self::PyTorchJob => &[Role::Master, Role::Worker],
        }
    }

    /// The role of that name, in any letter case.
    pub fn role(self, name: &str) -> Option<Role> {
        let roles = self.roles().iter().copied();
        roles
            .into_iter()
            .find(|role| role.name().eq_ignore_ascii_case(name))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Version {
    V1Alpha1,
    V1Alpha2,
    V1Beta1,
    V1Beta2,
    V1,
}

impl Version {
    const ALL: [Self; 5] = [
        Self::V1Alpha1,
        Self::V1Alpha2,
        Self::V1Beta1,
        Self::V1Beta2,
        Self::V1,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::V1Alpha1 => "v1alpha1",
            Self::V1Alpha2 => "v1alpha2",
            Self::V1Beta1 => "v1beta1",
            Self::V1Beta2 => "v1beta2",
            Self::V1 => "v1",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|version| version.name() == name)
    }

    /// What objects say under `apiVersion`.
    pub fn api_version(self) -> String {
        format!("{GROUP}/{}", self.name())
    }

    /// From `apiVersion`, of our group only.
    pub fn from_api_version(text: &str) -> Option<Self> {
        let (group, version) = text.split_once('/')?;
        (group == GROUP).then(|| Self::from_name(version)).flatten()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What a replica does in its job. The order is that of ranks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    Chief,
    Master,
    Ps,
    Worker,
    Evaluator,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::Chief => "Chief",
            Self::Master => "Master",
            Self::Ps => "PS",
            Self::Worker => "Worker",
            Self::Evaluator => "Evaluator",
        }
    }

    /// As names of pods, labels and `TF_CONFIG` have it.
    pub fn lower(self) -> &'static str {
        match self {
            Self::Chief => "chief",
            Self::Master => "master",
            Self::Ps => "ps",
            Self::Worker => "worker",
            Self::Evaluator => "evaluator",
        }
    }

    /// Whether it decides over the whole job; a Master is what was later called Chief.
    pub fn leads(self) -> bool {
        matches!(self, Self::Chief | Self::Master)
    }
}
