//! The kinds of jobs, the versions of their API, and the roles that replicas have in them.

use std::fmt;

/// The API group of TFJobs and PyTorchJobs.
pub const GROUP: &str = "kubeflow.org";
/// The API group of TrainJobs and their runtimes.
pub const TRAINER_GROUP: &str = "trainer.kubeflow.org";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    TfJob,
    PyTorchJob,
    TrainJob,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::TfJob, Self::PyTorchJob, Self::TrainJob];

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// As objects say it, and as reasons of conditions begin.
    pub fn name(self) -> &'static str {
        match self {
            Self::TfJob => "TFJob",
            Self::PyTorchJob => "PyTorchJob",
            Self::TrainJob => "TrainJob",
        }
    }

    pub fn plural(self) -> &'static str {
        match self {
            Self::TfJob => "tfjobs",
            Self::PyTorchJob => "pytorchjobs",
            Self::TrainJob => "trainjobs",
        }
    }

    pub fn singular(self) -> &'static str {
        match self {
            Self::TfJob => "tfjob",
            Self::PyTorchJob => "pytorchjob",
            Self::TrainJob => "trainjob",
        }
    }

    pub fn short(self) -> &'static str {
        match self {
            Self::TfJob => "tfj",
            Self::PyTorchJob => "ptj",
            Self::TrainJob => "trj",
        }
    }

    /// The name of the definition.
    pub fn definition(self) -> String {
        format!("{}.{}", self.plural(), self.group())
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
            Self::TrainJob => &[Version::V1Alpha1],
        }
    }

    /// The version that is stored.
    pub fn stored(self) -> Version {
        match self {
            Self::TfJob | Self::PyTorchJob => Version::V1,
            Self::TrainJob => Version::V1Alpha1,
        }
    }

    /// Whether others than the stored version are served, and have to be converted.
    pub fn converts(self) -> bool {
        self.versions().len() > 1
    }

    pub fn group(self) -> &'static str {
        match self {
            Self::TfJob | Self::PyTorchJob => GROUP,
            Self::TrainJob => TRAINER_GROUP,
        }
    }

    /// What stored objects say under `apiVersion`.
    pub fn api_version(self) -> String {
        format!("{}/{}", self.group(), self.stored())
    }

    /// What `managedBy` says of a job that this operator runs.
    pub fn manager(self) -> &'static str {
        match self {
            Self::TfJob | Self::PyTorchJob => "kubeflow.org/training-operator",
            Self::TrainJob => "trainer.kubeflow.org/trainjob-controller",
        }
    }

    /// The container that trains.
    pub fn container(self) -> &'static str {
        match self {
            Self::TfJob => "tensorflow",
            Self::PyTorchJob => "pytorch",
            Self::TrainJob => "node",
        }
    }

    /// The name of the port of that container.
    pub fn port_name(self) -> &'static str {
        match self {
            Self::TfJob => "tfjob-port",
            Self::PyTorchJob => "pytorchjob-port",
            Self::TrainJob => "rendezvous",
        }
    }

    pub fn port(self) -> i32 {
        match self {
            Self::TfJob => 2222,
            Self::PyTorchJob => 23456,
            Self::TrainJob => 29500,
        }
    }

    /// The field of the spec that says what the replicas are.
    pub fn replicas_field(self) -> &'static str {
        match self {
            Self::TfJob => "tfReplicaSpecs",
            Self::PyTorchJob => "pytorchReplicaSpecs",
            Self::TrainJob => "trainer",
        }
    }

    /// The value of the label `operator-name`.
    pub fn operator(self) -> &'static str {
        match self {
            Self::TfJob => "tfjob-controller",
            Self::PyTorchJob => "pytorchjob-controller",
            Self::TrainJob => "trainjob-controller",
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
            Self::TrainJob => &[Role::Node],
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
    Node,
}

impl Role {
    pub fn name(self) -> &'static str {
        match self {
            Self::Chief => "Chief",
            Self::Master => "Master",
            Self::Ps => "PS",
            Self::Worker => "Worker",
            Self::Evaluator => "Evaluator",
            Self::Node => "Node",
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
            Self::Node => "node",
        }
    }

    /// Whether it decides over the whole job; a Master is what was later called Chief.
    pub fn leads(self) -> bool {
        matches!(self, Self::Chief | Self::Master)
    }
}
