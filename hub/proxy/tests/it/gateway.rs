//! A gateway whose owner chooses: paths that change, timeouts, TLS to targets, and what is told of each request.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use bytes::Bytes;
use carrel_proxy::{
    Failure, FailureKind, Gateway, ServeOptions, Switch, Target, Tls, Trust, Way, serve,
};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Response, StatusCode, request, response};
use http_body_util::Full;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::rustls::RootCertStore;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{Client, PATIENCE, TestProxy, backend, bounded, named, nobody, scripted};

/// What became of requests: a status, or why there was none.
type Told = Arc<Mutex<Vec<Result<u16, FailureKind>>>>;

/// Everything below `/app/` goes to one target, at its root.
#[derive(Clone)]
struct App {
    target: Target,
    timeout: Option<Duration>,
    told: Told,
}

impl Switch for App {
    type Way = Self;

    fn choose(&self, head: &mut request::Parts) -> Result<Self, Response<Full<Bytes>>> {
        let path = head.uri.path_and_query().map(ToString::to_string);
        let rest = path.and_then(|path| Some(path.strip_prefix("/app")?.parse().unwrap()));
        let Some(rest) = rest else {
            let mut answer = Response::new(Full::from("no way"));
            *answer.status_mut() = StatusCode::NOT_FOUND;
            return Err(answer);
        };
        head.uri = rest;
        Ok(self.clone())
    }
}

impl Way for App {
    fn target(&self) -> &Target {
        &self.target
    }

    fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    fn confined(&self) -> Option<(&str, &[&str])> {
        Some(("/app/", &["hub-login"]))
    }

    fn answered(&self, head: &mut response::Parts, _after: Duration) {
        self.told.lock().unwrap().push(Ok(head.status.as_u16()));
    }

    fn failed(&self, failure: &Failure, _after: Duration) -> Response<Full<Bytes>> {
        self.told.lock().unwrap().push(Err(failure.kind));
        let mut answer = Response::new(Full::from("it failed"));
        *answer.status_mut() = match failure.kind {
            FailureKind::Down => StatusCode::SERVICE_UNAVAILABLE,
            FailureKind::Broken => StatusCode::BAD_GATEWAY,
            FailureKind::Late => StatusCode::GATEWAY_TIMEOUT,
        };
        answer
    }
}

struct TestGateway {
    address: SocketAddr,
    told: Told,
}

impl TestGateway {
    async fn to(target: Target, timeout: Option<Duration>) -> Self {
        let told = Told::default();
        let app = App {
            target,
            timeout,
            told: told.clone(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let options = ServeOptions::default();
        tokio::spawn(serve(
            listener,
            Gateway(app),
            std::future::pending(),
            options,
        ));
        Self { address, told }
    }

    async fn plain(backend: SocketAddr) -> Self {
        Self::to(Target::plain("app", &backend.to_string()), None).await
    }

    async fn connect(&self) -> Client {
        Client::new(TcpStream::connect(self.address).await.unwrap())
    }

    fn told(&self) -> Vec<Result<u16, FailureKind>> {
        self.told.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn the_owner_chooses_target_and_path() {
    let gateway = TestGateway::plain(named("target").await).await;
    let mut client = gateway.connect().await;
    for _ in 0..2 {
        let answer = client.get("/app/a%2Fb?c=d").await;
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (200, "target /a%2Fb?c=d")
        );
    }
    let answer = client.get("/else").await;
    assert_eq!((answer.status, answer.text().as_str()), (404, "no way"));
    assert_eq!(gateway.told(), [Ok(200), Ok(200)]);
}

#[tokio::test]
async fn answers_keep_to_the_prefix_that_clients_see() {
    let headers = [
        ("set-cookie", "a=1; Path=/"),
        ("clear-site-data", "\"*\""),
        ("x-own", "kept"),
    ];
    let router = Router::new().route("/", get(async move || headers));
    let reserved = Router::new().route("/r", get(async || [("set-cookie", "hub-login=x; Path=/")]));
    let gateway = TestGateway::plain(backend(router.merge(reserved)).await).await;
    let mut client = gateway.connect().await;
    let answer = client.get("/app/").await;
    assert_eq!(
        answer.header("set-cookie").as_deref(),
        Some("a=1; Path=/app/")
    );
    assert_eq!(answer.header("clear-site-data"), None);
    assert_eq!(answer.header("x-own").as_deref(), Some("kept"));
    assert_eq!(client.get("/app/r").await.header("set-cookie"), None);
}

#[tokio::test]
async fn a_target_that_does_not_answer_in_time_is_left() {
    let silent = scripted(|_, mut connection| async move {
        connection.head_of_request().await;
        connection.rest().await;
    });
    let target = Target::plain("app", &silent.await.to_string());
    let gateway = TestGateway::to(target, Some(Duration::from_millis(50))).await;
    let answer = gateway.connect().await.get("/app/").await;
    assert_eq!((answer.status, answer.text().as_str()), (504, "it failed"));
    assert_eq!(gateway.told(), [Err(FailureKind::Late)]);
}

#[tokio::test]
async fn what_is_sent_slowly_does_not_count_against_the_target() {
    let router = Router::new().route("/", post(async |body: Bytes| body));
    let target = Target::plain("app", &backend(router).await.to_string());
    let timeout = Duration::from_millis(300);
    let gateway = TestGateway::to(target, Some(timeout)).await;
    let mut client = gateway.connect().await;
    client
        .send("POST /app/ HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nab")
        .await;
    tokio::time::sleep(timeout * 2).await; // The time itself is what is tested.
    client.send("cd").await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "abcd"));
}

#[tokio::test]
async fn a_target_that_takes_nothing_of_a_large_body_is_left() {
    let full = scripted(|_, mut connection| async move {
        connection.until("\r\n\r\n").await;
        std::future::pending().await
    });
    let target = Target::plain("app", &full.await.to_string());
    let gateway = TestGateway::to(target, Some(Duration::from_millis(200))).await;
    let mut client = gateway.connect().await;
    client
        .send("POST /app/ HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\n")
        .await;
    // As much as there is room for on the way.
    let writing = tokio::spawn(async move {
        let piece = [0; 64 * 1024];
        while client.stream.write_all(&piece).await.is_ok() {}
    });
    bounded(writing).await.unwrap();
    assert_eq!(gateway.told(), [Err(FailureKind::Late)]);
}

#[tokio::test]
async fn what_is_down_and_what_breaks_off_are_told_apart() {
    let gateway = TestGateway::plain(nobody().await).await;
    assert_eq!(gateway.connect().await.get("/app/").await.status, 503);
    assert_eq!(gateway.told(), [Err(FailureKind::Down)]);
    let nonsense = scripted(|_, mut connection| async move {
        connection.head_of_request().await;
        connection.send("nonsense\r\n\r\n").await;
    });
    let gateway = TestGateway::plain(nonsense.await).await;
    assert_eq!(gateway.connect().await.get("/app/").await.status, 502);
    assert_eq!(gateway.told(), [Err(FailureKind::Broken)]);
    let mut client = gateway.connect().await;
    client
        .send("GET /else HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        .await;
    let answer = client.answer().await;
    assert_eq!((answer.status, answer.text().as_str()), (404, ""));
}

#[tokio::test]
async fn websockets_outlive_the_timeout() {
    let echo = scripted(|_, connection| async move {
        let mut websocket = tokio_tungstenite::accept_async(connection.stream)
            .await
            .unwrap();
        while let Some(Ok(message)) = websocket.next().await {
            if message.is_text() {
                websocket.send(message).await.unwrap();
            }
        }
    });
    let target = Target::plain("app", &echo.await.to_string());
    let timeout = Duration::from_millis(200);
    let gateway = TestGateway::to(target, Some(timeout)).await;
    let url = format!("ws://{}/app/channels", gateway.address);
    let (mut websocket, _) = bounded(tokio_tungstenite::connect_async(url))
        .await
        .unwrap();
    tokio::time::sleep(timeout * 2).await; // The time itself is what is tested.
    websocket.send(Message::text("still here")).await.unwrap();
    let echoed = bounded(websocket.next()).await.unwrap().unwrap();
    assert_eq!(echoed, Message::text("still here"));
    assert_eq!(gateway.told(), [Ok(101)]);
}

#[tokio::test]
async fn no_protocol_but_websockets_passes_by_the_switch() {
    let target = scripted(|_, mut connection| async move {
        let request = connection.until("\r\n\r\n").await.to_lowercase();
        connection
            .send(&format!(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{request}",
                request.len()
            ))
            .await;
    });
    let gateway = TestGateway::plain(target.await).await;
    for (protocol, passes) in [
        ("h2c", false),
        ("websocket, h2c", false),
        ("tls/1.2", false),
        ("WebSocket", true),
    ] {
        let mut client = gateway.connect().await;
        client
            .send(&format!(
                "GET /app/ HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\nHTTP2-Settings: AAMA\r\n\r\n"
            ))
            .await;
        let answer = client.answer().await;
        assert_eq!(answer.status, 200);
        for word in ["upgrade", "connection", "http2-settings"] {
            assert_eq!(answer.text().contains(word), passes, "{word} {protocol}");
        }
    }
}

/// A target that speaks TLS, its certificate for `localhost`, and who trusts it.
async fn secure() -> (SocketAddr, Trust, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (key, certificate) = (folder.path().join("key"), folder.path().join("certificate"));
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    let options = ServeOptions {
        tls: Some(Tls::open(key, certificate).unwrap()),
        ..ServeOptions::default()
    };
    let proxy = TestProxy::with(options).await;
    proxy.route("/", named("secure").await);
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    (proxy.address, Trust::roots(roots).unwrap(), folder)
}

#[tokio::test]
async fn certificates_of_targets_are_verified_unless_told_otherwise() {
    let (address, trusting, _folder) = secure().await;
    let address = address.to_string();
    let none = Trust::roots(RootCertStore::empty()).unwrap();
    let blind = Trust::blind().unwrap();
    for (trust, host, status) in [
        (&trusting, "localhost", 200),
        (&trusting, "other.test", 503),
        (&none, "localhost", 503),
        (&blind, "other.test", 200),
    ] {
        let target = Target::secure("app", &address, host, trust).unwrap();
        let gateway = TestGateway::to(target, Some(PATIENCE)).await;
        let mut client = gateway.connect().await;
        // The second over the same connection.
        for _ in 0..2 {
            let answer = client.get("/app/x").await;
            assert_eq!(answer.status, status, "{host}");
            assert_eq!(answer.text() == "secure /x", status == 200);
        }
    }
}
