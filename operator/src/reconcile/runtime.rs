//! The runtime of a TrainJob: asked for once, then kept in the job's status.

use carrel_jobs::job::{Identity, Invalid};
use carrel_jobs::kind::{TRAINER_GROUP, Version};
use carrel_jobs::read::typed;
use carrel_jobs::status::JobStatus;
use carrel_jobs::trainjob::runtime::Kind;
use carrel_jobs::trainjob::{RuntimeRef, read};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind};
use serde_json::{Map, Value};

use super::{Context, Read, ReconcileError, failed};

/// The largest spec of a runtime, so that the job with its status is one that the API server keeps.
const LARGEST: usize = 256 << 10;

/// Reads a TrainJob; its status gets the runtime, where it has none yet.
pub(super) async fn job(
    identity: &Identity<'_>,
    spec: &Value,
    status: &mut JobStatus,
    context: &Context,
) -> Result<Read, ReconcileError> {
    if status.train.runtime.is_none() {
        let reference = match reference(spec) {
            Ok(reference) => reference,
            Err(why) => return Ok(Read::Wrong(why)),
        };
        let (kind, name) = &reference;
        match get(*kind, name, identity.namespace, context).await? {
            Some(runtime) if Value::Object(runtime.clone()).to_string().len() > LARGEST => {
                let why = format!("spec.runtimeRef: the {} {name} is too large", kind.name());
                return Ok(Read::Wrong(Invalid(vec![why])));
            }
            Some(runtime) => status.train.runtime = Some(runtime),
            None => {
                let place = match kind {
                    Kind::Cluster => String::new(),
                    Kind::Namespaced => format!(" in the namespace {}", identity.namespace),
                };
                return Ok(Read::Waits(format!(
                    "there is no {} {name}{place}",
                    kind.name()
                )));
            }
        }
    }
    let none = Map::new();
    let runtime = status.train.runtime.as_ref().unwrap_or(&none);
    let read = read(identity, spec, runtime, status.train.attempt);
    if let Ok(job) = &read {
        status.train.nodes = i32::try_from(job.size()).unwrap_or(i32::MAX);
    }
    Ok(read.map_or_else(Read::Wrong, Read::of))
}

fn reference(spec: &Value) -> Result<(Kind, String), Invalid> {
    let reference: RuntimeRef = typed("spec.runtimeRef", &spec["runtimeRef"])?;
    let kind = reference.kind().map_err(|why| Invalid(vec![why]))?;
    Ok((kind, reference.name))
}

async fn get(
    kind: Kind,
    name: &str,
    namespace: &str,
    context: &Context,
) -> Result<Option<Map<String, Value>>, ReconcileError> {
    let named = GroupVersionKind::gvk(TRAINER_GROUP, Version::V1Alpha1.name(), kind.name());
    let resource = ApiResource::from_gvk_with_plural(&named, kind.plural());
    let client = context.client.clone();
    let api: Api<DynamicObject> = match kind {
        Kind::Cluster => Api::all_with(client, &resource),
        Kind::Namespaced => Api::namespaced_with(client, namespace, &resource),
    };
    let found = api.get_opt(name).await;
    let found =
        found.map_err(|error| failed(&format!("read the {} {name}", kind.name()), error))?;
    let spec = found.map(|runtime| match runtime.data.get("spec") {
        Some(Value::Object(spec)) => spec.clone(),
        // One without a spec is as good as none to read from, and says so.
        _ => Map::new(),
    });
    Ok(spec)
}
