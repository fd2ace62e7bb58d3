//! Reports of ranks: taken where the job's own secret has signed them, and where they are newer than what is known.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use carrel_report::{Report, SIGNATURE_HEADER, verify};
use subtle::ConstantTimeEq as _;

use crate::answer::{self, Refusal};
use crate::jobs::Jobs;
use crate::keys::Keys;
use crate::record::Record;
use crate::turns::Turn;

/// The largest report.
const LARGEST: usize = 1 << 20;
/// What is kept of a reason, in characters.
const REASON: usize = 2000;
/// The most epochs whose losses are kept.
const LOSSES: usize = 20_000;

/// Whether a request has the token of the job's ranks.
///
/// # Errors
/// Where it has not; a job that is not there has no token either.
pub fn check_token(keys: &Keys, id: &str, headers: &HeaderMap) -> Result<(), Refusal> {
    let given = headers
        .get(AUTHORIZATION)
        .map_or(&b""[..], |value| value.as_bytes());
    let wanted = format!("Bearer {}", keys.token(id));
    match wanted.as_bytes().ct_eq(given).into() {
        true => Ok(()),
        false => Err(Refusal::new(
            StatusCode::FORBIDDEN,
            "the token is not that of the job's ranks",
        )),
    }
}

/// Lets a request of a rank in, before any of its body is read.
///
/// # Errors
/// Where it has not the job's token, there is no such job, or the ranks of its user ask for too much at a time.
pub fn admit(jobs: &Jobs, id: &str, headers: &HeaderMap) -> Result<Turn, Refusal> {
    check_token(&jobs.settings.keys, id, headers)?;
    let user = jobs.with_job(id, |record| Ok(record.kept.user.clone()))?;
    jobs.reporting.take(&user)
}

/// The signature of a request, for what verifies it.
pub fn signature(headers: &HeaderMap) -> &str {
    let header = headers.get(SIGNATURE_HEADER);
    header.and_then(|value| value.to_str().ok()).unwrap_or("")
}

pub fn no_signature() -> Refusal {
    Refusal::new(
        StatusCode::FORBIDDEN,
        "the signature is not that of this body by the job's secret",
    )
}

/// `POST /jobs/ID/ranks/RANK/status`
pub async fn status(
    State(jobs): State<Arc<Jobs>>,
    Path((id, rank)): Path<(String, usize)>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Refusal> {
    let _turn = admit(&jobs, &id, &headers)?;
    let keys = &jobs.settings.keys;
    let body = answer::read(body, LARGEST, "report").await?;
    if !verify(keys.secret(&id).as_bytes(), &body, signature(&headers)) {
        return Err(no_signature());
    }
    let report: Report = serde_json::from_slice(&body)
        .map_err(|error| Refusal::bad(format!("the report cannot be read: {error}")))?;
    let is_over = jobs.with_job(&id, |record| {
        take(record, rank, report)?;
        Ok(record.is_over())
    })?;
    if is_over {
        jobs.changed.notify_one();
    }
    Ok(StatusCode::NO_CONTENT)
}

/// Notes a report of a rank, unless a later one of it is known.
///
/// # Errors
/// Where it is of another job, rank or attempt.
pub fn take(record: &mut Record, rank: usize, mut report: Report) -> Result<(), Refusal> {
    let world = record.ranks.len();
    if report.job != record.id || report.rank != rank || report.task.is_some() {
        return Err(Refusal::bad("the report is of another job or rank"));
    }
    if report.world != world {
        let message = format!(
            "the report is of a job of {} ranks, not {world}",
            report.world
        );
        return Err(Refusal::bad(message));
    }
    let attempt = record.kept.attempt;
    if report.attempt != attempt {
        let message = format!(
            "the report is of attempt {}, and this is attempt {attempt}",
            report.attempt
        );
        return Err(Refusal::conflict(message));
    }
    let no_rank = || Refusal::new(StatusCode::NOT_FOUND, format!("there is no rank {rank}"));
    let known = record.ranks.get_mut(rank).ok_or_else(no_rank)?;
    if report.order() <= known.order {
        // It came late, or twice.
        return Ok(());
    }
    known.order = report.order();
    report.status.losses.truncate(LOSSES);
    if let Some(reason) = &mut report.status.reason
        && let Some((end, _)) = reason.char_indices().nth(REASON)
    {
        reason.truncate(end);
    }
    known.status = report.status;
    record.is_changed = true;
    Ok(())
}
