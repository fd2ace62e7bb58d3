//! Starting and stopping a server from the browser, and waiting for it.

use axum::extract::{OriginalUri, RawQuery, State};
use axum::response::{IntoResponse as _, Response};
use carrel_spawner::form::{Field, Form, PROFILE, Wrong};
use http::{HeaderMap, Method, StatusCode};

use super::{PATIENCE, argument, next_path, see_other, spawn_query, with_next};
use crate::access::permit::{self, StartServer, StopServer};
use crate::app::App;
use crate::audit;
use crate::auth::caller::Login;
use crate::auth::posted::{Fields, Posted, STALE};
use crate::db::servers::{Server, State as RunState};
use crate::db::users::User;
use crate::error::AppError;
use crate::names::{Named, UserName, no_such_user};
use crate::peer::Client;
use crate::refresh;
use crate::servers::{self, StartError, UserOptions, Wanted, named, split_failure};
use crate::templates::{
    self, FormField, FormProfile, SpawnPage, SpawnPendingPage, Start, StopPendingPage, Subject,
};

/// GET /hub/spawn[/:user[/:server]]: the form; with options in the query, the start itself, where the visitor wanted it.
pub async fn form(
    State(app): State<App>,
    login: Login,
    named: Option<Named>,
    client: Client,
    uri: OriginalUri,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    let query = uri.query();
    let next = next_path(&app, query, &headers);
    let visit = Visit::of(app, login, named, "start:servers", next).await?;
    match visit.state() {
        RunState::Ready => Ok(visit.to_server()),
        RunState::Pending => Ok(visit.to_pending()),
        RunState::Stopping => Ok(visit.stop_pending()),
        RunState::Stopped => {
            let asked = spawn_query::options(query)?;
            if asked.is_empty() {
                return visit.form_again().await;
            }
            let form = servers::options::form(&visit.app, &visit.owner).await?;
            let sent = |name: &str| asked.iter().find(|(key, _)| key == name);
            let options = form.read(|name| sent(name).map(|(_, value)| value.as_str()));
            if !spawn_query::is_own_will(&headers) {
                return visit.form(StatusCode::OK, &options, &[], None).await;
            }
            let work = async {
                audit::by_user(&visit.login.user().name);
                let display_name = argument(query, "display_name");
                let display_name = display_name.filter(|_| !visit.name.is_empty());
                let begun = visit.begin(&form, options, display_name).await;
                begun.unwrap_or_else(AppError::into_response)
            };
            Ok(audit::write_down(&visit.app, client, (&Method::GET, uri.path()), work).await)
        }
    }
}

/// POST /hub/spawn[/:user[/:server]]
pub async fn start(
    State(app): State<App>,
    named: Option<Named>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    posted: Posted,
) -> Result<Response, AppError> {
    let next = next_path(&app, query.as_deref(), &headers);
    let visit = Visit::of(app, posted.login, named, "start:servers", next).await?;
    let form = servers::options::form(&visit.app, &visit.owner).await?;
    match posted.fields {
        Ok(fields) => visit.begin(&form, read(&form, &fields), None).await,
        Err(stale) => {
            let stale = read(&form, &stale);
            let error = Some(STALE.to_owned());
            visit.form(StatusCode::FORBIDDEN, &stale, &[], error).await
        }
    }
}

/// GET /hub/spawn-pending/:user[/:server]
pub async fn pending(
    State(app): State<App>,
    login: Login,
    named: Option<Named>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    let next = next_path(&app, query.as_deref(), &headers);
    let visit = Visit::of(app, login, named, "read:servers", next).await?;
    let Some(server) = &visit.server else {
        return Ok(see_other(&visit.spawn_url()));
    };
    let waiting = visit.app.queue.place_of(server).await;
    let start = match (server.state, &server.failure) {
        (RunState::Ready, _) => return Ok(visit.to_server()),
        (RunState::Stopping, None) => return Ok(visit.stop_pending()),
        (RunState::Stopped, None) => return Ok(see_other(&visit.spawn_url())),
        (RunState::Pending, _) if let Some(waits) = waiting => Start::Pending {
            progress: 0,
            message: waits.to_string(),
        },
        // A start that failed is told as such only when nothing of it runs any more.
        (RunState::Pending | RunState::Stopping, _) => {
            let last = visit
                .app
                .db
                .progress_after(&server.start_id, 0)
                .await?
                .pop();
            last.map_or_else(
                || Start::Pending {
                    progress: 0,
                    message: "Server requested".to_owned(),
                },
                |row| Start::Pending {
                    progress: u8::try_from(row.progress).unwrap_or(0),
                    message: row.message,
                },
            )
        }
        (RunState::Stopped, Some(failure)) => {
            let (reason, log) = split_failure(failure);
            Start::Failed {
                reason: reason.to_owned(),
                log: log.to_owned(),
            }
        }
    };
    Ok(visit.pending(start))
}

/// POST /hub/stop/:user[/:server]: stops a server or cancels its start.
pub async fn stop(
    State(app): State<App>,
    named: Option<Named>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    posted: Posted,
) -> Result<Response, AppError> {
    let next = next_path(&app, query.as_deref(), &headers);
    let visit = Visit::of(app, posted.login, named, "delete:servers", next).await?;
    // A stale form goes back to the page it came from, whose button is fresh.
    if posted.fields.is_ok() {
        let permit = visit.login.permit(StopServer(visit.named()))?;
        servers::stop(&visit.app, &permit, PATIENCE).await?;
    }
    Ok(see_other(
        &visit.next.unwrap_or_else(|| visit.app.urls.home()),
    ))
}

/// `EventSource` sends no header, so the token rides in the query (as in JupyterHub's own pages).
fn with_xsrf(url: &str, xsrf: &str) -> String {
    format!("{url}?_xsrf={xsrf}")
}

/// A visitor and the server that they may act on; it need not have been started yet.
struct Visit {
    app: App,
    login: Login,
    owner: User,
    name: String,
    server: Option<Server>,
    next: Option<String>,
    /// The path of the request had no user name: forms go back to the short address.
    short: bool,
}

impl Visit {
    async fn of(
        app: App,
        login: Login,
        named: Option<Named>,
        scope: &'static str,
        next: Option<String>,
    ) -> Result<Self, AppError> {
        let short = named.is_none();
        let (owner, name) = match named {
            None => (login.user().clone(), String::new()),
            Some(named) => {
                permit::require(&login.scopes, &[scope], named.target())?;
                let owner = app.db.user(&named.user).await?;
                (owner.ok_or_else(no_such_user)?, named.server)
            }
        };
        let server = app.db.server(&owner.name, &name).await?;
        if scope == "start:servers" {
            named::admit(&app, &owner, &name).await?;
        }
        Ok(Self {
            app,
            login,
            owner,
            name,
            server,
            next,
            short,
        })
    }

    fn state(&self) -> RunState {
        self.server
            .as_ref()
            .map_or(RunState::Stopped, |server| server.state)
    }

    fn named(&self) -> Named {
        Named {
            user: UserName::of(&self.owner),
            server: self.name.clone(),
        }
    }

    /// `<hub><page>/<owner>[/<server>]?next=`
    fn url(&self, page: &str) -> String {
        let url = self.app.urls.page(page, &self.owner.name, &self.name);
        with_next(&url, self.next.as_deref())
    }

    fn spawn_url(&self) -> String {
        self.url("spawn")
    }

    fn server_url(&self) -> String {
        let urls = &self.app.urls;
        let server = || urls.public(&urls.server(&self.owner.name, &self.name));
        self.next.clone().unwrap_or_else(server)
    }

    fn to_server(&self) -> Response {
        see_other(&self.server_url())
    }

    fn to_pending(&self) -> Response {
        see_other(&self.url("spawn-pending"))
    }

    fn stop_pending(&self) -> Response {
        let page = StopPendingPage {
            page: self.login.page(&self.app),
            subject: self.subject(),
        };
        templates::respond(StatusCode::OK, &page)
    }

    fn subject(&self) -> Subject {
        Subject {
            owner: self.owner.name.clone(),
            name: self.name.clone(),
            is_own: self.owner.id == self.login.user().id,
        }
    }

    /// Starts the server with these options, or shows what is wrong with them.
    async fn begin(
        &self,
        form: &Form,
        options: UserOptions,
        display_name: Option<String>,
    ) -> Result<Response, AppError> {
        let wrong = form.check(&options);
        if !wrong.is_empty() {
            let profile = wrong.iter().find(|wrong| wrong.field == PROFILE);
            let error = profile.map(|wrong| wrong.message.clone());
            return self
                .form(StatusCode::BAD_REQUEST, &options, &wrong, error)
                .await;
        }
        let app = &self.app;
        let permit = self.login.permit(StartServer(self.named()))?;
        let own = self.login.user().id == self.owner.id;
        refresh::before_start(app, &self.owner.name, own).await?;
        let wanted = Wanted {
            options: Some(options.clone()),
            display_name,
        };
        let error = match servers::start(app, permit, wanted).await {
            Ok(_) => return Ok(self.to_pending()),
            Err(StartError::AlreadyRunning(_)) => return Ok(self.to_server()),
            Err(StartError::Stopping(_)) => return Ok(self.stop_pending()),
            Err(error) => error,
        };
        let status = match &error {
            StartError::TooMany(_) => StatusCode::TOO_MANY_REQUESTS,
            StartError::Quota(_) => StatusCode::FORBIDDEN,
            StartError::NotGone => StatusCode::CONFLICT,
            _ => return Err(error.into()),
        };
        self.form(status, &options, &[], Some(error.to_string()))
            .await
    }

    /// The form with what was chosen last time, and how that ended.
    async fn form_again(&self) -> Result<Response, AppError> {
        let last = self.server.as_ref();
        let failure = last.and_then(|server| server.failure.as_deref());
        let error = failure.map(|failure| format!("Last time: {}", split_failure(failure).0));
        let chosen = last.map(|server| server.user_options.clone());
        let chosen = chosen.unwrap_or_default();
        self.form(StatusCode::OK, &chosen, &[], error).await
    }

    async fn form(
        &self,
        status: StatusCode,
        options: &UserOptions,
        wrong: &[Wrong],
        error: Option<String>,
    ) -> Result<Response, AppError> {
        let form = servers::options::form(&self.app, &self.owner).await?;
        let Filled { profiles, fields } = Filled::new(&form, options, wrong);
        let short = || with_next(&format!("{}spawn", self.app.urls.hub), self.next.as_deref());
        let spawn_url = if self.short {
            short()
        } else {
            self.spawn_url()
        };
        let page = SpawnPage {
            page: self.login.page(&self.app),
            subject: self.subject(),
            spawn_url,
            profiles,
            fields,
            error,
        };
        Ok(templates::respond(status, &page))
    }

    fn pending(&self, start: Start) -> Response {
        let urls = &self.app.urls;
        let page = SpawnPendingPage {
            page: self.login.page(&self.app),
            subject: self.subject(),
            start,
            progress_url: with_xsrf(
                &urls.progress(&self.owner.name, &self.name),
                &self.login.xsrf,
            ),
            server_url: self.server_url(),
            stop_url: urls.page("stop", &self.owner.name, &self.name),
            spawn_url: self.spawn_url(),
        };
        templates::respond(StatusCode::OK, &page)
    }
}

/// The options that a form has sent.
fn read(form: &Form, posted: &Fields) -> UserOptions {
    let sent = |name: &str| posted.iter().find(|(key, _)| *key == name);
    form.read(|name| sent(name).map(|(_, value)| value))
}

/// The form with what was chosen, or its defaults, and what is wrong with it.
struct Filled {
    profiles: Vec<FormProfile>,
    fields: Vec<FormField>,
}

impl Filled {
    fn new(form: &Form, options: &UserOptions, wrong: &[Wrong]) -> Self {
        let chosen = form.profile(options).ok().flatten();
        let chosen = chosen.map(|profile| profile.slug.as_str());
        let profiles = form.profiles.iter().map(|profile| {
            let is_chosen = chosen == Some(&profile.slug);
            // Profiles share names of fields: what was chosen counts for its own profile.
            let none = (UserOptions::new(), Vec::new());
            let (options, wrong) = match is_chosen {
                true => (options, wrong),
                false => (&none.0, &none.1[..]),
            };
            let fields = profile.fields.iter();
            FormProfile {
                slug: profile.slug.clone(),
                display_name: profile.display_name.clone(),
                description: profile.description.clone(),
                chosen: is_chosen,
                fields: fields
                    .map(|field| fill(field, profile.input(&field.name), options, wrong))
                    .collect(),
            }
        });
        let fields = form.fields.iter();
        Self {
            profiles: profiles.collect(),
            fields: fields
                .map(|field| fill(field, field.name.clone(), options, wrong))
                .collect(),
        }
    }
}

fn fill(field: &Field, input: String, options: &UserOptions, wrong: &[Wrong]) -> FormField {
    let given = |key: &str| options.get(key).and_then(|value| value.as_str());
    let wrong = wrong.iter().find(|wrong| wrong.field == field.name);
    FormField {
        input,
        value: given(&field.name).unwrap_or(&field.default).to_owned(),
        text: given(&Field::unlisted(&field.name))
            .unwrap_or_default()
            .to_owned(),
        error: wrong.map(|wrong| wrong.message.clone()),
        field: field.clone(),
    }
}
