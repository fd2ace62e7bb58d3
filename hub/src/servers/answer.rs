//! Waiting for a started server to answer HTTP, as JupyterHub's hub does before it lets a user in.

use std::time::Duration;

use bytes::Bytes;
use carrel_spawner::{Poll, Spawner, SpawnerState};
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use crate::fetch;

/// Why a server is not ready.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    #[error("{0}")]
    Died(String),
    #[error("The server did not answer at {url} within {seconds} seconds{hint}")]
    Silent {
        url: String,
        seconds: u64,
        hint: &'static str,
    },
    #[error("could not look whether the server still runs: {0}")]
    Poll(#[from] carrel_spawner::Error),
}

/// What one request found.
enum Answer {
    Ready,
    /// It listens, but not as a single-user server of this version does.
    Stranger,
    Nothing,
}

/// Between two tries: somebody waits, and a refused connection costs next to nothing.
const PAUSE: Duration = Duration::from_millis(50);
/// To ask the spawner may be a request to another machine.
const LONGEST_UNTIL_LOOK: Duration = Duration::from_millis(500);

const LONGEST_ANSWER: usize = 1 << 20;

const STRANGER: &str = ": what answers there sends no X-JupyterHub-Version header. Is Spawner.cmd a jupyterhub-singleuser?";

/// Returns when the server answers at `<url><prefix>api`; asks the spawner meanwhile whether it lives.
pub async fn wait(
    spawner: &dyn Spawner,
    state: &SpawnerState,
    url: &Url,
    prefix: &str,
    limit: Duration,
) -> Result<(), NotReady> {
    let deadline = Instant::now() + limit;
    let (mut look, mut until_look) = (Instant::now(), PAUSE);
    let mut hint = "";
    loop {
        match ask(url, prefix).await {
            // It may be another program that answers there.
            Answer::Ready => {
                return match spawner.poll(state).await? {
                    Poll::Stopped { reason } => Err(NotReady::Died(reason)),
                    Poll::Running | Poll::Moved { .. } => Ok(()),
                };
            }
            Answer::Stranger => hint = STRANGER,
            Answer::Nothing => {}
        }
        if Instant::now() >= look {
            if let Poll::Stopped { reason } = spawner.poll(state).await? {
                return Err(NotReady::Died(reason));
            }
            look = Instant::now() + until_look;
            until_look = (until_look * 2).min(LONGEST_UNTIL_LOOK);
        }
        if Instant::now() + PAUSE >= deadline {
            return Err(NotReady::Silent {
                url: format!("{}{prefix}", origin(url)),
                seconds: limit.as_secs(),
                hint,
            });
        }
        sleep(PAUSE).await;
    }
}

async fn ask(url: &Url, prefix: &str) -> Answer {
    let asked = timeout(Duration::from_secs(5), get(url, &format!("{prefix}api"))).await;
    match asked {
        // 5xx: it is there but not up (jupyterhub/utils.py, wait_for_http_server).
        Ok(Some((status, _))) if status.is_server_error() => Answer::Nothing,
        Ok(Some((_, true))) => Answer::Ready,
        Ok(Some((_, false))) => Answer::Stranger,
        Ok(None) | Err(_) => Answer::Nothing,
    }
}

/// Status of the answer and whether it has the version header; nothing where nobody speaks HTTP.
async fn get(url: &Url, path: &str) -> Option<(StatusCode, bool)> {
    let answer = send(url, Request::get(path)).await?;
    Some((
        answer.status(),
        answer.headers().contains_key("x-jupyterhub-version"),
    ))
}

/// What came of a request to a server.
pub(super) enum Read {
    Body(Bytes),
    /// It answers, but not this.
    Refused,
    /// It does not answer, or fails.
    Nothing,
}

/// What the server answers to one who holds `token`.
pub(super) async fn read(url: &Url, path: &str, token: &str) -> Read {
    let authorization = format!("token {token}");
    let request = Request::get(path).header(header::AUTHORIZATION, authorization);
    match send(url, request).await {
        Some(answer) if answer.status().is_success() => Read::Body(answer.into_body()),
        Some(answer) if !answer.status().is_server_error() => Read::Refused,
        Some(_) | None => Read::Nothing,
    }
}

/// Sends a request without a body, and reads the answer whole.
async fn send(url: &Url, request: http::request::Builder) -> Option<Response<Bytes>> {
    let address = (
        url.host_str()?.trim_matches(['[', ']']),
        url.port_or_known_default()?,
    );
    let request = request.header(header::HOST, origin(url).trim_start_matches("http://"));
    let request = request.body(Full::default()).ok()?;
    fetch::send(address, request, LONGEST_ANSWER).await.ok()
}

fn origin(url: &Url) -> String {
    url.origin().ascii_serialization()
}
