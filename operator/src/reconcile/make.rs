//! Making the pods and services of a job.

use carrel_jobs::job::Job;
use futures_util::future::join_all;
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::ResourceExt as _;
use kube::api::{Api, ApiResource, DynamicObject, PostParams};
use serde_json::Value;

use super::{Context, ReconcileError, failed};
use crate::objects;
use crate::plan::{Notice, Plan};
use crate::refusal::is;
use crate::seen::Place;

pub(super) const POD: &str = "pod";
pub(super) const SERVICE: &str = "service";

/// Requests for one job that are under way at a time, once the first ones went well.
const AT_A_TIME: usize = 16;

/// How the making of an object went.
pub(super) enum Made {
    Done(String),
    /// It was there already.
    There,
    /// It cannot be, for these reasons.
    Never(String),
    /// It may be later, when there is room.
    Later(String),
}

/// What came of all that was to be made.
#[derive(Default)]
pub(super) struct Created {
    pub notices: Vec<Notice>,
    /// The first that the API server refused. The same one each time: its name is part of what the job says.
    pub refused: Option<Made>,
    pub error: Option<ReconcileError>,
}

/// Makes what is missing: one, then two, then four .. at a time, until one is refused.
pub(super) async fn create(
    context: &Context,
    object: &DynamicObject,
    job: &Job,
    plan: &Plan,
) -> Created {
    let domain = context.domain.as_deref();
    let replica = |place: Place| job.replica(place.role);
    let services = plan.create_services.iter().filter_map(|place| {
        let service = objects::service(job, replica(*place)?, place.index);
        Some((SERVICE, service))
    });
    let pods = plan.create_pods.iter().filter_map(|place| {
        let mut pod = objects::pod(job, replica(*place)?, place.index, domain);
        if let Some(reporting) = &context.reporting {
            objects::reporting::add(&mut pod, job, reporting);
        }
        if let Some(gang) = context.gang.as_ref().filter(|_| job.has_gang) {
            gang.join(&mut pod, job, place.role);
        }
        Some((POD, pod))
    });
    let mut missing = services.chain(pods);
    let mut created = Created::default();
    let (mut pods, mut services) = (Vec::new(), Vec::new());
    let mut at_a_time = 1;
    while created.refused.is_none() && created.error.is_none() {
        let batch = missing.by_ref().take(at_a_time);
        let requests = batch.map(|(kind, child)| async move {
            let made = match kind {
                SERVICE => make(context, object, kind, &resource::<Service>(), &child).await,
                _ => make(context, object, kind, &resource::<Pod>(), &child).await,
            };
            (kind, made)
        });
        let results = join_all(requests).await;
        if results.is_empty() {
            break;
        }
        for (kind, made) in results {
            match made {
                Ok(Made::Done(name)) if kind == POD => pods.push(name),
                Ok(Made::Done(name)) => services.push(name),
                Ok(Made::There) => {}
                Ok(other) => drop(created.refused.get_or_insert(other)),
                Err(error) => drop(created.error.get_or_insert(error)),
            }
        }
        at_a_time = (2 * at_a_time).min(AT_A_TIME);
    }
    created.notices = notices(services, pods);
    created
}

fn notices(services: Vec<String>, pods: Vec<String>) -> Vec<Notice> {
    let made = [
        ("SuccessfulCreateService", services, "services"),
        ("SuccessfulCreatePod", pods, "pods"),
    ];
    let made = made.into_iter().filter(|(_, names, _)| !names.is_empty());
    made.map(|(reason, mut names, what)| {
        names.sort();
        Notice {
            is_warning: false,
            reason: reason.to_owned(),
            note: format!("Created {what}: {}", names.join(", ")),
        }
    })
    .collect()
}

fn resource<K: kube::Resource<DynamicType = ()>>() -> ApiResource {
    ApiResource::erase::<K>(&())
}

pub(super) async fn make(
    context: &Context,
    object: &DynamicObject,
    kind: &'static str,
    resource: &ApiResource,
    child: &Value,
) -> Result<Made, ReconcileError> {
    let namespace = object.namespace().unwrap_or_default();
    let name = child["metadata"]["name"].as_str().unwrap_or_default();
    let uid = object.uid().unwrap_or_default();
    // As JSON: types would drop fields that are newer than they.
    let api: Api<DynamicObject> =
        Api::namespaced_with(context.client.clone(), &namespace, resource);
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
    if is(&error, 409) {
        let there = api.get_opt(name).await;
        let there = there.map_err(|error| failed(&format!("look for {name}"), error))?;
        let is_ours =
            |one: &DynamicObject| one.owner_references().iter().any(|owner| owner.uid == uid);
        return match there {
            Some(there) if is_ours(&there) => Ok(Made::There),
            Some(_) => Ok(Made::Later(format!(
                "the {kind} {name} is there and belongs to something else"
            ))),
            None => Err(failed(&format!("create {name}"), error)),
        };
    }
    match &error {
        // Not for now, by a quota or a policy; the namespace may also be about to go.
        kube::Error::Api(status) if status.code == 403 => Ok(Made::Later(status.message.clone())),
        kube::Error::Api(status) if [400, 413, 422].contains(&status.code) => {
            Ok(Made::Never(status.message.clone()))
        }
        _ => Err(failed(&format!("create {name}"), error)),
    }
}
