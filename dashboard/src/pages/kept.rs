//! Ends of logs that the operator has kept of pods that are gone.

use std::collections::BTreeMap;

use askama::Template;
use axum::response::Response;
use carrel_jobs::logs;
use http::StatusCode;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::jiff::Timestamp;

use crate::access::Right;
use crate::app;
use crate::cluster::ClusterError;
use crate::error::AppError;
use crate::jobs::kind::JobKind;
use crate::jobs::pod::PodRow;
use crate::place::Place;
use crate::templates::{self, Page};
use crate::time;
use crate::visitor::Visitor;

/// The end of a log of a pod.
#[derive(Clone, Debug)]
pub struct KeptLog {
    pub pod: String,
    /// When the pod was made, as its entry says it: `20260131T120009Z`.
    pub made: String,
    /// The same for people: how long ago, and exactly.
    pub age: String,
    pub created: String,
}

#[derive(Debug, Template)]
#[template(path = "kept.html")]
struct KeptPage {
    page: Page,
    path: String,
    name: String,
    log: KeptLog,
    /// Of all pods of that name, the newest first.
    all: Vec<KeptLog>,
    text: String,
}

/// What is kept of a job's pods, the newest first; nothing where the visitor may not read it.
///
/// # Errors
/// When Kubernetes is away.
pub async fn list(
    app: &app::Parts,
    visitor: &Visitor,
    place: &Place,
    pods: &[PodRow],
) -> Result<Vec<KeptLog>, ClusterError> {
    let now = Timestamp::now();
    let is_there = |log: &KeptLog| {
        let is_it = |pod: &PodRow| {
            let made = pod.created.as_ref();
            pod.name == log.pod && made.is_some_and(|made| time::exact(Some(made)) == log.created)
        };
        pods.iter().any(is_it)
    };
    let kept = read(app, visitor, place).await?;
    let all = kept.keys().filter_map(|key| log(key, now));
    let mut all: Vec<_> = all.filter(|log| !is_there(log)).collect();
    all.sort_by(|one, other| (&other.made, &one.pod).cmp(&(&one.made, &other.pod)));
    Ok(all)
}

/// The page of a kept log: of the pod that was made then, or of the last one of that name; none where there is none.
///
/// # Errors
/// When Kubernetes is away.
pub async fn page(
    app: &app::Parts,
    visitor: &Visitor,
    place: &Place,
    pod: &str,
    made: Option<&str>,
) -> Result<Option<Response>, AppError> {
    let now = Timestamp::now();
    let kept = read(app, visitor, place).await?;
    let mut own: Vec<_> = kept
        .iter()
        .filter_map(|(key, text)| Some((log(key, now)?, text)))
        .filter(|(log, _)| log.pod == pod)
        .collect();
    own.sort_by(|(one, _), (other, _)| other.made.cmp(&one.made));
    let wanted = |log: &KeptLog| made.is_none_or(|made| log.made == made);
    let Some((log, text)) = own.iter().find(|(log, _)| wanted(log)) else {
        return Ok(None);
    };
    let shown = KeptPage {
        page: Page::new(&app.settings, Some(visitor), "jobs"),
        path: place.path(),
        name: place.name.clone(),
        log: log.clone(),
        all: own.iter().map(|(log, _)| log.clone()).collect(),
        text: (*text).clone(),
    };
    Ok(Some(templates::respond(StatusCode::OK, &shown)))
}

/// What is kept, by its entries, for who may read both logs and ConfigMaps.
async fn read(
    app: &app::Parts,
    visitor: &Visitor,
    place: &Place,
) -> Result<BTreeMap<String, String>, ClusterError> {
    if !app.settings.has_kept_logs {
        return Ok(BTreeMap::new());
    }
    let core = |resource| Right::new("get", "", resource).within(&place.namespace);
    for right in [core("pods").of("log"), core("configmaps")] {
        if !app
            .access
            .may(&app.cluster, &visitor.identity, &right)
            .await?
        {
            return Ok(BTreeMap::new());
        }
    }
    let name = logs::name(&place.name);
    let map = app.cluster.config_map(&place.namespace, &name).await?;
    let map = map.filter(|map| is_of(map, place.kind, &place.name));
    Ok(map.and_then(|map| map.data).unwrap_or_default())
}

/// Whether it is the operator's, for this job: another kind may have one of the same name.
fn is_of(map: &ConfigMap, kind: JobKind, name: &str) -> bool {
    let (label, value) = logs::LABEL;
    let labels = map.metadata.labels.as_ref();
    let is_marked = labels
        .and_then(|labels| labels.get(label))
        .map(String::as_str)
        == Some(value);
    let owners = map.metadata.owner_references.iter().flatten();
    is_marked
        && owners
            .into_iter()
            .any(|owner| owner.kind == kind.name() && owner.name == name)
}

fn log(key: &str, now: Timestamp) -> Option<KeptLog> {
    let (pod, made) = logs::read(key)?;
    let time = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(logs::made(key)?);
    Some(KeptLog {
        pod: pod.to_owned(),
        made: made.to_owned(),
        age: time::age(Some(&time), now),
        created: time::exact(Some(&time)),
    })
}
