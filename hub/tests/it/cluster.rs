//! The Hub's own program on a real cluster (`make test-cluster`), killed at every step of a start. The server is a fake
//! one, `deploy/local/stand-in.rs`.

#[path = "../../../spawner/tests/it/kube/cluster/namespace.rs"]
mod namespace;

use std::process::{Child, Command};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::Browser;
use namespace::{Namespace, until};

/// When the Hub is killed.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// So long after it has answered the form: the requests to the API server are under way.
    After(Duration),
    PodMade,
    PodOnNode,
    PodRuns,
    Ready,
}

#[tokio::test]
#[ignore = "needs cluster (starts pods)"]
async fn a_hub_killed_at_any_step_of_a_start_loses_no_pod() {
    let namespace = Namespace::new("kill").await;
    let mut hub = KilledHub::start(&namespace).await;
    let at_once =
        [0, 5, 10, 20, 40].map(|milliseconds| Moment::After(Duration::from_millis(milliseconds)));
    let seen = [
        Moment::PodMade,
        Moment::PodOnNode,
        Moment::PodRuns,
        Moment::Ready,
    ];
    for moment in at_once.into_iter().chain(seen) {
        hub.browser.spawn().await.expect(303);
        hub.wait_for(moment, &namespace).await;
        hub = hub.kill_and_restart().await;

        let server = until("an end of the start", || async { hub.settled().await }).await;
        if server["ready"] == true {
            assert_eq!(namespace.pods().await.len(), 1, "{moment:?}");
            hub.browser.get("/user/admin/api").await.expect(200);
            hub.browser
                .submit("/hub/home", "/hub/stop/admin", &[])
                .await
                .expect(303);
        }
        until("the end of all pods", || async {
            namespace.pods().await.is_empty().then_some(())
        })
        .await;
        until("the end of the server", || async {
            hub.settled()
                .await
                .filter(|server| server["stopped"] == true)
        })
        .await;
    }
    until("the end of all secrets", || async {
        namespace.secrets().await.is_empty().then_some(())
    })
    .await;
}

/// The program `carrel-hub`, and `admin` in a browser.
struct KilledHub {
    child: Child,
    state: TempDir,
    port: u16,
    browser: Browser,
}

impl KilledHub {
    async fn start(namespace: &Namespace) -> Self {
        let state = tempfile::tempdir().unwrap();
        let config = format!(
            "JupyterHub:\n  spawner_class: kubespawner.KubeSpawner\n  hub_connect_url: http://hub.invalid:8000\n\
             Spawner:\n  poll_interval: 1\n\
             KubeSpawner:\n  image: {}\n  namespace: {}\n  delete_grace_period: 0\n",
            namespace.image, namespace.name
        );
        std::fs::write(state.path().join("carrel.yaml"), config).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let browser = Browser::new(&format!("http://127.0.0.1:{port}"));
        let hub = Self {
            child: run(&state, port),
            state,
            port,
            browser,
        };
        hub.answers().await;
        hub.browser.login("admin", "").await.expect(303);
        hub
    }

    /// SIGKILL, and the next Hub on the same state.
    async fn kill_and_restart(mut self) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = run(&self.state, self.port);
        self.answers().await;
        self
    }

    async fn answers(&self) {
        let address = ("127.0.0.1", self.port);
        until("the Hub", || async {
            tokio::net::TcpStream::connect(address).await.ok()
        })
        .await;
    }

    /// The model of the server, once nothing is pending.
    async fn settled(&self) -> Option<Value> {
        let reply = self
            .browser
            .get("/hub/api/users/admin/server")
            .await
            .expect(200);
        let server = reply.json();
        server["pending"].is_null().then_some(server)
    }

    async fn wait_for(&self, moment: Moment, namespace: &Namespace) {
        let pod = || namespace.pod("jupyter-admin");
        match moment {
            Moment::After(time) => tokio::time::sleep(time).await,
            Moment::PodMade => until("the pod", || async { pod().await.map(drop) }).await,
            Moment::PodOnNode => {
                until("the node", || async {
                    pod().await?.spec?.node_name.map(drop)
                })
                .await
            }
            Moment::PodRuns => {
                let phase = || async { pod().await?.status?.phase };
                until("the run", || async {
                    phase().await.filter(|phase| phase == "Running").map(drop)
                })
                .await;
            }
            Moment::Ready => until("the answer", || async { self.settled().await.map(drop) }).await,
        }
    }
}

impl Drop for KilledHub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn run(state: &TempDir, port: u16) -> Child {
    Command::new(env!("CARGO_BIN_EXE_carrel-hub"))
        .arg("--config")
        .arg(state.path().join("carrel.yaml"))
        .arg("--state")
        .arg(state.path())
        .args(["--port", &port.to_string()])
        .spawn()
        .unwrap()
}
