//! Targets that are down, die or misbehave.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use carrel_proxy::ServeOptions;

use crate::harness::{Client, TestProxy, nobody, scripted};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

async fn answer_one(connection: &mut Client) {
    connection.head_of_request().await;
    connection.send(OK).await;
}

#[tokio::test]
async fn a_dead_target_gives_the_error_page_with_status_503() {
    let proxy = TestProxy::to(nobody().await).await;
    let answer = proxy.get("/user/a/lab?x").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.text(), "error page for GET /user/a/lab?x");
}

#[tokio::test]
async fn a_websocket_to_a_dead_target_gets_a_bare_503_and_the_end() {
    let proxy = TestProxy::to(nobody().await).await;
    let mut client = proxy.connect().await;
    client.send("GET /user/a/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    let answer = String::from_utf8(client.rest().await).unwrap();
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.ends_with("\r\n\r\n"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_target_that_closes_without_an_answer_gives_503() {
    let backend = scripted(|_, mut connection| async move { connection.head_of_request().await });
    assert_eq!(
        TestProxy::to(backend.await)
            .await
            .get("/user/a/")
            .await
            .status,
        503
    );
}

#[tokio::test]
async fn an_answer_that_is_not_http_gives_503() {
    let backend = scripted(|_, mut connection| async move {
        connection.head_of_request().await;
        connection.send("SSH-2.0-OpenSSH\r\n\r\n").await;
    });
    assert_eq!(
        TestProxy::to(backend.await)
            .await
            .get("/user/a/")
            .await
            .status,
        503
    );
}

#[tokio::test]
async fn a_change_of_protocol_that_nobody_asked_for_gives_503() {
    let backend = scripted(|_, mut connection| async move {
        connection.head_of_request().await;
        let switched =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: other\r\n\r\n";
        connection.send(switched).await;
        connection.rest().await;
    });
    assert_eq!(
        TestProxy::to(backend.await)
            .await
            .get("/user/a/")
            .await
            .status,
        503
    );
}

#[tokio::test]
async fn a_target_that_dies_in_the_middle_breaks_the_answer_off() {
    for head in [
        "Content-Length: 100\r\n\r\nhalf",
        "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ] {
        let backend = scripted(move |_, mut connection| async move {
            connection.head_of_request().await;
            connection.send(&format!("HTTP/1.1 200 OK\r\n{head}")).await;
        });
        let proxy = TestProxy::to(backend.await).await;
        let mut client = proxy.connect().await;
        client
            .send("GET /user/a/ HTTP/1.1\r\nHost: x\r\n\r\n")
            .await;
        let answer = String::from_utf8(client.rest().await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
        assert!(
            answer.contains("half") && !answer.ends_with("0\r\n\r\n"),
            "{answer}"
        );
        assert_eq!(proxy.get("/hub/").await.status, 404, "the proxy goes on");
    }
}

/// A backend that closes its first connection after one answer; in the middle of the next request, if `late`.
async fn closing(late: bool) -> (TestProxy, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = requests.clone();
    let backend = scripted(move |number, mut connection| {
        let count = count.clone();
        async move {
            answer_one(&mut connection).await;
            count.fetch_add(1, Ordering::SeqCst);
            if number == 0 && !late {
                return;
            }
            connection.head_of_request().await;
            count.fetch_add(1, Ordering::SeqCst);
            if number > 0 {
                connection.send(OK).await;
            }
        }
    });
    (TestProxy::to(backend.await).await, requests)
}

#[tokio::test]
async fn a_kept_connection_is_used_again() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    let backend = scripted(move |number, mut connection| {
        count.store(number + 1, Ordering::SeqCst);
        async move {
            loop {
                answer_one(&mut connection).await;
            }
        }
    });
    // Each thread keeps its own connections.
    let proxy = TestProxy::with(ServeOptions {
        threads: 1,
        ..ServeOptions::default()
    })
    .await;
    proxy.route("/user/a/", backend.await);
    for _ in 0..5 {
        assert_eq!(proxy.get("/user/a/").await.text(), "ok");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_kept_connection_that_the_target_closed_is_not_noticed_by_clients() {
    for late in [false, true] {
        let (proxy, _) = closing(late).await;
        let mut client = proxy.connect().await;
        for _ in 0..2 {
            assert_eq!(client.get("/user/a/").await.text(), "ok");
        }
    }
}

#[tokio::test]
async fn a_request_that_may_do_harm_is_not_sent_twice() {
    let (proxy, requests) = closing(true).await;
    let mut client = proxy.connect().await;
    assert_eq!(client.get("/user/a/").await.text(), "ok");
    client
        .send("POST /user/a/ HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        .await;
    assert_eq!(client.answer().await.status, 503);
    assert_eq!(requests.load(Ordering::SeqCst), 2);
}
