//! The life of one start: claim, pod, secret, and the wait until the pod runs or will never do so.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Pod};
use tokio::sync::broadcast;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::{Instant, sleep, timeout};

use super::Inner;
use super::claim;
use super::condition::{Condition, judge};
use super::objects;
use super::overrides::resolve;
use super::owner::Owner;
use super::plan::{self, Plan};
use super::state::{self, State};
use super::stop::{self, RemoveOnDrop};
use crate::{Error, StartEvent, StartRequest, Started};

/// How long an earlier pod of the same name may take to go.
const PREDECESSOR: Duration = Duration::from_secs(30);
/// How often one looks at a pod of which no change is heard.
const LOOK: Duration = Duration::from_secs(2);
/// Lines of the log that go into the reason of a failure.
pub(super) const REASON_LINES: usize = 20;

pub(super) async fn start(
    inner: &Arc<Inner>,
    request: &StartRequest,
    events: &UnboundedSender<StartEvent>,
) -> Result<Started, Error> {
    let options = resolve(&inner.options, request)?;
    if let Some(template) = options.ambiguous_template(&request.server) {
        return Err(Error::Start(format!(
            "Named servers are refused, for two servers may share a name by KubeSpawner.{template}: put {{user_server}} in it"
        )));
    }
    let (names, fields) = plan::names(
        &options,
        &request.user,
        &request.server,
        &request.start_id,
        state::remembered(request.before.as_ref(), &options, &inner.namespace),
        &inner.namespace,
    );
    let plan = Plan {
        options: &options,
        request,
        names: &names,
        fields: &fields,
    };
    let pod = objects::pod(&plan)?;
    let host = options.pod_connect_ip.as_ref();
    let host = host.map(|host| fields.expand(host));
    let state = State::new(&names, &request.start_id, options.port, host);
    let mut waiting = Waiting::new(inner, &state, events);
    // With it the pod is found whatever happens next; the start's own name is written down even before.
    let _ = events.send(StartEvent::State(state.saved()?));
    let mut cancelled = RemoveOnDrop::new(inner, &state);
    if options.storage_pvc_ensure {
        waiting.report(5, format!("Claiming {} for the files", names.pvc));
        claim::ensure(inner, &objects::pvc(&plan)?).await?;
    }
    waiting.report(10, format!("Making the pod {}", names.pod));
    let made = create(inner, &pod, &state, events).await?;
    make_secret(inner, &plan, &made).await?;
    let started = waiting.until_running().await?;
    cancelled.disarm();
    Ok(started)
}

/// Goes on with a start whose pod another Hub made: makes the secret too, which that Hub may not have come to, and waits.
pub(super) async fn resume(
    inner: &Arc<Inner>,
    state: &State,
    request: &StartRequest,
    events: &UnboundedSender<StartEvent>,
) -> Result<Started, Error> {
    let mut waiting = Waiting::new(inner, state, events);
    let pod = inner.look(state).await?;
    // A server that runs, or ran, had its secret.
    let had_secret = |pod: &Pod| {
        let condition = judge(pod);
        matches!(
            condition,
            Condition::Running { .. } | Condition::Over { .. }
        )
    };
    if let Some(pod) = pod.filter(|pod| !had_secret(pod)) {
        let options = &inner.options;
        let (mut names, fields) = plan::names(
            options,
            &request.user,
            &request.server,
            &request.start_id,
            Some(state.pvc_name.clone()),
            &inner.namespace,
        );
        names.pod.clone_from(&state.pod_name);
        let plan = Plan {
            options,
            request,
            names: &names,
            fields: &fields,
        };
        make_secret(inner, &plan, &pod).await?;
    }
    waiting.until_running().await
}

async fn make_secret(inner: &Inner, plan: &Plan<'_>, pod: &Pod) -> Result<(), Error> {
    let secret = objects::secret(plan, pod.metadata.uid.as_deref().unwrap_or_default());
    let made = inner.cluster.create_secret(&secret).await;
    made.map_err(|failed| failed.into_error(&format!("make the secret {}", plan.names.secret)))
}

/// Makes the pod. What has its name already is the pod of an earlier start, and goes first.
async fn create(
    inner: &Arc<Inner>,
    pod: &Pod,
    state: &State,
    events: &UnboundedSender<StartEvent>,
) -> Result<Pod, Error> {
    let attempted = format!("make the pod {}", state.pod_name);
    let grace = inner.options.delete_grace_period.duration();
    let deadline = Instant::now() + grace + PREDECESSOR;
    let owner = Owner::of(&pod.metadata);
    loop {
        let answer = inner.cluster.create_pod(pod).await;
        // Also where the pod of an earlier start is in the way: others need not wait until that is gone.
        let _ = events.send(StartEvent::HandedOver);
        let failed = match answer {
            Ok(made) => return Ok(made),
            Err(failed) if failed.is_conflict() => failed,
            Err(failed) => return Err(failed.into_error(&attempted)),
        };
        let found = inner.cluster.pod(&state.pod_name).await;
        match found.map_err(|failed| failed.into_error(&attempted))? {
            // The answer to an earlier try was lost.
            Some(found) if state.is_of(&found) => return Ok(found),
            Some(found) if state::start_id(&found).is_none() => {
                return Err(Error::Start(format!(
                    "There is a pod {} already that no Hub of this kind has made",
                    state.pod_name
                )));
            }
            Some(found) if !owner.may_use(&found.metadata) => {
                tracing::error!(
                    pod = state.pod_name,
                    ?owner,
                    found = ?Owner::of(&found.metadata),
                    "A pod with the name of a server's is another's"
                );
                return Err(Error::Start(format!(
                    "There is a pod {} already that belongs to another user, server or Hub",
                    state.pod_name
                )));
            }
            Some(found) if found.metadata.deletion_timestamp.is_none() => {
                let gone = inner.cluster.delete_pod(&found, grace).await;
                gone.map_err(|failed| failed.into_error("remove the pod of an earlier start"))?;
            }
            Some(_) | None => {}
        }
        if Instant::now() >= deadline {
            return Err(failed.into_error(&attempted));
        }
        sleep(Duration::from_millis(200)).await;
    }
}

/// The wait for one pod, with what is told meanwhile.
struct Waiting<'a> {
    inner: &'a Arc<Inner>,
    state: &'a State,
    events: &'a UnboundedSender<StartEvent>,
    kubernetes: broadcast::Receiver<Arc<Event>>,
    /// The uid of the pod: events of an earlier one have its name too.
    pod: Option<String>,
    /// Versions of the events that were told.
    told: HashSet<String>,
    changes: tokio::sync::watch::Receiver<()>,
    progress: u8,
    /// The trouble that was told last, and since when there is any.
    trouble: Option<(String, Instant)>,
}

impl<'a> Waiting<'a> {
    /// Listens from now on.
    fn new(
        inner: &'a Arc<Inner>,
        state: &'a State,
        events: &'a UnboundedSender<StartEvent>,
    ) -> Self {
        Self {
            inner,
            state,
            events,
            kubernetes: inner.watch.events(),
            pod: None,
            told: HashSet::new(),
            changes: inner.watch.changes(),
            progress: 10,
            trouble: None,
        }
    }

    async fn until_running(&mut self) -> Result<Started, Error> {
        loop {
            self.changes.mark_unchanged();
            let Some(pod) = self.inner.look(self.state).await? else {
                return Err(Error::Start(String::from(
                    "The pod of the server was deleted",
                )));
            };
            self.pod.clone_from(&pod.metadata.uid);
            match judge(&pod) {
                Condition::Running {
                    ip,
                    restarted: None,
                } => return self.state.started(&ip),
                Condition::Running {
                    restarted: Some(reason),
                    ..
                } => return Err(self.over(reason, true).await),
                Condition::Over { reason } => return Err(self.over(reason, false).await),
                Condition::Troubled { reason, patience } => {
                    let since = self.troubled(&reason);
                    if patience.is_some_and(|patience| since.elapsed() >= patience) {
                        return Err(Error::Start(reason));
                    }
                }
                Condition::Waiting => self.trouble = None,
            }
            self.next().await;
        }
    }

    /// Returns when there may be news; tells Kubernetes' events meanwhile.
    async fn next(&mut self) {
        let wake = Instant::now() + LOOK;
        loop {
            tokio::select! {
                // What has come is told before the change that may be the end of the start.
                biased;
                event = self.kubernetes.recv() => match event {
                    Ok(event) => self.tell(&event),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return,
                },
                _ = self.changes.changed() => return,
                () = tokio::time::sleep_until(wake) => return,
            }
        }
    }

    /// Tells a trouble once, and returns since when it lasts.
    fn troubled(&mut self, reason: &str) -> Instant {
        let since = self
            .trouble
            .as_ref()
            .map_or_else(Instant::now, |(_, since)| *since);
        let told = self
            .trouble
            .as_ref()
            .is_some_and(|(told, _)| told == reason);
        if !told {
            self.report(self.progress, reason.to_owned());
            self.trouble = Some((reason.to_owned(), since));
        }
        since
    }

    fn tell(&mut self, event: &Event) {
        let version = event.metadata.resource_version.clone().unwrap_or_default();
        if event.involved_object.uid != self.pod || !self.told.insert(version) {
            return;
        }
        let at = event.last_timestamp.as_ref().map(|time| time.0);
        let at = at.or(event.event_time.as_ref().map(|time| time.0));
        let at = at.or(event
            .metadata
            .creation_timestamp
            .as_ref()
            .map(|time| time.0));
        let at = at.map(|at| format!("{at:.0} ")).unwrap_or_default();
        let kind = event.type_.as_deref().unwrap_or("Normal");
        let text = event.message.as_deref().unwrap_or_default();
        self.report(
            self.progress + (75 - self.progress) / 3,
            format!("{at}[{kind}] {text}"),
        );
    }

    fn report(&mut self, progress: u8, message: String) {
        self.progress = progress;
        // Nobody may listen, as when the Hub only wants the result.
        let _ = self.events.send(StartEvent::Progress { progress, message });
    }

    /// The reason with the end of the log, and the pod asked to go: it may hold what the next start needs.
    async fn over(&self, reason: String, previous: bool) -> Error {
        let tail = self
            .inner
            .log_tail(self.state, REASON_LINES, previous)
            .await;
        let removal = stop::stop(self.inner, self.state);
        if !matches!(timeout(Duration::from_secs(5), removal).await, Ok(Ok(()))) {
            tracing::warn!(
                pod = self.state.pod_name,
                "A pod that failed is not gone yet"
            );
        }
        Error::Start(stop::with_log(reason, &tail))
    }
}
