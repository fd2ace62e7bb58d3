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

async fn weighed(service: Arc<Service>, request: Request, next: Next) -> Response {
    let part = Arc::new(Part::default());
    // The body of a stream has it as long as it is read, and that of one message until the answer is there.
    let of_body = Arc::clone(&part);
    let request = request.map(|body| {
        let chunks = body.into_data_stream().map(move |chunk| {
            let chunk = chunk.map_err(|error| Status::from_error(error.into()))?;
            of_body.grow(&service, chunk.len())?;
            Ok::<_, Status>(chunk)
        });
        Body::from_stream(chunks)
    });
    let response = next.run(request).await;
    drop(part);
    response
}

/// What one request takes: its bytes, and no more than one message may have, since one is answered at a time.
#[derive(Default)]
struct Part(Mutex<(usize, Option<OwnedSemaphorePermit>)>);

impl Part {
    fn grow(&self, service: &Service, more: usize) -> Result<(), Failure> {
        let mut part = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (bytes, held) = &mut *part;
        *bytes = bytes.saturating_add(more).min(service.largest_body);
        let had = held.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let needed = kibibytes(*bytes).saturating_sub(had);
        let needed = u32::try_from(needed).unwrap_or(u32::MAX);
        let taken = Arc::clone(&service.bodies).try_acquire_many_owned(needed);
        let taken = taken.map_err(|_| {
            let message = "the requests that are being read take all the memory they may";
            Failure::new(Kind::ResourceExhausted, message)
        })?;
        match held {
            Some(held) => held.merge(taken),
            None => *held = Some(taken),
        }
        Ok(())
    }
}
