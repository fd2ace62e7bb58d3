//! A kernel of a person's server, spoken to through the server's websocket as JupyterLab does.

use std::time::Duration;

use anyhow::{Context, bail, ensure};
use futures_util::{SinkExt, StreamExt};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};
use uuid::Uuid;

use crate::person::Person;

const LIMIT: Duration = Duration::from_secs(60);

/// A kernel and one websocket to it.
pub struct Notebook {
    user: String,
    pub kernel: String,
    session: String,
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

/// What a cell sent out.
#[derive(Debug, Default, PartialEq)]
pub struct Outputs {
    pub stdout: String,
    /// `text/plain` of the result.
    pub result: Option<String>,
    /// `ename: evalue` of the error.
    pub error: Option<String>,
}

impl Notebook {
    /// Starts a kernel `rust` on the server of `user`.
    pub async fn open(person: &Person, user: &str) -> anyhow::Result<Self> {
        // The first page sets the server's own XSRF cookie.
        person.get(&format!("/user/{user}/lab")).await?;
        let base = format!("/user/{user}/");
        let xsrf = person
            .cookie(&base, "_xsrf")?
            .context("the server set no _xsrf cookie")?;
        let reply = person
            .client
            .post(person.url(&format!("/user/{user}/api/kernels"))?)
            .header("X-XSRFToken", xsrf)
            .json(&json!({ "name": "rust" }))
            .send()
            .await?;
        ensure!(
            reply.status() == StatusCode::CREATED,
            "{} {}",
            reply.status(),
            reply.text().await?
        );
        let kernel: Value = reply.json().await?;
        let kernel = kernel["id"]
            .as_str()
            .context("a kernel without id")?
            .to_owned();
        let session = Uuid::new_v4().to_string();
        let socket = connect(person, user, &kernel, &session).await?;
        Ok(Self {
            user: user.to_owned(),
            kernel,
            session,
            socket,
        })
    }

    /// A new websocket to the same kernel with the same session, as JupyterLab makes it after a break.
    pub async fn reconnect(&mut self, person: &Person) -> anyhow::Result<()> {
        self.socket = connect(person, &self.user, &self.kernel, &self.session).await?;
        Ok(())
    }

    /// Waits until the websocket breaks.
    pub async fn broken(&mut self) -> anyhow::Result<()> {
        timeout(LIMIT, async {
            while let Some(Ok(_)) = self.socket.next().await {}
        })
        .await
        .context("the websocket did not break")
    }

    /// Runs one cell to its end.
    pub async fn run(&mut self, code: &str) -> anyhow::Result<Outputs> {
        let id = Uuid::new_v4().to_string();
        let request = json!({
            "channel": "shell",
            "header": { "msg_id": id, "msg_type": "execute_request", "session": self.session, "username": "", "version": "5.3", "date": "2026-01-01T00:00:00Z" },
            "parent_header": {}, "metadata": {}, "buffers": [],
            "content": { "code": code, "silent": false, "store_history": true, "user_expressions": {}, "allow_stdin": false, "stop_on_error": true },
        });
        self.socket.send(Message::text(request.to_string())).await?;
        let mut outputs = Outputs::default();
        let (mut replied, mut idle) = (false, false);
        while !(replied && idle) {
            let message = self
                .next()
                .await
                .with_context(|| format!("{code:?}: {outputs:?}"))?;
            if message["parent_header"]["msg_id"] != id.as_str() {
                continue;
            }
            replied |= message["msg_type"] == "execute_reply";
            idle |=
                message["msg_type"] == "status" && message["content"]["execution_state"] == "idle";
            outputs.add(&message);
        }
        Ok(outputs)
    }

    async fn next(&mut self) -> anyhow::Result<Value> {
        loop {
            let frame = timeout(LIMIT, self.socket.next())
                .await
                .context("the kernel is silent")?;
            match frame.context("the websocket ended")?? {
                Message::Text(text) => return Ok(serde_json::from_str(&text)?),
                Message::Close(reason) => bail!("the server closed the websocket: {reason:?}"),
                _ => {}
            }
        }
    }
}

impl Outputs {
    fn add(&mut self, message: &Value) {
        let content = &message["content"];
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        match message["msg_type"].as_str() {
            Some("stream") if content["name"] == "stdout" => self.stdout += &text(&content["text"]),
            Some("execute_result") => self.result = Some(text(&content["data"]["text/plain"])),
            Some("error") => {
                self.error = Some(format!(
                    "{}: {}",
                    text(&content["ename"]),
                    text(&content["evalue"])
                ))
            }
            _ => {}
        }
    }
}

async fn connect(
    person: &Person,
    user: &str,
    kernel: &str,
    session: &str,
) -> anyhow::Result<WebSocketStream<MaybeTlsStream<TcpStream>>> {
    let path = format!("/user/{user}/api/kernels/{kernel}/channels?session_id={session}");
    let mut url = person.url(&path)?;
    let origin = url.origin().ascii_serialization();
    url.set_scheme("ws")
        .ok()
        .context("an address without scheme")?;
    let mut request = url.as_str().into_client_request()?;
    request
        .headers_mut()
        .insert("Cookie", person.cookies(&path)?.parse()?);
    request.headers_mut().insert("Origin", origin.parse()?);
    let (socket, _) = timeout(LIMIT, tokio_tungstenite::connect_async(request))
        .await
        .context("no websocket")??;
    Ok(socket)
}
