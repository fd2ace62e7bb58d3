//! The log of a pod's container: its last lines as a page, and what comes as events.

use std::convert::Infallible;
use std::time::Duration;

use askama::Template;
use axum::extract::{Path, Query, State};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::io::AsyncBufRead;
use futures_util::stream;
use http::{HeaderMap, StatusCode};
use k8s_openapi::jiff::Timestamp;
use kube::api::LogParams;
use serde::Deserialize;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout_at};

use super::kept;
use crate::access::Right;
use crate::app::{self, App};
use crate::cluster::ClusterError;
use crate::error::AppError;
use crate::jobs::kind::JobKind;
use crate::jobs::pod::PodRow;
use crate::jobs::row::one_line;
use crate::logs::{self, Line};
use crate::place::{self, Place};
use crate::templates::{self, Page};
use crate::visitor::Visitor;

/// Lines that a page begins with.
const LINES: i64 = 1000;
const BYTES: i64 = 2 << 20;
/// After which a browser that follows comes again, and is asked again who it is and what it may.
const FOLLOWED: Duration = Duration::from_secs(60);
const AGAIN: Duration = Duration::from_secs(1);
/// Between two signs of life of a log that is silent.
const PULSE: Duration = Duration::from_secs(15);

#[derive(Debug, Deserialize)]
pub struct Asked {
    container: Option<String>,
    /// Of the container before this one, which has ended.
    previous: Option<String>,
    /// The time of the last line that the page has.
    after: Option<String>,
    /// When the pod was made, of one that is gone and whose log was kept.
    kept: Option<String>,
}

#[derive(Debug, Template)]
#[template(path = "logs.html")]
struct LogsPage {
    page: Page,
    path: String,
    name: String,
    pod: PodRow,
    container: String,
    is_previous: bool,
    lines: Vec<Line>,
    /// Why there is no log.
    wrong: Option<String>,
    /// Where what follows comes from; none where nothing does.
    stream: Option<String>,
}

impl LogsPage {
    /// The time of the last line.
    fn last(&self) -> &str {
        self.lines
            .last()
            .map(|line| line.time.as_str())
            .unwrap_or_default()
    }
}

/// The container whose log is meant: the one that is asked for, the one that trains, or the first.
pub fn container(kind: JobKind, pod: &PodRow, asked: Option<&str>) -> Option<String> {
    let has = |name: &str| pod.containers.iter().find(|one| *one == name).cloned();
    let asked = asked.and_then(has);
    asked
        .or_else(|| has(kind.container()))
        .or_else(|| pod.containers.first().cloned())
}

/// What both addresses need: the job, and the right to read logs.
async fn enter(
    app: &app::Parts,
    visitor: &Visitor,
    (kind, namespace, name, pod): (String, String, String, String),
) -> Result<(Place, String), AppError> {
    let place = Place::new(&kind, namespace, name)?;
    place::checked(&pod)?;
    let core = |verb| Right::new(verb, "", "pods").within(&place.namespace);
    for right in [core("get"), core("get").of("log")] {
        app.access
            .require(&app.cluster, &visitor.identity, right)
            .await?;
    }
    Ok((place, pod))
}

/// GET .../logs/POD
pub async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Path(path): Path<(String, String, String, String)>,
    Query(asked): Query<Asked>,
) -> Result<Response, AppError> {
    let (place, name) = enter(&app, &visitor, path).await?;
    let pod = match app.cluster.pod(&place.namespace, &name).await {
        Ok(pod) if asked.kept.is_none() => Ok(PodRow::read(place.kind, &pod)),
        Ok(_) => Err(AppError::not_found("This log was not kept.")),
        Err(error) if error.is(404) => Err(error.into()),
        Err(error) => return Err(error.into()),
    };
    let pod = match pod {
        Ok(pod) => pod,
        Err(none) => {
            let made = asked.kept.as_deref();
            let kept = kept::page(&app, &visitor, &place, &name, made).await?;
            return kept.ok_or(none);
        }
    };
    let container = container(place.kind, &pod, asked.container.as_deref()).unwrap_or_default();
    let is_previous = asked.previous.is_some();
    let wanted = LogParams {
        container: Some(container.clone()),
        tail_lines: Some(LINES),
        limit_bytes: Some(BYTES),
        timestamps: true,
        previous: is_previous,
        ..LogParams::default()
    };
    let read = app.cluster.log(&place.namespace, &pod.name, &wanted).await;
    let (lines, wrong) = match read {
        Ok(log) => (logs::lines(&log), None),
        // A container that has not begun has none yet.
        Err(ClusterError::Refused(status)) if matches!(status.code, 400 | 404) => {
            (Vec::new(), Some(status.message.clone()))
        }
        Err(error) => return Err(error.into()),
    };
    let page = Page::new(&app.settings, Some(&visitor), "jobs");
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("container", &container)
        .finish();
    let follows = !pod.is_over && !is_previous;
    let shown = LogsPage {
        stream: follows
            .then(|| page.jobs(&format!("{}logs/{}/stream?{query}", place.path(), pod.name))),
        page,
        path: place.path(),
        name: place.name,
        pod,
        container,
        is_previous,
        lines,
        wrong,
    };
    Ok(templates::respond(StatusCode::OK, &shown))
}

/// GET .../logs/POD/stream: an event for each line, with its time as the id by which a browser goes on, and `end`.
pub async fn stream(
    State(app): State<App>,
    visitor: Visitor,
    Path(path): Path<(String, String, String, String)>,
    Query(asked): Query<Asked>,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    let (place, pod) = enter(&app, &visitor, path).await?;
    let pod = app.cluster.pod(&place.namespace, &pod).await?;
    let pod = PodRow::read(place.kind, &pod);
    let slot = app.followers.clone().try_acquire_owned();
    let slot = slot.map_err(|_| {
        AppError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many logs are followed.",
        )
        .advise("Try again in a moment.")
    })?;
    let known = headers.get("last-event-id");
    let known = known.and_then(|id| id.to_str().ok()).map(str::to_owned);
    let known = known.or(asked.after.clone()).unwrap_or_default();
    let since = known.parse::<Timestamp>().ok();
    let wanted = LogParams {
        container: container(place.kind, &pod, asked.container.as_deref()),
        follow: true,
        timestamps: true,
        // The server knows whole seconds; what is known already is left out below.
        since_time: since.and_then(|since| Timestamp::from_second(since.as_second()).ok()),
        tail_lines: since.is_none().then_some(LINES),
        ..LogParams::default()
    };
    let log = match app
        .cluster
        .follow(&place.namespace, &pod.name, &wanted)
        .await
    {
        Ok(log) => log,
        // Not begun yet: the browser comes again.
        Err(ClusterError::Refused(status)) if status.code == 400 && !pod.is_over => {
            let again = Event::default()
                .event("wait")
                .data(one_line(&status.message));
            let again = stream::iter([Ok::<_, Infallible>(again.retry(Duration::from_secs(2)))]);
            return Ok(Sse::new(again).into_response());
        }
        Err(error) => return Err(error.into()),
    };
    let events = stream::unfold(Following::new(Box::pin(log), since, slot), Following::next);
    let pulse = KeepAlive::new().interval(PULSE);
    Ok(Sse::new(events).keep_alive(pulse).into_response())
}

/// A log while it is sent; the place among the followers is free again when the browser goes.
struct Following<L> {
    log: L,
    since: Option<Timestamp>,
    until: Instant,
    is_over: bool,
    _slot: OwnedSemaphorePermit,
}

impl<L: AsyncBufRead + Unpin> Following<L> {
    fn new(log: L, since: Option<Timestamp>, slot: OwnedSemaphorePermit) -> Self {
        Self {
            log,
            since,
            until: Instant::now() + FOLLOWED,
            is_over: false,
            _slot: slot,
        }
    }

    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        if self.is_over {
            return None;
        }
        loop {
            let Ok(next) = timeout_at(self.until, logs::next(&mut self.log)).await else {
                self.is_over = true;
                let again = Event::default().retry(AGAIN).comment("come again");
                return Some((Ok(again), self));
            };
            match next {
                Ok(Some(line)) if self.since.is_some_and(|since| !line.is_after(since)) => {}
                Ok(Some(line)) => {
                    // A line of an event ends at each of these.
                    let text = line.text.replace('\r', "\u{240d}");
                    let event = Event::default().id(line.time).data(text);
                    return Some((Ok(event), self));
                }
                Ok(None) => {
                    self.is_over = true;
                    return Some((Ok(Event::default().event("end").data("end")), self));
                }
                // Silent for too long, or the node has gone: the browser asks for the rest.
                Err(_) => return None,
            }
        }
    }
}
