//! One job: its state and why, its pods, what happened, and its curves.

use std::sync::Arc;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::Response;
use futures_util::stream::{self, StreamExt as _};
use http::StatusCode;
use k8s_openapi::api::core::v1::Event;
use k8s_openapi::jiff::Timestamp;
use kube::api::{DynamicObject, LogParams};
use serde::Deserialize;

use super::kept::{self, KeptLog};
use super::shown::{self, Happened, JobLine};
use crate::access::Right;
use crate::app::{self, App};
use crate::cluster::{ClusterError, Listed};
use crate::error::AppError;
use crate::jobs::curves::{Drawing, Measured};
use crate::jobs::kind::Served as _;
use crate::jobs::pod::PodRow;
use crate::jobs::row::{self, Condition, Row, State as JobState};
use crate::jobs::trainer::Progress;
use crate::place::Place;
use crate::templates::{self, Page};
use crate::time;
use crate::visitor::Visitor;

/// Events that are shown.
const EVENTS: usize = 50;
/// Pods whose logs are read for curves, at most and at a time.
const MEASURED: usize = 64;
const AT_ONCE: usize = 8;
/// What is read of each.
const LINES: i64 = 5000;
const BYTES: i64 = 1 << 20;

#[derive(Debug, Deserialize)]
pub struct Asked {
    part: Option<String>,
}

#[derive(Debug, Template)]
#[template(path = "detail.html")]
struct DetailPage {
    page: Page,
    path: String,
    name: String,
    namespace: String,
    kind: &'static str,
    uid: String,
    may_delete: bool,
    body: Body,
}

#[derive(Debug, Template)]
#[template(path = "detail_body.html")]
struct Body {
    page: Page,
    path: String,
    line: JobLine,
    conditions: Vec<(Condition, String, String)>,
    progress: Option<Progress>,
    pods: Part<Vec<Group>>,
    /// Logs of pods that are gone.
    kept: Vec<KeptLog>,
    events: Part<Happened>,
    curves: Vec<Drawing>,
}

/// A part of the page, or the right that it lacks.
#[derive(Debug)]
pub enum Part<T> {
    Shown(T),
    Missing(String),
}

/// Pods of one type of replica.
#[derive(Debug)]
struct Group {
    role: String,
    pods: Vec<(PodRow, String)>,
}

/// GET tfjobs/ui/KIND/NAMESPACE/NAME/
pub async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Path((kind, namespace, name)): Path<(String, String, String)>,
    Query(asked): Query<Asked>,
) -> Result<Response, AppError> {
    let place = Place::new(&kind, namespace, name)?;
    let right = |verb| Right::on(verb, place.kind).within(&place.namespace);
    let who = &visitor.identity;
    app.access.require(&app.cluster, who, right("get")).await?;
    let job = app
        .cluster
        .job(place.kind, &place.namespace, &place.name)
        .await?;
    let page = Page::new(&app.settings, Some(&visitor), "jobs");
    let body = body(&app, &visitor, &place, &job, page.clone()).await?;
    if asked.part.is_some() {
        return Ok(templates::respond(StatusCode::OK, &body));
    }
    let shown = DetailPage {
        page,
        path: place.path(),
        kind: place.kind.name(),
        uid: job.metadata.uid.clone().unwrap_or_default(),
        may_delete: app.access.may(&app.cluster, who, &right("delete")).await?,
        name: place.name,
        namespace: place.namespace,
        body,
    };
    Ok(templates::respond(StatusCode::OK, &shown))
}

async fn body(
    app: &app::Parts,
    visitor: &Visitor,
    place: &Place,
    job: &DynamicObject,
    page: Page,
) -> Result<Body, AppError> {
    let now = Timestamp::now();
    let core = |verb, resource| Right::new(verb, "", resource).within(&place.namespace);
    let may = async |right: &Right| app.access.may(&app.cluster, &visitor.identity, right).await;
    let list = core("list", "pods");
    let pods = match may(&list).await? {
        true => {
            let selector = place.kind.selector(&place.name);
            let pods = app.cluster.pods(&place.namespace, &selector).await?.items;
            Part::<Vec<PodRow>>::Shown(
                pods.iter()
                    .map(|pod| PodRow::read(place.kind, pod))
                    .collect(),
            )
        }
        false => Part::Missing(list.to_string()),
    };
    let rows: &[PodRow] = match &pods {
        Part::Shown(rows) => rows,
        Part::Missing(_) => &[],
    };
    let list = core("list", "events");
    let events = match may(&list).await? {
        true => {
            let events = about(app, place, rows).await?;
            Part::Shown(shown::happened(events, now, EVENTS))
        }
        false => Part::Missing(list.to_string()),
    };
    let measured = match may(&core("get", "pods").of("log")).await? {
        true => measure(app, place, job, rows).await,
        false => Arc::default(),
    };
    let kept = kept::list(app, visitor, place, rows).await?;
    let each = row::conditions(job).into_iter().map(|condition| {
        let since = condition.since.clone();
        (
            condition,
            time::age(since.as_ref(), now),
            time::exact(since.as_ref()),
        )
    });
    Ok(Body {
        page,
        path: place.path(),
        line: JobLine::new(&Row::read(place.kind, job), now),
        conditions: each.collect(),
        progress: Progress::read(&job.data["status"]),
        curves: [measured.loss(), measured.accuracy()]
            .into_iter()
            .flatten()
            .collect(),
        kept,
        pods: match pods {
            Part::Shown(rows) => Part::Shown(groups(rows, now)),
            Part::Missing(right) => Part::Missing(right),
        },
        events,
    })
}

/// Events of the job and of its pods; a job of the same name may have been there before, which is of interest too.
async fn about(
    app: &app::Parts,
    place: &Place,
    pods: &[PodRow],
) -> Result<Listed<Event>, ClusterError> {
    let (namespace, kind) = (place.namespace.as_str(), place.kind.name());
    let (own, of_pods) = tokio::try_join!(
        app.cluster.events_about(namespace, kind, Some(&place.name)),
        app.cluster.events_about(namespace, "Pod", None)
    )?;
    let is_about = |event: &Event| {
        let name = event.involved_object.name.as_deref();
        pods.iter().any(|pod| Some(pod.name.as_str()) == name)
    };
    let of_own = of_pods.items.into_iter().filter(is_about);
    Ok(Listed {
        items: own.items.into_iter().chain(of_own).collect(),
        is_cut: own.is_cut || of_pods.is_cut,
    })
}

fn groups(mut pods: Vec<PodRow>, now: Timestamp) -> Vec<Group> {
    pods.sort_by(|one, other| {
        let key = |pod: &PodRow| {
            (
                order(&pod.role),
                pod.role.clone(),
                pod.index,
                pod.name.clone(),
            )
        };
        key(one).cmp(&key(other))
    });
    let mut groups: Vec<Group> = Vec::new();
    for pod in pods {
        let age = time::age(pod.created.as_ref(), now);
        match groups.last_mut().filter(|group| group.role == pod.role) {
            Some(group) => group.pods.push((pod, age)),
            None => groups.push(Group {
                role: pod.role.clone(),
                pods: vec![(pod, age)],
            }),
        }
    }
    groups
}

/// What leads stands first.
fn order(role: &str) -> usize {
    let known = ["chief", "master", "worker", "ps"];
    let found = known.iter().position(|one| *one == role);
    found.unwrap_or(known.len())
}

/// Loss and accuracy, from the logs of all replicas; pods without any are left out.
async fn measure(
    app: &app::Parts,
    place: &Place,
    job: &DynamicObject,
    pods: &[PodRow],
) -> Arc<Measured> {
    let uid = job.metadata.uid.clone().unwrap_or_default();
    if let Some(measured) = app.curves.get(&uid) {
        return measured;
    }
    let leads = |pod: &PodRow| matches!(pod.role.as_str(), "chief" | "master");
    let shift = u32::from(pods.iter().any(leads));
    let logged = pods.iter().filter(|pod| pod.has_log && pod.role != "ps");
    let logs = logged.take(MEASURED).map(async |pod: &PodRow| {
        let rank = match pod.index {
            Some(index) if pod.role == "worker" => index.saturating_add(shift),
            index => index.unwrap_or_default(),
        };
        let wanted = LogParams {
            container: super::logs::container(place.kind, pod, None),
            tail_lines: Some(LINES),
            limit_bytes: Some(BYTES),
            ..LogParams::default()
        };
        let log = app.cluster.log(&place.namespace, &pod.name, &wanted).await;
        (rank, log.unwrap_or_default())
    });
    let logs: Vec<_> = logs.collect();
    let mut measured = Measured::default();
    let mut logs = stream::iter(logs).buffered(AT_ONCE);
    while let Some((rank, log)) = logs.next().await {
        measured.read(rank, &log);
    }
    let measured = Arc::new(measured);
    app.curves.put(uid, measured.clone());
    measured
}

#[cfg(test)]
mod tests {
    use carrel_jobs::names;

    use super::*;

    fn pod(role: &str, index: u32) -> PodRow {
        let pod = serde_json::json!({ "metadata": { "name": format!("job-{role}-{index}"), "labels": {
            names::REPLICA_TYPE: role, names::REPLICA_INDEX: index.to_string(),
        } } });
        let kind = crate::jobs::kind::JobKind::TfJob;
        PodRow::read(kind, &serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn pods_stand_by_their_role_and_number() {
        let pods = vec![
            pod("ps", 0),
            pod("worker", 10),
            pod("worker", 2),
            pod("chief", 0),
        ];
        let groups = groups(pods, Timestamp::now());
        let roles: Vec<_> = groups.iter().map(|group| group.role.as_str()).collect();
        assert_eq!(roles, ["chief", "worker", "ps"]);
        assert_eq!(groups[1].pods[0].0.name, "job-worker-2");
    }
}
