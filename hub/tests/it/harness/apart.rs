//! A proxy apart, ours or the stock one, and its REST API in verbs.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use carrel_skip::{Need, skip};
use reqwest::{Client, Method};
use serde_json::Value;
use tempfile::TempDir;

use super::{Browser, wait_for};

pub const TOKEN: &str = "token-of-the-proxy";

#[derive(Debug, Clone)]
pub enum Kind {
    Ours,
    /// configurable-http-proxy, by its program.
    Stock(PathBuf),
}

impl Kind {
    /// Nothing where the prepared environment is missing.
    pub fn stock() -> Option<Self> {
        let program = prepared()?.join("peers/node_modules/.bin/configurable-http-proxy");
        if !program.is_file() {
            skip(Need::Prepared, "configurable-http-proxy is not installed");
            return None;
        }
        Some(Self::Stock(program))
    }
}

/// The folder that `make test` prepares.
pub fn prepared() -> Option<PathBuf> {
    let folder = std::env::var_os("CARREL_TEST_PREPARED").map(PathBuf::from);
    if folder.is_none() {
        skip(Need::Prepared, "CARREL_TEST_PREPARED is not set");
    }
    folder
}

pub fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// Ends with the test.
pub struct Apart {
    kind: Kind,
    pub port: u16,
    pub api_port: u16,
    hub_port: u16,
    pub state: TempDir,
    /// Beside those that every one has.
    arguments: &'static [&'static str],
    child: Child,
}

impl Apart {
    /// A proxy that asks for pages at `hub_port`, and has no route.
    pub async fn start(kind: Kind, hub_port: u16) -> Self {
        Self::start_with(kind, hub_port, &[]).await
    }

    pub async fn start_with(kind: Kind, hub_port: u16, arguments: &'static [&'static str]) -> Self {
        let (port, api_port) = (free_port(), free_port());
        let state = tempfile::tempdir().unwrap();
        let command = launch(&kind, port, api_port, hub_port, &state);
        let child = spawn(command, arguments);
        let apart = Self {
            kind,
            port,
            api_port,
            hub_port,
            state,
            arguments,
            child,
        };
        apart.answers().await;
        apart
    }

    async fn answers(&self) {
        wait_for("the proxy", || async {
            let healthy = reqwest::get(format!("{}/_chp_healthz", self.origin()));
            let healthy = healthy.await.ok()?.text().await.ok()?;
            assert_eq!(healthy, r#"{"status":"OK"}"#);
            let api = format!("http://127.0.0.1:{}/api/routes", self.api_port);
            reqwest::get(api).await.ok()
        })
        .await;
    }

    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub async fn restart(&mut self) {
        let command = launch(
            &self.kind,
            self.port,
            self.api_port,
            self.hub_port,
            &self.state,
        );
        self.child = spawn(command, self.arguments);
        self.answers().await;
    }

    pub fn origin(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn browser(&self) -> Browser {
        Browser::new(&self.origin())
    }

    /// Status and body of what the REST API answers.
    pub async fn api(&self, method: Method, path: &str, body: &str) -> (u16, String) {
        self.api_as(&format!("token {TOKEN}"), method, path, body)
            .await
    }

    pub async fn api_as(
        &self,
        authorization: &str,
        method: Method,
        path: &str,
        body: &str,
    ) -> (u16, String) {
        let url = format!("http://127.0.0.1:{}{path}", self.api_port);
        let request = Client::new().request(method, url).body(body.to_owned());
        let answer = request
            .header("authorization", authorization)
            .send()
            .await
            .unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub async fn routes(&self) -> Value {
        let (status, routes) = self.api(Method::GET, "/api/routes", "").await;
        assert_eq!(status, 200);
        serde_json::from_str(&routes).unwrap()
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The same arguments for both.
fn launch(kind: &Kind, port: u16, api_port: u16, hub_port: u16, state: &TempDir) -> Command {
    let mut command = match kind {
        Kind::Ours => {
            let mut command = Command::new(env!("CARGO_BIN_EXE_carrel-hub"));
            command.arg("proxy").arg("--state").arg(state.path());
            command
        }
        Kind::Stock(program) => {
            let mut command = Command::new(program);
            let mut path = prepared().unwrap().join("venv/bin").into_os_string();
            path.push(":");
            path.push(std::env::var_os("PATH").unwrap());
            command.env("PATH", path);
            command
        }
    };
    command
        .arg(format!("--port={port}"))
        .arg(format!("--api-port={api_port}"))
        .args(["--ip=127.0.0.1", "--api-ip=127.0.0.1", "--log-level=warn"])
        .arg(format!(
            "--error-target=http://127.0.0.1:{hub_port}/hub/error"
        ))
        .env("CONFIGPROXY_AUTH_TOKEN", TOKEN)
        .stdout(Stdio::inherit());
    command
}

fn spawn(mut command: Command, arguments: &[&str]) -> Child {
    command.args(arguments).spawn().unwrap()
}
