//! The jobs that a visitor's notebooks have submitted, and their models.

use askama::Template;
use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use carrel_report::{JobState, JobView, RankStatus, Work};
use http::{HeaderValue, Method, StatusCode, header};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::Deserialize;

use crate::app::{self, App};
use crate::error::AppError;
use crate::jobs::curves::{Drawing, Measured};
use crate::jobs::row::one_line;
use crate::submitted::Submitted;
use crate::templates::{self, Page};
use crate::time;
use crate::training::Training;
use crate::visitor::Visitor;

#[derive(Debug, Deserialize)]
pub struct Asked {
    part: Option<String>,
}

/// A job in a table.
#[derive(Debug)]
pub struct TrainingLine {
    pub id: String,
    /// What its ranks do.
    pub work: String,
    pub state: &'static str,
    pub class: &'static str,
    pub is_over: bool,
    /// What it waits for, or why it failed.
    pub reason: String,
    pub ranks: usize,
    /// Of rank 0: epochs, the newest loss, and the accuracy at its end; empty where there is none.
    pub epochs: String,
    pub loss: String,
    pub accuracy: String,
    /// How much is done, from 0 to 100.
    pub percent: u8,
    pub left: Option<String>,
    pub has_model: bool,
    pub age: String,
    pub started: String,
}

impl TrainingLine {
    pub fn new(job: &JobView, now: Timestamp) -> Self {
        let none = RankStatus::default();
        let first = job.status.ranks.first().unwrap_or(&none);
        let state = job.status.state();
        let started = job.started.and_then(|at| i64::try_from(at).ok());
        let started = started.and_then(|at| Timestamp::from_millisecond(at).ok());
        let started = started.map(Time);
        let number =
            |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.4}"));
        let losses = &first.losses;
        let reason = job.status.reason().or_else(|| job.status.message.clone());
        Self {
            id: job.id.clone(),
            work: work(&job.description.work),
            state: name(state),
            class: match state {
                JobState::Running | JobState::Succeeded => "good",
                JobState::Failed => "bad",
                JobState::Starting | JobState::Stopped => "",
            },
            is_over: state.is_final(),
            reason: one_line(&reason.unwrap_or_default()),
            ranks: job.description.ranks,
            epochs: match first.epochs {
                0 => String::new(),
                all => format!("{} of {all}", losses.len().min(all)),
            },
            loss: number(first.loss.or_else(|| losses.last().copied())),
            accuracy: number(first.accuracy),
            percent: (100.0 * first.done()) as u8,
            left: first
                .seconds_left()
                .filter(|_| !state.is_final())
                .map(|left| time::duration(left as i64)),
            // Rank 0 hands it over after each epoch.
            has_model: matches!(job.description.work, Work::Recipe(_)) && !losses.is_empty(),
            age: time::age(started.as_ref(), now),
            started: time::exact(started.as_ref()),
        }
    }
}

fn work(work: &Work) -> String {
    match work {
        Work::Function(_) => "function of a notebook".to_owned(),
        Work::Recipe(recipe) => {
            let name = recipe["recipe"].as_str().unwrap_or("unknown");
            format!("recipe {}", one_line(name))
        }
    }
}

fn name(state: JobState) -> &'static str {
    match state {
        JobState::Starting => "Starting",
        JobState::Running => "Running",
        JobState::Succeeded => "Succeeded",
        JobState::Stopped => "Stopped",
        JobState::Failed => "Failed",
    }
}

fn service(app: &app::Parts) -> Result<&Training, AppError> {
    let none = || AppError::not_found("There is no jobs service here.");
    app.training.as_ref().ok_or_else(none)
}

/// The newest jobs of a visitor.
pub async fn lines(app: &app::Parts, visitor: &Visitor) -> Result<Vec<TrainingLine>, AppError> {
    let now = Timestamp::now();
    let jobs = service(app)?.jobs(&visitor.token).await?;
    Ok(jobs.iter().map(|job| TrainingLine::new(job, now)).collect())
}

#[derive(Debug, Template)]
#[template(path = "training.html")]
struct ListPage {
    page: Page,
    table: Table,
}

#[derive(Debug, Template)]
#[template(path = "training_table.html")]
struct Table {
    page: Page,
    lines: Vec<TrainingLine>,
}

/// GET training/
pub async fn list(
    State(app): State<App>,
    visitor: Visitor,
    Query(asked): Query<Asked>,
) -> Result<Response, AppError> {
    let page = Page::new(&app.settings, Some(&visitor), "training");
    let lines = lines(&app, &visitor).await?;
    let table = Table {
        page: page.clone(),
        lines,
    };
    Ok(match asked.part {
        Some(_) => templates::respond(StatusCode::OK, &table),
        None => templates::respond(StatusCode::OK, &ListPage { page, table }),
    })
}

#[derive(Debug, Template)]
#[template(path = "training_detail.html")]
struct DetailPage {
    page: Page,
    body: Detail,
}

#[derive(Debug, Template)]
#[template(path = "training_body.html")]
struct Detail {
    page: Page,
    line: TrainingLine,
    curves: Vec<Drawing>,
    ranks: Vec<RankLine>,
}

#[derive(Debug)]
struct RankLine {
    rank: usize,
    state: String,
    /// Items per second, such as pictures.
    speed: String,
    reason: String,
}

/// GET training/ID/
pub async fn show(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Response, AppError> {
    let job = service(&app)?.job(&visitor.token, &id).await?;
    let page = Page::new(&app.settings, Some(&visitor), "training");
    let mut measured = Measured::default();
    let ranks = (0..).zip(&job.status.ranks);
    ranks.for_each(|(rank, status)| measured.take_losses(rank, &status.losses));
    let ranks = job.status.ranks.iter().enumerate();
    let ranks = ranks.map(|(rank, status)| RankLine {
        rank,
        state: format!("{:?}", status.state),
        speed: status
            .items_per_second
            .map_or_else(String::new, |speed| format!("{speed:.0}")),
        reason: one_line(status.reason.as_deref().unwrap_or_default()),
    });
    let body = Detail {
        page: page.clone(),
        line: TrainingLine::new(&job, Timestamp::now()),
        curves: measured.loss().into_iter().collect(),
        ranks: ranks.collect(),
    };
    Ok(match asked.part {
        Some(_) => templates::respond(StatusCode::OK, &body),
        None => templates::respond(StatusCode::OK, &DetailPage { page, body }),
    })
}

/// GET training/ID/model: the weights, as a file.
pub async fn model(
    State(app): State<App>,
    visitor: Visitor,
    Path(id): Path<String>,
) -> Result<Response, AppError> {
    let service = service(&app)?;
    let answer = service
        .ask_of(&visitor.token, Method::GET, &id, "/model")
        .await?;
    if answer.status() == StatusCode::NO_CONTENT {
        let none = AppError::not_found("There is no model yet.");
        return Err(none.advise("Rank 0 hands one over after each epoch."));
    }
    let file = format!("attachment; filename=\"{id}.safetensors\"");
    Ok(passed_on(answer, "application/octet-stream", Some(&file)))
}

/// GET training/ID/logs/RANK: what a rank printed so far.
pub async fn log(
    State(app): State<App>,
    visitor: Visitor,
    Path((id, rank)): Path<(String, usize)>,
) -> Result<Response, AppError> {
    let service = service(&app)?;
    let path = format!("/ranks/{rank}/log");
    let answer = service
        .ask_of(&visitor.token, Method::GET, &id, &path)
        .await?;
    Ok(passed_on(answer, "text/plain; charset=utf-8", None))
}

/// The body alone: what a service says of it is not for this origin.
fn passed_on(answer: Response<Body>, kind: &'static str, disposition: Option<&str>) -> Response {
    let (parts, body) = answer.into_parts();
    let mut response = ([(header::CONTENT_TYPE, kind)], body).into_response();
    let headers = response.headers_mut();
    if let Some(length) = parts.headers.get(header::CONTENT_LENGTH) {
        headers.insert(header::CONTENT_LENGTH, length.clone());
    }
    if let Some(value) = disposition.and_then(|text| HeaderValue::from_str(text).ok()) {
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

/// POST training/ID/ACTION
pub async fn act(
    State(app): State<App>,
    Path((id, action)): Path<(String, String)>,
    sent: Submitted,
) -> Result<Response, AppError> {
    let (method, path) = match action.as_str() {
        "cancel" => (Method::POST, "/cancel"),
        "resume" => (Method::POST, "/resume"),
        "delete" => (Method::DELETE, ""),
        _ => return Err(AppError::not_found("There is no such page.")),
    };
    let service = service(&app)?;
    service
        .ask_of(&sent.visitor.token, method, &id, path)
        .await?;
    let base = &app.settings.base;
    let to = match action.as_str() {
        "delete" => format!("{base}training/"),
        _ => format!("{base}training/{id}/"),
    };
    Ok(Redirect::to(&to).into_response())
}
