//! What is done around every request, from its log line to its place in the audit log.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::uri::Authority;
use http::{HeaderValue, Method, StatusCode, header};
use tracing::{Level, debug, enabled};
use url::Url;

use crate::app::{App, JUPYTERHUB_VERSION};
use crate::audit;
use crate::auth::username::for_log;
use crate::error::{self, AppError, is_api};
use crate::headers::text;
use crate::peer::Client;
use crate::templates::CONTENT_SECURITY_POLICY;

/// From the outside in: what was asked is logged, every answer gets its headers, errors get their body, other names are
/// turned away, and what was done is written down. One layer for all of it: each takes memory of its own for every request.
pub async fn around(
    app: App,
    policies: Arc<Policies>,
    client: Client,
    request: Request,
    next: Next,
) -> Response {
    let asked = Asked::of(&request);
    let path = request.uri().path();
    let api = is_api(&app, path);
    let json = error::wants_json(&app, path, request.headers());
    let answer = match own_host(&app, &request) {
        Err(refused) => refused.into_response(),
        // Every address of the API answers OPTIONS with nothing, as JupyterHub's do.
        Ok(()) if api && request.method() == Method::OPTIONS => StatusCode::OK.into_response(),
        Ok(()) => audit::record(&app, client, request, next).await,
    };
    let mut answer = error::render(&app, json, answer);
    policies.add_headers(api, &mut answer);
    asked.log(&app, client, answer.status());
    answer
}

/// On a loopback address, and where servers have hosts of their own, turns away whoever asks for another name than the
/// Hub's: the page of a stranger whose name was pointed at this machine (DNS rebinding) would be of the Hub's own origin to
/// a browser. Servers need no such guard: only a login here lets in there.
fn own_host(app: &App, request: &Request) -> Result<(), AppError> {
    let asked = request.uri().host().map(str::to_owned);
    let asked =
        asked.or_else(|| text(request.headers(), header::HOST).map(|host| without_port(&host)));
    let Some(host) = asked.filter(|host| !app.is_own_host(host)) else {
        // Without a name it is no browser.
        return Ok(());
    };
    let shown = for_log(&host);
    Err(match &app.urls.subdomains {
        // A server that does not run: the visitor is sent to the Hub.
        Some(subdomains)
            if subdomains.hold(&host) && !request.uri().path().starts_with(&app.urls.hub) =>
        {
            return Ok(());
        }
        Some(subdomains) => {
            let told = format!("This Hub is not served under the name {shown}.");
            AppError::forbidden(told).advise(format!("Open it as {}.", subdomains.hub()))
        }
        None => AppError::forbidden(format!(
            "This Hub listens on this machine alone, and not under the name {shown}."
        ))
        .advise(
            "Open it as http://localhost, with its port. A name that a proxy passes on belongs into JupyterHub.allowed_hosts.",
        ),
    })
}

fn without_port(host: &str) -> String {
    let authority = host.parse::<Authority>();
    authority.map_or_else(|_| host.to_owned(), |authority| authority.host().to_owned())
}

/// On a page whose form leads to another origin in the end: browsers hold `form-action` against redirects too.
#[derive(Debug, Clone)]
pub struct FormAction(String);

impl FormAction {
    /// Lets the form of this page lead to a URL; a path is of the Hub's own origin.
    pub fn leads_to(response: &mut Response, uri: &str) {
        if let Ok(url) = Url::parse(uri) {
            let origin = url.origin().ascii_serialization();
            response.extensions_mut().insert(Self(origin));
        }
    }
}

/// What browsers may load and where forms may lead, as most answers say it.
#[derive(Debug)]
pub struct Policies {
    api: HeaderValue,
    page: HeaderValue,
    /// That of a page before an address for reports is added.
    of_page: String,
    reports: String,
}

impl Policies {
    pub fn of(app: &App) -> Self {
        let reports = format!("; report-uri {}security/csp-report", app.urls.hub);
        let mut of_page = CONTENT_SECURITY_POLICY.to_owned();
        if let Some(subdomains) = &app.urls.subdomains {
            // Forms lead to servers too.
            of_page = with_form_action(&of_page, &subdomains.all());
        }
        Self {
            api: policy(&format!(
                "default-src 'none'; frame-ancestors 'none'{reports}"
            )),
            page: policy(&format!("{of_page}{reports}")),
            of_page,
            reports,
        }
    }

    /// The version that stock clients compare, and what browsers may do with an answer.
    fn add_headers(&self, api: bool, response: &mut Response) {
        let policy = self.for_answer(api, response);
        let headers = response.headers_mut();
        headers.insert(
            "x-jupyterhub-version",
            HeaderValue::from_static(JUPYTERHUB_VERSION),
        );
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
        headers.insert(
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        );
        // A page's address may hold an OAuth code.
        headers.insert(
            header::REFERRER_POLICY,
            HeaderValue::from_static("same-origin"),
        );
        if api {
            let allowed = HeaderValue::from_static("accept, content-type, authorization");
            headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, allowed);
        }
    }

    fn for_answer(&self, api: bool, response: &Response) -> HeaderValue {
        match response.extensions().get() {
            _ if api => self.api.clone(),
            None => self.page.clone(),
            Some(FormAction(origin)) => {
                policy(&(with_form_action(&self.of_page, origin) + &self.reports))
            }
        }
    }
}

/// Of what cannot stand in a header, a browser may load nothing.
fn policy(text: &str) -> HeaderValue {
    let nothing = HeaderValue::from_static("default-src 'none'; form-action 'none'");
    text.try_into().unwrap_or(nothing)
}

fn with_form_action(policy: &str, allowed: &str) -> String {
    policy.replace(
        "form-action 'self'",
        &format!("form-action 'self' {allowed}"),
    )
}

/// What the log and the metrics tell of a request.
struct Asked {
    begun: Instant,
    method: Method,
    route: Option<MatchedPath>,
    /// Of who looks closely.
    path: Option<String>,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>().cloned();
        // Some paths hold a token.
        let of_token = route
            .as_ref()
            .filter(|route| route.as_str().contains("{token"));
        let path = of_token.map_or(request.uri().path(), MatchedPath::as_str);
        Self {
            begun: Instant::now(),
            method: request.method().clone(),
            path: enabled!(Level::DEBUG).then(|| for_log(path)),
            route,
        }
    }

    /// One line per request for who looks closely (`RUST_LOG=debug`), without its query: that may hold codes and
    /// tokens. What fails is logged where it fails.
    fn log(self, app: &App, client: Client, status: StatusCode) {
        let (status, took) = (status.as_u16(), self.begun.elapsed());
        let route = self.route.as_ref().map_or("", MatchedPath::as_str);
        app.metrics.answered(&self.method, route, status, took);
        let (method, duration_ms) = (self.method, took.as_millis());
        debug!(%method, path = self.path, status, duration_ms, client.address = %client.address, "Request");
    }
}
