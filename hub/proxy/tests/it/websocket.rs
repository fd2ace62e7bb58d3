//! Websockets through the proxy, with a real client and a real server, and the bare tunnel under them.

use std::net::SocketAddr;

use futures_util::{SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::harness::{TestProxy, bounded, scripted};

type Websocket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

/// A websocket server that sends back what it gets.
async fn echo() -> SocketAddr {
    scripted(|_, connection| async move {
        let Ok(mut websocket) = tokio_tungstenite::accept_async(connection.stream).await else {
            return;
        };
        while let Some(Ok(message)) = websocket.next().await {
            if (message.is_text() || message.is_binary()) && websocket.send(message).await.is_err()
            {
                return;
            }
        }
    })
    .await
}

async fn open(proxy: &TestProxy) -> Websocket {
    let url = format!(
        "ws://{}/user/a/api/kernels/1/channels?session_id=2",
        proxy.address
    );
    bounded(tokio_tungstenite::connect_async(url))
        .await
        .unwrap()
        .0
}

async fn next(websocket: &mut Websocket) -> Message {
    bounded(websocket.next()).await.unwrap().unwrap()
}

#[tokio::test]
async fn messages_pass_both_ways() {
    let proxy = TestProxy::to(echo().await).await;
    let mut websocket = open(&proxy).await;
    for message in [
        Message::text("hello"),
        Message::binary(vec![0, 255, 1]),
        Message::text("é"),
    ] {
        websocket.send(message.clone()).await.unwrap();
        assert_eq!(next(&mut websocket).await, message);
    }
    websocket
        .send(Message::Ping("are you there".into()))
        .await
        .unwrap();
    assert_eq!(
        next(&mut websocket).await,
        Message::Pong("are you there".into())
    );
}

#[tokio::test]
async fn a_message_of_10_megabytes_arrives_whole() {
    let proxy = TestProxy::to(echo().await).await;
    let mut websocket = open(&proxy).await;
    let large: Vec<u8> = (0..10 << 20)
        .map(|byte: u32| byte.to_le_bytes()[1])
        .collect();
    let (mut send, mut receive) = websocket.split();
    let sent = send.send(Message::binary(large.clone()));
    let (sent, received) = bounded(futures_util::future::join(sent, receive.next())).await;
    sent.unwrap();
    assert!(
        received.unwrap().unwrap() == Message::binary(large),
        "the message has changed"
    );
    websocket = send.reunite(receive).unwrap();
    websocket.close(None).await.unwrap();
}

#[tokio::test]
async fn close_codes_pass_both_ways() {
    let proxy = TestProxy::to(echo().await).await;
    let mut websocket = open(&proxy).await;
    let farewell = CloseFrame {
        code: CloseCode::Library(4321),
        reason: "done".into(),
    };
    websocket.close(Some(farewell.clone())).await.unwrap();
    assert_eq!(next(&mut websocket).await, Message::Close(Some(farewell)));
    assert!(bounded(websocket.next()).await.is_none());
}

#[tokio::test]
async fn a_refused_websocket_tells_the_targets_status() {
    let backend = scripted(|_, mut connection| async move {
        connection.head_of_request().await;
        connection
            .send("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
            .await;
    });
    let proxy = TestProxy::to(backend.await).await;
    let mut client = proxy.connect().await;
    client.send("GET /user/a/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text().as_str()), (403, "no"));
}

const UPGRADE: &str = "GET /user/a/ws HTTP/1.1\r\nHost: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: other\r\n\r\n";
const SWITCHED: &str =
    "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: other\r\n\r\n";

#[tokio::test]
async fn each_direction_closes_for_itself() {
    let backend = scripted(|_, mut connection| async move {
        let request = connection.until("\r\n\r\n").await.to_lowercase();
        assert!(
            request.contains("connection: upgrade") && request.contains("upgrade: other"),
            "{request}"
        );
        connection.send(&format!("{SWITCHED}greeting")).await;
        let question = connection.rest().await;
        connection
            .send(&format!(
                "answer to {}",
                String::from_utf8(question).unwrap()
            ))
            .await;
    });
    let proxy = TestProxy::to(backend.await).await;
    let mut client = proxy.connect().await;
    client.send(UPGRADE).await;
    let head = client.head().await;
    assert_eq!(head.header("upgrade").as_deref(), Some("other"));
    client.until("greeting").await;
    client.send("question").await;
    client.stream.shutdown().await.unwrap();
    assert_eq!(client.rest().await, b"answer to question");
}

#[tokio::test]
async fn a_tunnel_ends_when_its_target_dies() {
    let backend = scripted(|_, mut connection| async move {
        connection.head_of_request().await;
        connection.send(SWITCHED).await;
        connection.until("die").await;
    });
    let proxy = TestProxy::to(backend.await).await;
    let mut client = proxy.connect().await;
    client.send(UPGRADE).await;
    client.head().await;
    client.send("die").await;
    assert!(client.rest().await.is_empty());
}

#[tokio::test]
async fn a_tunnel_outlives_its_route_and_counts_as_activity() {
    let proxy = TestProxy::to(echo().await).await;
    let mut websocket = open(&proxy).await;
    let opened = proxy.routes.last_activity("/user/a/").unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await; // Activity counts in whole seconds.
    websocket.send(Message::text("busy")).await.unwrap();
    next(&mut websocket).await;
    assert!(proxy.routes.last_activity("/user/a/").unwrap() > opened);
    proxy.routes.remove("/user/a/");
    websocket.send(Message::text("still here")).await.unwrap();
    assert_eq!(next(&mut websocket).await, Message::text("still here"));
}
