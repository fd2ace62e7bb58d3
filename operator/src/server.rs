//! What the operator answers to: the API server's conversions and reports of processes over TLS, and health and metrics
//! without.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use crate::certificate::Loaded;
use crate::metrics::Metrics;
use crate::webhook;

/// The largest list of jobs that is converted at once.
const LARGEST: usize = 64 << 20;
/// How long a client may take to say hello, and to say what it wants.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a connection lasts; the API server makes another.
const LIFE: Duration = Duration::from_secs(300);
/// Requests that are read and answered at a time: each may be as large as [`LARGEST`].
const REQUESTS: usize = 4;
/// Connections at a time, and from one address; each API server needs one or two, a process that reports one.
const CONNECTIONS: usize = 512;
const OF_ONE: usize = 32;
/// How long the handshake of TLS may take.
const HANDSHAKE: Duration = Duration::from_secs(3);

type Current = watch::Receiver<Option<Arc<Loaded>>>;

/// Serves health and metrics, for ever.
///
/// # Errors
/// When the socket fails.
pub async fn plain(
    listener: TcpListener,
    metrics: Arc<Metrics>,
    loaded: Current,
) -> std::io::Result<()> {
    let router = Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready).with_state(loaded))
        .route("/metrics", get(text).with_state(metrics));
    axum::serve(listener, router).await
}

async fn ready(State(loaded): State<Current>) -> (StatusCode, &'static str) {
    if loaded.borrow().is_some() {
        (StatusCode::OK, "ok\n")
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            "there is no certificate yet\n",
        )
    }
}

async fn text(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    let kind = [(
        CONTENT_TYPE,
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    )];
    match metrics.text() {
        Ok(text) => (StatusCode::OK, kind, text),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, kind, error.to_string()),
    }
}

/// What answers conversions.
pub fn conversions(metrics: Arc<Metrics>) -> Router {
    let state = (metrics, Arc::new(Semaphore::new(REQUESTS)));
    Router::new()
        .route("/convert", post(convert))
        .with_state(state)
}

/// A server that speaks TLS.
pub struct Tls {
    pub listener: TcpListener,
    pub router: Router,
    /// Whether connections stay for further requests.
    pub keeps: bool,
}

/// Serves it, for ever.
pub async fn tls(server: Tls, loaded: Current) {
    let Tls {
        listener,
        router,
        keeps,
    } = server;
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let peers = Peers::default();
    loop {
        // It is never closed.
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
            return;
        };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "Could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let Some(place) = peers.take(peer.ip(), OF_ONE) else {
            tracing::debug!(%peer, "{peer} has too many connections");
            continue;
        };
        let Some(current) = loaded.borrow().clone() else {
            continue;
        };
        let (router, acceptor) = (
            router.clone(),
            TlsAcceptor::from(Arc::clone(&current.config)),
        );
        tokio::spawn(async move {
            if let Err(error) = connection(stream, acceptor, router, keeps).await {
                tracing::debug!(%peer, error, "A connection of {peer} failed");
            }
            drop((slot, place));
        });
    }
}

/// How many connections each address has.
#[derive(Clone, Default)]
struct Peers(Arc<Mutex<HashMap<IpAddr, usize>>>);

struct Place(Peers, IpAddr);

impl Peers {
    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None where it has as many already.
    fn take(&self, peer: IpAddr, most: usize) -> Option<Place> {
        let mut peers = self.lock();
        let count = peers.get(&peer).copied().unwrap_or_default();
        (count < most).then(|| {
            peers.insert(peer, count + 1);
            Place(self.clone(), peer)
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut peers = self.0.lock();
        match peers.get_mut(&self.1) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(peers.remove(&self.1)),
        }
    }
}

async fn connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    router: Router,
    keeps: bool,
) -> Result<(), String> {
    let stream = timeout(HANDSHAKE, acceptor.accept(stream)).await;
    let stream = stream
        .map_err(|_| "no TLS in time".to_owned())?
        .map_err(|error| error.to_string())?;
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .keep_alive(keeps)
        .header_read_timeout(PATIENCE);
    let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = pin!(served);
    if let Ok(done) = timeout(LIFE, served.as_mut()).await {
        return done.map_err(|error| error.to_string());
    }
    served.as_mut().graceful_shutdown();
    let done = timeout(LIFE, served).await;
    done.map_err(|_| "no end in time".to_owned())?
        .map_err(|error| error.to_string())
}

type Refusal = (StatusCode, String);

async fn convert(
    State((metrics, slots)): State<(Arc<Metrics>, Arc<Semaphore>)>,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    // Before the body is read. It is never closed.
    let _slot = slots.acquire().await;
    let body = timeout(PATIENCE, to_bytes(body, LARGEST)).await;
    let late = |_| {
        let text = format!("the body was not there within {} s", PATIENCE.as_secs());
        (StatusCode::REQUEST_TIMEOUT, text)
    };
    let body = body
        .map_err(late)?
        .map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
    let review: Value = serde_json::from_slice(&body)
        .map_err(|error| (StatusCode::BAD_REQUEST, format!("no JSON: {error}")))?;
    let (answer, count) = webhook::answer(&review);
    metrics.conversions.inc_by(count);
    Ok(Json(answer))
}
