//! `/hub/api/share-codes`: codes by which servers are offered to whoever has them (jupyterhub/apihandlers/shares.py).

use axum::extract::{RawQuery, State};
use schemars_of_aide::JsonSchema;
use serde::Deserialize;

use super::answer::{Answer, Done};
use super::body::Body;
use super::listing::Wanted;
use super::shapes::{self, Page};
use super::{find_user, models};
use crate::access::permit::{ReadShares, ReadSharesOf, ShareServer};
use crate::app::App;
use crate::auth::caller::Caller;
use crate::db::share_codes::ShareCode;
use crate::error::AppError;
use crate::names::Named;
use crate::pages::argument;
use crate::servers::named;
use crate::shares;

/// Seconds that a code may last: from a minute to a year, and a day where nothing is said.
const SHORTEST: i64 = 60;
const LONGEST: i64 = 365 * DAY;
const DAY: i64 = 24 * 60 * 60;

/// POST
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(crate = "schemars_of_aide", rename = "ShareCodeRequest")]
#[serde(deny_unknown_fields, default)]
pub struct Request {
    scopes: Option<Vec<String>>,
    expires_in: i64,
}

impl Default for Request {
    fn default() -> Self {
        Self {
            scopes: None,
            expires_in: DAY,
        }
    }
}

/// GET /share-codes/:owner
pub async fn of_owner(
    State(app): State<App>,
    named: Named,
    wanted: Wanted,
    caller: Caller,
) -> Result<Answer<Page<shapes::ShareCode>>, AppError> {
    let permit = caller.permit(ReadSharesOf(named.user))?;
    let owner = find_user(&app, &permit.0).await?;
    let codes = app.db.share_codes_of_owner(owner.id).await?;
    Ok(page(&app, &wanted, codes))
}

/// GET /share-codes/:owner/:server
pub async fn of_server(
    State(app): State<App>,
    named: Named,
    wanted: Wanted,
    caller: Caller,
) -> Result<Answer<Page<shapes::ShareCode>>, AppError> {
    let permit = caller.permit(ReadShares(named))?;
    let server = named::existing(&app, &permit.0).await?;
    let codes = app.db.share_codes_of_server(server.id).await?;
    Ok(page(&app, &wanted, codes))
}

/// POST /share-codes/:owner/:server: the answer alone holds the code.
pub async fn create(
    State(app): State<App>,
    named: Named,
    caller: Caller,
    body: Body<Request>,
) -> Result<Answer<shapes::ShareCode>, AppError> {
    let permit = caller.permit(ShareServer(named))?;
    let request = body.object_or_default()?;
    let seconds = request.expires_in;
    if !(SHORTEST..=LONGEST).contains(&seconds) {
        return Err(AppError::bad_request(format!(
            "expires_in: a code lasts from {SHORTEST} to {LONGEST} seconds"
        )));
    }
    let scopes = request.scopes.unwrap_or_default();
    let (stored, code) = shares::offer(&app, &permit, &caller, &scopes, seconds).await?;
    Ok(Answer::new(models::share_code(&app, &stored, Some(&code))))
}

/// DELETE /share-codes/:owner/:server?code= or ?id=, or all of the server's.
pub async fn delete(
    State(app): State<App>,
    named: Named,
    RawQuery(query): RawQuery,
    caller: Caller,
) -> Result<Done, AppError> {
    let permit = caller.permit(ShareServer(named))?;
    let server = named::existing(&app, &permit.0).await?;
    let given = |name| argument(query.as_deref(), name).filter(|value| !value.is_empty());
    let (id, none) = match (given("code"), given("id")) {
        (Some(code), _) => {
            let code = shares::find(&app, &code).await?;
            (code.map(|code| code.id), "No matching code found")
        }
        (None, Some(id)) => (parse_id(&id), "No code found matching the id"),
        (None, None) => {
            app.db.remove_share_codes(server.id).await?;
            return Ok(Done);
        }
    };
    let removed = match id {
        Some(id) => app.db.remove_share_code(server.id, id).await?,
        None => false,
    };
    if removed {
        Ok(Done)
    } else {
        Err(AppError::not_found(none))
    }
}

/// `sc_<number>`, the public id of a code.
fn parse_id(id: &str) -> Option<i64> {
    id.strip_prefix("sc_")?.parse().ok()
}

fn page(app: &App, wanted: &Wanted, codes: Vec<ShareCode>) -> Answer<Page<shapes::ShareCode>> {
    Answer::new(wanted.page_of(codes, |code| models::share_code(app, code, None)))
}
