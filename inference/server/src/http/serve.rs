//! Connections of the HTTP port.

use std::pin::pin;
use std::time::Duration;

use axum::Router;
use carrel_tls::Tls;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;

/// How long a client may take for the head of a request, and be silent before it.
pub const HEAD: Duration = Duration::from_secs(60);
/// How long it may take to say hello by TLS.
const HELLO: Duration = Duration::from_secs(10);
/// After a connection was not accepted: there may be no descriptors left.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves until `end`, over TLS where there is a certificate, and then answers the requests that run. A connection without a
/// whole head of a request within `head` is closed.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    tls: Option<Tls>,
    head: Duration,
    end: impl Future<Output = ()>,
) {
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    let mut end = pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    // Without it answers are only later.
                    let _ = stream.set_nodelay(true);
                    let (router, stopped) = (router.clone(), stopped.clone());
                    match tls.clone() {
                        None => connections.spawn(connection(stream, router, head, stopped)),
                        Some(tls) => connections.spawn(async move {
                            if let Some(stream) = hello(&tls, stream, stopped.clone()).await {
                                connection(stream, router, head, stopped).await;
                            }
                        }),
                    };
                }
                Err(error) => {
                    tracing::warn!(%error, "Could not accept a connection");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let _ = stop.send(true);
    while connections.join_next().await.is_some() {}
}

/// None of who says no hello, and of nobody that says it at the end: there is no request of theirs.
async fn hello(
    tls: &Tls,
    stream: TcpStream,
    mut stopped: watch::Receiver<bool>,
) -> Option<TlsStream<TcpStream>> {
    tokio::select! {
        accepted = timeout(HELLO, tls.accept(stream)) => accepted.ok()?.ok(),
        _ = stopped.wait_for(|stop| *stop) => None,
    }
}

async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    router: Router,
    head: Duration,
    mut stopped: watch::Receiver<bool>,
) {
    let mut builder = Builder::new(TokioExecutor::new()).http1_only();
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(head);
    let served = builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    let mut served = pin!(served);
    // What breaks a connection is its client's affair.
    tokio::select! {
        _ = served.as_mut() => return,
        _ = stopped.wait_for(|stop| *stop) => {}
    }
    served.as_mut().graceful_shutdown();
    let _ = served.await;
}
