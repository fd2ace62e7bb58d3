//! The usage report of the cluster, for who may know its nodes.

use askama::Template;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;

use crate::access::Right;
use crate::app::App;
use crate::error::AppError;
use crate::templates::{self, Page};
use crate::visitor::Visitor;

#[derive(Debug, Template)]
#[template(path = "usage.html")]
struct UsagePage {
    page: Page,
    report: Result<String, String>,
}

/// GET usage/
pub async fn show(State(app): State<App>, visitor: Visitor) -> Result<Response, AppError> {
    let Some(usage) = &app.usage else {
        return Err(AppError::not_found("There is no usage report here."));
    };
    let right = Right::new("list", "", "nodes");
    let allowed = app
        .access
        .require(&app.cluster, &visitor.identity, right)
        .await;
    allowed?;
    let report = usage.report().await;
    let status = match &report {
        Ok(_) => StatusCode::OK,
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    };
    let page = Page::new(&app.settings, Some(&visitor), "overview");
    Ok(templates::respond(status, &UsagePage { page, report }))
}
