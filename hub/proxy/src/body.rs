//! The body of a client's request on its way to the target. Knows no connection.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::sync::oneshot;

pub(crate) enum RequestBody {
    Plain(Incoming),
    /// The sender goes with the last byte, or with the body.
    Watched(Incoming, Option<oneshot::Sender<()>>),
    /// That of a request that is sent again.
    Empty,
}

impl RequestBody {
    /// Tells when it was read to its end.
    pub(crate) fn watched(incoming: Incoming) -> (Self, oneshot::Receiver<()>) {
        let (sender, ended) = oneshot::channel();
        let sender = Some(sender).filter(|_| !incoming.is_end_stream());
        (Self::Watched(incoming, sender), ended)
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
            Self::Watched(incoming, sender) => {
                let frame = Pin::new(&mut *incoming).poll_frame(cx);
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
            Self::Plain(incoming) | Self::Watched(incoming, _) => incoming.is_end_stream(),
            Self::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Plain(incoming) | Self::Watched(incoming, _) => incoming.size_hint(),
            Self::Empty => SizeHint::with_exact(0),
        }
    }
}
