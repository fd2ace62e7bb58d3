//! `/hub/api/users/:user/shared` and `/hub/api/groups/:group/shared`: what is shared with somebody, and leaving it
//! (jupyterhub/apihandlers/shares.py).

use axum::extract::State;

use super::answer::{Answer, Done};
use super::listing::Wanted;
use super::shapes::{self, Page};
use super::shares::page;
use super::{find_user, models};
use crate::access::permit::{
    LeaveShare, LeaveShareOfGroup, ReadSharedWithGroup, ReadSharedWithUser,
};
use crate::app::App;
use crate::auth::caller::Caller;
use crate::db::servers::Server;
use crate::db::shares::{PartnerId, Share};
use crate::error::AppError;
use crate::groups;
use crate::names::{GroupName, Named, OfOwner, UserName};
use crate::servers::named::{NamedError, existing};

/// GET /users/:user/shared, by way of groups too
pub async fn with_user(
    State(app): State<App>,
    named: Named,
    wanted: Wanted,
    caller: Caller,
) -> Result<Answer<Page<shapes::Share>>, AppError> {
    let permit = caller.permit(ReadSharedWithUser(named.user))?;
    let user = find_user(&app, &permit.0).await?;
    Ok(page(&app, &wanted, app.db.shares_with_user(user.id).await?))
}

/// GET /users/:user/shared/:owner/:server
pub async fn one_with_user(
    State(app): State<App>,
    named: Named,
    OfOwner(server): OfOwner,
    caller: Caller,
) -> Result<Answer<shapes::Share>, AppError> {
    let permit = caller.permit(ReadSharedWithUser(named.user))?;
    let with = user(&app, &permit.0).await?;
    let (_, share) = find(&app, &server, with).await?;
    Ok(Answer::new(models::share(&app, &share)))
}

/// DELETE /users/:user/shared/:owner/:server
pub async fn leave(
    State(app): State<App>,
    named: Named,
    OfOwner(server): OfOwner,
    caller: Caller,
) -> Result<Done, AppError> {
    let permit = caller.permit(LeaveShare(named.user))?;
    let with = user(&app, &permit.0).await?;
    remove(&app, &server, with).await
}

/// GET /groups/:group/shared
pub async fn with_group(
    State(app): State<App>,
    group: GroupName,
    wanted: Wanted,
    caller: Caller,
) -> Result<Answer<Page<shapes::Share>>, AppError> {
    let permit = caller.permit(ReadSharedWithGroup(group))?;
    let group = groups::find(&app, &permit.0).await?;
    Ok(page(
        &app,
        &wanted,
        app.db.shares_with_group(group.id).await?,
    ))
}

/// GET /groups/:group/shared/:owner/:server
pub async fn one_with_group(
    State(app): State<App>,
    group: GroupName,
    OfOwner(server): OfOwner,
    caller: Caller,
) -> Result<Answer<shapes::Share>, AppError> {
    let permit = caller.permit(ReadSharedWithGroup(group))?;
    let group = groups::find(&app, &permit.0).await?;
    let (_, share) = find(&app, &server, PartnerId::Group(group.id)).await?;
    Ok(Answer::new(models::share(&app, &share)))
}

/// DELETE /groups/:group/shared/:owner/:server
pub async fn leave_as_group(
    State(app): State<App>,
    group: GroupName,
    OfOwner(server): OfOwner,
    caller: Caller,
) -> Result<Done, AppError> {
    let permit = caller.permit(LeaveShareOfGroup(group))?;
    let group = groups::find(&app, &permit.0).await?;
    remove(&app, &server, PartnerId::Group(group.id)).await
}

async fn user(app: &App, name: &UserName) -> Result<PartnerId, AppError> {
    Ok(PartnerId::User(find_user(app, name).await?.id))
}

/// One share; that it is none is told in the same words, whatever is missing.
async fn find(app: &App, server: &Named, with: PartnerId) -> Result<(Server, Share), AppError> {
    let none = || AppError::not_found("There is no such share.");
    let server = match existing(app, server).await {
        Err(NamedError::NoUser | NamedError::NoServer(_)) => return Err(none()),
        server => server?,
    };
    let share = app.db.share(server.id, with).await?;
    Ok((server, share.ok_or_else(none)?))
}

async fn remove(app: &App, server: &Named, with: PartnerId) -> Result<Done, AppError> {
    let (server, _) = find(app, server, with).await?;
    app.db.revoke_share(server.id, with, &[]).await?;
    Ok(Done)
}
