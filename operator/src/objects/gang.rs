//! PodGroups, by which schedulers start all pods of a job or none: Volcano's, and those of the plugin Coscheduling. Names
//! and marks are those of training-operator 1.9, which Kubeflow Trainer has too.

use carrel_jobs::job::{Job, PodGroup};
use carrel_jobs::kind::{Kind, Role};
use carrel_jobs::template::object;
use kube::api::{ApiResource, GroupVersionKind};
use serde_json::{Map, Value, json};

use super::owner;

const VOLCANO: &str = "volcano";
/// By which Volcano knows the group of a pod, and its part in it.
const GROUP_NAME: &str = "scheduling.k8s.io/group-name";
const TASK_SPEC: &str = "volcano.sh/task-spec";
/// The label by which Coscheduling knows the group of a pod.
const POD_GROUP: &str = "scheduling.x-k8s.io/pod-group";

/// A scheduler that knows groups of pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Gang {
    Volcano,
    /// The name of a scheduler with that plugin.
    Coscheduling(String),
}

impl Gang {
    /// # Errors
    /// When no scheduler can have this name.
    pub fn from_name(name: &str) -> Result<Self, String> {
        match name {
            VOLCANO => Ok(Self::Volcano),
            "" | "none" => Err("give volcano, the name of a scheduler, or leave it out".to_owned()),
            name => Ok(Self::Coscheduling(name.to_owned())),
        }
    }

    fn scheduler(&self) -> &str {
        match self {
            Self::Volcano => VOLCANO,
            Self::Coscheduling(name) => name,
        }
    }

    /// Whether `job` is to have a group: each has, but of TrainJobs those alone whose runtime asks this scheduler for one.
    pub fn is_for(&self, job: &Job) -> bool {
        let asked = job.train.pod_group.as_ref();
        match (job.kind, self) {
            (Kind::TfJob | Kind::PyTorchJob, _) => true,
            (Kind::TrainJob, Self::Volcano) => matches!(asked, Some(PodGroup::Volcano { .. })),
            (Kind::TrainJob, Self::Coscheduling(_)) => asked == Some(&PodGroup::Coscheduling),
        }
    }

    pub fn resource(&self) -> ApiResource {
        let (group, version) = match self {
            Self::Volcano => ("scheduling.volcano.sh", "v1beta1"),
            Self::Coscheduling(_) => ("scheduling.x-k8s.io", "v1alpha1"),
        };
        let named = GroupVersionKind::gvk(group, version, "PodGroup");
        ApiResource::from_gvk_with_plural(&named, "podgroups")
    }

    /// The group of a job. All its pods are to start at once, unless it says how many are enough.
    pub fn group(&self, job: &Job) -> Value {
        let resource = self.resource();
        json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": { "name": job.name, "namespace": job.namespace, "ownerReferences": owner(job) },
            "spec": self.spec(job),
        })
    }

    fn spec(&self, job: &Job) -> Value {
        let policy = job.scheduling.clone().unwrap_or_default();
        let least = policy.min_available.map_or(json!(job.size()), Value::from);
        let mut spec = Map::from_iter([("minMember".to_owned(), least)]);
        let mut add = |field: &str, value: Value| {
            if !value.is_null() {
                spec.insert(field.to_owned(), value);
            }
        };
        add("minResources", json!(policy.min_resources));
        match self {
            Self::Volcano => {
                add("queue", json!(policy.queue));
                add("priorityClassName", json!(policy.priority_class));
                if let Some(PodGroup::Volcano { network_topology }) = &job.train.pod_group {
                    add("networkTopology", json!(network_topology));
                }
            }
            Self::Coscheduling(_) => {
                add(
                    "scheduleTimeoutSeconds",
                    json!(policy.schedule_timeout_seconds),
                );
            }
        }
        Value::Object(spec)
    }

    /// Makes a pod one of its job's group. Another scheduler that its template names stays.
    pub fn join(&self, pod: &mut Value, job: &Job, role: Role) {
        let Value::Object(pod) = pod else { return };
        let metadata = object(pod, "metadata");
        match self {
            Self::Volcano => {
                let annotations = object(metadata, "annotations");
                annotations.insert(GROUP_NAME.to_owned(), json!(job.name));
                annotations.insert(TASK_SPEC.to_owned(), json!(role.lower()));
            }
            Self::Coscheduling(_) => {
                object(metadata, "labels").insert(POD_GROUP.to_owned(), json!(job.name));
            }
        }
        let scheduler = object(pod, "spec").entry("schedulerName");
        scheduler.or_insert_with(|| json!(self.scheduler()));
    }
}
