//! A job as YAML, to read and to change. A change is tried first, and taken only of the version that was shown.

use askama::Template;
use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::StatusCode;

use super::create::refused;
use crate::access::Right;
use crate::app::{self, App};
use crate::error::AppError;
use crate::jobs::kind::Served as _;
use crate::jobs::mistake::{self, Mistake};
use crate::jobs::yaml;
use crate::place::Place;
use crate::submitted::Submitted;
use crate::templates::{self, Page};
use crate::visitor::Visitor;

#[derive(Debug, Template)]
#[template(path = "edit.html")]
struct EditPage {
    page: Page,
    path: String,
    name: String,
    kind: &'static str,
    may_edit: bool,
    /// All of it.
    whole: String,
    /// What may be changed.
    text: String,
    mistakes: Vec<Mistake>,
    accepted: bool,
    /// Somebody else was faster.
    is_conflict: bool,
}

type Path3 = Path<(String, String, String)>;

fn right(place: &Place, verb: &'static str) -> Right {
    Right::on(verb, place.kind).within(&place.namespace)
}

/// GET .../yaml
pub async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Path((kind, namespace, name)): Path3,
) -> Result<Response, AppError> {
    let place = Place::new(&kind, namespace, name)?;
    let page = page(&app, &visitor, &place).await?;
    Ok(templates::respond(StatusCode::OK, &page))
}

async fn page(app: &app::Parts, visitor: &Visitor, place: &Place) -> Result<EditPage, AppError> {
    let who = &visitor.identity;
    app.access
        .require(&app.cluster, who, right(place, "get"))
        .await?;
    let job = app
        .cluster
        .job(place.kind, &place.namespace, &place.name)
        .await?;
    Ok(EditPage {
        page: Page::new(&app.settings, Some(visitor), "jobs"),
        path: place.path(),
        name: place.name.clone(),
        kind: place.kind.name(),
        may_edit: app
            .access
            .may(&app.cluster, who, &right(place, "update"))
            .await?,
        whole: yaml::shown(&job),
        text: yaml::editable(&job),
        mistakes: Vec::new(),
        accepted: false,
        is_conflict: false,
    })
}

/// POST .../yaml
pub async fn send(
    State(app): State<App>,
    Path((kind, namespace, name)): Path3,
    sent: Submitted,
) -> Result<Response, AppError> {
    let place = Place::new(&kind, namespace, name)?;
    let who = &sent.visitor.identity;
    app.access
        .require(&app.cluster, who, right(&place, "update"))
        .await?;
    let text = sent.get("yaml");
    let is_trial = sent.get("do") != "save";
    let mistakes = match change(&app, &place, &text, is_trial).await? {
        Ok(()) if !is_trial => {
            let user = &sent.visitor.user.name;
            tracing::info!(user.name = %user, job = place.path(), "{user} has changed a job");
            let there = format!("{}tfjobs/ui/{}", app.settings.base, place.path());
            return Ok(Redirect::to(&there).into_response());
        }
        Ok(()) => Vec::new(),
        Err(mistakes) => mistakes,
    };
    let is_conflict = mistakes.iter().any(|mistake| mistake.path == CONFLICT);
    let status = match (is_conflict, mistakes.is_empty()) {
        (true, _) => StatusCode::CONFLICT,
        (false, true) => StatusCode::OK,
        (false, false) => StatusCode::UNPROCESSABLE_ENTITY,
    };
    let shown = page(&app, &sent.visitor, &place).await?;
    let shown = EditPage {
        text,
        accepted: mistakes.is_empty(),
        mistakes: if is_conflict { Vec::new() } else { mistakes },
        is_conflict,
        ..shown
    };
    Ok(templates::respond(status, &shown))
}

/// The field that says of which version a change is.
const CONFLICT: &str = "metadata.resourceVersion";

async fn change(
    app: &app::Parts,
    place: &Place,
    text: &str,
    is_trial: bool,
) -> Result<Result<(), Vec<Mistake>>, AppError> {
    let written = match yaml::read(text, &place.namespace) {
        Ok(written) => written,
        Err(mistake) => return Ok(Err(vec![mistake])),
    };
    let metadata = &written.object.metadata;
    let is_same = written.kind == place.kind
        && written.version == place.kind.version()
        && metadata.name.as_deref() == Some(place.name.as_str())
        && metadata.namespace.as_deref() == Some(place.namespace.as_str());
    if !is_same {
        let message = "Kind, version, name and namespace cannot be changed: make another job.";
        return Ok(Err(vec![Mistake::at("metadata", message)]));
    }
    if metadata.resource_version.is_none() {
        let message = "It is missing: without it a change of somebody else would be lost.";
        return Ok(Err(vec![Mistake::at(
            "metadata",
            format!("resourceVersion: {message}"),
        )]));
    }
    let tries: &[bool] = if is_trial { &[true] } else { &[true, false] };
    for is_trial in tries {
        let answer = app
            .cluster
            .replace(place.kind, &written.object, *is_trial)
            .await;
        if answer.as_ref().is_err_and(|error| error.is(409)) {
            return Ok(Err(vec![Mistake::at(
                CONFLICT,
                "Somebody else has changed this job meanwhile.",
            )]));
        }
        if let Err(mistakes) = refused(answer)? {
            return Ok(Err(mistakes));
        }
        let mistakes = mistake::of_operator(place.kind, &written.object);
        if !mistakes.is_empty() {
            return Ok(Err(mistakes));
        }
    }
    Ok(Ok(()))
}
