//! Every path of the service; all but the reports of ranks and health are a user's.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use carrel_report::JobView;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::answer::{self, Refusal};
use crate::jobs::Jobs;
use crate::service::Service;
use crate::{functions, logs, models, reports, submission};

/// The largest description.
const DESCRIPTION: usize = 256 << 10;
/// How long a request may take to be read and the answer to begin; a model may be large.
const PATIENCE: Duration = Duration::from_secs(30);
const UPLOAD: Duration = Duration::from_secs(600);
/// How many requests are answered at a time.
const REQUESTS: usize = 512;

/// All paths below `path`, which has no slash at its end.
pub fn router(path: &str, service: Arc<Service>) -> Router {
    let jobs = Arc::clone(&service.jobs);
    let reports = Router::new()
        .route("/jobs/{id}/ranks/{rank}/status", post(reports::status))
        .with_state(Arc::clone(&jobs));
    let quick = Router::new()
        .route("/jobs", get(list).post(submit))
        .route("/jobs/{id}", get(show).delete(delete))
        .route("/jobs/{id}/ranks/{rank}/log", get(logs::log))
        .route("/jobs/{id}/cancel", post(cancel))
        .route("/jobs/{id}/resume", post(resume))
        .with_state(Arc::clone(&service))
        .merge(reports)
        .layer(middleware::from_fn(within::<{ PATIENCE.as_secs() }>));
    let files = Router::new()
        .route("/jobs/{id}/model", get(models::get).put(models::put))
        .route("/objects/{digest}", get(functions::get).put(functions::put))
        .route("/jobs/{id}/objects/{digest}", get(functions::of_job))
        .route(
            "/jobs/{id}/ranks/{rank}/result",
            get(functions::get_result).put(functions::put_result),
        )
        .with_state(service)
        .layer(middleware::from_fn(within::<{ UPLOAD.as_secs() }>));
    let api = quick.merge(files).fallback(nothing);
    let slots = Arc::new(Semaphore::new(REQUESTS));
    Router::new()
        .nest(&format!("{path}/api/v1"), api)
        .layer(middleware::from_fn_with_state(slots, in_turn))
        .layer(middleware::from_fn(carrel_service::read_out))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready).with_state(jobs))
        .fallback(nothing)
}

async fn nothing() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "there is no such path")
}

async fn ready(State(jobs): State<Arc<Jobs>>) -> (StatusCode, &'static str) {
    match jobs.is_ready() {
        true => (StatusCode::OK, "ok\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "not all jobs were read\n"),
    }
}

async fn within<const SECONDS: u64>(request: Request, next: Next) -> Response {
    let answered = timeout(Duration::from_secs(SECONDS), next.run(request)).await;
    answered.unwrap_or_else(|_| {
        let message = format!("this took longer than {SECONDS} s");
        Refusal::new(StatusCode::GATEWAY_TIMEOUT, message).into_response()
    })
}

async fn in_turn(
    State(slots): State<Arc<Semaphore>>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    let slot = slots.try_acquire();
    let _slot = slot.map_err(|_| Refusal::away("too many requests are being answered"))?;
    Ok(next.run(request).await)
}

async fn list(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
) -> Result<Json<Value>, Refusal> {
    let user = service.user(&headers).await?;
    Ok(Json(json!({ "jobs": service.jobs.list(&user)? })))
}

async fn submit(
    State(service): State<Arc<Service>>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<JobView>), Refusal> {
    let user = service.user(&headers).await?;
    let body = answer::read(body, DESCRIPTION, "description").await?;
    let functions = service.jobs.settings.function_image.is_some();
    let description = submission::read(&body, functions)?;
    service.has_objects(&user, &description.work).await?;
    let view = to_the_end(async move { service.jobs.submit(&user, description).await }).await?;
    Ok((StatusCode::CREATED, Json(view)))
}

async fn show(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<Json<JobView>, Refusal> {
    let user = service.user(&headers).await?;
    let view = service
        .jobs
        .with_own(&user, &id, |record| Ok(record.view()))?;
    Ok(Json(view))
}

async fn cancel(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let user = service.user(&headers).await?;
    to_the_end(async move { service.jobs.cancel(&user, &id).await }).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn resume(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let user = service.user(&headers).await?;
    let work = service.jobs.with_own(&user, &id, |record| {
        Ok(record.kept.description.work.clone())
    })?;
    service.has_objects(&user, &work).await?;
    to_the_end(async move { service.jobs.resume(&user, &id).await }).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn delete(
    State(service): State<Arc<Service>>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refusal> {
    let user = service.user(&headers).await?;
    to_the_end(async move {
        service.jobs.delete(&user, &id).await?;
        service.forget(&id).await;
        Ok(())
    })
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Goes on though the client leaves: what has several steps is not left between two of them.
async fn to_the_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, Refusal>> + Send + 'static,
) -> Result<T, Refusal> {
    tokio::spawn(work).await.unwrap_or_else(|error| {
        tracing::error!(%error, "A request was not answered");
        let message = "the service failed; its log says why";
        Err(Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, message))
    })
}
