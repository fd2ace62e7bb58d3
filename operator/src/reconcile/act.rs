//! Doing what a plan says. What is done already is not done again, and is no failure.

use carrel_jobs::job::Job;
use carrel_jobs::kind::Kind;
use carrel_jobs::status::{ConditionType, JobStatus, of_others};
use carrel_jobs::trainjob;
use k8s_openapi::api::core::v1::{Pod, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::api::{
    Api, DeleteParams, DynamicObject, Patch, PatchParams, Preconditions, PropagationPolicy,
};
use kube::runtime::controller::Action;
use kube::{Resource as _, ResourceExt as _};
use serde_json::{Value, json};

use super::make::{Created, Made, create};
use super::{Context, RETRY, ReconcileError, SOON, count, failed, gang, logs};
use crate::patch::merge_patch;
use crate::plan::{Notice, Plan, REFUSED, fail};
use crate::refusal::is;
use crate::seen::Place;

/// All replicas of a job.
pub(super) fn places(job: &Job) -> impl Iterator<Item = Place> {
    job.replicas.iter().flat_map(|replica| {
        let role = replica.role;
        (0..replica.count).map(move |index| Place { role, index })
    })
}

/// The rest of a plan, whose status is written. What was decided is told first: it is so whatever fails after it.
pub(super) async fn act(
    context: &Context,
    object: &DynamicObject,
    job: Option<&Job>,
    mut plan: Plan,
) -> Result<Action, ReconcileError> {
    tell(context, object, std::mem::take(&mut plan.notices)).await;
    let notices = logs::keep(context, object, &plan).await;
    tell(context, object, notices).await;
    delete(context, object, &plan).await?;
    if let Some(job) = job {
        let created = made(context, object, job, &plan).await?;
        tell(context, object, created.notices).await;
        if let Some(refused) = created.refused {
            let notices = refuse(context, object, &mut plan, refused).await?;
            tell(context, object, notices).await;
        }
        if let Some(error) = created.error {
            return Err(error);
        }
    }
    if plan.delete_job {
        delete_job(context, object).await?;
    }
    Ok(plan
        .again_in
        .map_or_else(Action::await_change, Action::requeue))
}

/// What is missing is made, the group of its pods before them: a scheduler leaves pods of one that is not there.
async fn made(
    context: &Context,
    object: &DynamicObject,
    job: &Job,
    plan: &Plan,
) -> Result<Created, ReconcileError> {
    if !plan.create_pods.is_empty()
        && let Some(refused) = gang::ensure(context, object, job).await?
    {
        return Ok(Created {
            refused: Some(refused),
            ..Created::default()
        });
    }
    Ok(create(context, object, job, plan).await)
}

/// Whether the status is written; false: the job has changed meanwhile.
pub(super) async fn write_status(
    context: &Context,
    object: &DynamicObject,
    plan: &mut Plan,
) -> Result<bool, ReconcileError> {
    let old = object
        .data
        .get("status")
        .cloned()
        .unwrap_or_else(|| json!({}));
    let new = shown(context.kind, &plan.status, &old);
    if merge_patch(&old, &new).is_none() {
        return Ok(true);
    }
    plan.status.last_reconcile_time = Some(Time(Timestamp::now()));
    let new = shown(context.kind, &plan.status, &old);
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
    remember(context, object, patched, "write the status")
}

/// A status as its kind has it, with what others have written into it.
fn shown(kind: Kind, status: &JobStatus, old: &Value) -> Value {
    let (shown, theirs) = match kind {
        Kind::TfJob | Kind::PyTorchJob => {
            let theirs = of_others(old, ConditionType::from_name);
            (serde_json::to_value(status), theirs)
        }
        Kind::TrainJob => {
            let mut shown = trainjob::status::shown(status);
            // It is not written here: the job's processes report it, and those of an attempt begin anew.
            let attempt = trainjob::status::attempt(old);
            let reported = old.get("trainerStatus");
            let reported = reported.filter(|_| attempt == i64::from(shown.attempt));
            shown.trainer_status = reported.cloned();
            let theirs = of_others(old, trainjob::status::condition_type);
            (serde_json::to_value(shown), theirs)
        }
    };
    let (mut shown, mut conditions) = (shown.unwrap_or_default(), theirs);
    if !conditions.is_empty() {
        let ours = shown["conditions"].as_array().cloned();
        conditions.extend(ours.unwrap_or_default());
        shown["conditions"] = Value::Array(conditions);
    }
    shown
}

/// Changes the job's metadata, if it is still the one that `object` was; nothing where it is another by now.
pub(super) async fn annotate(
    context: &Context,
    object: &DynamicObject,
    annotations: &Value,
) -> Result<(), ReconcileError> {
    let meta = &object.metadata;
    let patch = json!({ "metadata": {
        "uid": meta.uid,
        "resourceVersion": meta.resource_version,
        "annotations": annotations,
    } });
    let parameters = PatchParams::default();
    let patched = jobs(context, object)
        .patch(&object.name_any(), &parameters, &Patch::Merge(&patch))
        .await;
    remember(context, object, patched, "write the annotation").map(drop)
}

/// Takes note of the version that a change has made; false where the job has changed meanwhile, or is gone.
fn remember(
    context: &Context,
    object: &DynamicObject,
    patched: kube::Result<DynamicObject>,
    attempted: &str,
) -> Result<bool, ReconcileError> {
    match patched {
        Ok(patched) => {
            let version = patched.resource_version().unwrap_or_default();
            let uid = object.uid().unwrap_or_default();
            context.memory.patched(&uid, version);
            Ok(true)
        }
        Err(error) if is(&error, 409) || is(&error, 404) => Ok(false),
        Err(error) => Err(failed(attempted, error)),
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

/// The API server refused a pod: the job says so, and fails if it will never be otherwise.
async fn refuse(
    context: &Context,
    object: &DynamicObject,
    plan: &mut Plan,
    refused: Made,
) -> Result<Vec<Notice>, ReconcileError> {
    let reason = REFUSED;
    let (said, for_good) = match refused {
        Made::Never(said) => (said, true),
        Made::Later(said) => (said, false),
        Made::Done(_) | Made::There => return Ok(Vec::new()),
    };
    let before = plan.status.clone();
    if for_good {
        fail(plan, reason, &said, Timestamp::now());
    } else {
        plan.again(RETRY * 5);
        plan.status.reason = Some(said.clone());
    }
    let current = jobs(context, object).get_opt(&object.name_any()).await;
    let current = current.map_err(|error| failed("read the job", error))?;
    // Another of that name is none the worse.
    let current = current.filter(|current| current.uid() == object.uid());
    if let Some(current) = current {
        if write_status(context, &current, plan).await? {
            count(context, object, &before, plan);
        } else {
            plan.again_in = Some(SOON);
        }
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
        if let Err(error) = context.recorder.publish(&reference, &notice).await {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_begins_without_the_reports_of_the_one_before() {
        let old = json!({ "attempt": 1, "trainerStatus": { "progressPercentage": 3 } });
        let mut status = JobStatus::default();
        for (attempt, kept) in [(1, &old["trainerStatus"]), (2, &Value::Null)] {
            status.train.attempt = attempt;
            assert_eq!(&shown(Kind::TrainJob, &status, &old)["trainerStatus"], kept);
        }
    }
}
