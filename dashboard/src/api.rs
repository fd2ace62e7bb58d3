//! The API of the old job dashboard, for all kinds of jobs: objects as Kubernetes has them.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use http::{HeaderMap, StatusCode};
use kube::api::LogParams;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::access::Right;
use crate::app::App;
use crate::cluster::ClusterError;
use crate::error::AppError;
use crate::gather::gather;
use crate::jobs::kind::{JobKind, Served as _};
use crate::jobs::mistake::Mistake;
use crate::jobs::yaml;
use crate::pages::create::make;
use crate::place::{self, Place};
use crate::visitor::Visitor;

/// The most of a log that is sent.
const BYTES: i64 = 16 << 20;

/// GET KIND: of all namespaces that the visitor may look into.
pub async fn list_all(
    State(app): State<App>,
    visitor: Visitor,
    Path(kind): Path<String>,
) -> Result<Json<Value>, AppError> {
    listed(&app, &visitor, place::kind(&kind)?, None).await
}

/// GET KIND/NAMESPACE
pub async fn list(
    State(app): State<App>,
    visitor: Visitor,
    Path((kind, namespace)): Path<(String, String)>,
) -> Result<Json<Value>, AppError> {
    place::checked(&namespace)?;
    listed(&app, &visitor, place::kind(&kind)?, Some(&namespace)).await
}

async fn listed(
    app: &App,
    visitor: &Visitor,
    kind: JobKind,
    namespace: Option<&str>,
) -> Result<Json<Value>, AppError> {
    let found = gather(app, visitor, Some(kind), namespace).await?;
    if let Some(right) = found.missing.into_iter().next() {
        let user = visitor.identity.user.clone();
        return Err(crate::access::Denied::Right { user, right }.into());
    }
    let resource = kind.resource();
    let items: Vec<_> = found.jobs.into_iter().map(|(_, job)| job).collect();
    Ok(Json(json!({
        "apiVersion": resource.api_version,
        "kind": format!("{}List", resource.kind),
        "metadata": {},
        "items": items,
    })))
}

/// GET KIND/NAMESPACE/NAME: the job and its pods. The old dashboard of TFJobs reads `tfJob` and `pods`.
pub async fn detail(
    State(app): State<App>,
    visitor: Visitor,
    Path((kind, namespace, name)): Path<(String, String, String)>,
) -> Result<Json<Value>, AppError> {
    let place = Place::new(&kind, namespace, name)?;
    let who = &visitor.identity;
    for right in [Right::on("get", place.kind), Right::new("list", "", "pods")] {
        let right = right.within(&place.namespace);
        app.access.require(&app.cluster, who, right).await?;
    }
    let job = app
        .cluster
        .job(place.kind, &place.namespace, &place.name)
        .await?;
    let selector = place.kind.selector(&place.name);
    let pods = app.cluster.pods(&place.namespace, &selector).await?.items;
    let name = place.kind.name();
    // `tfJob`, `pytorchJob`, `trainJob`
    let field = format!("{}Job", place.kind.singular().trim_end_matches("job"));
    Ok(Json(
        json!({ field: job, name: job, "pods": pods, "Pods": pods }),
    ))
}

/// POST KIND: makes the job of the body.
pub async fn create(
    State(app): State<App>,
    visitor: Visitor,
    Path(kind): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, AppError> {
    own(&visitor, &headers)?;
    let kind = place::kind(&kind)?;
    let value: Value = serde_json::from_slice(&body)
        .map_err(|error| AppError::bad_request(format!("This is no JSON: {error}")))?;
    let told = |mistakes: &[Mistake]| {
        let causes = mistakes
            .iter()
            .map(|one| json!({ "field": one.path, "message": one.message }));
        let message = mistakes
            .iter()
            .map(|one| format!("{}: {}", one.path, one.message));
        let message = message.collect::<Vec<_>>().join("; ");
        let code = StatusCode::UNPROCESSABLE_ENTITY;
        let body = json!({ "status": code.as_u16(), "message": message, "causes": causes.collect::<Vec<_>>() });
        (code, Json(body)).into_response()
    };
    let written = match yaml::of_value(value, "default") {
        Ok(written) if written.kind == kind => written,
        Ok(written) => {
            let found = written.kind.name();
            return Ok(told(&[Mistake::at(
                "kind",
                format!("This address makes {}, no {found}.", kind.name()),
            )]));
        }
        Err(mistake) => return Ok(told(&[mistake])),
    };
    let made = make(
        &app,
        &visitor,
        kind,
        &written.version,
        &written.object,
        false,
    )
    .await?;
    Ok(match made {
        Ok(job) => (StatusCode::CREATED, Json(job)).into_response(),
        Err(mistakes) => told(&mistakes),
    })
}

/// DELETE KIND/NAMESPACE/NAME
pub async fn delete(
    State(app): State<App>,
    visitor: Visitor,
    Path((kind, namespace, name)): Path<(String, String, String)>,
    headers: HeaderMap,
) -> Result<StatusCode, AppError> {
    own(&visitor, &headers)?;
    let place = Place::new(&kind, namespace, name)?;
    let right = Right::on("delete", place.kind).within(&place.namespace);
    app.access
        .require(&app.cluster, &visitor.identity, right)
        .await?;
    app.cluster
        .delete(place.kind, &place.namespace, &place.name, None)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
pub struct Container {
    container: Option<String>,
}

/// GET logs/NAMESPACE/POD: the log as one text.
pub async fn log(
    State(app): State<App>,
    visitor: Visitor,
    Path((namespace, pod)): Path<(String, String)>,
    Query(asked): Query<Container>,
) -> Result<Response, AppError> {
    place::checked(&namespace)?;
    place::checked(&pod)?;
    let right = Right::new("get", "", "pods").of("log").within(&namespace);
    app.access
        .require(&app.cluster, &visitor.identity, right)
        .await?;
    let wanted = LogParams {
        container: asked.container,
        limit_bytes: Some(BYTES),
        ..LogParams::default()
    };
    let busy = || AppError::from(ClusterError::Busy);
    let turn = app
        .logs_of_one
        .take(&visitor.identity.user)
        .ok_or_else(busy)?;
    let slot = app.logs.clone().try_acquire_owned().map_err(|_| busy())?;
    let log = app.cluster.log(&namespace, &pod, &wanted).await?;
    let response = Json(log).into_response();
    // Whoever reads it slowly holds it in memory so long.
    Ok(response.map(|body| {
        let parts = body.into_data_stream();
        Body::from_stream(parts.inspect(move |_| {
            let _ = (&turn, &slot);
        }))
    }))
}

/// GET namespace: those in which the visitor may look at jobs of some kind.
pub async fn namespaces(State(app): State<App>, visitor: Visitor) -> Result<Json<Value>, AppError> {
    let mut names = Vec::new();
    for kind in app.cluster.kinds().await? {
        let right = Right::on("list", kind);
        let reach = app
            .access
            .reach(&app.cluster, &visitor.identity, &right)
            .await?;
        names.extend_from_slice(reach.names());
    }
    names.sort_unstable();
    names.dedup();
    let items: Vec<_> = names
        .iter()
        .map(|name| json!({ "metadata": { "name": name } }))
        .collect();
    Ok(Json(
        json!({ "apiVersion": "v1", "kind": "NamespaceList", "metadata": {}, "items": items }),
    ))
}

/// Whether a script of this program's own pages asks, or a program with a token.
fn own(visitor: &Visitor, headers: &HeaderMap) -> Result<(), AppError> {
    let brought = headers
        .get("x-xsrftoken")
        .and_then(|token| token.to_str().ok());
    match visitor.is_own(brought.unwrap_or_default()) {
        true => Ok(()),
        false => Err(AppError::forbidden(
            "X-XSRFToken is missing or of another login; programs bring a token of the Hub.",
        )),
    }
}
