//! A whole Hub: database, first administrator, servers of the last run, listener, and an orderly end.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use carrel_proxy::{Proxy, Routes, Unavailable};
use carrel_spawner::Spawner;
use carrel_spawner::kube::KubeSpawner;
use carrel_spawner::local::{LocalConfig, LocalProcessSpawner};
use http::{HeaderMap, StatusCode, header};
use tokio::task::JoinSet;
use tower::ServiceExt as _;
use tracing::{error, info, warn};

use crate::access::definitions::define;
use crate::accounts;
use crate::app::{App, JUPYTERHUB_VERSION};
use crate::auth::crypt::{Keeper, KeyError};
use crate::auth::{cookies, xsrf};
use crate::authenticators::{self, Authenticator};
use crate::config::{Config, DbUrl, SpawnerClass};
use crate::db::{Db, OpenError};
use crate::events;
use crate::import;
use crate::listen::{ListenError, Listeners};
use crate::proxy;
use crate::router::router;
use crate::servers;
use crate::services::Managed;

/// How long the servers may take to stop; below the 30 s that process managers give.
const CLEANUP: Duration = Duration::from_secs(20);

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("could not create the state folder {0}")]
    State(PathBuf, #[source] std::io::Error),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Listen(#[from] ListenError),
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error("could not use the database")]
    Db(#[from] sqlx::Error),
    #[error("could not use the spawner (JupyterHub.spawner_class)")]
    Spawner(#[from] carrel_spawner::Error),
    #[error(transparent)]
    Replica(#[from] servers::hubs::EnterError),
    #[error(transparent)]
    Proxy(#[from] proxy::OpenError),
    #[error(transparent)]
    Authenticator(#[from] authenticators::OpenError),
    #[error(transparent)]
    Account(#[from] accounts::Error),
    #[error(transparent)]
    Events(#[from] events::OpenError),
    #[error(transparent)]
    Import(#[from] import::ImportError),
}

/// A Hub that is bound to its port and not serving yet.
pub struct Hub {
    pub app: App,
    pub address: SocketAddr,
    /// Those by which this process proxies.
    routes: Routes,
    listeners: Listeners,
    begun: Instant,
}

impl Hub {
    /// Opens everything; `state` holds the database, the users' folders and the logs.
    pub async fn open(config: Config, state: &Path) -> Result<Self, StartError> {
        let spawner = spawner(&config, state).await?;
        Self::open_with(config, state, spawner).await
    }

    /// [`Hub::open`] with a spawner of the caller's choice.
    pub async fn open_with(
        config: Config,
        state: &Path,
        spawner: Arc<dyn Spawner>,
    ) -> Result<Self, StartError> {
        let begun = Instant::now();
        let needed = config.authenticator.enable_auth_state;
        let keeper = Keeper::open(&config.crypt_keeper, needed)?;
        create_state(state)?;
        // First: a port that is in use should not wait for the database, nor touch it.
        let listeners = Listeners::open(&config.jupyter_hub).await?;
        let (address, at) = (listeners.address, listeners.hub_address);
        let url = db_url(&config, state);
        let db = Db::open(&url.0).await?;
        if db.is_read_along(&url.0).await? {
            warn!(
                "The connection to the database is not encrypted: add `?sslmode=verify-full` to JupyterHub.db_url, or \
                 `?sslmode=require` where its certificate cannot be checked"
            );
        }
        for (name, scope) in &config.jupyter_hub.custom_scopes.0 {
            define(name, &scope.description, &scope.subscopes);
        }
        let xsrf = xsrf::Key::new(db.secret("xsrf").await?);
        events::check(&config.event_logger)?;
        let authenticator = Authenticator::new(&config, &db)?;
        let routes = Routes::new();
        let routing = proxy::open(&config, at, &routes)?;
        let secrets = (xsrf, keeper);
        let app = App::new(config, db, authenticator, spawner, routing, at, secrets);
        accounts::create_administrators(&app.config, &app.db).await?;
        accounts::create_groups(&app.config, &app.db).await?;
        accounts::create_roles_and_services(&app.config, &app.urls, &app.db).await?;
        accounts::warn_of_empty_passwords(&app.config, &app.db, address).await?;
        accounts::warn_of_shared_account(&app.config, &app.db).await?;
        servers::hubs::enter(&app, address).await?;
        Ok(Self {
            app,
            address,
            routes,
            listeners,
            begun,
        })
    }

    /// Serves until `shutdown`; then stops the servers, unless they are to go on.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), StartError> {
        let (app, address) = (self.app, self.address);
        let mut background = JoinSet::new();
        servers::keep(&mut background, &app, "live", move |app| {
            servers::hubs::live(app, address)
        });
        let begun = Instant::now();
        let adopted = servers::reconcile::reconcile(&app).await?;
        app.metrics.adopted(begun.elapsed());
        if adopted > 0 {
            info!(servers = adopted, "Servers of the last run are adopted");
        }
        app.metrics.hub_is_ready(self.begun.elapsed());
        let scheme = self.listeners.scheme();
        info!(address = %address, "The Hub is ready at {scheme}://{address}{}", app.urls.base);
        servers::keep(
            &mut background,
            &app,
            "take over",
            servers::reconcile::take_over,
        );
        servers::keep(&mut background, &app, "queue", |app| {
            servers::queue::admit(app.queue.clone())
        });
        servers::keep(&mut background, &app, "watch", servers::watch);
        servers::keep(&mut background, &app, "heed", servers::heed);
        servers::keep(&mut background, &app, "cull", servers::cull);
        servers::keep(&mut background, &app, "routes", servers::keep_routes);
        let services = Managed::start(&app);
        let router = router(app.clone());
        let service = service(&app, self.routes, router.clone());
        let end = async {
            tokio::select! {
                () = shutdown => {}
                () = app.told_to_end() => {}
            }
        };
        let hub = app.urls.hub.clone();
        self.listeners.serve(service, router, hub, end).await;
        background.abort_all();
        services.stop().await;
        if app.stops_servers(servers::hubs::is_alone(&app).await)
            && tokio::time::timeout(CLEANUP, servers::stop_all(&app))
                .await
                .is_err()
        {
            error!("Some servers did not stop in time and are left to the next Hub");
        }
        if let Err(error) = app.db.leave_hub().await {
            error!(%error, "Could not write down that this Hub ends");
        }
        app.db.close().await;
        app.events.end().await;
        info!("The Hub has ended");
        Ok(())
    }
}

/// What users get: the servers of `routes`, and the Hub.
fn service(app: &App, routes: Routes, router: Router) -> Proxy<Router, axum::body::Body> {
    Proxy::new(routes, router)
        .by_host(app.urls.subdomains.is_some())
        .reserve_cookies(&cookies::OF_THE_HUB)
        .on_miss({
            let app = app.clone();
            move |path| servers::find_late(&app, path)
        })
        .on_unavailable({
            let app = app.clone();
            move |unavailable| answer_unavailable(app.clone(), unavailable)
        })
}

/// Brings the database to this version's tables.
pub async fn migrate(config: &Config, state: &Path) -> Result<(), StartError> {
    create_state(state)?;
    Db::open(&db_url(config, state).0).await?.close().await;
    Ok(())
}

/// Sets the password of a user, who is created if the configuration lets such a user in; true if so. The Hub may run.
pub async fn set_password(
    config: &Config,
    state: &Path,
    user: &str,
    password: String,
) -> Result<bool, StartError> {
    create_state(state)?;
    let db = Db::open(&db_url(config, state).0).await?;
    let created = accounts::set_password(config, &db, user, password).await;
    db.close().await;
    Ok(created?)
}

/// Takes over a stopped JupyterHub; returns the configuration for it in YAML.
pub async fn import_jupyterhub(
    config: &Config,
    state: &Path,
    database: &Path,
    python: Option<&Path>,
) -> Result<String, StartError> {
    create_state(state)?;
    let url = db_url(config, state).0;
    Ok(import::import(config, &url, database, python).await?)
}

fn create_state(state: &Path) -> Result<(), StartError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let created = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(state);
    created.map_err(|error| StartError::State(state.to_owned(), error))
}

fn db_url(config: &Config, state: &Path) -> DbUrl {
    let given = config.jupyter_hub.db_url.clone();
    given.unwrap_or_else(|| DbUrl::sqlite(&state.join("hub.sqlite")))
}

async fn spawner(config: &Config, state: &Path) -> Result<Arc<dyn Spawner>, StartError> {
    let spawner = config.spawner.clone();
    let system_users = accounts::are_of_the_machine(config);
    Ok(match config.jupyter_hub.spawner_class {
        SpawnerClass::Kube => {
            let mut options = config.kube_spawner.0.clone();
            options.extra_annotations.insert(
                String::from("hub.jupyter.org/jupyterhub-version"),
                JUPYTERHUB_VERSION.to_owned(),
            );
            Arc::new(KubeSpawner::connect(options).await?)
        }
        SpawnerClass::LocalProcess => Arc::new(LocalProcessSpawner::new(LocalConfig {
            state_dir: state.to_owned(),
            args: match system_users && !config.local_process_spawner.allow_root {
                true => spawner.args,
                false => with_leave_for_root(&spawner.cmd.0, spawner.args, system_users),
            },
            system_users,
            allow_root: config.local_process_spawner.allow_root,
            minimum_uid: config.local_process_spawner.minimum_uid,
            cmd: spawner.cmd.0,
            notebook_dir: spawner.notebook_dir,
            environment: spawner.environment.0,
            env_keep: spawner.env_keep,
            term_timeout: config.local_process_spawner.term_timeout,
            kill_timeout: config.local_process_spawner.kill_timeout,
            ..LocalConfig::default()
        })),
    })
}

/// A server that runs as root ends at once unless it is told that this is meant.
fn with_leave_for_root(cmd: &[String], mut args: Vec<String>, system_users: bool) -> Vec<String> {
    const LEAVE: &str = "--allow-root";
    let program = cmd.first().map(Path::new).and_then(Path::file_name);
    let singleuser = program.is_some_and(|name| name == "jupyterhub-singleuser");
    if singleuser && nix::unistd::geteuid().is_root() && !args.iter().any(|arg| arg == LEAVE) {
        if !system_users {
            warn!(
                "The Hub runs as root and so do all servers: run it as another user where others log in"
            );
        }
        args.push(LEAVE.to_owned());
    }
    args
}

/// A route whose server does not answer: the same page that `/hub/error/503` shows.
async fn answer_unavailable(
    app: App,
    unavailable: Unavailable,
) -> http::Response<axum::body::Body> {
    // A server that has died is written down now, so that the next request is told so.
    if let Some(path) = app.urls.path_of(&unavailable.prefix) {
        tokio::spawn(servers::look_at(app.clone(), path.to_owned()));
    }
    let mut headers = HeaderMap::new();
    if let Some(accept) = unavailable.accept {
        headers.insert(header::ACCEPT, accept);
    }
    let mut request =
        http::Request::get(format!("{}error/503", app.urls.hub)).body(axum::body::Body::empty());
    if let Ok(request) = &mut request {
        *request.headers_mut() = headers;
    }
    let answer = async { router(app).oneshot(request.ok()?).await.ok() };
    answer.await.unwrap_or_else(|| {
        let mut response = http::Response::new(axum::body::Body::empty());
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response
    })
}
