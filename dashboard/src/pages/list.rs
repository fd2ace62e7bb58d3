//! The list of jobs, of all kinds, with its filters.

use askama::Template;
use axum::extract::{Query, State};
use axum::response::Response;
use http::StatusCode;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use super::shown::JobLine;
use crate::app::{self, App};
use crate::error::AppError;
use crate::gather::gather;
use crate::jobs::kind::JobKind;
use crate::jobs::row::{Row, State as JobState};
use crate::place;
use crate::templates::{self, Page};
use crate::visitor::Visitor;

/// The most jobs that one page shows.
const MOST: usize = 500;

#[derive(Debug, Default, Clone, Deserialize)]
#[serde(default)]
pub struct Filter {
    pub q: String,
    pub namespace: String,
    pub state: String,
    pub kind: String,
    /// Only the table: a page renews it.
    pub part: Option<String>,
}

impl Filter {
    fn is_any(&self) -> bool {
        let fields = [&self.q, &self.namespace, &self.state, &self.kind];
        fields.iter().any(|field| !field.is_empty())
    }
}

#[derive(Debug, Template)]
#[template(path = "list.html")]
struct ListPage {
    page: Page,
    filter: Filter,
    namespaces: Vec<String>,
    kinds: Vec<JobKind>,
    /// Where the table is renewed from.
    part: String,
    table: Table,
}

impl ListPage {
    fn states(&self) -> [JobState; 6] {
        JobState::ALL
    }
}

#[derive(Debug, Template)]
#[template(path = "jobs_table.html")]
struct Table {
    page: Page,
    lines: Vec<JobLine>,
    /// Jobs that the filters leave, if more than are shown.
    left_out: usize,
    is_cut: bool,
    is_filtered: bool,
    /// No definition of any kind is there.
    has_kinds: bool,
    missing: Vec<String>,
}

/// GET tfjobs/ui/
pub async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Query(filter): Query<Filter>,
) -> Result<Response, AppError> {
    let page = Page::new(&app.settings, Some(&visitor), "jobs");
    let query = url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("part", "1"),
            ("q", &filter.q),
            ("namespace", &filter.namespace),
            ("state", &filter.state),
            ("kind", &filter.kind),
        ])
        .finish();
    let (table, namespaces, kinds) = look(&app, &visitor, &filter, page.clone()).await?;
    if filter.part.is_some() {
        return Ok(templates::respond(StatusCode::OK, &table));
    }
    let shown = ListPage {
        part: page.jobs(&format!("?{query}")),
        page,
        filter,
        namespaces,
        kinds,
        table,
    };
    Ok(templates::respond(StatusCode::OK, &shown))
}

async fn look(
    app: &app::Parts,
    visitor: &Visitor,
    filter: &Filter,
    page: Page,
) -> Result<(Table, Vec<String>, Vec<JobKind>), AppError> {
    let kind = match filter.kind.as_str() {
        "" => None,
        kind => Some(place::kind(kind)?),
    };
    let namespace = Some(filter.namespace.as_str()).filter(|name| !name.is_empty());
    if let Some(namespace) = namespace {
        place::checked(namespace)?;
    }
    let found = gather(app, visitor, kind, namespace).await?;
    let rows = found.jobs.iter().map(|(kind, job)| Row::read(*kind, job));
    let state = JobState::from_name(&filter.state);
    let mut rows: Vec<_> = rows
        .filter(|row| state.is_none_or(|state| row.state == state))
        .filter(|row| filter.q.is_empty() || row.matches(&filter.q))
        .collect();
    // The newest first.
    rows.sort_by(|one, other| {
        let of = |row: &Row| row.created.as_ref().map(|created| created.0);
        of(other)
            .cmp(&of(one))
            .then_with(|| one.name.cmp(&other.name))
    });
    let now = Timestamp::now();
    let table = Table {
        page,
        left_out: rows.len().saturating_sub(MOST),
        lines: rows
            .iter()
            .take(MOST)
            .map(|row| JobLine::new(row, now))
            .collect(),
        is_cut: found.is_cut,
        is_filtered: filter.is_any(),
        has_kinds: !found.kinds.is_empty(),
        missing: found.missing.iter().map(ToString::to_string).collect(),
    };
    Ok((table, found.namespaces, found.kinds))
}
