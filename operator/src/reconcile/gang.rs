//! The PodGroup of a job, where a scheduler asks for one. It is not watched: it is looked after whenever pods are made.

use carrel_jobs::job::Job;
use carrel_jobs::status::{ConditionType, JobStatus};
use kube::ResourceExt as _;
use kube::api::{Api, DeleteParams, DynamicObject, Patch, PatchParams};
use serde_json::json;

use super::make::{Made, make};
use super::{Context, ReconcileError, failed};
use crate::objects::gang::Gang;
use crate::refusal::is;

/// Makes the group as the job wants it; what the API server said, where it refused.
pub(super) async fn ensure(
    context: &Context,
    object: &DynamicObject,
    job: &Job,
) -> Result<Option<Made>, ReconcileError> {
    let Some(gang) = context.gang.as_ref().filter(|_| job.has_gang) else {
        return Ok(None);
    };
    let group = gang.group(job);
    let resource = gang.resource();
    match make(context, object, "PodGroup", &resource, &group).await {
        Ok(Made::Done(_)) => Ok(None),
        Ok(Made::There) => {
            let patch = Patch::Merge(json!({ "spec": group["spec"] }));
            let patched = groups(context, object, gang)
                .patch(&job.name, &PatchParams::default(), &patch)
                .await;
            let patched = patched.map_err(|error| failed("change the PodGroup", error));
            patched.map(|_| None)
        }
        Ok(refused) => Ok(Some(refused)),
        Err(ReconcileError::Api { source, .. }) if is(&source, 404) => {
            let api = &resource.api_version;
            let said =
                format!("the cluster knows no PodGroups of {api}: is the scheduler installed?");
            Ok(Some(Made::Later(said)))
        }
        Err(error) => Err(error),
    }
}

/// A job that is over or suspended wants no place. Each operator looks once whether a group is left of it: another may
/// have died before it came to that.
pub(super) async fn end(
    context: &Context,
    object: &DynamicObject,
    now: &JobStatus,
) -> Result<(), ReconcileError> {
    let Some(gang) = &context.gang else {
        return Ok(());
    };
    let uid = object.uid().unwrap_or_default();
    if !now.is_over() && !now.is(ConditionType::Suspended) {
        context.memory.wants_place(&uid);
        return Ok(());
    }
    if context.memory.has_no_group(&uid) {
        return Ok(());
    }
    delete(context, object, gang).await?;
    context.memory.group_is_gone(uid);
    Ok(())
}

async fn delete(
    context: &Context,
    object: &DynamicObject,
    gang: &Gang,
) -> Result<(), ReconcileError> {
    let name = object.name_any();
    let there = groups(context, object, gang).get_opt(&name).await;
    let uid = object.uid().unwrap_or_default();
    let is_ours = |one: &DynamicObject| one.owner_references().iter().any(|owner| owner.uid == uid);
    let there = there.map_err(|error| failed("look for the PodGroup", error))?;
    if !there.is_some_and(|group| is_ours(&group)) {
        return Ok(());
    }
    let deleted = groups(context, object, gang)
        .delete(&name, &DeleteParams::background())
        .await;
    match deleted {
        Err(error) if !is(&error, 404) => Err(failed("delete the PodGroup", error)),
        _ => Ok(()),
    }
}

fn groups(context: &Context, object: &DynamicObject, gang: &Gang) -> Api<DynamicObject> {
    let namespace = object.namespace().unwrap_or_default();
    Api::namespaced_with(context.client.clone(), &namespace, &gang.resource())
}
