//! Puts in force what the cluster shows, and tells HTTPRoutes and Gateways what became of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use kube::api::{DynamicObject, Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::health::Health;
use crate::options::RouteOptions;
use crate::plan::{Problem, plan};
use crate::status::Said;
use crate::table::Tables;
use crate::verdict::Verdict;
use crate::watch::{Watched, of_kind};

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
    let (sender, receiver) = watch::channel(Told::default());
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
                sender.send_replace(Told {
                    routes: plan.verdicts,
                    gateways: plan.gateways,
                });
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

/// What objects are told.
#[derive(Default)]
struct Told {
    routes: Vec<Verdict>,
    gateways: Vec<Said>,
}

impl Told {
    /// What is to be written: of which kind, to which object, and its status.
    fn changes(
        &self,
        controller: &str,
        now: &str,
    ) -> Vec<(&'static str, Arc<DynamicObject>, Value)> {
        let routes = self.routes.iter().filter_map(|verdict| {
            let parents = verdict.parents(controller, now)?;
            let status = json!({ "parents": parents });
            Some(("HTTPRoute", Arc::clone(&verdict.object), status))
        });
        let gateways = self.gateways.iter().filter_map(|said| {
            let status = said.status(now)?;
            Some((said.kind, Arc::clone(&said.object), status))
        });
        routes.chain(gateways).collect()
    }
}

async fn write(client: Client, controller: String, mut told: watch::Receiver<Told>) {
    while told.changed().await.is_ok() {
        let now = format!("{:.0}", Timestamp::now());
        let changes = told.borrow_and_update().changes(&controller, &now);
        for (kind, object, status) in changes {
            let (namespace, name) = (object.namespace(), object.name_any());
            let resource = of_kind(kind);
            let api: Api<DynamicObject> = match &namespace {
                Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
                None => Api::all_with(client.clone(), &resource),
            };
            // Who has changed it meanwhile makes another look happen.
            let version = object.resource_version();
            let patch = json!({ "metadata": { "resourceVersion": version }, "status": status });
            let written = api
                .patch_status(&name, &PatchParams::default(), &Patch::Merge(&patch))
                .await;
            match written {
                Ok(_) => {}
                Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => {}
                Err(error) => {
                    tracing::warn!(%error, namespace, name, "The status of a {kind} could not be written");
                }
            }
        }
    }
}
