//! The kinds of jobs that there may be in a cluster, and where the API server has them.

pub use carrel_jobs::kind::Kind as JobKind;
use carrel_jobs::names;
use kube::api::{ApiResource, GroupVersionKind};

/// What a kind is to the API server.
pub trait Served: Sized {
    /// The version that is read and written here.
    fn version(self) -> &'static str;

    fn resource(self) -> ApiResource;

    /// In another version of its API.
    fn resource_in(self, version: &str) -> ApiResource;

    fn from_singular(name: &str) -> Option<Self>;

    /// The kind and version of an object, if it is a job.
    fn of_object<'a>(api_version: &'a str, name: &str) -> Option<(Self, &'a str)>;

    /// The labels of the pods of a job.
    fn selector(self, job: &str) -> String;
}

impl Served for JobKind {
    fn version(self) -> &'static str {
        self.stored().name()
    }

    fn resource(self) -> ApiResource {
        self.resource_in(self.version())
    }

    fn resource_in(self, version: &str) -> ApiResource {
        let named = GroupVersionKind::gvk(self.group(), version, self.name());
        ApiResource::from_gvk_with_plural(&named, self.plural())
    }

    fn from_singular(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.singular() == name)
    }

    fn of_object<'a>(api_version: &'a str, name: &str) -> Option<(Self, &'a str)> {
        let (group, version) = api_version.split_once('/')?;
        let kind = Self::from_name(name).filter(|kind| kind.group() == group)?;
        let served = kind.versions().iter().any(|one| one.name() == version);
        served.then_some((kind, version))
    }

    fn selector(self, job: &str) -> String {
        match self {
            Self::TrainJob => format!("jobset.sigs.k8s.io/jobset-name={job}"),
            Self::TfJob | Self::PyTorchJob => {
                format!("{},{}={job}", names::selector(self), names::JOB_NAME)
            }
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
        let tf = JobKind::TfJob;
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
