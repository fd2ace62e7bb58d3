//! The body of a client's request on its way to the target. Knows no connection.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::oneshot;
use tokio::time::{sleep, sleep_until};

/// When the target was given bytes that it has not come back from; None while the client has the next.
pub(crate) type Given = Arc<Mutex<Option<Instant>>>;

/// How the body of a request is coming along.
pub(crate) struct Upload {
    ended: oneshot::Receiver<()>,
    given: Given,
}

impl Upload {
    /// Ends `timeout` after the end of the body, or of the last bytes that the target took. A client takes its time.
    pub(crate) async fn overdue(mut self, timeout: Duration) {
        loop {
            let given = *lock(&self.given);
            let until = given.unwrap_or_else(Instant::now) + timeout;
            tokio::select! {
                // Nothing is ever sent: the other end goes.
                _ = &mut self.ended => break,
                () = sleep_until(until.into()) => {}
            }
            if given.is_some() && *lock(&self.given) == given {
                return;
            }
        }
        sleep(timeout).await;
    }
}

fn lock(given: &Given) -> MutexGuard<'_, Option<Instant>> {
    given.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) enum RequestBody {
    Plain(Incoming),
    /// The sender goes with the last byte, or with the body.
    Watched(Incoming, Option<oneshot::Sender<()>>, Given),
    /// That of a request that is sent again.
    Empty,
}

impl RequestBody {
    /// Tells how it is read.
    pub(crate) fn watched(incoming: Incoming) -> (Self, Upload) {
        let (sender, ended) = oneshot::channel();
        let sender = Some(sender).filter(|_| !incoming.is_end_stream());
        let given = Given::default();
        let upload = Upload {
            ended,
            given: Arc::clone(&given),
        };
        (Self::Watched(incoming, sender, given), upload)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Plain(incoming) => Pin::new(incoming).poll_frame(cx),
            Self::Watched(incoming, sender, given) => {
                let frame = Pin::new(&mut *incoming).poll_frame(cx);
                *lock(given) = frame.is_ready().then(Instant::now);
                if matches!(frame, Poll::Ready(None)) || incoming.is_end_stream() {
                    *sender = None;
                }
                frame
            }
            Self::Empty => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Plain(incoming) | Self::Watched(incoming, ..) => incoming.is_end_stream(),
            Self::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Plain(incoming) | Self::Watched(incoming, ..) => incoming.size_hint(),
            Self::Empty => SizeHint::with_exact(0),
        }
    }
}
