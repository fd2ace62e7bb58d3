//! The admin page: users, groups, active servers and the Hub itself, each in pages that a large Hub can answer.

pub mod groups;
pub mod servers;
pub mod users;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::StatusCode;

use super::argument;
use crate::access::permit::{self, Hub, ShutDown};
use crate::access::scopes::Target;
use crate::app::{App, Ending};
use crate::auth::caller::Login;
use crate::auth::posted::Posted;
use crate::error::AppError;
use crate::templates;
use crate::templates::admin::{HubPage, Paging, ShuttingDownPage};

/// How many rows a page has.
const LIMIT: i64 = 50;

/// Whether somebody may see the admin page at all; what they see of it, and may do there, hangs on further scopes.
fn require(login: &Login) -> Result<(), AppError> {
    Ok(permit::require(&login.scopes, &["admin-ui"], Target::Hub)?)
}

/// `?offset=`; the first page where it does not read.
fn offset(query: Option<&str>) -> i64 {
    let offset = argument(query, "offset").and_then(|offset| offset.parse::<i64>().ok());
    offset.unwrap_or(0).max(0)
}

/// Where a part of a list lies in it; `link` is the address of a part.
fn paging(offset: i64, shown: usize, total: i64, link: impl Fn(i64) -> String) -> Paging {
    let last = offset.saturating_add(i64::try_from(shown).unwrap_or(i64::MAX));
    Paging {
        first: if shown == 0 {
            0
        } else {
            offset.saturating_add(1)
        },
        last: if shown == 0 { 0 } else { last },
        total,
        previous: (offset > 0).then(|| link((offset - LIMIT).max(0))),
        next: (last < total && shown > 0).then(|| link(last)),
    }
}

/// The part of a list that is whole in memory.
fn cut<T>(all: Vec<T>, offset: i64) -> Vec<T> {
    let from = usize::try_from(offset).unwrap_or(usize::MAX);
    let limit = usize::try_from(LIMIT).unwrap_or(usize::MAX);
    all.into_iter().skip(from).take(limit).collect()
}

/// Names that somebody wrote one a line, or with commas or blanks between them.
fn names(text: &str) -> Vec<String> {
    let names = text.split(|letter: char| letter.is_whitespace() || letter == ',');
    let names = names.filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}

/// GET /hub/admin/hub
pub async fn hub(State(app): State<App>, login: Login) -> Result<Response, AppError> {
    require(&login)?;
    let page = HubPage {
        page: login.page(&app),
        version: env!("CARGO_PKG_VERSION"),
        active: app.db.active_servers().await?.len(),
        stops_servers: app.config.jupyter_hub.cleanup_servers,
        may_shut_down: login.scopes.holds("shutdown", Target::Hub),
    };
    Ok(templates::respond(StatusCode::OK, &page))
}

/// POST /hub/admin/shutdown: field `servers`, `stop` or `leave`.
pub async fn shut_down(State(app): State<App>, posted: Posted) -> Result<Response, AppError> {
    let (login, fields) = posted.fresh()?;
    login.permit(ShutDown(Hub))?;
    let servers = match fields.get("servers") {
        "stop" => true,
        "leave" => false,
        _ => {
            return Err(AppError::bad_request(
                "Say what is to become of the servers: `stop` or `leave`.",
            ));
        }
    };
    tracing::info!(by = %login.user().name, servers, "The Hub is told to end");
    app.end(Ending {
        servers: Some(servers),
    });
    let page = ShuttingDownPage {
        page: login.page(&app),
        servers,
    };
    Ok(templates::respond(StatusCode::ACCEPTED, &page))
}

/// `?q` of an address, where it has one.
fn with_query(url: String, query: &RawQuery) -> String {
    match &query.0 {
        Some(query) => format!("{url}?{query}"),
        None => url,
    }
}
