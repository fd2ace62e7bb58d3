//! The kinds of jobs that there may be in a cluster, and where the API server has them.

use carrel_jobs::kind::Kind;
use carrel_jobs::names;
use kube::api::{ApiResource, GroupVersionKind};

const TRAINER: &str = "trainer.kubeflow.org";

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum JobKind {
    Of(Kind),
    TrainJob,
}

impl JobKind {
    pub const ALL: [Self; 3] = [
        Self::Of(Kind::TfJob),
        Self::Of(Kind::PyTorchJob),
        Self::TrainJob,
    ];

    /// As objects say it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Of(kind) => kind.name(),
            Self::TrainJob => "TrainJob",
        }
    }

    /// As addresses have it.
    pub fn singular(self) -> &'static str {
        match self {
            Self::Of(kind) => kind.singular(),
            Self::TrainJob => "trainjob",
        }
    }

    pub fn plural(self) -> &'static str {
        match self {
            Self::Of(kind) => kind.plural(),
            Self::TrainJob => "trainjobs",
        }
    }

    pub fn group(self) -> &'static str {
        match self {
            Self::Of(_) => carrel_jobs::kind::GROUP,
            Self::TrainJob => TRAINER,
        }
    }

    /// The version that is read and written here.
    pub fn version(self) -> &'static str {
        match self {
            Self::Of(_) => "v1",
            Self::TrainJob => "v1alpha1",
        }
    }

    /// The container that trains.
    pub fn container(self) -> &'static str {
        match self {
            Self::Of(kind) => kind.container(),
            Self::TrainJob => "node",
        }
    }

    pub fn resource(self) -> ApiResource {
        self.resource_in(self.version())
    }

    /// In another version of its API.
    pub fn resource_in(self, version: &str) -> ApiResource {
        let named = GroupVersionKind::gvk(self.group(), version, self.name());
        ApiResource::from_gvk_with_plural(&named, self.plural())
    }

    pub fn from_singular(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.singular() == name)
    }

    /// The kind and version of an object, if it is a job.
    pub fn of_object<'a>(api_version: &'a str, name: &str) -> Option<(Self, &'a str)> {
        let (group, version) = api_version.split_once('/')?;
        let known = |kind: &Self| kind.name() == name && kind.group() == group;
        let kind = Self::ALL.into_iter().find(known)?;
        let served = match kind {
            Self::Of(kind) => kind.versions().iter().any(|one| one.name() == version),
            Self::TrainJob => version == kind.version(),
        };
        served.then_some((kind, version))
    }

    /// The labels of the pods of a job.
    pub fn selector(self, job: &str) -> String {
        match self {
            Self::Of(kind) => format!("{},{}={job}", names::selector(kind), names::JOB_NAME),
            Self::TrainJob => format!("jobset.sigs.k8s.io/jobset-name={job}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_known_by_their_names_and_versions() {
        for kind in JobKind::ALL {
            assert_eq!(JobKind::from_singular(kind.singular()), Some(kind));
            let resource = kind.resource();
            let found = JobKind::of_object(&resource.api_version, kind.name());
            assert_eq!(found, Some((kind, kind.version())));
        }
        let tf = JobKind::Of(Kind::TfJob);
        let found = JobKind::of_object("kubeflow.org/v1alpha2", "TFJob");
        assert_eq!(found, Some((tf, "v1alpha2")));
        assert_eq!(
            tf.resource_in("v1alpha2").api_version,
            "kubeflow.org/v1alpha2"
        );
        for (version, name) in [
            ("kubeflow.org/v2", "TFJob"),
            ("v1", "Pod"),
            ("kubeflow.org/v1", "TrainJob"),
            ("kubeflow.org/v1alpha1", "TFJob"),
        ] {
            assert_eq!(JobKind::of_object(version, name), None, "{version} {name}");
        }
    }
}
