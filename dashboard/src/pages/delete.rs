//! Deleting a job, which the page of the job has asked about.

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::StatusCode;

use crate::access::Right;
use crate::app::App;
use crate::error::AppError;
use crate::place::Place;
use crate::submitted::Submitted;

/// POST .../delete
pub async fn send(
    State(app): State<App>,
    Path((kind, namespace, name)): Path<(String, String, String)>,
    sent: Submitted,
) -> Result<Response, AppError> {
    let place = Place::new(&kind, namespace, name)?;
    let right = Right::on("delete", place.kind).within(&place.namespace);
    app.access
        .require(&app.cluster, &sent.visitor.identity, right)
        .await?;
    // Only the job that was shown: one of the same name may have come after it.
    let uid = Some(sent.get("uid")).filter(|uid| !uid.is_empty());
    let (namespace, name) = (&place.namespace, &place.name);
    let deleted = app.cluster.delete(place.kind, namespace, name, uid).await;
    if deleted.as_ref().is_err_and(|error| error.is(409)) {
        let message = "Another job of this name has come in its place.";
        let error = AppError::new(StatusCode::CONFLICT, message);
        return Err(error.advise("Look at it before you delete it."));
    }
    deleted?;
    let user = &sent.visitor.user.name;
    tracing::info!(user.name = %user, job = place.path(), "{user} has deleted a job");
    Ok(Redirect::to(&format!("{}tfjobs/ui/", app.settings.base)).into_response())
}
