//! The pods of all servers as the API server reports their changes: one watch for the whole namespace.
//!
//! A watch that dies unnoticed shows a past that looks like the present. So each failure counts at once: while the
//! watch fails, whoever asks is told so and asks the API server instead; and all is read anew from time to time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::runtime::reflector::{ObjectRef, Store, store};
use kube::runtime::watcher::{self, watcher};
use kube::{Api, Client};
use tokio::sync::{broadcast, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::condition::{Condition, judge};
use super::objects::{COMPONENT, SERVER};
use super::state;

/// How often everything is read anew, whatever the watch says.
const RESYNC: Duration = Duration::from_secs(600);
/// First and longest pause after a failure.
const PAUSE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));
/// How long to wait for the first list of all pods.
const SETTLE: Duration = Duration::from_secs(3);
/// When a watch that fails is cause for alarm.
const ALARM: Duration = Duration::from_secs(30);

/// Ends its watches when it is dropped.
pub(super) struct Watch {
    namespace: String,
    pods: Store<Pod>,
    health: Arc<Health>,
    changes: watch::Sender<()>,
    events: broadcast::Sender<Arc<Event>>,
    ended: broadcast::Sender<String>,
    tasks: Vec<AbortHandle>,
}

impl Watch {
    /// Begins to watch; needs an async runtime.
    pub(super) fn start(client: &Client, namespace: &str, events_enabled: bool) -> Self {
        let (reader, writer) = store();
        let (changes, _) = watch::channel(());
        let (events, _) = broadcast::channel(1024);
        let (ended, _) = broadcast::channel(1024);
        let health = Arc::new(Health::default());
        let servers = format!("{COMPONENT}={SERVER}");
        let mut tasks = vec![tokio::spawn({
            let (mut writer, changes, health) = (writer, changes.clone(), health.clone());
            let ended = ended.clone();
            let api = Api::<Pod>::namespaced(client.clone(), namespace);
            let config = watcher::Config::default().labels(&servers);
            async move {
                let note = |event: &watcher::Event<Pod>| {
                    writer.apply_watcher_event(event);
                    changes.send_replace(());
                    if let Some(start_id) = end(event) {
                        // Nobody may listen, as in tests.
                        let _ = ended.send(start_id);
                    }
                };
                follow("pods", api, config, &health, note).await;
            }
        })];
        if events_enabled {
            let api = Api::<Event>::namespaced(client.clone(), namespace);
            let config = watcher::Config::default().fields("involvedObject.kind=Pod");
            let events = events.clone();
            tasks.push(tokio::spawn(async move {
                let note = |event: &watcher::Event<Event>| {
                    // What happened while nobody watched comes with the first list after that.
                    if let watcher::Event::Apply(event) | watcher::Event::InitApply(event) = event {
                        // Nobody may wait for a start just now.
                        let _ = events.send(Arc::new(event.clone()));
                    }
                };
                follow("events", api, config, &Health::default(), note).await;
            }));
        }
        Self {
            namespace: namespace.to_owned(),
            pods: reader,
            health,
            changes,
            events,
            ended,
            tasks: tasks.iter().map(|task| task.abort_handle()).collect(),
        }
    }

    /// The pod as last seen; nothing while the watch cannot be trusted, and where it knows of none: a pod made a moment
    /// ago may not have come yet.
    pub(super) fn pod(&self, name: &str) -> Option<Arc<Pod>> {
        let key = ObjectRef::new(name).within(&self.namespace);
        self.health.is_good().then(|| self.pods.get(&key)).flatten()
    }

    /// Waits until all pods were read once; not for ever, for the API server may not answer.
    pub(super) async fn settle(&self) {
        let mut changes = self.changes();
        let settled = async {
            while !self.health.is_good() {
                let _ = timeout(Duration::from_millis(100), changes.changed()).await;
            }
        };
        let _ = timeout(SETTLE, settled).await;
    }

    /// All pods; nothing while the watch cannot be trusted.
    pub(super) fn pods(&self) -> Option<Vec<Arc<Pod>>> {
        self.health.is_good().then(|| self.pods.state())
    }

    /// Tells of every change of any pod.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// The starts whose pods end from now on, whoever wants it; some more than once.
    pub(super) fn ended(&self) -> broadcast::Receiver<String> {
        self.ended.subscribe()
    }

    /// Kubernetes' events of pods as they are heard of from now on; some more than once, and old ones among them.
    pub(super) fn events(&self) -> broadcast::Receiver<Arc<Event>> {
        self.events.subscribe()
    }
}

/// The start whose pod ends.
fn end(event: &watcher::Event<Pod>) -> Option<String> {
    let pod = match event {
        watcher::Event::Delete(pod) => pod,
        watcher::Event::Apply(pod) if matches!(judge(pod), Condition::Over { .. }) => pod,
        _ => return None,
    };
    state::start_id(pod).map(str::to_owned)
}

impl Drop for Watch {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// Whether the watch works.
#[derive(Default)]
struct Health(Mutex<State>);

#[derive(Default)]
struct State {
    /// All was read at least once, and nothing failed since.
    good: bool,
    failing_since: Option<Instant>,
    alarmed: bool,
}

impl Health {
    fn is_good(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).good
    }

    fn good(&self, what: &str) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.alarmed {
            tracing::info!("The watch of {what} works again");
        }
        *state = State {
            good: true,
            ..State::default()
        };
    }

    fn failed(&self, what: &str, error: &watcher::Error) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.good = false;
        let since = *state.failing_since.get_or_insert_with(Instant::now);
        let long = since.elapsed() >= ALARM;
        if long && !state.alarmed {
            tracing::error!(%error, "The watch of {what} has failed for {} s; asking the API server instead", ALARM.as_secs());
            state.alarmed = true;
        } else if !state.alarmed {
            tracing::warn!(%error, "The watch of {what} failed and is begun anew");
        }
    }
}

/// Watches for ever; reads everything anew after each failure and from time to time.
async fn follow<K>(
    what: &str,
    api: Api<K>,
    config: watcher::Config,
    health: &Health,
    mut note: impl FnMut(&watcher::Event<K>),
) where
    K: kube::Resource + Clone + serde::de::DeserializeOwned + std::fmt::Debug + Send + 'static,
{
    let mut pause = PAUSE.0;
    loop {
        let resync = Instant::now() + RESYNC;
        let mut stream = std::pin::pin!(watcher(api.clone(), config.clone()));
        while let Ok(Some(event)) = timeout_at(resync, stream.next()).await {
            match event {
                Ok(event) => {
                    note(&event);
                    if matches!(event, watcher::Event::InitDone) {
                        health.good(what);
                        pause = PAUSE.0;
                    }
                }
                Err(error) => {
                    health.failed(what, &error);
                    sleep(pause).await;
                    pause = (pause * 2).min(PAUSE.1);
                    break;
                }
            }
        }
    }
}
