//! Services that the Hub runs: each is started with its environment, started anew when it ends, and ended with the Hub
//! (jupyterhub/services/service.py). Of several Hubs on one database, the one that leads runs them.

use std::collections::BTreeMap;
use std::process::{ExitStatus, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use carrel_spawner::local::LocalConfig;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde_json::json;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::{error, info, warn};

use crate::app::App;
use crate::auth::secret;
use crate::config::{self, Service};
use crate::db::DbError;

/// Before a service is started anew; each time twice as long, unless it ran for longer than the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long a service may take to end after SIGTERM.
const TERM: Duration = Duration::from_secs(5);
/// Between two looks at whether this Hub leads.
const LOOK: Duration = Duration::from_millis(500);

/// The services of the configuration that have a command.
pub struct Managed {
    ending: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Managed {
    pub fn start(app: &App) -> Self {
        let (ending, heard) = watch::channel(false);
        let mut tasks = JoinSet::new();
        let services = app.config.jupyter_hub.services.iter();
        for service in services.filter(|service| service.command.is_some()) {
            tasks.spawn(keep(app.clone(), service.clone(), heard.clone()));
        }
        Self { ending, tasks }
    }

    /// Ends them all.
    pub async fn stop(mut self) {
        self.ending.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
    }
}

#[derive(Debug, thiserror::Error)]
enum StartError {
    #[error("could not use the database")]
    Db(#[from] DbError),
    #[error("the database does not know the service")]
    Unknown,
    #[error("could not run {0:?} (command, cwd)")]
    Run(String, #[source] std::io::Error),
}

/// Runs one service until the Hub ends.
async fn keep(app: App, service: Service, mut ending: watch::Receiver<bool>) {
    let name = &service.name;
    let mut pause = FIRST_PAUSE;
    while !*ending.borrow() {
        if !app.leads.load(Ordering::Relaxed) {
            wait(&mut ending, LOOK).await;
            continue;
        }
        let begun = Instant::now();
        match start(&app, &service).await {
            Ok(mut child) => {
                info!(
                    service = name,
                    pid = child.id(),
                    "Service {name} is started"
                );
                let ended = tokio::select! {
                    ended = child.wait() => ended,
                    () = turn_is_over(&app, &mut ending) => {
                        stop(name, &mut child).await;
                        continue;
                    }
                };
                let status = ended.map(|status: ExitStatus| status.to_string());
                let status = status.unwrap_or_else(|error| error.to_string());
                error!(service = name, "Service {name} has ended ({status})");
            }
            Err(error) => {
                let cause = crate::chain::chain(&error);
                error!(service = name, cause, "Service {name} could not be started");
            }
        }
        if begun.elapsed() > LONGEST_PAUSE {
            pause = FIRST_PAUSE;
        }
        wait(&mut ending, pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Waits for so long, or for the end of the Hub.
async fn wait(ending: &mut watch::Receiver<bool>, long: Duration) {
    let _ = timeout(long, ending.wait_for(|ending| *ending)).await;
}

/// Waits until the Hub ends, or another leads.
async fn turn_is_over(app: &App, ending: &mut watch::Receiver<bool>) {
    while !*ending.borrow() && app.leads.load(Ordering::Relaxed) {
        wait(ending, LOOK).await;
    }
}

async fn start(app: &App, service: &Service) -> Result<Child, StartError> {
    let token = match &service.api_token {
        Some(token) => token.0.clone(),
        None => {
            let row = app.db.service(&service.name).await?;
            let token = secret::generate();
            let id = row.ok_or(StartError::Unknown)?.id;
            app.db
                .renew_service_token(id, &secret::hash(&token))
                .await?;
            token
        }
    };
    let words = service
        .command
        .as_ref()
        .map_or(&[][..], |command| &command.0);
    let (program, arguments) = words.split_first().ok_or(StartError::Unknown)?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env_clear()
        .envs(kept())
        .envs(environment(app, service, &token))
        .stdin(Stdio::null())
        // Of its own, so that signals to the Hub's terminal do not reach it, and those to it reach its children.
        .process_group(0)
        .kill_on_drop(true);
    if let Some(folder) = &service.cwd {
        command.current_dir(folder);
    }
    command
        .spawn()
        .map_err(|error| StartError::Run(program.clone(), error))
}

async fn stop(name: &str, child: &mut Child) {
    info!(service = name, "Service {name} is stopped");
    signal(child, Signal::SIGTERM);
    if timeout(TERM, child.wait()).await.is_err() {
        warn!(service = name, "Service {name} did not end and is killed");
        signal(child, Signal::SIGKILL);
        let _ = timeout(TERM, child.wait()).await;
    }
}

/// To the process and its children; one that has ended hears nothing.
fn signal(child: &Child, signal: Signal) {
    if let Some(pid) = child.id() {
        let _ = killpg(Pid::from_raw(pid.cast_signed()), signal);
    }
}

/// What JupyterHub lets a service have of its own environment, `Spawner.env_keep` by default.
fn kept() -> impl Iterator<Item = (String, std::ffi::OsString)> {
    let names = LocalConfig::default().env_keep.into_iter();
    names.filter_map(|name| Some((name.clone(), std::env::var_os(&name)?)))
}

/// As in JupyterHub the service's own variables win, but for those that say which service it is.
fn environment(app: &App, service: &Service, token: &str) -> BTreeMap<String, String> {
    let (name, urls) = (&service.name, &app.urls);
    let host_prefix = u8::from(app.config.jupyter_hub.cookie_host_prefix_enabled).to_string();
    let prefix = urls.service(name);
    let place = urls.public(&prefix);
    let full = |path: &str| urls.full(path).unwrap_or_default();
    // Only of one that is reached through the Hub.
    let public = match service.url.is_empty() {
        true => String::new(),
        false => full(&prefix),
    };
    let client = service.oauth_client(&place);
    let (client_id, redirect_uri) = client.unwrap_or_else(|| {
        let id = config::service::client_id(name);
        (id, config::service::redirect_uri(&place))
    });
    let access = [
        String::from("access:services"),
        crate::access::scopes::access_scope_of_service(name),
    ];
    let access = json!(access).to_string();
    let allowed = json!(service.oauth_client_allowed_scopes.0).to_string();
    let given = [
        ("JUPYTERHUB_API_TOKEN", token),
        // The name before 0.7.2.
        ("JPY_API_TOKEN", token),
        ("JUPYTERHUB_API_URL", &urls.api),
        ("JUPYTERHUB_BASE_URL", &urls.base),
        ("JUPYTERHUB_HOST", &urls.origin()),
        ("JUPYTERHUB_USER", ""),
        ("JUPYTERHUB_SERVER_NAME", ""),
        ("JUPYTERHUB_PUBLIC_URL", &public),
        ("JUPYTERHUB_PUBLIC_HUB_URL", &full(&urls.hub)),
        ("JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED", &host_prefix),
        ("JUPYTERHUB_CLIENT_ID", &client_id),
        ("JUPYTERHUB_OAUTH_CALLBACK_URL", &redirect_uri),
        ("JUPYTERHUB_OAUTH_SCOPES", &access),
        ("JUPYTERHUB_OAUTH_ACCESS_SCOPES", &access),
        ("JUPYTERHUB_OAUTH_CLIENT_ALLOWED_SCOPES", &allowed),
    ];
    let mut variables = text(&given);
    variables.extend(service.environment.0.clone());
    variables.extend(text(&[("JUPYTERHUB_SERVICE_NAME", name)]));
    if !service.url.is_empty() {
        let prefix = urls.service(name);
        let place = [
            ("JUPYTERHUB_SERVICE_URL", &*service.url),
            ("JUPYTERHUB_SERVICE_PREFIX", &prefix),
        ];
        variables.extend(text(&place));
    }
    variables
}

fn text(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    let variables = variables.iter();
    variables
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}
