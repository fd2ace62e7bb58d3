//! The end of a server: its pod is deleted, and what belongs to the pod goes with it.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use tokio::time::{Instant, sleep};

use super::Inner;
use super::state::State;
use crate::Error;

/// How long a pod may take to be gone beyond its grace period; then it is removed by force.
const GONE: Duration = Duration::from_secs(30);

/// Deletes the pod of this start, and no other, and waits until it is gone.
pub(super) async fn stop(inner: &Inner, state: &State) -> Result<(), Error> {
    let attempted = format!("delete the pod {}", state.pod_name);
    let grace = inner.options.delete_grace_period.duration();
    let asked = Instant::now();
    let mut pause = Duration::from_millis(50);
    let mut forced = false;
    while let Some(pod) = inner
        .fetch(state)
        .await
        .map_err(|failed| failed.into_error(&attempted))?
    {
        if !inner.options.delete_stopped_pods && has_ended(&pod) {
            tracing::info!(
                pod = state.pod_name,
                "The pod of a server that ended is kept (delete_stopped_pods)"
            );
            return Ok(());
        }
        let overdue = asked.elapsed() > grace + GONE;
        if pod.metadata.deletion_timestamp.is_none() || (overdue && !forced) {
            // By force, Kubernetes forgets a pod whose node is lost.
            let grace = if overdue { Duration::ZERO } else { grace };
            forced = overdue;
            let deleted = inner.cluster.delete_pod(&pod, grace).await;
            deleted.map_err(|failed| failed.into_error(&attempted))?;
        } else if asked.elapsed() > grace + GONE * 2 {
            return Err(Error::Cluster {
                attempted,
                message: String::from("it does not go"),
            });
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(1));
    }
    Ok(())
}

/// Whether a pod ended by itself.
pub(super) fn has_ended(pod: &Pod) -> bool {
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    matches!(phase, Some("Succeeded" | "Failed"))
}

/// A reason with the last lines of the log, in the form that the Hub splits.
pub(super) fn with_log(reason: String, tail: &str) -> String {
    if tail.is_empty() {
        reason
    } else {
        format!("{reason}; the end of its log:\n{tail}")
    }
}

/// Removes the pod of a start that is dropped. Twice: the API server may carry out a request after nobody waits for
/// its answer any more.
pub(super) struct RemoveOnDrop {
    inner: Arc<Inner>,
    state: Option<State>,
}

impl RemoveOnDrop {
    pub(super) fn new(inner: &Arc<Inner>, state: &State) -> Self {
        Self {
            inner: inner.clone(),
            state: Some(state.clone()),
        }
    }

    pub(super) fn disarm(&mut self) {
        self.state = None;
    }
}

impl Drop for RemoveOnDrop {
    fn drop(&mut self) {
        let (inner, Some(state)) = (self.inner.clone(), self.state.take()) else {
            return;
        };
        // Without a runtime the Hub is ending, and the next one finds the pod by the start's name.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else {
            return;
        };
        runtime.spawn(async move {
            for pause in [Duration::ZERO, Duration::from_secs(2)] {
                sleep(pause).await;
                if let Err(error) = stop(&inner, &state).await {
                    tracing::error!(pod = state.pod_name, %error, "Could not remove the pod of a cancelled start");
                }
            }
        });
    }
}
