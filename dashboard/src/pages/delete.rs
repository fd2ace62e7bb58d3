//! Deleting a job, which the page of the job has asked about.

use axum::extract::{Path, State};
use axum::response::{IntoResponse as _, Redirect, Response};

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
    app.cluster
        .delete(place.kind, &place.namespace, &place.name, uid)
        .await?;
    let user = &sent.visitor.user.name;
    tracing::info!(user.name = %user, job = place.path(), "{user} has deleted a job");
    Ok(Redirect::to(&format!("{}tfjobs/ui/", app.settings.base)).into_response())
}
