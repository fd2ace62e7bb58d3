//! Bodies flow both ways as they come, whatever their size.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::Request;
use axum::response::IntoResponse;
use futures_util::StreamExt;
use http_body_util::BodyExt;
use tokio::io::AsyncReadExt;
use tokio::sync::{Notify, mpsc};

use crate::harness::{TestProxy, backend, bounded, scripted};

const MEGABYTE: usize = 1 << 20;

/// A backend whose answer is what the test sends, piece by piece.
async fn fed() -> (TestProxy, mpsc::UnboundedSender<&'static str>) {
    let (feed, pieces) = mpsc::unbounded_channel();
    let pieces = Arc::new(tokio::sync::Mutex::new(pieces));
    let handler = move || async move {
        Body::from_stream(futures_util::stream::unfold(pieces, |pieces| async {
            let piece = pieces.lock().await.recv().await?;
            Some((Ok::<_, Infallible>(piece), pieces))
        }))
    };
    (
        TestProxy::to(backend(Router::new().fallback(handler)).await).await,
        feed,
    )
}

#[tokio::test]
async fn a_piece_of_an_answer_arrives_before_the_next_is_made() {
    let (proxy, feed) = fed().await;
    let mut client = proxy.connect().await;
    client
        .send("GET /user/a/events HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    assert_eq!(
        client.head().await.header("transfer-encoding").as_deref(),
        Some("chunked")
    );
    for piece in ["data: one", "data: two", "data: three"] {
        feed.send(piece).unwrap();
        client.until(piece).await;
    }
    drop(feed);
    client.until("0\r\n\r\n").await;
}

#[tokio::test]
async fn a_piece_of_a_request_arrives_before_the_next_is_sent() {
    let (seen, mut pieces) = mpsc::unbounded_channel();
    let handler = move |request: Request<Body>| async move {
        let mut body = request.into_body().into_data_stream();
        while let Some(piece) = body.next().await {
            seen.send(piece.unwrap()).unwrap();
        }
        "received"
    };
    let proxy = TestProxy::to(backend(Router::new().fallback(handler)).await).await;
    let mut client = proxy.connect().await;
    client
        .send("POST /user/a/ HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await;
    for piece in ["one", "three"] {
        client
            .send(&format!("{:x}\r\n{piece}\r\n", piece.len()))
            .await;
        assert_eq!(bounded(pieces.recv()).await.unwrap(), piece);
    }
    client.send("0\r\n\r\n").await;
    assert_eq!(client.answer().await.text(), "received");
}

#[tokio::test]
async fn a_body_of_100_megabytes_does_not_stay_in_memory() {
    let endless =
        futures_util::stream::repeat(Ok::<_, Infallible>(Bytes::from_static(&[7; 64 * 1024])));
    let handler = || async { Body::from_stream(endless.take(100 * 16)) };
    let proxy = TestProxy::to(backend(Router::new().fallback(handler)).await).await;
    let before = peak_memory();
    let mut client = proxy.connect().await;
    client.send("GET /user/a/ HTTP/1.0\r\n\r\n").await;
    client.head().await;
    let mut received = 0;
    let mut piece = vec![0; MEGABYTE];
    loop {
        // The proxy has every chance to read ahead of a slow client.
        tokio::task::yield_now().await;
        match bounded(client.stream.read(&mut piece)).await.unwrap() {
            0 => break,
            read => received += read,
        }
    }
    assert!(received > 99 * MEGABYTE, "{received}");
    let grown = peak_memory() - before;
    assert!(grown < 60 * MEGABYTE, "the peak grew by {grown} bytes");
}

/// Of this process, with proxy, backend and client.
fn peak_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmHWM:"))
        .unwrap();
    line.split_whitespace()
        .nth(1)
        .unwrap()
        .parse::<usize>()
        .unwrap()
        * 1024
}

#[tokio::test]
async fn a_large_upload_arrives_whole_on_a_kept_connection() {
    let handler = |request: Request<Body>| async move {
        let body = request.into_body().collect().await.unwrap().to_bytes();
        format!(
            "{} {}",
            body.len(),
            body.iter().map(|byte| u64::from(*byte)).sum::<u64>()
        )
    };
    let router = Router::new().fallback(handler);
    let proxy = TestProxy::to(backend(router).await).await;
    let mut client = proxy.connect().await;
    for size in [0, 1, 10 * MEGABYTE, 5] {
        client
            .send(&format!(
                "PUT /user/a/ HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n"
            ))
            .await;
        client.send(&"\u{2}".repeat(size)).await;
        assert_eq!(client.answer().await.text(), format!("{size} {}", 2 * size));
    }
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it() {
    let handler = |body: String| async move { body };
    let proxy = TestProxy::to(backend(Router::new().fallback(handler)).await).await;
    let mut client = proxy.connect().await;
    client.send("POST /user/a/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    assert_eq!(client.head().await.status, 100);
    client.send("hello").await;
    assert_eq!(client.answer().await.text(), "hello");
}

#[tokio::test]
async fn answers_without_a_body_leave_the_connection_usable() {
    let handler = |request: Request<Body>| async move {
        match request.uri().path() {
            "/user/a/204" => axum::http::StatusCode::NO_CONTENT.into_response(),
            "/user/a/304" => axum::http::StatusCode::NOT_MODIFIED.into_response(),
            _ => "text".into_response(),
        }
    };
    let proxy = TestProxy::to(backend(Router::new().fallback(handler)).await).await;
    let mut client = proxy.connect().await;
    for (request, status) in [
        ("GET /user/a/204", 204),
        ("GET /user/a/304", 304),
        ("HEAD /user/a/", 200),
    ] {
        client
            .send(&format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await;
        assert_eq!(client.head().await.status, status);
    }
    assert_eq!(client.get("/user/a/").await.text(), "text");
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_request_along() {
    let gone = Arc::new(Notify::new());
    let noticed = gone.clone();
    let arrived = Arc::new(Notify::new());
    let here = arrived.clone();
    let backend = scripted(move |_, mut connection| {
        let (noticed, here) = (noticed.clone(), here.clone());
        async move {
            connection.head_of_request().await;
            here.notify_one();
            connection.rest().await;
            noticed.notify_one();
        }
    });
    let proxy = TestProxy::to(backend.await).await;
    let mut client = proxy.connect().await;
    client
        .send("GET /user/a/slow HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    bounded(arrived.notified()).await;
    drop(client);
    bounded(gone.notified()).await;
}
