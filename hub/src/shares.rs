//! Sharing of servers: given, taken back, offered by a code and accepted; by the API and by the page alike.

use tracing::info;

use crate::access::permit::{Permit, ShareServer};
use crate::access::scopes::{Scopes, Target};
use crate::access::sharing;
use crate::app::App;
use crate::auth::caller::Caller;
use crate::auth::secret;
use crate::db;
use crate::db::servers::Server;
use crate::db::share_codes::ShareCode;
use crate::db::shares::{Partner, PartnerId, Share, SharedServer};
use crate::db::users::User;
use crate::error::AppError;
use crate::names::{Named, UserName};
use crate::servers::named::{self, NamedError};

/// Gives a user or a group these scopes for a server, or that of using it where none are named. Nobody gives what they
/// do not hold.
pub async fn give(
    app: &App,
    permit: &Permit<ShareServer>,
    giver: &Caller,
    with: &Partner,
    scopes: &[String],
) -> Result<Share, AppError> {
    let (server, scopes) = offered(app, &permit.0, &giver.scopes, scopes).await?;
    let (scope, named, target) = match with {
        Partner::User(name) => ("read:users:name", "users", Target::User(name)),
        Partner::Group(name) => ("read:groups:name", "groups", Target::Group(name)),
    };
    if !giver.scopes.holds(scope, target) {
        return Err(AppError::forbidden(format!(
            "Need scope '{scope}' to share with {named} by name"
        )));
    }
    let unknown = || AppError::bad_request(unknown(with));
    let id = partner_id(app, with).await?.ok_or_else(unknown)?;
    let server = named::with_row(app, server).await?;
    let share = app.db.grant_share(server.id, id, &scopes).await?;
    let share = share.ok_or_else(|| gone(&server))?;
    tell(&share, "shared", giver.principal.name());
    Ok(share)
}

/// Takes these scopes back, or all where none are named; what is left. Of nobody, nothing need be taken back.
pub async fn take_back(
    app: &App,
    permit: &Permit<ShareServer>,
    taker: &Caller,
    with: &Partner,
    scopes: &[String],
) -> Result<Option<Share>, AppError> {
    let scopes = sharing::read(scopes, &permit.0.user, &permit.0.server)?;
    let server = named::existing(app, &permit.0).await?;
    let Some(id) = partner_id(app, with).await? else {
        return Ok(None);
    };
    let left = app.db.revoke_share(server.id, id, &scopes).await?;
    taken_back(&server, taker);
    Ok(left)
}

/// Takes everything back from everybody.
pub async fn take_all_back(
    app: &App,
    permit: &Permit<ShareServer>,
    taker: &Caller,
) -> Result<(), AppError> {
    let server = named::existing(app, &permit.0).await?;
    app.db.remove_shares(server.id).await?;
    taken_back(&server, taker);
    Ok(())
}

fn taken_back(server: &Server, taker: &Caller) {
    let (server, by) = (server.full_name(), taker.principal.name());
    info!(server, by, "What is shared of {server} was taken back");
}

/// Makes a code with which whoever has it can have these scopes; returns it with the code itself, which is not stored.
pub async fn offer(
    app: &App,
    permit: &Permit<ShareServer>,
    giver: &Caller,
    scopes: &[String],
    seconds: i64,
) -> Result<(ShareCode, String), AppError> {
    let (server, scopes) = offered(app, &permit.0, &giver.scopes, scopes).await?;
    let server = named::with_row(app, server).await?;
    let code = secret::generate();
    let stored = app
        .db
        .add_share_code(&secret::hash(&code), server.id, &scopes, db::after(seconds))
        .await?;
    let stored = stored.ok_or_else(|| gone(&server))?;
    let (server, by) = (server.full_name(), giver.principal.name());
    info!(
        server,
        by,
        share_code.id = stored.id,
        "A share code was made for {server}"
    );
    Ok((stored, code))
}

/// What a code offers, if it is one that has not ended.
pub async fn find(app: &App, code: &str) -> db::Result<Option<ShareCode>> {
    match hash_of(code) {
        Some(hash) => app.db.share_code(&hash).await,
        None => Ok(None),
    }
}

/// Gives a user what a code offers. It may be used again, also by others, until it ends.
pub async fn accept(app: &App, user: &User, code: &str) -> db::Result<Option<Share>> {
    let Some(hash) = hash_of(code) else {
        return Ok(None);
    };
    let share = app.db.exchange_share_code(&hash, user.id).await?;
    if let Some(share) = &share {
        tell(share, "accepted", &user.name);
    }
    Ok(share)
}

fn hash_of(code: &str) -> Option<String> {
    let is_short = !code.is_empty() && code.len() <= secret::MAX_TOKEN_LENGTH;
    is_short.then(|| secret::hash(code))
}

/// The server, and what of it is to be given.
async fn offered(
    app: &App,
    named: &Named,
    giver: &Scopes,
    scopes: &[String],
) -> Result<(Server, Vec<String>), AppError> {
    let mut scopes = sharing::read(scopes, &named.user, &named.server)?;
    if scopes.is_empty() {
        scopes.push(sharing::DEFAULT.to_owned());
    }
    let server = named::existing(app, named).await?;
    match scopes
        .iter()
        .find(|scope| !giver.holds(scope, named.target()))
    {
        None => Ok((server, scopes)),
        Some(scope) => Err(AppError::forbidden(format!(
            "Do not have permission to grant share with scope {scope}"
        ))),
    }
}

async fn partner_id(app: &App, with: &Partner) -> db::Result<Option<PartnerId>> {
    Ok(match with {
        Partner::User(name) => {
            let user = match UserName::normalize(name) {
                Ok(name) => app.db.user(&name).await?,
                Err(_) => None,
            };
            user.map(|user| PartnerId::User(user.id))
        }
        Partner::Group(name) => {
            let group = app.db.group(name).await?;
            group.map(|group| PartnerId::Group(group.id))
        }
    })
}

fn unknown(with: &Partner) -> String {
    use crate::auth::username::for_log;
    match with {
        Partner::User(name) => format!("No such user: {}", for_log(name)),
        Partner::Group(name) => format!("No such group: {}", for_log(name)),
    }
}

/// The server was deleted in this moment, or whom it was to be shared with.
fn gone(server: &Server) -> NamedError {
    NamedError::NoServer(server.user.clone())
}

fn tell(share: &Share, what: &str, by: &str) {
    let SharedServer { owner, name, .. } = &share.server;
    let (Partner::User(with) | Partner::Group(with)) = &share.with;
    let scopes = share.scopes.join(" ");
    info!(
        server.owner = owner,
        server.name = name,
        with,
        by,
        scopes,
        "A share of {owner}/{name} was {what}"
    );
}
