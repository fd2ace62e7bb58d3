//! What all pages share: their frame, and how they become responses. Askama escapes every value; no field holds HTML.

use askama::Template;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};

use crate::assets;
use crate::config::{HubHost, Settings};
use crate::visitor::Visitor;

/// The page, or the part of one, as a response that no cache keeps.
pub fn respond(status: StatusCode, page: &impl Template) -> Response {
    let html = HeaderValue::from_static("text/html; charset=utf-8");
    match page.render() {
        Ok(text) => (status, [(header::CONTENT_TYPE, html)], text).into_response(),
        Err(error) => {
            tracing::error!(%error, "A page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// What the frame around every page shows.
#[derive(Debug, Clone)]
pub struct Page {
    /// Begins every address of this program.
    pub base: String,
    hub_host: HubHost,
    hub_pages: String,
    pub user: Option<String>,
    /// For the forms' `_xsrf` field.
    pub xsrf: String,
    pub k8s: Option<String>,
    /// Whether there is a jobs service.
    pub has_training: bool,
    /// Whether there is a usage report.
    pub has_usage: bool,
    /// The tab that this page is of.
    pub at: &'static str,
}

impl Page {
    pub fn new(settings: &Settings, visitor: Option<&Visitor>, at: &'static str) -> Self {
        Self {
            base: settings.base.clone(),
            hub_host: settings.hub_host.clone(),
            hub_pages: settings.hub_pages.clone(),
            user: visitor.map(|visitor| visitor.user.name.clone()),
            xsrf: visitor
                .and_then(|visitor| visitor.xsrf.clone())
                .unwrap_or_default(),
            k8s: settings.k8s_dashboard.clone(),
            has_training: settings.jobs_url.is_some(),
            has_usage: settings.usage_report.is_some(),
            at,
        }
    }

    pub fn asset(&self, name: &str) -> String {
        assets::address(&self.base, name)
    }

    /// The address of a page below the job dashboard.
    pub fn jobs(&self, path: &str) -> String {
        format!("{}tfjobs/ui/{path}", self.base)
    }

    /// The address of a page below those of notebooks' jobs.
    pub fn training(&self, path: &str) -> String {
        format!("{}training/{path}", self.base)
    }

    /// The address of a path of the Hub.
    pub fn of_hub(&self, path: &str) -> String {
        match (&self.hub_host, path.strip_prefix('/')) {
            // Only a request tells the host.
            (HubHost::Port(_), Some(rest)) => format!("{}to/{rest}", self.base),
            (_, Some(_)) => self.hub_host.address(None, false, path),
            (_, None) => path.to_owned(),
        }
    }

    pub fn hub(&self) -> String {
        self.of_hub(&self.hub_pages)
    }

    pub fn is_at(&self, tab: &str) -> bool {
        self.at == tab
    }
}

#[derive(Debug, Template)]
#[template(path = "error.html")]
pub struct ErrorPage {
    pub page: Page,
    pub status: u16,
    pub title: String,
    pub message: String,
    pub advice: Option<String>,
}

#[derive(Debug, Template)]
#[template(path = "logged_out.html")]
pub struct LoggedOutPage {
    pub page: Page,
}
