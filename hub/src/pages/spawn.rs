//! Starting and stopping a server from the browser, and waiting for it.

use std::time::Duration;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use serde::Deserialize;

use super::{next_path, see_other, with_next};
use crate::app::App;
use crate::auth::caller::Login;
use crate::auth::posted::{Fields, Posted, STALE};
use crate::auth::username;
use crate::db::servers::{Server, State as RunState};
use crate::db::users::User;
use crate::error::AppError;
use crate::scopes::Target;
use crate::servers::{self, StartError, UserOptions, split_failure};
use crate::templates::{self, FormField, SpawnPage, SpawnPendingPage, Start, StopPendingPage};

/// Whose server a path names: `/spawn`, `/spawn/:user`, `/spawn/:user/:server`.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct Named {
    user: Option<String>,
    server: Option<String>,
}

/// GET /hub/spawn[/:user[/:server]]
pub async fn form(
    State(app): State<App>,
    login: Login,
    Path(named): Path<Named>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    let owned = Owned::find(&app, &login, named, "start:servers").await?;
    let next = next_path(query.as_deref(), &headers);
    match owned.state() {
        RunState::Ready => Ok(see_other(&next.unwrap_or_else(|| owned.url(&app)))),
        RunState::Pending => Ok(see_other(&owned.pending_url(&app, next.as_deref()))),
        RunState::Stopping => Ok(templates::respond(
            StatusCode::OK,
            &StopPendingPage {
                page: login.page(&app),
            },
        )),
        RunState::Stopped => {
            let failure = owned
                .server
                .as_ref()
                .and_then(|server| server.failure.as_deref());
            let error = failure.map(|failure| format!("Last time: {}", split_failure(failure).0));
            let fields = fields(&app, &owned.options());
            Ok(show(
                &app,
                &login,
                &owned,
                next.as_deref(),
                StatusCode::OK,
                fields,
                error,
            ))
        }
    }
}

/// POST /hub/spawn[/:user[/:server]]
pub async fn start(
    State(app): State<App>,
    Path(named): Path<Named>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    posted: Posted,
) -> Result<Response, AppError> {
    let login = posted.login;
    let owned = Owned::find(&app, &login, named, "start:servers").await?;
    let next = next_path(query.as_deref(), &headers);
    let again = |status, options: &UserOptions, error: String| {
        Ok(show(
            &app,
            &login,
            &owned,
            next.as_deref(),
            status,
            fields(&app, options),
            Some(error),
        ))
    };
    let posted = match posted.fields {
        Ok(fields) => fields,
        Err(stale) => {
            return again(
                StatusCode::FORBIDDEN,
                &options(&app, &stale),
                STALE.to_owned(),
            );
        }
    };
    let options = options(&app, &posted);
    let checked = self::fields(&app, &options);
    if checked.iter().any(|field| field.error.is_some()) {
        return Ok(show(
            &app,
            &login,
            &owned,
            next.as_deref(),
            StatusCode::BAD_REQUEST,
            checked,
            None,
        ));
    }
    let permit = login.permit("start:servers", owned.target())?;
    match servers::start(&app, permit, &owned.user, &owned.name, options).await {
        Ok(_) => Ok(see_other(&owned.pending_url(&app, next.as_deref()))),
        Err(StartError::AlreadyRunning(_)) => {
            Ok(see_other(&next.unwrap_or_else(|| owned.url(&app))))
        }
        Err(StartError::Stopping(_)) => Ok(templates::respond(
            StatusCode::OK,
            &StopPendingPage {
                page: login.page(&app),
            },
        )),
        Err(StartError::Db(error)) => Err(error.into()),
    }
}

/// GET /hub/spawn-pending/:user[/:server]
pub async fn pending(
    State(app): State<App>,
    login: Login,
    Path(named): Path<Named>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    let owned = Owned::find(&app, &login, named, "read:servers").await?;
    let next = next_path(query.as_deref(), &headers);
    let spawn_url = with_next(
        &app.urls.page("spawn", &owned.user.name, &owned.name),
        next.as_deref(),
    );
    let Some(server) = &owned.server else {
        return Ok(see_other(&spawn_url));
    };
    let start = match server.state {
        RunState::Ready => return Ok(see_other(&next.unwrap_or_else(|| owned.url(&app)))),
        RunState::Stopping if server.failure.is_none() => {
            return Ok(templates::respond(
                StatusCode::OK,
                &StopPendingPage {
                    page: login.page(&app),
                },
            ));
        }
        // A start that failed is told as such only when nothing of it runs any more.
        RunState::Pending | RunState::Stopping => {
            let last = app.db.progress_after(&server.start_id, 0).await?.pop();
            let (progress, message) = last.map_or((0, String::from("Server requested")), |row| {
                (row.progress, row.message)
            });
            Start::Pending {
                progress: u8::try_from(progress).unwrap_or(0),
                message,
            }
        }
        RunState::Stopped => {
            let Some(failure) = &server.failure else {
                return Ok(see_other(&spawn_url));
            };
            let (reason, log) = split_failure(failure);
            Start::Failed {
                reason: reason.to_owned(),
                log: log.to_owned(),
            }
        }
    };
    let page = SpawnPendingPage {
        page: login.page(&app),
        start,
        progress_url: with_xsrf(
            &app.urls.progress(&owned.user.name, &owned.name),
            &login.xsrf,
        ),
        server_url: next.unwrap_or_else(|| owned.url(&app)),
        stop_url: app.urls.page("stop", &owned.user.name, &owned.name),
        spawn_url,
    };
    Ok(templates::respond(StatusCode::OK, &page))
}

/// POST /hub/stop/:user[/:server]: stops a server or cancels its start.
pub async fn stop(
    State(app): State<App>,
    Path(named): Path<Named>,
    posted: Posted,
) -> Result<Response, AppError> {
    let login = posted.login;
    let owned = Owned::find(&app, &login, named, "delete:servers").await?;
    // A stale form goes back to the home page, whose button is fresh.
    if let (Ok(_), Some(server)) = (&posted.fields, &owned.server) {
        let permit = login.permit("delete:servers", owned.target())?;
        servers::stop(&app, permit, server, Duration::from_secs(5)).await?;
    }
    Ok(see_other(&app.urls.home()))
}

/// `EventSource` sends no header, so the token rides in the query (as in JupyterHub's own pages).
fn with_xsrf(url: &str, xsrf: &str) -> String {
    format!("{url}?_xsrf={xsrf}")
}

/// A server that the visitor may act on; it need not have been started yet.
struct Owned {
    user: User,
    name: String,
    server: Option<Server>,
    /// The path of the request had no user name: forms go back to the short address.
    short: bool,
}

impl Owned {
    async fn find(
        app: &App,
        login: &Login,
        named: Named,
        scope: &'static str,
    ) -> Result<Self, AppError> {
        let short = named.user.is_none();
        let name = named.server.unwrap_or_default();
        let user = match named.user {
            None => login.user().clone(),
            Some(user) => {
                let user = username::normalize(&user).map_err(|_| no_such_user())?;
                login.permit(
                    scope,
                    Target::Server {
                        user: &user,
                        server: &name,
                    },
                )?;
                app.db.user(&user).await?.ok_or_else(no_such_user)?
            }
        };
        let server = app.db.server(&user.name, &name).await?;
        if server.is_none() && !name.is_empty() && !servers::is_server_name(&name) {
            let message = "The name of a server has up to 30 small letters, digits and single hyphens, and begins with a letter.";
            return Err(AppError::bad_request(message));
        }
        Ok(Self {
            user,
            name,
            server,
            short,
        })
    }

    fn state(&self) -> RunState {
        self.server
            .as_ref()
            .map_or(RunState::Stopped, |server| server.state)
    }

    fn target(&self) -> Target<'_> {
        Target::Server {
            user: &self.user.name,
            server: &self.name,
        }
    }

    fn url(&self, app: &App) -> String {
        app.urls.server(&self.user.name, &self.name)
    }

    fn pending_url(&self, app: &App, next: Option<&str>) -> String {
        with_next(
            &app.urls.page("spawn-pending", &self.user.name, &self.name),
            next,
        )
    }

    /// What was chosen for the last start.
    fn options(&self) -> UserOptions {
        self.server
            .as_ref()
            .map(|server| server.user_options.clone())
            .unwrap_or_default()
    }
}

fn no_such_user() -> AppError {
    AppError::not_found("No such user.")
}

fn show(
    app: &App,
    login: &Login,
    owned: &Owned,
    next: Option<&str>,
    status: StatusCode,
    fields: Vec<FormField>,
    error: Option<String>,
) -> Response {
    let url = if owned.short {
        format!("{}spawn", app.urls.hub)
    } else {
        app.urls.page("spawn", &owned.user.name, &owned.name)
    };
    let page = SpawnPage {
        page: login.page(app),
        spawn_url: with_next(&url, next),
        fields,
        error,
    };
    templates::respond(status, &page)
}

/// The fields of `Spawner.options_form` that were sent.
fn options(app: &App, posted: &Fields) -> UserOptions {
    let known = app.config.spawner.options_form.iter();
    known
        .map(|field| (field.name.clone(), posted.get(&field.name).into()))
        .collect()
}

/// The form's fields with what was chosen, or their defaults, and what is wrong with it.
fn fields(app: &App, options: &UserOptions) -> Vec<FormField> {
    let fields = app.config.spawner.options_form.iter();
    fields
        .map(|field| {
            let chosen = options.get(&field.name).and_then(|value| value.as_str());
            let value = chosen.unwrap_or(&field.default).to_owned();
            let error = chosen.and_then(|chosen| servers::option_error(field, chosen));
            FormField {
                field: field.clone(),
                value,
                error,
            }
        })
        .collect()
}
