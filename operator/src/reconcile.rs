//! One look at a job: reads it, asks [`crate::plan`] what is to be done, and does it.

mod act;
mod gang;
mod logs;
mod make;
mod runtime;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use carrel_jobs::job::{Identity, Invalid, Job};
use carrel_jobs::kind::{Kind, Version};
use carrel_jobs::names::START_DEADLINE;
use carrel_jobs::original::{ANNOTATION, Original};
use carrel_jobs::read::{self, read};
use carrel_jobs::status::{ConditionType, JobStatus};
use carrel_jobs::trainjob;
use k8s_openapi::jiff::Timestamp;
use kube::api::{ApiResource, DynamicObject};
use kube::runtime::controller::Action;
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::children::{Children, Owner};
use crate::events::Recorder;
use crate::kept::KeptJob;
use crate::memory::Memory;
use crate::metrics::{Metrics, OfError};
use crate::objects::gang::Gang;
use crate::plan::{Plan, Seen, Wrong, invalid, plan, waits};
use crate::reports::Reporting;
use crate::seen::{Phase, Place, SeenPod, SeenService, Stage};

/// When to look at a job again whose change did not go through.
const RETRY: Duration = Duration::from_secs(2);
/// When a watch is late.
const SOON: Duration = Duration::from_millis(200);
/// When only a person can help.
const LATE: Duration = Duration::from_secs(60);
/// The longest that one look may take, all its requests together.
const PATIENCE: Duration = Duration::from_secs(120);

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
    /// Where processes report.
    pub reporting: Option<Reporting>,
    /// Who starts all pods of a job or none.
    pub gang: Option<Gang>,
    /// How long pods may take to start, in seconds, where their job does not say it; 0: for ever.
    pub start_deadline: u32,
    /// How many bytes of the logs of a job's pods are kept when those are deleted; none, unless given.
    pub keep_logs: Option<usize>,
}

#[derive(Debug, thiserror::Error)]
pub enum ReconcileError {
    #[error("could not {attempted}")]
    Api {
        attempted: String,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("could not do all that there is to do within {} s", PATIENCE.as_secs())]
    Late,
    #[error("could not read its status, which this operator has not written")]
    Status(#[source] serde_json::Error),
}

impl ReconcileError {
    fn cause(&self) -> &'static str {
        match self {
            Self::Api { source, .. } => match &**source {
                kube::Error::Api(_) => "refused",
                _ => "unreachable",
            },
            Self::Late => "late",
            Self::Status(_) => "status",
        }
    }
}

/// The queue calls this for a job whenever something about it changed.
pub async fn reconcile(job: Arc<KeptJob>, context: Arc<Context>) -> Result<Action, ReconcileError> {
    context.pods.ready().await;
    context.services.ready().await;
    let begun = tokio::time::Instant::now();
    let object = job.object(&context.resource);
    let done = timeout(PATIENCE, look(&object, &context)).await;
    context.metrics.took(begun.elapsed());
    done.unwrap_or(Err(ReconcileError::Late))
}

/// After a failure.
pub fn again(job: Arc<KeptJob>, error: &ReconcileError, context: Arc<Context>) -> Action {
    let (kind, cause) = (context.kind.name(), error.cause());
    context
        .metrics
        .errors
        .get_or_create(&OfError { kind, cause })
        .inc();
    let source = std::error::Error::source(error).map(ToString::to_string);
    let name = job.name_any();
    tracing::warn!(job.kind = kind, job.name = %name, source, "{kind} {name}: {error}");
    Action::requeue(match error {
        ReconcileError::Status(_) => LATE,
        ReconcileError::Api { .. } | ReconcileError::Late => RETRY,
    })
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
    let mut status = status(context.kind, object).map_err(ReconcileError::Status)?;
    let none = Value::Object(serde_json::Map::new());
    let spec = object.data.get("spec").unwrap_or(&none);
    let annotation = object.annotations().get(ANNOTATION).map(String::as_str);
    let original = Original::from_text(annotation, Version::V1);
    let kind = context.kind;
    if read::is_foreign(kind, spec) || is_long_over(kind, &original, &status) {
        return Ok(Action::await_change());
    }
    let reporting = context.reporting.as_ref();
    if reporting.is_some_and(|reporting| reporting.authorities().is_none()) {
        return Ok(Action::requeue(SOON));
    }
    let now = Timestamp::now();
    let identity = identity(object, annotation);
    let read = match kind {
        Kind::TrainJob => runtime::job(&identity, spec, &mut status, context).await?,
        _ => read(kind, &identity, spec).map_or_else(Read::Wrong, Read::of),
    };
    let seen = seen(object, read.job(), context);
    let (job, mut plan) = match read {
        Read::Job(mut job) => {
            complete(&mut job, object, context);
            if write_back(object, &job, original, context).await? {
                return Ok(Action::requeue(SOON));
            }
            let plan = plan(&job, &status, &seen, now);
            (Some(job), plan)
        }
        Read::Waits(why) => (None, waits(&status, &why)),
        Read::Wrong(why) => {
            let (name, ttl) = (object.name_any(), read::ttl_seconds(spec));
            let (name, why) = (name.as_str(), &why);
            let why = Wrong { kind, name, why };
            (None, invalid(&why, &status, &seen, ttl, now))
        }
    };
    if !act::write_status(context, object, &mut plan).await? {
        return Ok(Action::requeue(SOON));
    }
    count(context, object, &status, &plan);
    gang::end(context, object, &plan.status).await?;
    act::act(context, object, job.as_deref(), plan).await
}

/// Whether it was over before this operator saw it, or never began: a TrainJob that never had a runtime never had pods.
fn is_long_over(kind: Kind, original: &Original, status: &JobStatus) -> bool {
    let was_over = original.was_over() && status.conditions.is_empty();
    let is_train = kind == Kind::TrainJob;
    was_over || (is_train && status.is_over() && status.train.runtime.is_none())
}

/// What of a job is no part of its spec.
fn complete(job: &mut Job, object: &DynamicObject, context: &Context) {
    let gang = context.gang.as_ref();
    job.has_gang = gang.is_some_and(|gang| gang.is_for(job));
    if job.scheduling.is_some() && !job.has_gang {
        // Asked for, and nobody does it.
        let field = match job.kind {
            Kind::TfJob | Kind::PyTorchJob => "spec.runPolicy.schedulingPolicy",
            Kind::TrainJob => "spec.runtimeRef: spec.podGroupPolicy of the runtime",
        };
        job.warnings.push(format!(
            "{field}: it is without effect, this operator makes no such PodGroups (--gang-scheduler)"
        ));
    }
    let given = object.annotations().get(START_DEADLINE);
    let seconds = given.map_or(Ok(context.start_deadline), |text| text.trim().parse());
    let seconds = seconds.unwrap_or_else(|_| {
        let text = format!("metadata.annotations[{START_DEADLINE}]: it is no number of seconds");
        job.warnings.push(text);
        context.start_deadline
    });
    job.start_deadline = (seconds > 0).then(|| Duration::from_secs(seconds.into()));
}

/// What became of reading a job.
enum Read {
    Job(Box<Job>),
    Wrong(Invalid),
    /// For something that may come.
    Waits(String),
}

impl Read {
    fn of(job: Job) -> Self {
        Self::Job(Box::new(job))
    }

    fn job(&self) -> Option<&Job> {
        match self {
            Self::Job(job) => Some(job),
            Self::Wrong(_) | Self::Waits(_) => None,
        }
    }
}

fn status(kind: Kind, object: &DynamicObject) -> Result<JobStatus, serde_json::Error> {
    let status = object.data.get("status");
    match kind {
        Kind::TfJob | Kind::PyTorchJob => JobStatus::read(status),
        Kind::TrainJob => trainjob::status::read(status),
    }
}

fn identity<'a>(object: &'a DynamicObject, original: Option<&'a str>) -> Identity<'a> {
    let meta = &object.metadata;
    Identity {
        name: meta.name.as_deref().unwrap_or_default(),
        namespace: meta.namespace.as_deref().unwrap_or_default(),
        uid: meta.uid.as_deref().unwrap_or_default(),
        original,
    }
}

/// What the watches tell, and what was made a moment ago.
fn seen(object: &DynamicObject, job: Option<&Job>, context: &Context) -> Seen {
    let owner = Owner {
        name: object.name_any(),
        namespace: object.namespace().unwrap_or_default(),
        uid: object.uid().unwrap_or_default(),
    };
    let uid = &owner.uid;
    let mut seen = Seen {
        pods: context.pods.of(&owner),
        services: context.services.of(&owner),
    };
    let Some(job) = job else {
        return seen;
    };
    let uids: HashSet<_> = seen.pods.iter().map(|pod| pod.uid.as_str()).collect();
    let made = context
        .memory
        .unseen(uid, make::POD, |made| uids.contains(made));
    let pods: HashSet<_> = made.into_iter().collect();
    let uids: HashSet<_> = seen.services.iter().map(|one| one.uid.as_str()).collect();
    let made = context
        .memory
        .unseen(uid, make::SERVICE, |made| uids.contains(made));
    let services: HashSet<_> = made.into_iter().collect();
    if pods.is_empty() && services.is_empty() {
        return seen;
    }
    let with_pod: HashSet<_> = seen.pods.iter().filter_map(|pod| pod.place).collect();
    let with_service = seen.services.iter().filter_map(|service| service.place);
    let with_service: HashSet<_> = with_service.collect();
    for place in act::places(job) {
        let name = carrel_jobs::names::pod(job, place.role, place.index);
        if pods.contains(&name) && !with_pod.contains(&place) {
            seen.pods
                .push(Arc::new(made_pod(name, place, job.train.attempt)));
        }
        let name = carrel_jobs::names::service(job, place.role, place.index);
        if services.contains(&name) && !with_service.contains(&place) {
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

/// One that no watch has told of.
fn made_pod(name: String, place: Place, attempt: i32) -> SeenPod {
    SeenPod {
        name,
        uid: String::new(),
        place: Some(place),
        attempt,
        phase: Phase::Pending,
        is_deleting: false,
        exit_code: None,
        restarts: 0,
        reason: None,
        created: None,
        stage: Stage::Unplaced,
        ended: None,
    }
}

/// The `RuntimeId` of v1alpha1, for who reads it there; whether it was not there yet.
async fn write_back(
    object: &DynamicObject,
    job: &Job,
    mut original: Original,
    context: &Context,
) -> Result<bool, ReconcileError> {
    if !job.is_v1alpha1() {
        return Ok(false);
    }
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
    act::annotate(context, object, &json!({ ANNOTATION: text })).await?;
    Ok(true)
}

fn count(context: &Context, object: &DynamicObject, before: &JobStatus, plan: &Plan) {
    let metrics = &context.metrics;
    let namespace = object.namespace().unwrap_or_default();
    let of_job = crate::metrics::OfJob::new(context.kind, &namespace);
    let is_new = |kind| !before.is(kind) && plan.status.is(kind);
    if is_new(ConditionType::Created) {
        metrics.created.get_or_create(&of_job).inc();
    }
    if is_new(ConditionType::Succeeded) {
        metrics.succeeded.get_or_create(&of_job).inc();
    }
    if is_new(ConditionType::Failed) {
        metrics.failed.get_or_create(&of_job).inc();
    }
    if is_new(ConditionType::Restarting) {
        metrics.restarted.get_or_create(&of_job).inc();
    }
    if plan.delete_job {
        metrics.deleted.get_or_create(&of_job).inc();
    }
}

fn failed(attempted: &str, source: kube::Error) -> ReconcileError {
    ReconcileError::Api {
        attempted: attempted.to_owned(),
        source: Box::new(source),
    }
}
