//! The group of a job's pods that its runtime asks for, as Kubeflow Trainer 2.3 makes it.

use serde_json::{Map, Value};

use super::patch::RuntimePatch;
use super::runtime::PodGroupPolicy;
use crate::job::PodGroup;
use crate::spec::{SchedulingPolicy, Template};
use crate::template;

/// By which a runtime's template names the queue of Volcano.
const QUEUE: &str = "scheduling.volcano.sh/queue-name";
/// How long Coscheduling tries, unless the runtime says so.
const TIMEOUT: i32 = 60;

/// The queue that a runtime's JobSet names, or the last patch of the job.
pub(super) fn queue(jobset: &Value, patches: &[RuntimePatch]) -> Option<String> {
    let of = |metadata: &Map<String, Value>| {
        let queue = metadata.get("annotations")?.get(QUEUE)?.as_str()?;
        Some(queue.to_owned())
    };
    let patched = patches.iter().rev().find_map(|patch| {
        let spec = patch.training_runtime_spec.as_ref()?;
        of(spec.template.as_ref()?.metadata.as_ref()?)
    });
    patched.or_else(|| of(jobset["metadata"].as_object()?))
}

/// For whom the group is, and what it is to say.
pub(super) fn group(
    policy: PodGroupPolicy,
    queue: Option<String>,
    pod: &Template,
) -> Option<(PodGroup, SchedulingPolicy)> {
    if let Some(coscheduling) = policy.coscheduling {
        let timeout = coscheduling.schedule_timeout_seconds.unwrap_or(TIMEOUT);
        let policy = SchedulingPolicy {
            schedule_timeout_seconds: Some(timeout),
            ..SchedulingPolicy::default()
        };
        return Some((PodGroup::Coscheduling, policy));
    }
    let network_topology = policy.volcano?.network_topology;
    let policy = SchedulingPolicy {
        queue,
        priority_class: template::text(pod, "priorityClassName").map(str::to_owned),
        ..SchedulingPolicy::default()
    };
    Some((PodGroup::Volcano { network_topology }, policy))
}
