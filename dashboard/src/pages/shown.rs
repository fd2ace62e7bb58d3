//! Jobs and events as tables show them.

use k8s_openapi::api::core::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::cluster::Listed;
use crate::jobs::row::{Row, State, one_line};
use crate::time;

/// A job in a table.
#[derive(Debug)]
pub struct JobLine {
    /// Below the job dashboard.
    pub path: String,
    pub name: String,
    pub namespace: String,
    pub kind: &'static str,
    pub state: State,
    pub reason: String,
    pub replicas: String,
    pub age: String,
    pub created: String,
}

impl JobLine {
    pub fn new(row: &Row, now: Timestamp) -> Self {
        Self {
            path: format!("{}/{}/{}/", row.kind.singular(), row.namespace, row.name),
            name: row.name.clone(),
            namespace: row.namespace.clone(),
            kind: row.kind.name(),
            state: row.state,
            reason: row.reason.clone(),
            replicas: row.replicas_text(),
            age: time::age(row.created.as_ref(), now),
            created: time::exact(row.created.as_ref()),
        }
    }
}

/// Something that happened.
#[derive(Debug)]
pub struct EventLine {
    pub is_warning: bool,
    pub age: String,
    pub at: String,
    pub about: String,
    pub namespace: String,
    pub reason: String,
    pub message: String,
    pub count: i32,
}

/// What happened.
#[derive(Debug)]
pub struct Happened {
    pub lines: Vec<EventLine>,
    /// Whether there may be others, newer ones too: Kubernetes lists events by their names.
    pub is_cut: bool,
}

/// Newest first, `most` of them.
pub fn happened(events: Listed<Event>, now: Timestamp, most: usize) -> Happened {
    let is_cut = events.is_cut;
    let lines = lines(events.items, now, most);
    Happened { lines, is_cut }
}

fn lines(mut events: Vec<Event>, now: Timestamp, most: usize) -> Vec<EventLine> {
    events.sort_by_key(|event| std::cmp::Reverse(at(event).map(|at| at.0)));
    let events = events.into_iter().take(most);
    events
        .map(|event| {
            let at = at(&event);
            let object = &event.involved_object;
            let text = |text: &Option<String>| text.clone().unwrap_or_default();
            EventLine {
                is_warning: event.type_.as_deref() == Some("Warning"),
                age: time::age(at.as_ref(), now),
                at: time::exact(at.as_ref()),
                about: format!("{} {}", text(&object.kind), text(&object.name)),
                namespace: text(&object.namespace),
                reason: text(&event.reason),
                message: one_line(&text(&event.message)),
                count: event.count.unwrap_or(1).max(1),
            }
        })
        .collect()
}

/// When it happened last; programs fill different fields.
fn at(event: &Event) -> Option<Time> {
    let series = event.series.as_ref();
    let exact = series.and_then(|series| series.last_observed_time.as_ref());
    let exact = exact.or(event.event_time.as_ref()).map(|time| Time(time.0));
    let last = event.last_timestamp.clone().or(exact);
    last.or_else(|| event.metadata.creation_timestamp.clone())
}
