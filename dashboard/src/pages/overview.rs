//! The central dashboard: servers, jobs, what the cluster has to give, and what happened last.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use http::StatusCode;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use super::shown::{self, Happened, JobLine};
use super::training::TrainingLine;
use crate::access::{Reach, Right};
use crate::app::{self, App};
use crate::cluster::{ClusterError, Listed};
use crate::error::AppError;
use crate::gather::gather;
use crate::jobs::row::{Row, State as JobState};
use crate::quantity;
use crate::resources::{Amount, Resources};
use crate::templates::{self, Page};
use crate::training::TrainingError;
use crate::visitor::Visitor;

const JOBS: usize = 6;
const EVENTS: usize = 12;
/// Nodes that are shown by themselves.
const NODES: usize = 50;
/// Lists of events that are asked for at a time.
const AT_ONCE: usize = 8;

#[derive(Debug, Deserialize)]
pub struct Asked {
    part: Option<String>,
}

#[derive(Debug, Template)]
#[template(path = "overview.html")]
struct OverviewPage {
    page: Page,
    body: Body,
}

#[derive(Debug, Template)]
#[template(path = "overview_body.html")]
struct Body {
    page: Page,
    /// None where the Hub does not let this program know.
    servers: Option<Vec<ServerLine>>,
    jobs: Known<Jobs>,
    /// Of the visitor's notebooks, where there is a jobs service.
    mine: Option<Known<Vec<TrainingLine>>>,
    resources: Known<Shown>,
    events: Known<Happened>,
}

/// A part of the page, or why it is not there.
#[derive(Debug)]
enum Known<T> {
    Shown(T),
    Missing(String),
    /// Kubernetes does not answer.
    Away,
}

#[derive(Debug)]
struct ServerLine {
    title: String,
    state: &'static str,
    class: &'static str,
    address: String,
}

#[derive(Debug)]
struct Jobs {
    lines: Vec<JobLine>,
    /// How many are in each state; those that are in none are left out.
    counts: Vec<(JobState, usize)>,
}

#[derive(Debug)]
struct Shown {
    totals: Vec<Bar>,
    nodes: Vec<(String, &'static str, Vec<Bar>)>,
    left_out: usize,
    /// The right without which nobody knows what pods ask for.
    missing: Option<String>,
    is_cut: bool,
}

/// How much of something is asked for.
#[derive(Debug)]
struct Bar {
    name: &'static str,
    /// 3.5 of 8
    text: String,
    percent: Option<u8>,
}

/// GET /
pub async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, AppError> {
    let page = Page::new(&app.settings, Some(&visitor), "overview");
    let (jobs, mine, resources, events) = tokio::join!(
        jobs(&app, &visitor),
        mine(&app, &visitor),
        resources(&app, &visitor),
        events(&app, &visitor)
    );
    let body = Body {
        servers: servers(&visitor, &page),
        jobs: known(jobs)?,
        mine,
        resources: known(resources)?,
        events: known(events)?,
        page: page.clone(),
    };
    if asked.part.is_some() {
        return Ok(templates::respond(StatusCode::OK, &body));
    }
    Ok(templates::respond(
        StatusCode::OK,
        &OverviewPage { page, body },
    ))
}

async fn mine(app: &app::Parts, visitor: &Visitor) -> Option<Known<Vec<TrainingLine>>> {
    let service = app.training.as_ref()?;
    let now = Timestamp::now();
    Some(match service.jobs(&visitor.token).await {
        Ok(jobs) => {
            let newest = jobs.iter().take(JOBS);
            Known::Shown(newest.map(|job| TrainingLine::new(job, now)).collect())
        }
        Err(TrainingError::Away(cause)) => {
            tracing::error!(error = cause, "The jobs service does not answer");
            Known::Away
        }
        Err(refused) => Known::Missing(refused.to_string()),
    })
}

/// A page of which a part is away is worth more than none.
fn known<T>(found: Result<Known<T>, ClusterError>) -> Result<Known<T>, AppError> {
    match found {
        Ok(found) => Ok(found),
        Err(ClusterError::Away(cause)) => {
            tracing::error!(error = cause, "Kubernetes does not answer");
            Ok(Known::Away)
        }
        Err(error) => Err(error.into()),
    }
}

fn servers(visitor: &Visitor, page: &Page) -> Option<Vec<ServerLine>> {
    let servers = visitor.user.servers.as_ref()?.iter();
    let lines = servers.map(|(name, server)| {
        let (state, class) = match (server.ready, server.pending.as_deref()) {
            (_, Some("stop")) => ("Stopping", "busy"),
            (_, Some(_)) => ("Starting", "busy"),
            (true, None) => ("Running", "good"),
            (false, None) => ("Stopped", ""),
        };
        ServerLine {
            title: match name.as_str() {
                "" => "My server".to_owned(),
                name => name.to_owned(),
            },
            state,
            class,
            address: page.of_hub(&server.url),
        }
    });
    Some(lines.collect())
}

async fn jobs(app: &app::Parts, visitor: &Visitor) -> Result<Known<Jobs>, ClusterError> {
    let found = gather(app, visitor, None, None).await?;
    if let Some(right) = found.missing.first()
        && found.missing.len() == found.kinds.len()
    {
        return Ok(Known::Missing(right.to_string()));
    }
    let rows = found.jobs.iter().map(|(kind, job)| Row::read(*kind, job));
    let mut rows: Vec<_> = rows.collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.created.as_ref().map(|created| created.0)));
    let counts = JobState::ALL.into_iter().map(|state| {
        let of_state = rows.iter().filter(|row| row.state == state);
        (state, of_state.count())
    });
    let now = Timestamp::now();
    Ok(Known::Shown(Jobs {
        counts: counts.filter(|(_, count)| *count > 0).collect(),
        lines: rows
            .iter()
            .take(JOBS)
            .map(|row| JobLine::new(row, now))
            .collect(),
    }))
}

async fn resources(app: &app::Parts, visitor: &Visitor) -> Result<Known<Shown>, ClusterError> {
    let nodes = Right::new("list", "", "nodes");
    let may = async |right: &Right| app.access.may(&app.cluster, &visitor.identity, right).await;
    if !may(&nodes).await? {
        return Ok(Known::Missing(nodes.to_string()));
    }
    let pods = Right::new("list", "", "pods");
    let with_pods = may(&pods).await?;
    let found = app.resources.look(&app.cluster, with_pods).await?;
    Ok(Known::Shown(Shown {
        totals: bars(&found.cpu(), &found.memory(), &found.gpus()),
        left_out: found.nodes.len().saturating_sub(NODES),
        missing: (!with_pods).then(|| pods.to_string()),
        is_cut: found.is_cut,
        nodes: nodes_of(&found),
    }))
}

fn nodes_of(found: &Resources) -> Vec<(String, &'static str, Vec<Bar>)> {
    let nodes = found.nodes.iter().take(NODES).map(|node| {
        let state = match (node.is_ready, node.is_closed) {
            (true, false) => "Ready",
            (true, true) => "Takes no new pods",
            (false, _) => "Not ready",
        };
        (
            node.name.clone(),
            state,
            bars(&node.cpu, &node.memory, &node.gpus),
        )
    });
    nodes.collect()
}

/// GPUs only where there are any.
fn bars(cpu: &Amount, memory: &Amount, gpus: &Amount) -> Vec<Bar> {
    let bar = |name, amount: &Amount, unit: &'static str, shown: fn(f64) -> String| {
        let has = shown(amount.has);
        Bar {
            name,
            text: match amount.asked {
                Some(asked) => format!("{} of {has}{unit}", shown(asked)),
                None => format!("{has}{unit}"),
            },
            percent: amount.asked.map(|asked| percent(asked, amount.has)),
        }
    };
    let mut bars = vec![
        bar("CPU", cpu, " cores", quantity::cores),
        bar("Memory", memory, "", quantity::bytes),
    ];
    if gpus.has > 0.0 {
        bars.push(bar("GPU", gpus, "", quantity::cores));
    }
    bars
}

fn percent(asked: f64, has: f64) -> u8 {
    let part = 100.0 * asked / has;
    // Of nothing, all is asked for.
    if part.is_finite() {
        part.clamp(0.0, 100.0).round() as u8
    } else {
        100
    }
}

async fn events(app: &app::Parts, visitor: &Visitor) -> Result<Known<Happened>, ClusterError> {
    let right = Right::new("list", "", "events");
    let reach = app
        .access
        .reach(&app.cluster, &visitor.identity, &right)
        .await?;
    let events = match &reach {
        Reach::All(_) => app.cluster.events(None).await?,
        Reach::Some(names) if names.is_empty() => return Ok(Known::Missing(right.to_string())),
        Reach::Some(names) => {
            let lists = names.iter().map(|name| app.cluster.events(Some(name)));
            let lists: Vec<_> = lists.collect();
            let lists: Vec<_> = stream::iter(lists).buffered(AT_ONCE).try_collect().await?;
            let is_cut = lists.iter().any(|list| list.is_cut);
            let items = lists.into_iter().flat_map(|list| list.items).collect();
            Listed { items, is_cut }
        }
    };
    Ok(Known::Shown(shown::happened(
        events,
        Timestamp::now(),
        EVENTS,
    )))
}
