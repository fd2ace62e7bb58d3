//! Puts in force what the cluster shows, and tells HTTPRoutes what became of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::health::Health;
use crate::options::RouteOptions;
use crate::plan::{Problem, plan};
use crate::table::Tables;
use crate::verdict::Verdict;
use crate::watch::{Watched, http_routes};

/// Changes that come together are taken together.
const TOGETHER: Duration = Duration::from_millis(50);
/// How soon what could not be written is tried again.
const AGAIN: Duration = Duration::from_secs(30);

/// For ever. What is not read after `patience` is left for later.
pub async fn follow(
    options: RouteOptions,
    patience: Duration,
    watched: Watched,
    tables: Tables,
    health: Arc<Health>,
    client: Client,
) {
    let (sender, receiver) = watch::channel(Vec::new());
    let writes = write(client, options.controller.clone(), receiver);
    let plans = async {
        let mut known = BTreeSet::new();
        let end = Instant::now() + patience;
        loop {
            // Nothing has to change for what could not be written.
            let left = end.saturating_duration_since(Instant::now());
            let wait = if left.is_zero() {
                AGAIN
            } else {
                left.min(AGAIN)
            };
            let _ = timeout(wait, watched.changed.notified()).await;
            sleep(TOGETHER).await;
            let late = Instant::now() >= end;
            if !watched.is_read() && !late {
                continue;
            }
            let complete = watched.is_complete();
            let mut plan = plan(&options, &watched.seen());
            plan.problems.extend(watched.unread(late));
            plan.problems.sort();
            known = told(&plan.problems, &known);
            tables.set(plan.rules, plan.problems);
            if complete || late {
                health.set_read();
            }
            // Who knows a part says nothing of the whole.
            if complete {
                sender.send_replace(plan.verdicts);
            }
        }
    };
    tokio::join!(plans, writes);
}

/// Logs what is new.
fn told(problems: &[Problem], known: &BTreeSet<Problem>) -> BTreeSet<Problem> {
    let problems: BTreeSet<Problem> = problems.iter().cloned().collect();
    for Problem {
        about,
        text,
        advice,
    } in problems.difference(known)
    {
        tracing::warn!("{about}: {text}. {advice}");
    }
    problems
}

async fn write(client: Client, controller: String, mut verdicts: watch::Receiver<Vec<Verdict>>) {
    let resource = http_routes();
    while verdicts.changed().await.is_ok() {
        let now = format!("{:.0}", Timestamp::now());
        let patches: Vec<_> = verdicts
            .borrow_and_update()
            .iter()
            .filter_map(|verdict| {
                let parents = verdict.parents(&controller, &now)?;
                let object = &verdict.object;
                // Who has changed it meanwhile makes another look happen.
                let version = object.resource_version();
                let patch = json!({
                    "metadata": { "resourceVersion": version },
                    "status": { "parents": parents },
                });
                Some((object.namespace()?, object.name_any(), patch))
            })
            .collect();
        for (namespace, name, patch) in patches {
            let api: Api<DynamicObject> =
                Api::namespaced_with(client.clone(), &namespace, &resource);
            let patch = Patch::Merge(&patch);
            let written = api
                .patch_status(&name, &PatchParams::default(), &patch)
                .await;
            match written {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                Err(error) => {
                    tracing::warn!(%error, namespace, name, "The status of an HTTPRoute could not be written");
                }
            }
        }
    }
}
