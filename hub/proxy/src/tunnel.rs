//! Connections that change protocol: websockets. Bytes are copied both ways as they are, without an idle limit.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response, StatusCode};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, copy_bidirectional};

use crate::body::RequestBody;
use crate::exchange::AnswerBody;
use crate::pool::Connection;
use crate::routes::Route;

/// Goes with a request for a tunnel, and is dropped when that ends.
#[derive(Clone)]
pub(crate) struct Held(
    #[expect(dead_code, reason = "it is there to be dropped")] pub Arc<dyn Send + Sync>,
);

/// The client's end of a tunnel that it asks for.
pub(crate) struct Client {
    upgraded: OnUpgrade,
    _held: Option<Held>,
}

impl Client {
    pub fn of<B>(request: &mut Request<B>) -> Self {
        let _held = request.extensions_mut().remove();
        let upgraded = hyper::upgrade::on(request);
        Self { upgraded, _held }
    }
}

/// Asks the target for the upgrade over `connection`, which the pool will not see again. If it agrees, the tunnel
/// opens once its answer has reached the client.
pub(crate) async fn open(
    route: &Arc<Route>,
    connection: Box<Connection>,
    request: Request<RequestBody>,
    client: Client,
) -> hyper::Result<Response<AnswerBody>> {
    let Connection { mut sender, driver } = *connection;
    tokio::spawn(driver.with_upgrades());
    let mut response = sender.send_request(request).await?;
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        tokio::spawn(run(
            route.clone(),
            client,
            hyper::upgrade::on(&mut response),
        ));
    }
    let active = response.status().as_u16() < 300;
    Ok(response.map(|body| AnswerBody::new(body, None, route.clone(), active)))
}

/// Ends when both sides have closed, or at once when one side's connection breaks: then both are closed.
async fn run(route: Arc<Route>, client: Client, target: OnUpgrade) {
    let Client { upgraded, _held } = client;
    let result = match tokio::try_join!(upgraded, target) {
        Ok((client, target)) => {
            let mut client = Active {
                io: TokioIo::new(client),
                route: route.clone(),
            };
            let mut target = Active {
                io: TokioIo::new(target),
                route: route.clone(),
            };
            copy_bidirectional(&mut client, &mut target)
                .await
                .map(|_| ())
        }
        Err(error) => Err(io::Error::other(error)),
    };
    if let Err(error) = result {
        tracing::debug!(route.prefix = route.prefix(), %error, "A tunnel broke");
    }
}

/// Records all that is read from it as activity.
struct Active {
    io: TokioIo<Upgraded>,
    route: Arc<Route>,
}

impl AsyncRead for Active {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.route.touch();
        }
        result
    }
}

impl AsyncWrite for Active {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
