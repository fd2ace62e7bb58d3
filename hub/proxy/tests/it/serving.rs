//! The listener: slow clients, and the end.

use std::sync::Arc;
use std::time::Duration;

use carrel_proxy::ServeOptions;
use tokio::sync::Notify;

use crate::harness::{TestProxy, bounded, scripted};

#[tokio::test]
async fn a_client_that_never_ends_its_head_is_cut_off() {
    let options = ServeOptions {
        header_read_timeout: Duration::from_millis(100),
        ..ServeOptions::default()
    };
    let mut client = TestProxy::with(options).await.connect().await;
    client.send("GET /user/a/ HTTP/1.1\r\nHost: ").await;
    client.rest().await;
}

/// A proxy with a request under way, which `go` lets end.
async fn busy(drain: Duration) -> (TestProxy, crate::harness::Client, Arc<Notify>) {
    let go = Arc::new(Notify::new());
    let arrived = Arc::new(Notify::new());
    let (wait, here) = (go.clone(), arrived.clone());
    let backend = scripted(move |_, mut connection| {
        let (wait, here) = (wait.clone(), here.clone());
        async move {
            connection.head_of_request().await;
            here.notify_one();
            wait.notified().await;
            connection
                .send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ndone")
                .await;
        }
    });
    let proxy = TestProxy::with(ServeOptions {
        drain,
        ..ServeOptions::default()
    })
    .await;
    proxy.route("/user/a/", backend.await);
    let mut client = proxy.connect().await;
    client
        .send("GET /user/a/ HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    bounded(arrived.notified()).await;
    (proxy, client, go)
}

#[tokio::test]
async fn requests_under_way_end_before_the_server_does() {
    let (proxy, mut client, go) = busy(Duration::from_secs(20)).await;
    let address = proxy.address;
    let mut idle = proxy.connect().await;
    assert_eq!(idle.get("/hub/").await.status, 404);
    let serving = proxy.shut_down();
    assert!(idle.rest().await.is_empty(), "an idle connection is closed");
    go.notify_one();
    assert_eq!(client.answer().await.text(), "done");
    bounded(serving).await.unwrap();
    assert!(
        tokio::net::TcpStream::connect(address).await.is_err(),
        "it still listens"
    );
}

#[tokio::test]
async fn a_request_that_does_not_end_is_broken_off() {
    let (proxy, mut client, _go) = busy(Duration::from_millis(100)).await;
    bounded(proxy.shut_down()).await.unwrap();
    assert!(client.rest().await.is_empty());
}
