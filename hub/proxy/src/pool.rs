//! Connections to one target, kept for the next request when idle. Knows no request.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use url::{Host, Url};

use crate::body::RequestBody;
use crate::client::{MAX_FIELDS, tune};
use crate::stream::Stream;

/// A target that takes longer to accept counts as down: pods that are gone drop packets silently.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Below the keep-alive time of nginx (75 s); singleuser's tornado keeps connections for an hour.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);
const MAX_IDLE: usize = 128;

/// The idle connections to one target, which may have several addresses.
pub(crate) struct Pool {
    /// Never empty.
    addresses: Vec<String>,
    /// Index of the address that was connected last.
    good: AtomicUsize,
    /// Without it, connections are plain.
    secure: Option<(TlsConnector, ServerName<'static>)>,
    idle: Arc<Mutex<Idle>>,
}

/// By the thread whose runtime looks after their sockets: used on another, each answer would wake both. The latest
/// used is at the end and goes out first, so that surplus ones age.
type Idle = HashMap<ThreadId, Vec<(Instant, Box<Connection>)>>;

/// One HTTP/1.1 connection. No task drives it: whoever uses it polls it, within the task of the request. That
/// saves two wake-ups per request, and a client that goes away takes the exchange with the target along.
pub(crate) struct Connection {
    pub(crate) sender: http1::SendRequest<RequestBody>,
    pub(crate) driver: http1::Connection<TokioIo<Stream>, RequestBody>,
}

impl Pool {
    /// `targets` is not empty. The first of them that is not `http://host[:port]`, where there is one.
    pub(crate) fn for_targets(targets: &[Url]) -> Result<Self, Url> {
        let of = |target: &Url| address(target).ok_or_else(|| target.clone());
        Ok(Self::at(targets.iter().map(of).collect::<Result<_, _>>()?))
    }

    /// For one target at `host:port`.
    pub(crate) fn plain(address: &str) -> Self {
        Self::at(vec![address.to_owned()])
    }

    /// The same, which has a certificate for `host`.
    pub(crate) fn secure(address: &str, tls: TlsConnector, host: ServerName<'static>) -> Self {
        Self {
            secure: Some((tls, host)),
            ..Self::plain(address)
        }
    }

    fn at(addresses: Vec<String>) -> Self {
        Self {
            addresses,
            good: AtomicUsize::new(0),
            secure: None,
            idle: Arc::default(),
        }
    }

    /// `host:port` of the target, where it was connected last.
    pub(crate) fn address(&self) -> &str {
        &self.addresses[self.good.load(Ordering::Relaxed)]
    }

    /// The idle connection used last, if one still stands.
    pub(crate) fn take(&self) -> Option<Box<Connection>> {
        let thread = thread::current().id();
        loop {
            let (_, mut connection) = lock(&self.idle).get_mut(&thread)?.pop()?;
            if connection.is_idle() {
                return Some(connection);
            }
        }
    }

    pub(crate) async fn connect(&self) -> io::Result<Box<Connection>> {
        let stream = self.stream().await?;
        tune(&stream)?;
        let stream = match &self.secure {
            None => Stream::Plain(stream),
            Some((tls, host)) => {
                let agreed = tls.connect(host.clone(), stream);
                let agreed = tokio::time::timeout(CONNECT_TIMEOUT, agreed).await;
                let agreed = agreed.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
                Stream::Tls(Box::new(agreed?))
            }
        };
        let (sender, driver) = http1::Builder::new()
            .max_headers(MAX_FIELDS)
            .writev(false)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        Ok(Box::new(Connection { sender, driver }))
    }

    /// One address after the other, from that which was good last.
    async fn stream(&self) -> io::Result<TcpStream> {
        let first = self.good.load(Ordering::Relaxed);
        let mut failure = None;
        for turn in 0..self.addresses.len() {
            let index = (first + turn) % self.addresses.len();
            let connecting = TcpStream::connect(&self.addresses[index]);
            match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
                Ok(Ok(stream)) => {
                    if turn > 0 {
                        self.good.store(index, Ordering::Relaxed);
                    }
                    return Ok(stream);
                }
                Ok(Err(error)) => failure = Some(error),
                Err(_) => failure = None,
            }
        }
        Err(failure.unwrap_or_else(|| io::ErrorKind::TimedOut.into()))
    }

    /// Keeps a connection for the next request, unless it is closed or still busy.
    pub(crate) fn put(&self, mut connection: Box<Connection>) {
        // Mostly it became ready when its answer ended; whether it is closed is seen when it is taken.
        if !connection.sender.is_ready() && !connection.is_idle() {
            return;
        }
        let thread = thread::current().id();
        match lock(&self.idle).entry(thread) {
            Entry::Occupied(mut idle) if idle.get().len() < MAX_IDLE => {
                idle.get_mut().push((Instant::now(), connection));
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(idle) => {
                idle.insert(vec![(Instant::now(), connection)]);
                tokio::spawn(sweep(Arc::downgrade(&self.idle), thread));
            }
        }
    }
}

fn address(target: &Url) -> Option<String> {
    let port = target
        .port_or_known_default()
        .filter(|_| target.scheme() == "http")?;
    Some(match target.host()? {
        Host::Ipv6(ip) => format!("[{ip}]:{port}"),
        host => format!("{host}:{port}"),
    })
}

impl Connection {
    /// Whether a request can be sent at once. Notices a target that has closed the connection meanwhile.
    fn is_idle(&mut self) -> bool {
        let mut context = Context::from_waker(Waker::noop());
        let open = matches!(Pin::new(&mut self.driver).poll(&mut context), Poll::Pending);
        open && self.sender.is_ready()
    }
}

/// Closes connections that are idle for long or that the target has closed: nobody else polls them.
async fn sweep(idle: Weak<Mutex<Idle>>, thread: ThreadId) {
    loop {
        tokio::time::sleep(SWEEP_INTERVAL).await;
        let Some(idle) = idle.upgrade() else { return };
        let mut idle = lock(&idle);
        let Some(connections) = idle.get_mut(&thread) else {
            return;
        };
        connections.retain_mut(|(since, connection)| {
            since.elapsed() < IDLE_TIMEOUT && connection.is_idle()
        });
        if connections.is_empty() {
            idle.remove(&thread);
            return;
        }
    }
}

fn lock(idle: &Mutex<Idle>) -> std::sync::MutexGuard<'_, Idle> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}
