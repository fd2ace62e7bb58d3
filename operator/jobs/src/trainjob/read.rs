//! TrainJobs with their runtimes, as jobs of one role.

use serde_json::{Map, Value, json};

use super::merge::merge;
use super::resources::processes;
use super::runtime::{self, MlPolicy, NODE};
use super::{Spec, Trainer, group, patch};
use crate::job::{Identity, Invalid, Job, Replica, Train};
use crate::kind::{Kind, Role, Version};
use crate::read::{common, typed};
use crate::spec::{CleanPodPolicy, RestartPolicy, RunPolicy, Template};
use crate::{template, validate};

/// The variables that a job of the torch policy does not set itself.
const RESERVED: [&str; 5] = [
    "PET_NNODES",
    "PET_NPROC_PER_NODE",
    "PET_NODE_RANK",
    "PET_MASTER_ADDR",
    "PET_MASTER_PORT",
];
/// How often the node starts containers again, unless the runtime says so: what Jobs of Kubernetes have.
const IN_PLACE: i32 = 6;

/// A TrainJob, from its spec and that of its runtime; `attempt` is how often it was begun anew.
///
/// # Errors
/// With all that is wrong with either.
pub fn read(
    identity: &Identity<'_>,
    spec: &Value,
    runtime: &Map<String, Value>,
    attempt: i32,
) -> Result<Job, Invalid> {
    let spec: Spec = typed("spec", spec)?;
    let runtime: runtime::Spec = typed(
        "spec.runtimeRef: the runtime's spec",
        &Value::Object(runtime.clone()),
    )?;
    let mut mistakes = refused(&spec, &runtime);
    let policy = runtime.ml_policy.unwrap_or_default();
    let trainer = spec.trainer.unwrap_or_default();
    let jobset = Value::Object(runtime.template);
    let queue = group::queue(&jobset, &spec.runtime_patches);
    let jobset = &jobset["spec"];
    let node = node(jobset, &mut mistakes);
    let mut pod = template(&node);
    patch::apply(&mut pod, spec.runtime_patches, &mut mistakes);
    if policy.torch.is_some() {
        reserved(&trainer, &mut mistakes);
    }
    let per_node = trainer.num_proc_per_node;
    let count = trainer.num_nodes.or(policy.num_nodes).unwrap_or(1);
    if count < 1 {
        mistakes.push(format!("spec.trainer.numNodes: {count} is less than 1"));
    }
    let resources = train(&mut pod, trainer);
    validate::finish(mistakes)?;

    let again = again(&pod, &node, jobset);
    let replica = Replica {
        role: Role::Node,
        count: usize::try_from(count).unwrap_or_default(),
        restart: again.restart,
        template: pod,
        port: Kind::TrainJob.port(),
    };
    let run = RunPolicy {
        active_deadline_seconds: spec.active_deadline_seconds,
        backoff_limit: again.in_place,
        suspend: spec.suspend,
        ..RunPolicy::default()
    };
    // The rules of the other kinds' last version hold for this one.
    let (origin, clean) = (Version::V1, CleanPodPolicy::Running);
    let mut job = common(Kind::TrainJob, origin, vec![replica], run, clean);
    identity.name.clone_into(&mut job.name);
    identity.namespace.clone_into(&mut job.namespace);
    identity.uid.clone_into(&mut job.uid);
    job.torch.processes =
        per_node.map_or_else(|| processes(&resources), |number| number.to_string());
    job.train = Train {
        is_torch: policy.torch.is_some(),
        containers: injected(&policy),
        max_restarts: again.whole,
        attempt,
        pod_group: None,
    };
    let group = runtime.pod_group_policy.zip(job.replicas.first());
    let group = group.and_then(|(policy, node)| group::group(policy, queue, &node.template));
    (job.train.pod_group, job.scheduling) = group.unzip();
    job.warnings = warnings(jobset);
    validate::job(&job)?;
    Ok(job)
}

/// What begins anew after a failure, and how often.
struct Again {
    restart: RestartPolicy,
    /// Containers, by the node.
    in_place: Option<i32>,
    /// The whole job.
    whole: i32,
}

fn again(pod: &Template, node: &Value, jobset: &Value) -> Again {
    let number = |value: &Value| value.as_i64().and_then(|number| i32::try_from(number).ok());
    let backoff = number(&node["template"]["spec"]["backoffLimit"]);
    let whole = number(&jobset["failurePolicy"]["maxRestarts"]);
    let whole = whole.unwrap_or(0).max(backoff.unwrap_or(0));
    let is_in_place = template::text(pod, "restartPolicy") == Some("OnFailure");
    Again {
        restart: if is_in_place {
            RestartPolicy::OnFailure
        } else {
            RestartPolicy::Never
        },
        in_place: is_in_place.then(|| backoff.unwrap_or(IN_PLACE).max(whole)),
        whole,
    }
}

/// What this operator does not do.
fn refused(spec: &Spec, runtime: &runtime::Spec) -> Vec<String> {
    let mut mistakes = Vec::new();
    let initializer = spec.initializer.as_ref();
    let fetches = |one: &super::Initializer| one.dataset.is_some() || one.model.is_some();
    if initializer.is_some_and(fetches) {
        mistakes.push(
            "spec.initializer: this operator runs no initializers; mount a volume with the data"
                .to_owned(),
        );
    }
    let policy = runtime.ml_policy.as_ref();
    for policy in policy.map(MlPolicy::unknown).unwrap_or_default() {
        mistakes.push(format!(
            "spec.runtimeRef: the runtime has the policy {policy}; this operator knows torch, and runtimes without a \
             policy"
        ));
    }
    mistakes
}

/// The job `node` of the template, which is to be the only one.
fn node(jobset: &Value, mistakes: &mut Vec<String>) -> Value {
    let jobs = jobset["replicatedJobs"].as_array();
    let jobs = jobs.map_or(&[][..], Vec::as_slice);
    for job in jobs.iter().filter(|job| job["name"] != NODE) {
        let name = job["name"].as_str().unwrap_or("without a name");
        mistakes.push(format!(
            "spec.runtimeRef: the runtime has the job {name}; this operator runs {NODE} alone"
        ));
    }
    let node = jobs.iter().find(|job| job["name"] == NODE);
    if node.is_none() {
        mistakes.push(format!(
            "spec.runtimeRef: the runtime has no job {NODE} in spec.template.spec.replicatedJobs"
        ));
    }
    node.cloned().unwrap_or_default()
}

/// The template of its pods, with the labels of the Job that there is none of.
fn template(node: &Value) -> Template {
    let pod = &node["template"]["spec"]["template"];
    let mut pod = pod.as_object().cloned().unwrap_or_default();
    let labels = node["template"]["metadata"]["labels"].as_object();
    let metadata = template::object(&mut pod, "metadata");
    let own = template::object(metadata, "labels");
    for (name, value) in labels.into_iter().flatten() {
        own.entry(name.clone()).or_insert_with(|| value.clone());
    }
    pod
}

fn reserved(trainer: &Trainer, mistakes: &mut Vec<String>) {
    for variable in &trainer.env {
        let name = variable["name"].as_str().unwrap_or_default();
        if RESERVED.contains(&name) {
            mistakes.push(format!(
                "spec.trainer.env: {name} is what this operator sets"
            ));
        }
    }
}

/// Changes the container that trains as the job says; gives its resources.
fn train(pod: &mut Template, trainer: Trainer) -> Value {
    let spec = template::object(pod, "spec");
    let containers = spec.get_mut("containers").and_then(Value::as_array_mut);
    let mut containers = containers.into_iter().flatten();
    let container = containers.find(|container| container["name"] == NODE);
    let Some(Value::Object(container)) = container else {
        return Value::Null;
    };
    let mut patch = Map::new();
    let mut set = |field: &str, value: Option<Value>| {
        if let Some(value) = value {
            patch.insert(field.to_owned(), value);
        }
    };
    set("image", trainer.image.map(Value::from));
    set("command", trainer.command.map(Value::from));
    set("args", trainer.args.map(Value::from));
    set("env", (!trainer.env.is_empty()).then(|| json!(trainer.env)));
    merge(container, patch);
    // In place of the runtime's, whole: merged, a request of the one might be more than a limit of the other.
    if let Some(resources) = trainer.resources_per_node {
        let lists = [
            ("limits", resources.limits),
            ("requests", resources.requests),
        ];
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        let lists = lists.map(|(name, list)| (name.to_owned(), Value::Object(list)));
        let lists: Map<_, _> = lists.collect();
        if !lists.is_empty() {
            container.insert("resources".to_owned(), Value::Object(lists));
        }
    }
    container.get("resources").cloned().unwrap_or_default()
}

/// Containers of nodes that find the variables too.
fn injected(policy: &MlPolicy) -> Vec<String> {
    let injection = policy
        .torch
        .as_ref()
        .and_then(|torch| torch.env_injection.as_ref());
    let targets = injection.map_or(&[][..], |injection| &injection.targets);
    let targets = targets.iter().filter(|target| target.job_name == NODE);
    targets
        .flat_map(|target| target.container_names.clone())
        .collect()
}

fn warnings(jobset: &Value) -> Vec<String> {
    let mut without_effect = Vec::new();
    for (field, path) in [
        ("successPolicy", "spec.template.spec.successPolicy"),
        ("startupPolicy", "spec.template.spec.startupPolicy"),
        ("network", "spec.template.spec.network"),
    ] {
        if !jobset[field].is_null() {
            without_effect.push(path);
        }
    }
    if !jobset["failurePolicy"]["rules"].is_null() {
        without_effect.push("spec.template.spec.failurePolicy.rules");
    }
    let warn = |path| format!("spec.runtimeRef: {path} of the runtime is without effect");
    without_effect.into_iter().map(warn).collect()
}
