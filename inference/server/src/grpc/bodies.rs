//! What messages by gRPC take together while they are read and answered: a part of what all bodies may.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use futures_util::StreamExt as _;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

use crate::failure::{Failure, Kind};
use crate::service::{Service, kibibytes};

/// Requests to the router are refused where bodies take too much already, but those that are `free`.
pub fn weigh(router: Router, service: Arc<Service>, free: fn(&str) -> bool) -> Router {
    router.layer(from_fn(move |request: Request, next: Next| {
        let service = Arc::clone(&service);
        async move {
            match free(request.uri().path()) {
                true => next.run(request).await,
                false => weighed(service, request, next).await,
            }
        }
    }))
}

tokio::task_local! {
    /// The part of the request that is read and answered now.
    static PART: (Arc<Service>, Arc<Part>);
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

async fn weighed(service: Arc<Service>, request: Request, next: Next) -> Response {
    let part = Arc::new(Part::default());
    // The body of a stream has it as long as it is read, and that of one message until the answer is there.
    let (of_service, of_body) = (Arc::clone(&service), Arc::clone(&part));
    let request = request.map(|body| {
        let chunks = body.into_data_stream().map(move |chunk| {
            let chunk = chunk.map_err(|error| Status::from_error(error.into()))?;
            of_body.grow(&of_service, chunk.len(), 0)?;
            Ok::<_, Status>(chunk)
        });
        Body::from_stream(chunks)
    });
    PART.scope((service, part), next.run(request)).await
}

/// What one request takes.
#[derive(Default)]
struct Part(Mutex<Taken>);

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
