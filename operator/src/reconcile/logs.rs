//! Keeping the ends of the logs of pods that are about to be deleted, in a ConfigMap that goes with the job. A job is none
//! the worse where that fails: it is told, and the pods go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use carrel_jobs::logs::{LABEL, key, name};
use carrel_jobs::names::Marks;
use carrel_service::in_full;
use futures_util::{AsyncReadExt as _, StreamExt as _, stream};
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::{Api, DynamicObject, LogParams, ObjectMeta, PostParams};
use kube::{Resource as _, ResourceExt as _};
use tokio::time::{Instant, timeout, timeout_at};

use super::Context;
use crate::objects::logs::{add, part, text, worth};
use crate::plan::{Notice, Plan};
use crate::refusal::is;
use crate::seen::SeenPod;

/// How long all logs of one look may take, and then the ConfigMap: a node may be gone, and others wait for this job's turn
/// to end.
const READING: Duration = Duration::from_secs(5);
const WRITING: Duration = Duration::from_secs(5);
const AT_A_TIME: usize = 8;
/// Logs that were not kept and are named.
const TOLD: usize = 3;
/// Of the end; a node sends none longer than 16 KiB.
const LINES: i64 = 1000;
const BUFFER: usize = 16 << 10;

/// Keeps the ends of the logs of the pods that the plan deletes; what there is to tell of that.
pub(super) async fn keep(context: &Context, object: &DynamicObject, plan: &Plan) -> Vec<Notice> {
    let Some(limit) = context.keep_logs else {
        return Vec::new();
    };
    let pods = worth(&plan.delete_pods);
    if pods.is_empty() || plan.delete_job {
        return Vec::new();
    }
    let (ends, mut lost) = read_all(context, object, &pods, part(limit, pods.len())).await;
    if !ends.is_empty() {
        let stored = timeout(WRITING, store(context, object, ends, limit)).await;
        let late = || format!("no answer within {} s", WRITING.as_secs());
        if let Err(why) = stored.unwrap_or_else(|_| Err(late())) {
            lost.push(why);
        }
    }
    lost.sort();
    lost.truncate(TOLD);
    let told = (!lost.is_empty()).then(|| Notice {
        is_warning: true,
        reason: "LogNotKept".to_owned(),
        note: format!("Ends of logs were not kept: {}", lost.join("; ")),
    });
    told.into_iter().collect()
}

/// The ends of the logs of these pods, by their entries, and why others are not among them.
async fn read_all(
    context: &Context,
    object: &DynamicObject,
    pods: &[&Arc<SeenPod>],
    part: usize,
) -> (BTreeMap<String, String>, Vec<String>) {
    let until = Instant::now() + READING;
    let namespace = object.namespace().unwrap_or_default();
    let api: Api<Pod> = Api::namespaced(context.client.clone(), &namespace);
    let container = context.kind.container();
    let reads = pods.iter().map(|pod| {
        let read = read(&api, &pod.name, container, part);
        async move { (pod, timeout_at(until, read).await) }
    });
    // In whatever order they come; together they take no longer than one.
    let reads: Vec<_> = reads.collect();
    let mut reads = stream::iter(reads).buffer_unordered(AT_A_TIME);
    let (mut ends, mut lost) = (BTreeMap::new(), Vec::new());
    while let Some((pod, read)) = reads.next().await {
        let name = &pod.name;
        match (read, pod.created) {
            (Ok(Ok(log)), Some(made)) if !log.is_empty() => {
                ends.insert(key(name, made), text(&log, part));
            }
            (Ok(Ok(_)), _) => {}
            (Ok(Err(why)), _) => lost.push(format!("{name}: {why}")),
            (Err(_), _) => lost.push(format!("{name}: no answer within {} s", READING.as_secs())),
        }
    }
    (ends, lost)
}

/// The end of a log, or nothing where there is none.
async fn read(api: &Api<Pod>, pod: &str, container: &str, part: usize) -> Result<Vec<u8>, String> {
    let parameters = LogParams {
        container: Some(container.to_owned()),
        tail_lines: Some(LINES),
        ..LogParams::default()
    };
    let log = match api.log_stream(pod, &parameters).await {
        Ok(log) => log,
        // Gone, or its container never began.
        Err(error) if is(&error, 404) || is(&error, 400) => return Ok(Vec::new()),
        Err(error) => return Err(in_full(&error)),
    };
    let mut log = Box::pin(log);
    let (mut end, mut buffer) = (Vec::new(), vec![0; BUFFER]);
    loop {
        let read = log.read(&mut buffer).await;
        let read = read.map_err(|error| error.to_string())?;
        if read == 0 {
            return Ok(end);
        }
        end.extend_from_slice(&buffer[..read]);
        // Bytes may become fewer when they are made text, and so may be too few; never too many.
        let spare = end.len().saturating_sub(2 * part);
        end.drain(..spare);
    }
}

async fn store(
    context: &Context,
    object: &DynamicObject,
    ends: BTreeMap<String, String>,
    limit: usize,
) -> Result<(), String> {
    let namespace = object.namespace().unwrap_or_default();
    let api: Api<ConfigMap> = Api::namespaced(context.client.clone(), &namespace);
    let (job, uid) = (object.name_any(), object.uid().unwrap_or_default());
    let name = name(&job);
    let failed = |error: kube::Error| format!("the ConfigMap {name}: {}", in_full(&error));
    let parameters = PostParams::default();
    let Some(mut there) = api.get_opt(&name).await.map_err(failed)? else {
        let mut data = BTreeMap::new();
        add(&mut data, ends, limit);
        let map = ConfigMap {
            metadata: metadata(context, object, &job, &name),
            data: Some(data),
            ..ConfigMap::default()
        };
        let made = api.create(&parameters, &map).await;
        return made.map(drop).map_err(failed);
    };
    let owners = there.owner_references();
    if !owners.iter().any(|owner| owner.uid == uid) {
        return Err(format!(
            "the ConfigMap {name} is there and belongs to something else"
        ));
    }
    add(there.data.get_or_insert_default(), ends, limit);
    let replaced = api.replace(&name, &parameters, &there).await;
    replaced.map(drop).map_err(failed)
}

fn metadata(context: &Context, object: &DynamicObject, job: &str, name: &str) -> ObjectMeta {
    let marks = Marks::of(context.kind);
    let labels = [
        LABEL,
        (marks.operator, context.kind.operator()),
        (marks.job, job),
    ];
    let labels = labels.map(|(label, value)| (label.to_owned(), value.to_owned()));
    let owner = object.controller_owner_ref(&context.resource);
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: object.namespace(),
        labels: Some(labels.into()),
        owner_references: Some(owner.into_iter().collect()),
        ..ObjectMeta::default()
    }
}
