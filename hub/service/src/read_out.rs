//! Answers that do not wait for the request's body, and arrive all the same.

use std::sync::{Arc, Mutex, PoisonError};
use std::task::Context;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::{StreamExt as _, stream};
use http_body::Body as _;
use tokio::time::timeout;

/// What is read of a request that is answered already, in bytes, and how long.
const UNREAD: usize = 16 << 20;
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads the rest of what was sent, where the answer did not wait for it: a connection that is closed over it takes the answer
/// with it, and whoever passes it on says that nobody answers.
pub async fn read_out(request: Request, next: Next) -> Response {
    if request.body().is_end_stream() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let body = Arc::new(Mutex::new(body.into_data_stream()));
    let part = move |context: &mut Context<'_>| {
        let mut body = body.lock().unwrap_or_else(PoisonError::into_inner);
        body.poll_next_unpin(context)
    };
    let mut rest = stream::poll_fn(part.clone());
    let body = Body::from_stream(stream::poll_fn(part));
    let response = next.run(Request::from_parts(parts, body)).await;
    let read = async {
        let mut length = 0;
        while let Some(Ok(part)) = rest.next().await
            && length < UNREAD
        {
            length += part.len();
        }
    };
    // Who sends more, or slower, has lost the answer.
    let _ = timeout(PATIENCE, read).await;
    response
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::body::Bytes;
    use axum::middleware::from_fn;
    use axum::routing::post;
    use http::StatusCode;
    use tower::ServiceExt as _;

    use super::*;

    /// How much is read of a request of so many parts of a MiB that is refused unread.
    async fn read_of(parts: usize) -> usize {
        let read = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&read);
        let part = move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::io::Error>(Bytes::from_static(&[0; 1 << 20]))
        };
        let router = Router::new()
            .route("/", post(async || StatusCode::PAYLOAD_TOO_LARGE))
            .layer(from_fn(read_out));
        let body = Body::from_stream(stream::iter(0..parts).map(part));
        let answer = router.oneshot(Request::post("/").body(body).unwrap()).await;
        assert_eq!(answer.unwrap().status(), StatusCode::PAYLOAD_TOO_LARGE);
        read.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn what_is_refused_is_read_to_its_end_and_no_further_than_so_far() {
        assert_eq!(read_of(3).await, 3);
        assert_eq!(read_of(100).await, 17);
    }
}
