//! One request and its answer over a connection, both streamed. Knows no header.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{Either, Empty};
use hyper::body::Incoming;
use tokio::task::unconstrained;

use crate::pool::Connection;
use crate::routes::Route;

/// The body of the client's request; a request that is sent again has none.
pub(crate) type RequestBody = Either<Incoming, Empty<Bytes>>;

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
    let answer = poll_fn(|cx| {
        drive(&mut connection, cx);
        // Only the connection, just polled, makes the answer: to be woken by it would poll the task once more for
        // nothing.
        answer
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
    });
    match answer.await {
        Ok(response) => Ok((response, connection)),
        Err(mut failed) => Err(Failed {
            unsent: failed.take_message(),
            error: failed.into_error(),
        }),
    }
}

/// Lets the connection work; drops it when it has come to its end, so that nobody waits for it.
fn drive(connection: &mut Option<Box<Connection>>, cx: &mut Context<'_>) {
    if connection
        .as_mut()
        .is_some_and(|connection| Pin::new(&mut connection.driver).poll(cx).is_ready())
    {
        *connection = None;
    }
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
        let mut frame = Pin::new(&mut self.incoming).poll_frame(cx);
        if frame.is_pending() {
            drive(&mut self.connection, cx);
            frame = Pin::new(&mut self.incoming).poll_frame(cx);
        }
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
