//! Connections of the gRPC port, and what its health service says.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use carrel_tls::Tls;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_rustls::server::TlsStream;
use tonic::transport::Server;
use tonic::transport::server::{Connected, TcpIncoming};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::bodies::Weigh;
use super::{is_open, routes};
use crate::models::Selector;
use crate::service::Service;

/// Bytes that a client may send before it hears that they were read: with less, a picture takes many rounds.
const WINDOW: u32 = 2 << 20;
/// Bytes of a frame.
const FRAME: u32 = 1 << 18;
/// How long a client may take to say hello.
const HELLO: Duration = Duration::from_secs(10);

/// The gRPC port, until `end`.
///
/// # Errors
/// Where the connection of the port breaks.
pub async fn serve(
    listener: TcpListener,
    service: Arc<Service>,
    tls: Option<Tls>,
    end: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let (routes, reporter) = routes(Arc::clone(&service)).await?;
    let health = tokio::spawn(report(Arc::clone(&service), reporter));
    let router = Server::builder()
        .layer(Weigh {
            service,
            free: is_open,
        })
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .max_frame_size(FRAME)
        .add_routes(routes);
    let served = match tls {
        None => {
            let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
            router.serve_with_incoming_shutdown(incoming, end).await
        }
        Some(tls) => {
            let (connections, accepted) = mpsc::channel(1);
            let accepting = tokio::spawn(accept(listener, tls, connections));
            let incoming = futures_util::stream::unfold(accepted, async |mut accepted| {
                Some((accepted.recv().await?, accepted))
            });
            let served = router.serve_with_incoming_shutdown(incoming, end).await;
            accepting.abort();
            served
        }
    };
    health.abort();
    Ok(served?)
}

/// Accepts connections for ever, and says hello to each by itself: one that is slow keeps no other.
async fn accept(listener: TcpListener, tls: Tls, connections: mpsc::Sender<io::Result<Secure>>) {
    const PAUSE: Duration = Duration::from_millis(100);
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "Could not accept a connection");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (tls, connections) = (tls.clone(), connections.clone());
        tokio::spawn(async move {
            if let Ok(Ok(stream)) = timeout(HELLO, tls.accept(stream)).await {
                // An error is that the server ended.
                let _ = connections.send(Ok(Secure(stream))).await;
            }
        });
    }
}

/// A connection as tonic takes it.
struct Secure(TlsStream<TcpStream>);

impl Connected for Secure {
    type ConnectInfo = ();

    fn connect_info(&self) {}
}

impl AsyncRead for Secure {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for Secure {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}

/// Tells gRPC's health service whether the server is ready, and each model by its name.
async fn report(service: Arc<Service>, mut reporter: HealthReporter) {
    const PERIOD: Duration = Duration::from_millis(200);
    let status = |good| match good {
        true => ServingStatus::Serving,
        false => ServingStatus::NotServing,
    };
    let mut known = Arc::default();
    loop {
        reporter
            .set_service_status("", status(service.is_ready()))
            .await;
        let entries = service.models.entries();
        for (name, entry) in &*entries {
            let good = service.is_ready() && entry.is_ready(&Selector::Latest);
            reporter.set_service_status(name, status(good)).await;
        }
        let before = std::mem::replace(&mut known, entries);
        for name in before.keys().filter(|name| !known.contains_key(*name)) {
            // Who watches the model is told, and who asks that it is not known.
            reporter
                .set_service_status(name, ServingStatus::NotServing)
                .await;
            reporter.clear_service_status(name).await;
        }
        tokio::time::sleep(PERIOD).await;
    }
}
