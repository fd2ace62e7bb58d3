//! One look at a job: reads it, asks [`crate::plan`] what is to be done, and does it.

mod act;

use std::sync::Arc;
use std::time::Duration;

use carrel_jobs::job::{Identity, Invalid, Job};
use carrel_jobs::kind::{Kind, Version};
use carrel_jobs::original::{ANNOTATION, Original};
use carrel_jobs::read::read;
use carrel_jobs::status::JobStatus;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::controller::Action;
use kube::runtime::events::Recorder;
use kube::{Client, ResourceExt as _};
use serde_json::Value;

use crate::children::Children;
use crate::memory::Memory;
use crate::metrics::{Metrics, OfError};
use crate::plan::{Seen, invalid, plan};
use crate::seen::{Phase, SeenPod, SeenService};

/// When to look at a job again whose change did not go through.
const RETRY: Duration = Duration::from_secs(2);
/// When a watch is late.
const SOON: Duration = Duration::from_millis(200);

pub struct Context {
    pub kind: Kind,
    pub client: Client,
    pub resource: ApiResource,
    pub pods: Arc<Children<SeenPod>>,
    pub services: Arc<Children<SeenService>>,
    pub memory: Memory,
    pub metrics: Arc<Metrics>,
    pub recorder: Recorder,
    /// The domain of the cluster, where names of hosts are to hold it.
    pub domain: Option<String>,
}

/// The API server did not do as it was asked.
#[derive(Debug, thiserror::Error)]
#[error("could not {attempted}")]
pub struct ReconcileError {
    attempted: String,
    #[source]
    source: Box<kube::Error>,
}

impl ReconcileError {
    fn cause(&self) -> &'static str {
        match &*self.source {
            kube::Error::Api(_) => "refused",
            _ => "unreachable",
        }
    }
}

/// The queue calls this for a job whenever something about it changed.
pub async fn reconcile(
    object: Arc<DynamicObject>,
    context: Arc<Context>,
) -> Result<Action, ReconcileError> {
    let begun = tokio::time::Instant::now();
    let done = look(&object, &context).await;
    context.metrics.took(begun.elapsed());
    done
}

/// After a failure.
pub fn again(object: Arc<DynamicObject>, error: &ReconcileError, context: Arc<Context>) -> Action {
    let (kind, cause) = (context.kind.name(), error.cause());
    context
        .metrics
        .errors
        .get_or_create(&OfError { kind, cause })
        .inc();
    let source = std::error::Error::source(error).map(ToString::to_string);
    let name = object.name_any();
    tracing::warn!(job.kind = kind, job.name = %name, source, "{kind} {name}: {error}");
    Action::requeue(RETRY)
}

async fn look(object: &DynamicObject, context: &Context) -> Result<Action, ReconcileError> {
    let uid = object.uid().unwrap_or_default();
    if object.metadata.deletion_timestamp.is_some() {
        // What belongs to it goes with it, by its owner.
        context.memory.forget(&uid);
        return Ok(Action::await_change());
    }
    if context.memory.is_stale(
        &uid,
        object.resource_version().as_deref().unwrap_or_default(),
    ) {
        return Ok(Action::requeue(SOON));
    }
    context.pods.ready().await;
    context.services.ready().await;
    // Nobody writes it but this operator; what cannot be read is begun anew.
    let status = object.data["status"].clone();
    let status: JobStatus = serde_json::from_value(status).unwrap_or_default();
    let now = Timestamp::now();
    let read = read_job(object, context.kind);
    let seen = seen(&uid, read.as_ref().ok(), context);
    let (job, plan) = match read {
        Ok(job) => {
            if write_back(object, &job, context).await? {
                return Ok(Action::requeue(SOON));
            }
            let plan = plan(&job, &status, &seen, now);
            (Some(job), plan)
        }
        Err(why) => {
            let name = object.name_any();
            let plan = invalid(context.kind, &name, &status, &seen, &why, now);
            (None, plan)
        }
    };
    act::act(context, object, job.as_ref(), &status, plan).await
}

fn read_job(object: &DynamicObject, kind: Kind) -> Result<Job, Invalid> {
    let meta = &object.metadata;
    let annotations = meta.annotations.as_ref();
    let original = annotations.and_then(|annotations| annotations.get(ANNOTATION));
    let identity = Identity {
        name: meta.name.as_deref().unwrap_or_default(),
        namespace: meta.namespace.as_deref().unwrap_or_default(),
        uid: meta.uid.as_deref().unwrap_or_default(),
        original: original.map(String::as_str),
    };
    let none = Value::Object(serde_json::Map::new());
    let spec = object.data.get("spec").unwrap_or(&none);
    read(kind, &identity, spec)
}

/// What the watches tell, and what was made a moment ago.
fn seen(uid: &str, job: Option<&Job>, context: &Context) -> Seen {
    let mut seen = Seen {
        pods: context.pods.of(uid),
        services: context.services.of(uid),
    };
    let Some(job) = job else {
        return seen;
    };
    let is_seen = |made: &str| seen.pods.iter().any(|pod| pod.uid == made);
    let pods = context.memory.unseen(uid, act::POD, is_seen);
    let is_seen = |made: &str| seen.services.iter().any(|service| service.uid == made);
    let services = context.memory.unseen(uid, act::SERVICE, is_seen);
    if pods.is_empty() && services.is_empty() {
        return seen;
    }
    for place in act::places(job) {
        let name = carrel_jobs::names::pod(job, place.role, place.index);
        if pods.contains(&name) && !seen.pods.iter().any(|pod| pod.place == Some(place)) {
            seen.pods.push(Arc::new(SeenPod {
                name,
                uid: String::new(),
                place: Some(place),
                phase: Phase::Pending,
                is_deleting: false,
                exit_code: None,
                restarts: 0,
                reason: None,
                ended: None,
            }));
        }
        let name = carrel_jobs::names::service(job, place.role, place.index);
        let has = |service: &Arc<SeenService>| service.place == Some(place);
        if services.contains(&name) && !seen.services.iter().any(has) {
            seen.services.push(Arc::new(SeenService {
                name,
                uid: String::new(),
                place: Some(place),
                is_deleting: false,
            }));
        }
    }
    seen
}

/// The `RuntimeId` of v1alpha1, for who reads it there. True: the job has changed by it.
async fn write_back(
    object: &DynamicObject,
    job: &Job,
    context: &Context,
) -> Result<bool, ReconcileError> {
    if !job.is_v1alpha1() {
        return Ok(false);
    }
    let annotation = object.annotations().get(ANNOTATION).map(String::as_str);
    let mut original = Original::from_text(annotation, Version::V1);
    let rest = original.rest.entry(Version::V1Alpha1.name().to_owned());
    let spec = carrel_jobs::template::object(rest.or_default(), "spec");
    let known = spec.get("RuntimeId").and_then(Value::as_str);
    if known.is_some_and(|known| !known.is_empty()) {
        return Ok(false);
    }
    spec.insert(
        "RuntimeId".to_owned(),
        Value::String(job.runtime_id.clone()),
    );
    let text = original.to_text(Version::V1);
    let patch = serde_json::json!({ "metadata": { "annotations": { ANNOTATION: text } } });
    act::patch_job(context, object, &patch).await?;
    Ok(true)
}
