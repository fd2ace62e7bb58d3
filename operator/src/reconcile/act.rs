//! Doing what a plan says. What is done already is not done again, and is no failure.

use std::time::Duration;

use carrel_jobs::job::Job;
use carrel_jobs::status::{ConditionType, JobStatus};
use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{
    Api, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions,
    PropagationPolicy,
};
use kube::runtime::controller::Action;
use kube::runtime::events::{Event, EventType};
use kube::{Resource as _, ResourceExt as _};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::{Context, RETRY, ReconcileError, SOON};
use crate::metrics::OfJob;
use crate::objects;
use crate::patch::merge_patch;
use crate::plan::{Notice, Plan, fail};
use crate::seen::Place;

pub(super) const POD: &str = "pod";
pub(super) const SERVICE: &str = "service";

/// Requests for one job that are under way at a time.
const AT_A_TIME: usize = 16;

const RESYNC: Duration = Duration::from_secs(600);

/// How the making of an object went.
enum Made {
    Done(String),
    /// It was there already.
    There,
    /// It cannot be, for these reasons.
    Never(String),
    /// It may be later, when there is room.
    Later(String),
}

/// All replicas of a job.
pub(super) fn places(job: &Job) -> impl Iterator<Item = Place> {
    job.replicas.iter().flat_map(|replica| {
        let role = replica.role;
        (0..replica.count).map(move |index| Place { role, index })
    })
}

pub(super) async fn act(
    context: &Context,
    object: &DynamicObject,
    job: Option<&Job>,
    before: &JobStatus,
    mut plan: Plan,
) -> Result<Action, ReconcileError> {
    if !write_status(context, object, &mut plan).await? {
        return Ok(Action::requeue(SOON));
    }
    count(context, object, before, &plan);
    delete(context, object, &plan).await?;
    let mut notices = std::mem::take(&mut plan.notices);
    if let Some(job) = job {
        let (refused, made) = create(context, object, job, &plan).await?;
        notices.extend(made);
        if let Some(refused) = refused {
            notices.extend(refuse(context, object, &mut plan, refused).await?);
        }
    }
    tell(context, object, notices).await;
    if plan.delete_job {
        delete_job(context, object).await?;
    }
    // A job that goes on is looked at from time to time, whatever the watches say.
    let resync = (!plan.status.is_over() && job.is_some()).then_some(RESYNC);
    let again = plan.again_in.or(resync);
    Ok(again.map_or_else(Action::await_change, Action::requeue))
}

/// Whether the status is written; false: the job has changed meanwhile.
async fn write_status(
    context: &Context,
    object: &DynamicObject,
    plan: &mut Plan,
) -> Result<bool, ReconcileError> {
    let old = object
        .data
        .get("status")
        .cloned()
        .unwrap_or_else(|| json!({}));
    let new = serde_json::to_value(&plan.status).unwrap_or_default();
    if merge_patch(&old, &new).is_none() {
        return Ok(true);
    }
    plan.status.last_reconcile_time = Some(Time(Timestamp::now()));
    let new = serde_json::to_value(&plan.status).unwrap_or_default();
    let Some(patch) = merge_patch(&old, &new) else {
        return Ok(true);
    };
    let known = object.resource_version();
    let patch = json!({ "metadata": { "resourceVersion": known }, "status": patch });
    let api = jobs(context, object);
    let name = object.name_any();
    let patched = api
        .patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch))
        .await;
    match patched {
        Ok(patched) => {
            let version = patched.resource_version().unwrap_or_default();
            context
                .memory
                .patched(&object.uid().unwrap_or_default(), version);
            Ok(true)
        }
        Err(error) if is(&error, 409) || is(&error, 404) => Ok(false),
        Err(error) => Err(failed("write the status", error)),
    }
}

pub(super) async fn patch_job(
    context: &Context,
    object: &DynamicObject,
    patch: &Value,
) -> Result<(), ReconcileError> {
    let patched = jobs(context, object)
        .patch(
            &object.name_any(),
            &PatchParams::default(),
            &Patch::Merge(patch),
        )
        .await;
    match patched {
        Ok(_) => Ok(()),
        Err(error) if is(&error, 404) => Ok(()),
        Err(error) => Err(failed("write the annotation", error)),
    }
}

async fn delete(
    context: &Context,
    object: &DynamicObject,
    plan: &Plan,
) -> Result<(), ReconcileError> {
    let namespace = object.namespace().unwrap_or_default();
    let pods = Api::<Pod>::namespaced(context.client.clone(), &namespace);
    let services = Api::<Service>::namespaced(context.client.clone(), &namespace);
    for pod in &plan.delete_pods {
        gone(
            pods.delete(&pod.name, &this(&pod.uid)).await.err(),
            &pod.name,
        )?;
    }
    for service in &plan.delete_services {
        let deleted = services.delete(&service.name, &this(&service.uid)).await;
        gone(deleted.err(), &service.name)?;
    }
    Ok(())
}

/// This very object, and not another that has its name now.
fn this(uid: &str) -> DeleteParams {
    let uid = (!uid.is_empty()).then(|| uid.to_owned());
    DeleteParams {
        preconditions: uid.map(|uid| Preconditions {
            uid: Some(uid),
            resource_version: None,
        }),
        ..DeleteParams::background()
    }
}

fn gone(error: Option<kube::Error>, name: &str) -> Result<(), ReconcileError> {
    match error {
        None => Ok(()),
        Some(error) if is(&error, 404) || is(&error, 409) => Ok(()),
        Some(error) => Err(failed(&format!("delete {name}"), error)),
    }
}

/// Makes what is missing; what the API server refused first, and what to tell.
async fn create(
    context: &Context,
    object: &DynamicObject,
    job: &Job,
    plan: &Plan,
) -> Result<(Option<Made>, Vec<Notice>), ReconcileError> {
    let domain = context.domain.as_deref();
    let replica = |place: Place| job.replica(place.role);
    let services = plan.create_services.iter().filter_map(|place| {
        let service = objects::service(job, replica(*place)?, place.index);
        Some((SERVICE, service))
    });
    let pods = plan.create_pods.iter().filter_map(|place| {
        let pod = objects::pod(job, replica(*place)?, place.index, domain);
        Some((POD, pod))
    });
    let requests: Vec<_> = services.chain(pods).collect();
    let requests = requests.into_iter().map(|(kind, child)| async move {
        let made = match kind {
            SERVICE => make::<Service>(context, object, SERVICE, &child).await,
            _ => make::<Pod>(context, object, POD, &child).await,
        };
        (kind, made)
    });
    let results: Vec<_> = stream::iter(requests)
        .buffer_unordered(AT_A_TIME)
        .collect()
        .await;
    let mut refused = None;
    let (mut pods, mut services) = (Vec::new(), Vec::new());
    for (kind, made) in results {
        match made? {
            Made::Done(name) if kind == POD => pods.push(name),
            Made::Done(name) => services.push(name),
            Made::There => {}
            other => drop(refused.get_or_insert(other)),
        }
    }
    Ok((refused, created(services, pods)))
}

fn created(services: Vec<String>, pods: Vec<String>) -> Vec<Notice> {
    let mut notices = Vec::new();
    for (reason, mut names, what) in [
        ("SuccessfulCreateService", services, "services"),
        ("SuccessfulCreatePod", pods, "pods"),
    ] {
        if !names.is_empty() {
            names.sort();
            notices.push(Notice {
                is_warning: false,
                reason: reason.to_owned(),
                note: format!("Created {what}: {}", names.join(", ")),
            });
        }
    }
    notices
}

async fn make<K>(
    context: &Context,
    object: &DynamicObject,
    kind: &'static str,
    child: &Value,
) -> Result<Made, ReconcileError>
where
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned,
    K: std::fmt::Debug,
    K::DynamicType: Default,
{
    let namespace = object.namespace().unwrap_or_default();
    let name = child["metadata"]["name"].as_str().unwrap_or_default();
    let uid = object.uid().unwrap_or_default();
    // As JSON: types would drop fields that are newer than they.
    let resource = kube::api::ApiResource::erase::<K>(&K::DynamicType::default());
    let api: Api<DynamicObject> =
        Api::namespaced_with(context.client.clone(), &namespace, &resource);
    let typed: DynamicObject = match serde_json::from_value(child.clone()) {
        Ok(typed) => typed,
        Err(error) => return Ok(Made::Never(format!("{name}: {error}"))),
    };
    let error = match api.create(&PostParams::default(), &typed).await {
        Ok(made) => {
            let made = made.uid().unwrap_or_default();
            context.memory.made(&uid, kind, name, made);
            return Ok(Made::Done(name.to_owned()));
        }
        Err(error) => error,
    };
    let kube::Error::Api(status) = &error else {
        return Err(failed(&format!("create {name}"), error));
    };
    let said = status.message.clone();
    match status.code {
        409 => match api.get_opt(name).await {
            Ok(Some(there)) => Ok(there_is(&there, &uid, kind)),
            // It went meanwhile.
            Ok(None) => Err(failed(&format!("create {name}"), error)),
            Err(error) => Err(failed(&format!("look for {name}"), error)),
        },
        // Not for now, by a quota or a policy; the namespace may also be about to go.
        403 => Ok(Made::Later(said)),
        400 | 413 | 422 => Ok(Made::Never(said)),
        _ => Err(failed(&format!("create {name}"), error)),
    }
}

/// What it means that an object of that name is there.
fn there_is(there: &DynamicObject, owner: &str, kind: &str) -> Made {
    if there.owner_references().iter().any(|one| one.uid == owner) {
        return Made::There;
    }
    let name = there.name_any();
    Made::Later(format!(
        "the {kind} {name} is there and belongs to something else"
    ))
}

/// The API server refused a pod: the job says so, and fails if it will never be otherwise.
async fn refuse(
    context: &Context,
    object: &DynamicObject,
    plan: &mut Plan,
    refused: Made,
) -> Result<Vec<Notice>, ReconcileError> {
    let reason = "FailedCreatePod";
    let (said, for_good) = match refused {
        Made::Never(said) => (said, true),
        Made::Later(said) => (said, false),
        Made::Done(_) | Made::There => return Ok(Vec::new()),
    };
    if for_good {
        fail(plan, reason, &said, Timestamp::now());
    } else {
        plan.again_in = Some(
            plan.again_in
                .map_or(RETRY * 5, |before| before.min(RETRY * 5)),
        );
        plan.status.reason = Some(said.clone());
    }
    let current = jobs(context, object).get_opt(&object.name_any()).await;
    let current = current.map_err(|error| failed("read the job", error))?;
    if let Some(current) = current
        && !write_status(context, &current, plan).await?
    {
        plan.again_in = Some(SOON);
    }
    let is_new = object.data["status"]["reason"] != said;
    let notice = Notice {
        is_warning: true,
        reason: reason.to_owned(),
        note: said,
    };
    plan.notices.clear();
    Ok(is_new.then_some(notice).into_iter().collect())
}

/// Events; a job is none the worse for lack of one.
async fn tell(context: &Context, object: &DynamicObject, notices: Vec<Notice>) {
    let reference = object.object_ref(&context.resource);
    for notice in notices {
        let mut note = notice.note;
        // The API server's limit is 1 kB.
        if let Some((end, _)) = note.char_indices().nth(900) {
            note.truncate(end);
            note.push('…');
        }
        let event = Event {
            type_: if notice.is_warning {
                EventType::Warning
            } else {
                EventType::Normal
            },
            reason: notice.reason,
            note: Some(note),
            action: "Reconcile".to_owned(),
            secondary: None,
        };
        if let Err(error) = context.recorder.publish(&event, &reference).await {
            let name = object.name_any();
            tracing::debug!(%error, job.name = %name, "An event of {name} was not written");
        }
    }
}

async fn delete_job(context: &Context, object: &DynamicObject) -> Result<(), ReconcileError> {
    let name = object.name_any();
    let parameters = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Background),
        ..this(&object.uid().unwrap_or_default())
    };
    let deleted = jobs(context, object).delete(&name, &parameters).await;
    gone(deleted.err(), &name)
}

fn jobs(context: &Context, object: &DynamicObject) -> Api<DynamicObject> {
    let namespace = object.namespace().unwrap_or_default();
    Api::namespaced_with(context.client.clone(), &namespace, &context.resource)
}

fn is(error: &kube::Error, code: u16) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == code)
}

fn failed(attempted: &str, source: kube::Error) -> ReconcileError {
    ReconcileError {
        attempted: attempted.to_owned(),
        source: Box::new(source),
    }
}

fn count(context: &Context, object: &DynamicObject, before: &JobStatus, plan: &Plan) {
    let metrics = &context.metrics;
    let namespace = object.namespace().unwrap_or_default();
    let of_job = OfJob::new(context.kind, &namespace);
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
