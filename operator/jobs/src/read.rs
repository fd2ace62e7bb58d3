//! Jobs from the shape that is stored, with all defaults of the version that they were made in.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::job::{Identity, Invalid, Job, Replica, Torch, Train};
use crate::kind::{Kind, Version};
use crate::original::{ANNOTATION, Original};
use crate::spec::{CleanPodPolicy, ReplicaSpec, RestartPolicy, RunPolicy};
use crate::tfjob::SuccessPolicy;
use crate::{pytorchjob, template, tfjob, validate};

/// A TFJob or PyTorchJob, from its spec in the shape of v1.
///
/// # Errors
/// With all that is wrong with it.
pub fn read(kind: Kind, identity: &Identity<'_>, spec: &Value) -> Result<Job, Invalid> {
    let original = Original::from_text(identity.original, Version::V1);
    let origin = original.version();
    if !kind.versions().contains(&origin) {
        let text = format!("metadata.annotations[{ANNOTATION}]: {kind} has no version {origin}");
        return Err(Invalid(vec![text]));
    }
    let mut job = match kind {
        Kind::TfJob => of_tf(typed("spec", spec)?, origin)?,
        Kind::PyTorchJob => of_pytorch(typed("spec", spec)?, origin)?,
        Kind::TrainJob => {
            let text = "a TrainJob is read with its runtime".to_owned();
            return Err(Invalid(vec![text]));
        }
    };
    job.is_foreign = is_foreign(kind, spec);
    identity.name.clone_into(&mut job.name);
    identity.namespace.clone_into(&mut job.namespace);
    identity.uid.clone_into(&mut job.uid);
    if job.is_v1alpha1() {
        validate::v1alpha1(&mut job, &original)?;
    }
    validate::job(&job)?;
    Ok(job)
}

/// Whether a job is another controller's, as its spec says even where it is not valid: that is the other's to tell.
pub fn is_foreign(kind: Kind, spec: &Value) -> bool {
    let policy = match kind {
        Kind::TfJob | Kind::PyTorchJob => &spec["runPolicy"],
        Kind::TrainJob => spec,
    };
    let manager = policy["managedBy"].as_str();
    manager.is_some_and(|manager| !manager.is_empty() && manager != kind.manager())
}

/// After which time a job goes that is not valid.
pub fn ttl_seconds(spec: &Value) -> Option<i32> {
    const FIELD: &str = "ttlSecondsAfterFinished";
    let given = spec["runPolicy"][FIELD].as_i64();
    let given = given.or_else(|| spec[FIELD].as_i64())?;
    i32::try_from(given).ok()
}

/// What stands at `at`, such as `spec`.
///
/// # Errors
/// When it has another shape, with the place.
pub fn typed<T: DeserializeOwned>(at: &str, value: &Value) -> Result<T, Invalid> {
    let invalid = |error: serde_path_to_error::Error<serde_json::Error>| {
        let path = error.path().to_string();
        Invalid(vec![format!("{at}.{path}: {}", error.into_inner())])
    };
    serde_path_to_error::deserialize(value).map_err(invalid)
}

fn of_tf(spec: tfjob::V1, origin: Version) -> Result<Job, Invalid> {
    let policy = spec.run_policy.unwrap_or_default().or(&spec.top);
    let clean = match origin {
        Version::V1 => CleanPodPolicy::None,
        _ => CleanPodPolicy::Running,
    };
    let replicas = replicas(Kind::TfJob, spec.tf_replica_specs, RestartPolicy::Never)?;
    let mut job = common(Kind::TfJob, origin, replicas, policy, clean);
    // All of them decided until v1.
    job.all_workers =
        spec.success_policy == Some(SuccessPolicy::AllWorkers) || origin != Version::V1;
    job.is_dynamic = spec.enable_dynamic_worker.unwrap_or_default();
    Ok(job)
}

fn of_pytorch(spec: pytorchjob::V1, origin: Version) -> Result<Job, Invalid> {
    let policy = spec.run_policy.unwrap_or_default().or(&spec.top);
    let replicas = replicas(
        Kind::PyTorchJob,
        spec.pytorch_replica_specs,
        RestartPolicy::OnFailure,
    )?;
    let mut job = common(
        Kind::PyTorchJob,
        origin,
        replicas,
        policy,
        CleanPodPolicy::None,
    );
    let processes = match spec.nproc_per_node {
        Some(Value::String(text)) => text,
        Some(number) => number.to_string(),
        None => "auto".to_owned(),
    };
    let elastic = spec.elastic_policy;
    let metrics = elastic
        .as_ref()
        .and_then(|elastic| elastic.metrics.as_ref());
    if metrics.is_some_and(|metrics| !metrics.is_empty()) {
        job.warnings.push(
            "spec.elasticPolicy.metrics: they are without effect, this operator makes no HorizontalPodAutoscalers"
                .to_owned(),
        );
    }
    let of_elastic = elastic.as_ref().and_then(|elastic| elastic.n_proc_per_node);
    job.torch = Torch {
        processes: of_elastic.map_or(processes, |number| number.to_string()),
        elastic,
        scheduler: None,
    };
    Ok(job)
}

/// What follows from the policy of a job, and defaults.
pub(crate) fn common(
    kind: Kind,
    origin: Version,
    replicas: Vec<Replica>,
    policy: RunPolicy,
    clean: CleanPodPolicy,
) -> Job {
    let given = policy.clean_pod_policy;
    Job {
        kind,
        origin,
        name: String::new(),
        namespace: String::new(),
        uid: String::new(),
        replicas,
        clean: given
            .filter(|given| *given != CleanPodPolicy::Unset)
            .unwrap_or(clean),
        ttl_seconds: policy.ttl_seconds_after_finished,
        deadline_seconds: policy.active_deadline_seconds,
        backoff_limit: policy.backoff_limit,
        start_deadline: None,
        suspend: policy.suspend.unwrap_or_default(),
        scheduling: policy.scheduling_policy,
        has_gang: false,
        is_foreign: false,
        all_workers: false,
        is_dynamic: false,
        torch: Torch::default(),
        train: Train::default(),
        runtime_id: String::new(),
        warnings: Vec::new(),
    }
}

fn replicas(
    kind: Kind,
    specs: BTreeMap<String, ReplicaSpec>,
    restart: RestartPolicy,
) -> Result<Vec<Replica>, Invalid> {
    let mut mistakes = Vec::new();
    let mut replicas: Vec<Replica> = Vec::new();
    for (name, spec) in specs {
        let field = kind.replicas_field();
        let Some(role) = kind.role(&name) else {
            let known: Vec<_> = kind.roles().iter().map(|role| role.name()).collect();
            let known = known.join(", ");
            mistakes.push(format!(
                "spec.{field}.{name}: there is no such type of replica; there are {known}"
            ));
            continue;
        };
        if replicas.iter().any(|replica| replica.role == role) {
            mistakes.push(format!(
                "spec.{field}.{name}: {} is there twice",
                role.name()
            ));
            continue;
        }
        let template = spec.template.unwrap_or_default();
        let container = template::container(&template, kind.container());
        let port = container.and_then(|container| template::port(container, kind.port_name()));
        let count = spec.replicas.unwrap_or(1);
        match usize::try_from(count) {
            Ok(count) => replicas.push(Replica {
                role,
                count,
                restart: spec.restart_policy.unwrap_or(restart),
                port: port.unwrap_or(kind.port()),
                template,
            }),
            Err(_) => mistakes.push(format!(
                "spec.{field}.{name}.replicas: {count} is less than 0"
            )),
        }
    }
    replicas.sort_by_key(|replica| replica.role);
    if mistakes.is_empty() {
        Ok(replicas)
    } else {
        Err(Invalid(mistakes))
    }
}
