//! What somebody sees who was sent a code of a share, and accepting it.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};

use super::{argument, next_path, see_other};
use crate::access::scopes::{Owner, Scopes, Target};
use crate::access::{definitions, sharing};
use crate::app::App;
use crate::auth::caller::Login;
use crate::auth::posted::{Posted, STALE};
use crate::db::share_codes::ShareCode;
use crate::error::AppError;
use crate::shares;
use crate::templates::{self, AcceptSharePage};
use crate::time;

/// GET /hub/accept-share?code=
pub async fn form(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    login: Login,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    let code = argument(query.as_deref(), "code").unwrap_or_default();
    let next = next_path(&app, query.as_deref(), &headers);
    let invitation = Invitation::find(&app, &login, code, next).await?;
    Ok(invitation.show(&app, &login, StatusCode::OK, None))
}

/// POST /hub/accept-share: field `code`.
pub async fn accept(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    posted: Posted,
) -> Result<Response, AppError> {
    let login = posted.login;
    let fields = posted.fields.as_ref().unwrap_or_else(|stale| stale);
    let code = fields.get("code").to_owned();
    let next = next_path(&app, query.as_deref(), &headers);
    let invitation = Invitation::find(&app, &login, code, next).await?;
    if posted.fields.is_err() {
        return Ok(invitation.show(&app, &login, StatusCode::FORBIDDEN, Some(STALE)));
    }
    let share = shares::accept(&app, login.user(), &invitation.code).await?;
    let share = share.ok_or_else(no_such_code)?;
    let server = || app.urls.public(&share.server.prefix);
    Ok(see_other(&invitation.next.unwrap_or_else(server)))
}

struct Invitation {
    code: String,
    offer: ShareCode,
    next: Option<String>,
}

impl Invitation {
    async fn find(
        app: &App,
        login: &Login,
        code: String,
        next: Option<String>,
    ) -> Result<Self, AppError> {
        let offer = shares::find(app, &code).await?;
        let offer = offer.ok_or_else(no_such_code)?;
        if offer.server.owner_id == login.user().id {
            return Err(AppError::forbidden(
                "This is your own server: you cannot share it with yourself.",
            )
            .advise("Send the link to whom you want to share it with."));
        }
        Ok(Self { code, offer, next })
    }

    /// Whether the visitor can start the server, and see it start, with what is offered.
    fn may_start(&self, login: &Login) -> bool {
        let (owner, server) = (&self.offer.server.owner, &self.offer.server.name);
        let offered = sharing::filtered(&self.offer.scopes, owner, server);
        let offered = offered.iter().map(String::as_str);
        let (mut scopes, _) = Scopes::stored(offered, Owner::User(&login.user().name));
        scopes.extend(&login.scopes);
        let target = Target::Server {
            user: owner,
            server,
        };
        let both = ["start:servers", "read:servers"];
        both.iter().all(|scope| scopes.holds(scope, target))
    }

    fn show(
        self,
        app: &App,
        login: &Login,
        status: StatusCode,
        error: Option<&'static str>,
    ) -> Response {
        let may_start = self.may_start(login);
        let Self { code, offer, next } = self;
        let scopes = offer
            .scopes
            .iter()
            .filter_map(|name| definitions::find(name));
        let page = AcceptSharePage {
            page: login.page(app),
            scopes: scopes.map(|scope| scope.meaning).collect(),
            expires: time::human(offer.expires),
            owner: offer.server.owner,
            server: offer.server.name,
            server_url: app.urls.public(&offer.server.prefix),
            ready: offer.server.ready,
            may_start,
            code,
            next: next.unwrap_or_default(),
            error: error.map(str::to_owned),
        };
        templates::respond(status, &page)
    }
}

fn no_such_code() -> AppError {
    AppError::not_found("There is no such offer, or it has ended.")
        .advise("Ask whoever sent you the link for a new one.")
}
