//! A local spawner over a temporary state folder, and verbs to use it with.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use carrel_spawner::local::{LocalConfig, LocalProcessSpawner};
use carrel_spawner::{Error, Poll, Spawner, SpawnerState, StartEvent, StartRequest, Started};
use tempfile::TempDir;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// Bound of every wait; no test comes near it unless it fails.
const PATIENCE: Duration = Duration::from_secs(20);

/// Serves HTTP at the address that the spawner named.
pub const HTTP_SERVER: &str = "import http.server, os, urllib.parse
url = urllib.parse.urlsplit(os.environ['JUPYTERHUB_SERVICE_URL'])
http.server.ThreadingHTTPServer((url.hostname, url.port), http.server.SimpleHTTPRequestHandler).serve_forever()";

pub struct Place {
    pub spawner: LocalProcessSpawner,
    pub config: LocalConfig,
    pub request: StartRequest,
    pub events: UnboundedReceiver<StartEvent>,
    folder: TempDir,
    started: Vec<SpawnerState>,
}

impl Place {
    pub fn running(cmd: &[&str]) -> Self {
        Self::with(cmd, |_| ())
    }

    /// A place whose servers run `script` by /bin/sh.
    pub fn script(script: &str) -> Self {
        Self::running(&["/bin/sh", "-c", script])
    }

    /// A place whose starts go on until the server ends.
    pub fn watched(cmd: &[&str]) -> Self {
        Self::with(cmd, |config| config.exit_watch = PATIENCE)
    }

    pub fn with(cmd: &[&str], configure: impl FnOnce(&mut LocalConfig)) -> Self {
        let folder = TempDir::new().unwrap();
        let cmd = cmd.iter().map(|word| word.to_string()).collect();
        let mut config = LocalConfig {
            state_dir: folder.path().to_owned(),
            cmd,
            // The accounts that every machine has are the system's.
            minimum_uid: 0,
            ..LocalConfig::default()
        };
        configure(&mut config);
        let (_, events) = unbounded_channel();
        let spawner = LocalProcessSpawner::new(config.clone());
        Self {
            spawner,
            config,
            request: request("alice"),
            events,
            folder,
            started: Vec::new(),
        }
    }

    pub async fn start(&mut self) -> Started {
        self.try_start().await.unwrap()
    }

    pub async fn try_start(&mut self) -> Result<Started, Error> {
        let (sender, events) = unbounded_channel();
        self.events = events;
        let started = self.spawner.start(&self.request, sender).await?;
        self.started.push(started.state.clone());
        Ok(started)
    }

    /// Another Hub over the same state folder.
    pub fn restarted_spawner(&self) -> LocalProcessSpawner {
        LocalProcessSpawner::new(self.config.clone())
    }

    pub fn state_dir(&self) -> &Path {
        self.folder.path()
    }

    pub fn home(&self) -> PathBuf {
        self.folder.path().join("users/alice")
    }

    /// The content of a file in the working folder, once it is there and ends in a newline.
    pub async fn written(&self, name: &str) -> String {
        let file = self.home().join(name);
        until(&format!("{name} is written"), || {
            fs::read_to_string(&file)
                .ok()
                .filter(|text| text.ends_with('\n'))
        })
        .await
        .trim()
        .to_owned()
    }

    pub async fn poll(&self, started: &Started) -> Poll {
        self.spawner.poll(&started.state).await.unwrap()
    }

    /// Why the server ended, once it has.
    pub async fn end(&self, started: &Started) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Poll::Stopped { reason } = self.poll(started).await {
                return reason;
            }
            assert!(Instant::now() < deadline, "the server did not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Place {
    /// A failed test leaves nothing running either.
    fn drop(&mut self) {
        let spawner = self.restarted_spawner();
        let started = std::mem::take(&mut self.started);
        let stop_all = move || {
            let runtime = tokio::runtime::Runtime::new().unwrap();
            runtime.block_on(async {
                for state in &started {
                    drop(spawner.stop(state).await)
                }
            });
        };
        // A thread of its own: the one of the test may be within a runtime.
        drop(std::thread::spawn(stop_all).join());
    }
}

pub fn request(user: &str) -> StartRequest {
    StartRequest {
        user: user.to_owned(),
        server: String::new(),
        prefix: format!("/user/{user}/"),
        environment: [("JUPYTERHUB_USER".to_owned(), user.to_owned())].into(),
        groups: Vec::new(),
        user_options: serde_json::Map::new(),
        start_id: format!("start-{user}-{}", unique()),
        before: None,
    }
}

fn unique() -> String {
    static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    format!(
        "{}-{}",
        std::process::id(),
        COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)
    )
}

/// Waits until `look` finds something.
pub async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Whether the process runs; one that has ended but was not waited for does not.
pub fn lives(pid: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

pub fn pid(started: &Started) -> String {
    started.state.0["pid"].to_string()
}

pub fn message(error: Result<Started, Error>) -> String {
    match error {
        Ok(started) => panic!("the start did not fail: {started:?}"),
        Err(error) => error.to_string(),
    }
}
