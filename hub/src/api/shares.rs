//! `/hub/api/shares`: with whom servers are shared (jupyterhub/apihandlers/shares.py).

use axum::extract::State;
use schemars_of_aide::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::answer::{Answer, Done};
use super::body::Body;
use super::listing::Wanted;
use super::shapes::{self, Page};
use super::{find_user, models};
use crate::access::permit::{ReadShares, ReadSharesOf, ShareServer};
use crate::app::App;
use crate::auth::caller::Caller;
use crate::db::shares::{Partner, Share};
use crate::error::AppError;
use crate::names::Named;
use crate::servers::named;
use crate::shares;

/// POST and PATCH
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(crate = "schemars_of_aide", rename = "ShareRequest")]
#[serde(deny_unknown_fields)]
pub struct Request {
    user: Option<String>,
    group: Option<String>,
    scopes: Option<Vec<String>>,
}

impl Request {
    fn read(body: &Body<Self>) -> Result<(Partner, Vec<String>), AppError> {
        let request = body.object_or_default()?;
        let with = match (request.user, request.group) {
            (Some(user), None) => Partner::User(user),
            (None, Some(group)) => Partner::Group(group),
            _ => {
                return Err(AppError::bad_request(
                    "Specify exactly one of `user` or `group`",
                ));
            }
        };
        Ok((with, request.scopes.unwrap_or_default()))
    }
}

/// GET /shares/:owner
pub async fn of_owner(
    State(app): State<App>,
    named: Named,
    wanted: Wanted,
    caller: Caller,
) -> Result<Answer<Page<shapes::Share>>, AppError> {
    let permit = caller.permit(ReadSharesOf(named.user))?;
    let owner = find_user(&app, &permit.0).await?;
    Ok(page(&app, &wanted, app.db.shares_of_owner(owner.id).await?))
}

/// GET /shares/:owner/:server
pub async fn of_server(
    State(app): State<App>,
    named: Named,
    wanted: Wanted,
    caller: Caller,
) -> Result<Answer<Page<shapes::Share>>, AppError> {
    let permit = caller.permit(ReadShares(named))?;
    let server = named::existing(&app, &permit.0).await?;
    Ok(page(
        &app,
        &wanted,
        app.db.shares_of_server(server.id).await?,
    ))
}

/// POST /shares/:owner/:server: shares it with a user or a group, or shares more of it.
pub async fn give(
    State(app): State<App>,
    named: Named,
    caller: Caller,
    body: Body<Request>,
) -> Result<Answer<shapes::Share>, AppError> {
    let permit = caller.permit(ShareServer(named))?;
    let (with, scopes) = Request::read(&body)?;
    let share = shares::give(&app, &permit, &caller, &with, &scopes).await?;
    Ok(Answer::new(models::share(&app, &share)))
}

/// PATCH /shares/:owner/:server: takes scopes back from a user or a group, or all where none are named.
pub async fn take_back(
    State(app): State<App>,
    named: Named,
    caller: Caller,
    body: Body<Request>,
) -> Result<Answer<shapes::Share>, AppError> {
    let permit = caller.permit(ShareServer(named))?;
    let (with, scopes) = Request::read(&body)?;
    let left = shares::take_back(&app, &permit, &caller, &with, &scopes).await?;
    Ok(Answer::new(
        left.as_ref()
            .map_or(json!({}), |left| models::share(&app, left)),
    ))
}

/// DELETE /shares/:owner/:server: takes everything back from everybody.
pub async fn take_all_back(
    State(app): State<App>,
    named: Named,
    caller: Caller,
) -> Result<Done, AppError> {
    let permit = caller.permit(ShareServer(named))?;
    shares::take_all_back(&app, &permit, &caller).await?;
    Ok(Done)
}

/// Lists of shares are always in pages.
pub(super) fn page(app: &App, wanted: &Wanted, shares: Vec<Share>) -> Answer<Page<shapes::Share>> {
    Answer::new(wanted.page_of(shares, |share| models::share(app, share)))
}
