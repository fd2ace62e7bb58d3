//! What nobody but an administrator may read of all: who did what, and what ran for how long. Both as JSON, and as CSV for
//! who accepts that. JupyterHub has neither.

use std::marker::PhantomData;

use axum::extract::{Query, State};
use http::{HeaderMap, header};
use schemars_of_aide::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde_json::{Value, json};

use super::answer::{Answer, Kinds, Other};
use super::listing::Wanted;
use super::openapi;
use super::shapes::{self, Listed};
use crate::access::permit::{Hub, ReadAudit, ReadUsage};
use crate::app::App;
use crate::auth::caller::Caller;
use crate::db::audit::Deed;
use crate::db::now;
use crate::db::runs::{Run, WEEK};
use crate::error::AppError;
use crate::headers::text;
use crate::names::UserName;
use crate::time::{self, iso};

const CSV: &str = "text/csv";

#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "schemars_of_aide", inline)]
pub struct Asked {
    /// Whose alone.
    user: Option<String>,
    /// From when on, as ISO 8601; a week ago without it.
    since: Option<String>,
}

/// A list, as JSON or as CSV.
#[derive(Debug)]
pub struct Table<T>(PhantomData<fn() -> T>);

impl<T: JsonSchema> Kinds for Table<T> {
    fn kinds(schemas: &mut SchemaGenerator) -> Vec<(&'static str, Schema)> {
        let json = schemas.subschema_for::<Listed<T>>();
        let text = json_schema!({ "type": "string", "description": "RFC 4180, with a head." });
        vec![(openapi::JSON, json), (CSV, text)]
    }
}

fn in_json<T>(list: Value) -> Other<Table<T>> {
    Other::new(Answer::<T>::new(list))
}

/// GET /audit: who did what, the latest first.
pub async fn audit(
    State(app): State<App>,
    Query(asked): Query<Asked>,
    wanted: Wanted,
    headers: HeaderMap,
    caller: Caller,
) -> Result<Other<Table<shapes::Deed>>, AppError> {
    caller.permit(ReadAudit(Hub))?;
    let (deeds, total) = app
        .db
        .deeds(asked.user.as_deref(), wanted.offset, wanted.limit)
        .await?;
    if is_csv(&headers) {
        let rows = deeds.iter().map(|deed| {
            let token = deed.token_id.map(|id| format!("a{id}"));
            [
                iso(deed.at),
                deed.kind.clone(),
                deed.name.clone(),
                token.unwrap_or_default(),
                deed.address.clone(),
                deed.method.clone(),
                deed.path.clone(),
                deed.status.to_string(),
            ]
        });
        let head = "time,kind,name,token_id,address,method,path,status";
        return csv(head, rows);
    }
    let models: Value = deeds.iter().map(deed_model).collect();
    Ok(in_json(wanted.answer(models, total)))
}

fn deed_model(deed: &Deed) -> Value {
    json!({
        "time": iso(deed.at),
        "kind": deed.kind,
        "name": deed.name,
        "token_id": deed.token_id.map(|id| format!("a{id}")),
        "address": deed.address,
        "method": deed.method,
        "path": deed.path,
        "status": deed.status,
    })
}

/// GET /usage: what ran for whom, and for how long. Everybody may read their own.
pub async fn usage(
    State(app): State<App>,
    Query(asked): Query<Asked>,
    wanted: Wanted,
    headers: HeaderMap,
    caller: Caller,
) -> Result<Other<Table<shapes::Run>>, AppError> {
    let user = match asked.user {
        Some(user) => {
            let user = UserName::read(&user)?;
            caller.permit(ReadUsage(user.clone()))?;
            Some(user)
        }
        None => {
            caller.permit(ReadAudit(Hub))?;
            None
        }
    };
    let since = match &asked.since {
        None => now() - WEEK,
        Some(text) => time::parse(text).ok_or_else(|| {
            AppError::bad_request("`since` is not a time such as 2026-11-29T00:00:00Z")
        })?,
    };
    let part = (wanted.offset, wanted.limit);
    let (runs, total) = app.db.runs_since(user.as_deref(), since, part).await?;
    if is_csv(&headers) {
        let rows = runs.iter().map(|run| {
            let time = |at: Option<i64>| at.map(iso).unwrap_or_default();
            [
                run.user.clone(),
                run.server.clone(),
                iso(run.asked),
                time(run.ready),
                time(run.ended),
                hours(run, since).to_string(),
            ]
        });
        return csv("user,server,asked,ready,ended,hours", rows);
    }
    let models: Value = runs.iter().map(|run| run_model(run, since)).collect();
    Ok(in_json(wanted.answer(models, total)))
}

fn run_model(run: &Run, since: i64) -> Value {
    json!({
        "user": run.user,
        "server": run.server,
        "asked": iso(run.asked),
        "ready": run.ready.map(iso),
        "ended": run.ended.map(iso),
        "failure": run.failure,
        "hours": hours(run, since),
    })
}

/// Hours that it was ready, to a thousandth.
fn hours(run: &Run, since: i64) -> f64 {
    // As many milliseconds as an f64 holds are more than there were.
    let hours = run.length_since(since) as f64 / 3_600_000.0;
    (hours * 1000.0).round() / 1000.0
}

fn is_csv(headers: &HeaderMap) -> bool {
    text(headers, header::ACCEPT).is_some_and(|accept| accept.starts_with(CSV))
}

/// RFC 4180; the separator is that of the format, whatever is within.
fn csv<T, const N: usize>(
    head: &str,
    rows: impl Iterator<Item = [String; N]>,
) -> Result<Other<Table<T>>, AppError> {
    let failed = |error: &(dyn std::error::Error + 'static)| AppError::internal("write CSV", error);
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = writer.write_record(head.split(','));
    written.map_err(|error| failed(&error))?;
    for row in rows {
        let written = writer.write_record(row.map(harmless));
        written.map_err(|error| failed(&error))?;
    }
    let body = writer.into_inner().map_err(|error| failed(&error))?;
    Ok(Other::new(([(header::CONTENT_TYPE, CSV)], body)))
}

/// A spreadsheet takes what begins so for a formula (OWASP, "CSV Injection").
fn harmless(field: String) -> String {
    if field.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{field}")
    } else {
        field
    }
}
