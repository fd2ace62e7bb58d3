//! What the cluster shows: the objects and pods of all jobs, as their watches tell of them.

use std::collections::HashMap;
use std::sync::Arc;

use carrel_operator::children::Child as _;
use carrel_operator::seen::SeenPod;
use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::DynamicObject;
use kube::runtime::reflector::{self, Lookup, Store};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use serde_json::Value;
use tokio::sync::Notify;

use crate::plan::{self, SeenObject, Sight};
use crate::record::{ATTEMPT_LABEL, ID_LABEL, MANAGED_BY, Record, SERVICE};

/// What the watches keep.
pub struct Seen {
    pub pods: Store<Pod>,
    pub objects: Store<DynamicObject>,
}

/// The watches of a service, for ever.
pub type Watches = futures_util::future::BoxFuture<'static, ()>;

pub fn ours() -> watcher::Config {
    watcher::Config::default().labels(&format!("{MANAGED_BY}={SERVICE}"))
}

/// Watches pods and objects; `changed` hears of each change.
pub fn start(apis: &crate::jobs::Apis, changed: &Arc<Notify>) -> (Seen, Watches) {
    let (pods, pod_writer) = reflector::store();
    let kind = crate::jobs::resource();
    let object_writer = reflector::store::Writer::new(kind);
    let objects = object_writer.as_reader();
    let pod_watch = watch(apis.pods.clone(), ours())
        .default_backoff()
        .modify(light);
    let pod_watch = keep(pod_watch.reflect(pod_writer), Arc::clone(changed));
    let object_watch = watch(apis.objects.clone(), ours())
        .default_backoff()
        .modify(light);
    let object_watch = keep(object_watch.reflect(object_writer), Arc::clone(changed));
    let both = async {
        tokio::join!(pod_watch, object_watch);
    };
    (Seen { pods, objects }, Box::pin(both))
}

/// Nobody reads who has set which field.
fn light(object: &mut impl kube::ResourceExt) {
    object.managed_fields_mut().clear();
}

async fn keep<K>(events: impl Stream<Item = watcher::Result<Event<K>>>, changed: Arc<Notify>)
where
    K: Lookup,
{
    let mut events = std::pin::pin!(events);
    while let Some(event) = events.next().await {
        match event {
            Ok(_) => changed.notify_one(),
            Err(error) => tracing::warn!(%error, "A watch failed and begins again"),
        }
    }
}

impl Seen {
    /// Waits until all were read once; an error where the watches have ended.
    pub async fn wait(&self) -> bool {
        let pods = self.pods.wait_until_ready().await;
        pods.is_ok() && self.objects.wait_until_ready().await.is_ok()
    }

    /// How many pods of each job go on, of all its attempts.
    pub fn going(&self) -> HashMap<String, usize> {
        let mut going = HashMap::new();
        for pod in self.pods.state() {
            let phase = pod
                .status
                .as_ref()
                .and_then(|status| status.phase.as_deref());
            let id = pod.labels().get(ID_LABEL);
            if let Some(id) = id.filter(|_| !matches!(phase, Some("Succeeded" | "Failed"))) {
                *going.entry(id.clone()).or_default() += 1;
            }
        }
        going
    }

    /// What there is of the present attempt of a job.
    pub fn of(&self, record: &Record) -> Sight {
        let name = record.object();
        let named = |object: &DynamicObject| object.metadata.name.as_ref() == Some(&name);
        let object = self.objects.find(named);
        let mut pods: Vec<Option<plan::Pod>> = vec![None; record.ranks.len()];
        for pod in self.pods.state() {
            if let Some((rank, pod)) = rank_of(&pod, record)
                && let Some(place) = pods.get_mut(rank)
            {
                *place = Some(pod);
            }
        }
        Sight {
            object: object.map(|object| seen(&object.data)),
            pods,
        }
    }
}

fn rank_of(pod: &Pod, record: &Record) -> Option<(usize, plan::Pod)> {
    let labels = pod.metadata.labels.as_ref()?;
    let attempt = record.kept.attempt.to_string();
    if labels.get(ID_LABEL) != Some(&record.id) || labels.get(ATTEMPT_LABEL) != Some(&attempt) {
        return None;
    }
    let seen = SeenPod::of(pod);
    let place = seen.place?;
    // The first is the master; the workers come after it.
    let rank = place.index + usize::from(!place.role.leads());
    let spec = pod.spec.as_ref()?;
    let pod = plan::Pod {
        has_node: spec.node_name.is_some(),
        has_deadline: spec.active_deadline_seconds == Some(plan::AT_ONCE),
        seen,
    };
    Some((rank, pod))
}

/// What an object says.
pub fn seen(object: &Value) -> SeenObject {
    let status = &object["status"];
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let conditions = status["conditions"].as_array();
    let over = conditions.into_iter().flatten().find(|condition| {
        let is_end = ["Succeeded", "Failed"]
            .iter()
            .any(|end| condition["type"] == *end);
        is_end && condition["status"] == "True"
    });
    SeenObject {
        has_succeeded: over.is_some_and(|condition| condition["type"] == "Succeeded"),
        over: over.map(|condition| {
            let reason = text(&status["reason"]).or_else(|| text(&condition["message"]));
            reason.unwrap_or_default()
        }),
        is_suspended: object["spec"]["runPolicy"]["suspend"] == true,
        reason: text(&status["reason"]),
    }
}
