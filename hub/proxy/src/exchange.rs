//! One request and its answer over a connection, both streamed. Knows no header.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::task::unconstrained;

use crate::body::RequestBody;
use crate::pool::Connection;
use crate::routes::Route;

/// Why a request has no answer.
pub(crate) struct Failed {
    pub(crate) error: hyper::Error,
    /// The request, if not a byte of it was sent.
    pub(crate) unsent: Option<Request<RequestBody>>,
}

/// Sends `request` and waits for the head of the answer. Gives the connection back unless it has come to its end.
pub(crate) async fn send(
    mut connection: Box<Connection>,
    request: Request<RequestBody>,
) -> Result<(Response<Incoming>, Option<Box<Connection>>), Failed> {
    let mut answer = pin!(unconstrained(connection.sender.try_send_request(request)));
    let mut connection = Some(connection);
    let mut sent = false;
    let answer = poll_fn(|cx| {
        let look_first = std::mem::replace(&mut sent, true);
        drive_until(&mut connection, look_first, cx, || {
            answer.as_mut().poll(&mut idle_context())
        })
    });
    match answer.await {
        Ok(response) => Ok((response, connection)),
        Err(mut failed) => Err(Failed {
            unsent: failed.take_message(),
            error: failed.into_error(),
        }),
    }
}

/// Lets the connection work until `poll` has something.
///
/// All wake-ups but those of the socket come from the connection itself, which is polled here and nowhere else:
/// whoever waits for it needs none. The connection in turn is woken when what it made is taken. To be spared
/// that, it is polled without a waker first (`look_first`), and with one only if there is nothing to take.
fn drive_until<T>(
    connection: &mut Option<Box<Connection>>,
    look_first: bool,
    cx: &mut Context<'_>,
    mut poll: impl FnMut() -> Poll<T>,
) -> Poll<T> {
    if look_first {
        drive(connection, &mut idle_context());
        let found = poll();
        if found.is_ready() {
            return found;
        }
    }
    drive(connection, cx);
    poll()
}

/// Drops a connection that has come to its end, so that nobody waits for it.
fn drive(connection: &mut Option<Box<Connection>>, cx: &mut Context<'_>) {
    if connection
        .as_mut()
        .is_some_and(|connection| Pin::new(&mut connection.driver).poll(cx).is_ready())
    {
        *connection = None;
    }
}

fn idle_context() -> Context<'static> {
    Context::from_waker(Waker::noop())
}

/// The body of an answer. It drives its connection while it is read and gives it back to the pool at its end;
/// dropped before, it closes the connection, so that the target notices.
pub struct AnswerBody {
    incoming: Incoming,
    connection: Option<Box<Connection>>,
    route: Arc<Route>,
    /// Whether its bytes count as activity.
    active: bool,
    /// Met while there may be bytes that have not left for the client.
    error: Option<hyper::Error>,
}

impl AnswerBody {
    pub(crate) fn new(
        incoming: Incoming,
        connection: Option<Box<Connection>>,
        route: Arc<Route>,
        active: bool,
    ) -> Self {
        Self {
            incoming,
            connection,
            route,
            active,
            error: None,
        }
    }

    fn poll_incoming(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self {
            incoming,
            connection,
            ..
        } = self;
        if connection.is_none() {
            // A task of its own drives the connection, or it has ended and left its last bytes here.
            return Pin::new(incoming).poll_frame(cx);
        }
        let mut poll = || Pin::new(&mut *incoming).poll_frame(&mut idle_context());
        match poll() {
            Poll::Pending => drive_until(connection, true, cx, poll),
            frame => frame,
        }
    }

    fn release(&mut self) {
        if let Some(connection) = self.connection.take() {
            self.route.pool.put(connection);
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(error) = self.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let frame = self.poll_incoming(cx);
        if let Poll::Ready(Some(Err(error))) = frame {
            // At an error the server end drops what it has not written yet: let it write what came before.
            self.error = Some(error);
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if self.active && frame.is_ready() {
            self.route.touch();
        }
        if matches!(frame, Poll::Ready(None)) || self.incoming.is_end_stream() {
            self.release();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        // An answer without a body is never read.
        if self.incoming.is_end_stream() {
            self.release();
        }
    }
}
