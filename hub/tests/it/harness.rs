//! A Hub in this process, on a port of its own, and a browser without scripts that talks to it in verbs.

pub mod apart;
pub mod browser;
mod fake_server;
pub mod fake_spawner;
pub mod postgres;
pub mod real;
pub mod secure;
pub mod three;
pub mod traced;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use carrel_hub::app::App;
use carrel_hub::config::{Config, DbUrl};
use carrel_hub::listen::ListenError;
use carrel_hub::run::{Hub, StartError};
use carrel_spawner::Spawner;
use sqlx::{AnyConnection, Connection as _};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

pub use browser::{Browser, Reply};
pub use fake_spawner::{Behaviour, FakeSpawner};
pub use traced::{Log, Traced};

/// The longest that anything in these tests may take.
pub const LIMIT: Duration = Duration::from_secs(20);

/// A running Hub with its own async runtime, so that it can be killed with all that it does.
pub struct TestHub {
    pub app: App,
    pub origin: String,
    pub spawner: Arc<FakeSpawner>,
    pub state: Arc<TempDir>,
    /// What the next start of the Hub reads.
    pub config: Config,
    runtime: Option<Runtime>,
    stop: Option<oneshot::Sender<()>>,
    ended: Option<oneshot::Receiver<()>>,
}

impl TestHub {
    pub async fn start() -> Self {
        Self::with(Behaviour::Answers).await
    }

    /// A Hub whose servers behave like this.
    pub async fn with(behaviour: Behaviour) -> Self {
        Self::configured(FakeSpawner::new(behaviour), |_| {}).await
    }

    pub async fn configured(
        spawner: Arc<FakeSpawner>,
        configure: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config::default();
        config.jupyter_hub.port = 0;
        config.jupyter_hub.allow_named_servers = true;
        // Starts are answered at once with 202.
        config.jupyter_hub.slow_spawn_timeout = Duration::ZERO;
        config.spawner.http_timeout = Duration::from_secs(2);
        config.spawner.start_timeout = Duration::from_secs(2);
        config.spawner.poll_interval = Duration::from_millis(100);
        if let Ok(server) = std::env::var("CARREL_TEST_POSTGRES") {
            config.jupyter_hub.db_url = Some(DbUrl(new_database(&server).await));
        }
        configure(&mut config);
        let state = Arc::new(tempfile::tempdir().unwrap());
        Self::launch(config, state, spawner).await
    }

    /// A Hub with the configuration of this file, but for where it listens and what it runs.
    pub async fn of_file(text: &str) -> Self {
        let file = Config::parse("hub.yaml", text).unwrap_or_else(|errors| panic!("{errors}"));
        Self::configured(FakeSpawner::new(Behaviour::Answers), |config| {
            let tested = std::mem::replace(config, file);
            config.spawner = tested.spawner;
            config.jupyter_hub.port = tested.jupyter_hub.port;
            config.jupyter_hub.db_url = tested.jupyter_hub.db_url;
            config.jupyter_hub.slow_spawn_timeout = tested.jupyter_hub.slow_spawn_timeout;
        })
        .await
    }

    /// Ends the Hub as `kill -9` does, and starts another on the same state and port.
    pub async fn crash_and_restart(mut self) -> Self {
        self.kill();
        let port = self.origin.rsplit(':').next().unwrap().parse().unwrap();
        let mut config = self.config.clone();
        config.jupyter_hub.port = port;
        Self::launch(config, self.state.clone(), self.spawner.clone()).await
    }

    /// Another Hub on the same database.
    pub async fn beside(&self) -> Self {
        let mut config = self.config.clone();
        config.jupyter_hub.port = 0;
        Self::launch(config, self.state.clone(), self.spawner.clone()).await
    }

    /// Ends the Hub as `kill -9` does.
    pub fn kill(&mut self) {
        self.runtime.take().unwrap().shutdown_background();
    }

    pub fn db_url(&self) -> String {
        let file = self.state.path().join("hub.sqlite");
        let given = self.config.jupyter_hub.db_url.as_ref();
        given.map_or_else(
            || format!("sqlite://{}", file.display()),
            |url| url.0.clone(),
        )
    }

    /// A connection of the test's own to the Hub's database.
    pub async fn database(&self) -> AnyConnection {
        sqlx::any::install_default_drivers();
        AnyConnection::connect(&self.db_url()).await.unwrap()
    }

    /// Ends the Hub as SIGTERM does.
    pub async fn end(&mut self) {
        let _ = self.stop.take().unwrap().send(());
        self.ended().await;
    }

    /// Waits for the end of the Hub.
    pub async fn ended(&mut self) {
        tokio::time::timeout(LIMIT, self.ended.take().unwrap())
            .await
            .unwrap()
            .unwrap();
    }

    pub fn browser(&self) -> Browser {
        Browser::new(&self.origin)
    }

    /// A browser in which `admin` is logged in.
    pub async fn admin(&self) -> Browser {
        let browser = self.browser();
        browser.login("admin", "").await.expect(303);
        browser
    }

    pub async fn set_password(&self, user: &str, password: &str) {
        let set = carrel_hub::accounts::set_password(
            &self.config,
            &self.app.db,
            user,
            password.to_owned(),
        );
        set.await.unwrap();
    }

    async fn launch(config: Config, state: Arc<TempDir>, spawner: Arc<FakeSpawner>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let (stop, stopped) = oneshot::channel();
        let (over, ended) = oneshot::channel();
        let (opened, opening) = oneshot::channel();
        runtime.spawn({
            let (config, state, spawner) = (config.clone(), state.clone(), spawner.clone());
            async move {
                let hub = open(config, state.path(), spawner).await;
                let _ = opened.send((hub.app.clone(), hub.address));
                hub.serve(async {
                    let _ = stopped.await;
                })
                .await
                .unwrap();
                let _ = over.send(());
            }
        });
        let (app, address) = tokio::time::timeout(LIMIT, opening).await.unwrap().unwrap();
        let origin = match config.jupyter_hub.ssl_cert {
            Some(_) => format!("https://localhost:{}", address.port()),
            None => format!("http://{address}"),
        };
        Self {
            app,
            origin,
            spawner,
            state,
            config,
            runtime: Some(runtime),
            stop: Some(stop),
            ended: Some(ended),
        }
    }
}

impl Drop for TestHub {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// A database of its own on the PostgreSQL server at `server`, by default the Hub has a SQLite file.
pub async fn new_database(server: &str) -> String {
    sqlx::any::install_default_drivers();
    let name = format!("carrel_{}", uuid::Uuid::new_v4().simple());
    let mut connection = AnyConnection::connect(&format!("{server}/postgres"))
        .await
        .unwrap();
    let create = format!("CREATE DATABASE {name}");
    sqlx::raw_sql(sqlx::AssertSqlSafe(create))
        .execute(&mut connection)
        .await
        .unwrap();
    format!("{server}/{name}")
}

/// The port of a Hub that was killed a moment ago may still be taken.
async fn open(config: Config, state: &Path, spawner: Arc<dyn Spawner>) -> Hub {
    let opening = async {
        loop {
            match Hub::open_with(config.clone(), state, spawner.clone()).await {
                Ok(hub) => return hub,
                Err(StartError::Listen(ListenError::PortInUse(_))) => {
                    tokio::time::sleep(Duration::from_millis(10)).await
                }
                Err(error) => panic!("{error}"),
            }
        }
    };
    tokio::time::timeout(LIMIT, opening).await.unwrap()
}

/// Waits until `condition` gives a value.
pub async fn wait_for<T, F: Future<Output = Option<T>>>(
    what: &str,
    condition: impl FnMut() -> F,
) -> T {
    wait_for_longer(what, LIMIT, condition).await
}

/// [`wait_for`] what takes its time.
pub async fn wait_for_longer<T, F: Future<Output = Option<T>>>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> F,
) -> T {
    let waiting = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(limit, waiting)
        .await
        .unwrap_or_else(|_| panic!("waited in vain for {what}"))
}
