//! What messages by gRPC take together while they are read and answered: a part of what all bodies may.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use axum::body::HttpBody;
use axum::http::Request;
use bytes::Bytes;
use futures_util::future::Either;
use hyper::body::{Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::futures::TaskLocalFuture;
use tonic::Status;
use tonic::body::Body;
use tower::{Layer, Service as Serve};

use crate::failure::{Failure, Kind};
use crate::service::{Service, kibibytes};

/// Refuses requests where bodies take too much already, but those that are `free`. A layer of its own, since those of axum
/// take as long as a tiny network.
#[derive(Clone)]
pub struct Weigh {
    pub service: Arc<Service>,
    pub free: fn(&str) -> bool,
}

impl<S> Layer<S> for Weigh {
    type Service = Weighing<S>;

    fn layer(&self, inner: S) -> Weighing<S> {
        let weigh = self.clone();
        Weighing { weigh, inner }
    }
}

#[derive(Clone)]
pub struct Weighing<S> {
    weigh: Weigh,
    inner: S,
}

impl<S: Serve<Request<Body>>> Serve<Request<Body>> for Weighing<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = Either<S::Future, TaskLocalFuture<OfRequest, S::Future>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if (self.weigh.free)(request.uri().path()) {
            return Either::Left(self.inner.call(request));
        }
        // The body of a stream has it as long as it is read, and that of one message until the answer is there.
        let of_request = (Arc::clone(&self.weigh.service), Arc::default());
        let of_body = of_request.clone();
        let request = request.map(|body| Body::new(Counted { body, of_body }));
        Either::Right(PART.scope(of_request, self.inner.call(request)))
    }
}

/// What a request takes a part of, and the part.
type OfRequest = (Arc<Service>, Arc<Part>);

/// A body whose bytes are counted as they come.
struct Counted {
    body: Body,
    of_body: OfRequest,
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        if let Some(Ok(frame)) = &frame
            && let Some(data) = frame.data_ref()
        {
            let (service, part) = &self.of_body;
            if let Err(failure) = part.grow(service, data.len(), 0) {
                return Poll::Ready(Some(Err(failure.into())));
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

tokio::task_local! {
    /// The part of the request that is read and answered now.
    static PART: OfRequest;
}

/// A message that is neither a request for inference nor this small is none that anybody sends.
const LARGEST_OTHER: usize = 1 << 20;
/// What one message of a stream may take once it is read.
const LARGEST_OF_STREAM: usize = 256 << 20;

/// Takes what a message of so many bytes takes more once it is read, if that is known, before it is.
pub fn take(bytes: usize, more: Option<usize>) -> Result<(), Status> {
    let large = |most| {
        let message = format!("the message takes more than {most} bytes once it is read");
        Failure::new(Kind::ResourceExhausted, message)
    };
    let taken = PART.try_with(|(service, part)| match more {
        Some(more) => part.grow(service, 0, more),
        None if bytes <= LARGEST_OTHER => Ok(()),
        None => Err(large(LARGEST_OTHER)),
    });
    // Outside are messages of streams, and answers to clients.
    match (taken, more) {
        (Ok(taken), _) => Ok(taken?),
        (Err(_), Some(more)) if more > LARGEST_OF_STREAM => Err(large(LARGEST_OF_STREAM).into()),
        (Err(_), _) => Ok(()),
    }
}

/// What one request takes.
#[derive(Default)]
pub struct Part(Mutex<Taken>);

#[derive(Default)]
struct Taken {
    /// No more than one message may have, since one is answered at a time.
    bytes: usize,
    /// What messages take beyond that once they are read.
    more: usize,
    held: Option<OwnedSemaphorePermit>,
}

impl Part {
    fn grow(&self, service: &Service, bytes: usize, more: usize) -> Result<(), Failure> {
        let mut taken = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = &mut *taken;
        taken.bytes = taken.bytes.saturating_add(bytes).min(service.largest_body);
        taken.more = taken.more.saturating_add(more);
        let had = taken
            .held
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let needed = kibibytes(taken.bytes.saturating_add(taken.more)).saturating_sub(had);
        let needed = u32::try_from(needed).unwrap_or(u32::MAX);
        let permit = Arc::clone(&service.bodies).try_acquire_many_owned(needed);
        let permit = permit.map_err(|_| {
            let message = "the requests that are being read take all the memory they may";
            Failure::new(Kind::ResourceExhausted, message)
        })?;
        match &mut taken.held {
            Some(held) => held.merge(permit),
            held => *held = Some(permit),
        }
        Ok(())
    }
}
