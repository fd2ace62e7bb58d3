//! A Hub whose servers are real: processes of `jupyterhub-singleuser`, in the prepared environment.

use std::net::SocketAddr;
use std::time::Duration;

use carrel_hub::config::{Command, Config};
use carrel_hub::run::{Hub, StartError};
use carrel_skip::{Need, skip};
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::apart::prepared;
use super::{Browser, Reply, wait_for_longer};

pub struct RealHub {
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<Result<(), StartError>>,
    _state: TempDir,
}

impl RealHub {
    /// None where there is no such environment.
    pub async fn start(configure: impl FnOnce(&mut Config)) -> Option<Self> {
        let program = prepared()?.join("venv/bin/jupyterhub-singleuser");
        if !program.is_file() {
            skip(Need::Prepared, "jupyterhub-singleuser is not installed");
            return None;
        }
        let state = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.jupyter_hub.port = 0;
        config.spawner.cmd = Command(vec![program.display().to_string()]);
        config.spawner.http_timeout = Duration::from_secs(60);
        configure(&mut config);
        let hub = Hub::open(config, state.path()).await.unwrap();
        let address = hub.address;
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(hub.serve(async {
            let _ = stopped.await;
        }));
        Some(Self {
            address,
            stop,
            serving,
            _state: state,
        })
    }

    /// Starts the user's server, and goes where its first page is; through OAuth, as a visitor does.
    pub async fn enter(&self, browser: &Browser, user: &str) -> (String, Reply) {
        browser.spawn().await.expect(303);
        let pending = format!("/hub/spawn-pending/{user}");
        wait_for_longer("the server", Duration::from_secs(60), || async {
            let page = browser.get(&pending).await;
            assert!(!page.body.contains("The start failed"), "{}", page.body);
            (page.status != 200).then_some(())
        })
        .await;
        browser.follow(&pending).await
    }

    /// Ends it with its servers.
    pub async fn end(self) {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap().unwrap();
    }
}
