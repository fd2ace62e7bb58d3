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

/// Goes on reading what is sent, where the answer does not wait for it: a connection that is closed over it takes the answer
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
    let read = async move {
        let mut length = 0;
        while let Some(Ok(part)) = rest.next().await
            && length < UNREAD
        {
            length += part.len();
        }
    };
    // Who sends more, or slower, may lose the answer.
    tokio::spawn(timeout(PATIENCE, read));
    response
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware::from_fn;
    use axum::routing::post;
    use http::StatusCode;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// A server that reads nothing of what it refuses.
    async fn refusing() -> TcpStream {
        let router = Router::new()
            .route("/", post(async || StatusCode::PAYLOAD_TOO_LARGE))
            .layer(from_fn(read_out));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async { axum::serve(listener, router).await });
        TcpStream::connect(address).await.unwrap()
    }

    const HEAD: &str = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: ";

    #[tokio::test]
    async fn who_sends_all_before_they_read_gets_the_answer() {
        let mut stream = refusing().await;
        let length = 8 << 20;
        stream
            .write_all(format!("{HEAD}{length}\r\n\r\n").as_bytes())
            .await
            .unwrap();
        stream.write_all(&vec![0; length]).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    }

    #[tokio::test]
    async fn who_sends_slowly_is_told_at_once() {
        let mut stream = refusing().await;
        stream
            .write_all(format!("{HEAD}1000\r\n\r\n").as_bytes())
            .await
            .unwrap();
        let mut answer = [0; 13];
        timeout(PATIENCE / 2, stream.read_exact(&mut answer))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(&answer, b"HTTP/1.1 413 ");
    }
}
