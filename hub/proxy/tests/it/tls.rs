//! HTTPS: HTTP/2 and HTTP/1.1, websockets, what is cut off, and a certificate that changes.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use carrel_proxy::{ServeOptions, Tls, TlsError};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Request, Version};
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http2;
use hyper::ext::Protocol;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::harness::{TestProxy, bounded, nobody, scripted};

/// Writes a new certificate and its key; what a client has to trust.
fn issue(folder: &Path) -> CertificateDer<'static> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    std::fs::write(folder.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    std::fs::write(folder.join("cert.pem"), made.cert.pem()).unwrap();
    made.cert.der().clone()
}

fn open(folder: &Path) -> Result<Tls, TlsError> {
    Tls::open(folder.join("key.pem"), folder.join("cert.pem"))
}

/// A proxy with a certificate, and what its clients trust.
struct Secure {
    proxy: TestProxy,
    tls: Tls,
    trusted: CertificateDer<'static>,
    folder: tempfile::TempDir,
}

impl Secure {
    async fn start() -> Self {
        Self::with(ServeOptions::default()).await
    }

    async fn with(options: ServeOptions) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let trusted = issue(folder.path());
        let tls = open(folder.path()).unwrap();
        let proxy = TestProxy::with(ServeOptions {
            tls: Some(tls.clone()),
            ..options
        })
        .await;
        proxy.route("/user/a/", echoing().await);
        Self {
            proxy,
            tls,
            trusted,
            folder,
        }
    }

    async fn connect(&self, protocol: &[u8]) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.trusted.clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(self.proxy.address).await.unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        bounded(connector.connect("localhost".try_into().unwrap(), stream)).await
    }

    async fn http2(&self) -> http2::SendRequest<Empty<Bytes>> {
        let stream = TokioIo::new(self.connect(b"h2").await.unwrap());
        let handshake = http2::handshake(TokioExecutor::new(), stream);
        let (sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        sender
    }
}

/// Answers each request with its head.
async fn echoing() -> SocketAddr {
    scripted(|_, mut connection| async move {
        let head = connection.until("\r\n\r\n").await;
        let length = head.len();
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{head}");
        connection.send(&answer).await;
    })
    .await
}

fn get(url: &str) -> http::request::Builder {
    Request::get(url)
}

#[tokio::test]
async fn browsers_may_speak_http_2() {
    let secure = Secure::start().await;
    let mut sender = secure.http2().await;
    for _ in 0..2 {
        let request = get("https://localhost/user/a/x?y")
            .header("host", "elsewhere.test")
            .header("cookie", "a=1")
            .header("cookie", "b=2")
            .body(Empty::new())
            .unwrap();
        let answer = bounded(sender.send_request(request)).await.unwrap();
        assert_eq!(answer.version(), Version::HTTP_2);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        let head = String::from_utf8(body.to_vec()).unwrap().to_lowercase();
        assert!(head.starts_with("get /user/a/x?y http/1.1\r\n"), "{head}");
        for line in [
            "host: localhost\r\n",
            "cookie: a=1; b=2\r\n",
            "x-forwarded-proto: https\r\n",
            "x-forwarded-port: 443\r\n",
        ] {
            assert!(head.contains(line), "{line} {head}");
        }
        assert!(!head.contains("elsewhere"), "{head}");
    }
    let request = get("https://localhost/hub/x").body(Empty::new()).unwrap();
    let answer = bounded(sender.send_request(request)).await.unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "fallback for /hub/x");
}

#[tokio::test]
async fn programs_may_speak_http_1() {
    let secure = Secure::start().await;
    let mut stream = secure.connect(b"http/1.1").await.unwrap();
    let request = b"GET /user/a/x HTTP/1.1\r\nHost: localhost:8443\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    bounded(stream.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    let answer = answer.to_lowercase();
    assert!(answer.contains("x-forwarded-proto: https\r\n"), "{answer}");
    assert!(answer.contains("x-forwarded-port: 8443\r\n"), "{answer}");
}

#[tokio::test]
async fn websockets_go_through() {
    let secure = Secure::start().await;
    let echo = scripted(|_, connection| async move {
        let accepted = tokio_tungstenite::accept_async(connection.stream).await;
        let mut socket = accepted.unwrap();
        while let Some(Ok(message)) = socket.next().await {
            let _ = socket.send(message).await;
        }
    })
    .await;
    secure.proxy.route("/user/b/", echo);
    let stream = secure.connect(b"http/1.1").await.unwrap();
    let opening = tokio_tungstenite::client_async("wss://localhost/user/b/ws", stream);
    let (mut socket, _) = bounded(opening).await.unwrap();
    // More than one record of TLS.
    let message = tokio_tungstenite::tungstenite::Message::binary(vec![7; 100_000]);
    bounded(socket.send(message.clone())).await.unwrap();
    assert_eq!(bounded(socket.next()).await.unwrap().unwrap(), message);
}

#[tokio::test]
async fn an_idle_http_2_connection_is_ended_and_one_in_use_is_not() {
    let secure = Secure::with(ServeOptions {
        header_read_timeout: Duration::from_millis(200),
        ..ServeOptions::default()
    })
    .await;
    // One that has said nothing.
    let mut silent = secure.connect(b"h2").await.unwrap();
    // In whatever way, it ends.
    let _ = bounded(silent.read_to_end(&mut Vec::new())).await;

    let slow = scripted(|_, mut connection| async move {
        connection.head_of_request().await;
        let head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na";
        connection.send(head).await;
        // Longer than a connection may idle.
        tokio::time::sleep(Duration::from_millis(600)).await;
        connection.send("b").await;
    })
    .await;
    secure.proxy.route("/user/c/", slow);
    let mut sender = secure.http2().await;
    let request = get("https://localhost/user/c/").body(Empty::new()).unwrap();
    let answer = bounded(sender.send_request(request)).await.unwrap();
    let body = bounded(answer.into_body().collect()).await.unwrap();
    assert_eq!(body.to_bytes(), "ab");
    let closed = async {
        while !sender.is_closed() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    bounded(closed).await;
}

#[tokio::test]
async fn a_shutdown_lets_http_2_end() {
    let secure = Secure::start().await;
    let mut sender = secure.http2().await;
    let request = get("https://localhost/hub/").body(Empty::new()).unwrap();
    let answer = bounded(sender.send_request(request)).await.unwrap();
    assert_eq!(answer.status(), 404);
    // One that never says what it wants does not hold it up.
    let _raw = TcpStream::connect(secure.proxy.address).await.unwrap();
    let begun = std::time::Instant::now();
    bounded(secure.proxy.shut_down()).await.unwrap();
    assert!(begun.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_new_certificate_is_taken_and_a_broken_one_is_not() {
    let mut secure = Secure::start().await;
    let mut old = secure.http2().await;
    let first = secure.trusted.clone();

    let certificate = secure.folder.path().join("cert.pem");
    for broken in [Some("half of it"), None] {
        match broken {
            Some(text) => std::fs::write(&certificate, text).unwrap(),
            None => std::fs::remove_file(&certificate).unwrap(),
        }
        secure.tls.reread();
        secure.connect(b"h2").await.unwrap();
    }
    // A key that is not the certificate's.
    issue(secure.folder.path());
    let key = std::fs::read(secure.folder.path().join("key.pem")).unwrap();
    secure.trusted = issue(secure.folder.path());
    let own = std::fs::read(secure.folder.path().join("key.pem")).unwrap();
    std::fs::write(secure.folder.path().join("key.pem"), key).unwrap();
    secure.tls.reread();
    secure.connect(b"h2").await.unwrap_err();

    std::fs::write(secure.folder.path().join("key.pem"), own).unwrap();
    secure.tls.reread();
    secure.connect(b"h2").await.unwrap();
    secure.trusted = first;
    secure.connect(b"h2").await.unwrap_err();
    let request = get("https://localhost/hub/").body(Empty::new()).unwrap();
    assert_eq!(
        bounded(old.send_request(request)).await.unwrap().status(),
        404
    );
}

#[test]
fn what_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(open(folder.path()), Err(TlsError::Read(..))));
    let fails_with = |file: &str, text: &str| {
        issue(folder.path());
        std::fs::write(folder.path().join(file), text).unwrap();
        let error = open(folder.path()).unwrap_err();
        assert!(error.to_string().contains(file), "{error}");
        error
    };
    let error = fails_with("cert.pem", "");
    assert!(matches!(error, TlsError::Certificate(_, None)));
    let error = fails_with("key.pem", "");
    assert!(matches!(error, TlsError::Key(..)));
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let error = fails_with("key.pem", &other.signing_key.serialize_pem());
    assert!(matches!(error, TlsError::Unusable { .. }), "{error:?}");
}

/// A client of a websocket over HTTP/2, to whoever is at `path`; the status where there is none.
async fn websocket(
    sender: &mut http2::SendRequest<Empty<Bytes>>,
    path: &str,
) -> Result<WebSocketStream<TokioIo<Upgraded>>, u16> {
    let request = Request::connect(format!("https://localhost{path}"))
        .extension(Protocol::from_static("websocket"))
        .header("sec-websocket-version", "13")
        .header("origin", "https://localhost")
        .body(Empty::new())
        .unwrap();
    let answer = bounded(sender.send_request(request)).await.unwrap();
    if answer.status() != 200 {
        return Err(answer.status().as_u16());
    }
    for name in ["connection", "upgrade", "sec-websocket-accept"] {
        assert!(!answer.headers().contains_key(name), "{name}");
    }
    let upgraded = bounded(hyper::upgrade::on(answer)).await.unwrap();
    let upgraded = TokioIo::new(upgraded);
    Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await)
}

/// Says its word first, sends back all that it gets, and ends with it.
async fn parrot() -> SocketAddr {
    scripted(|_, connection| async move {
        let Ok(mut websocket) = tokio_tungstenite::accept_async(connection.stream).await else {
            return;
        };
        websocket.send(Message::text("hello")).await.unwrap();
        while let Some(Ok(message)) = websocket.next().await {
            if !message.is_close() && websocket.send(message).await.is_err() {
                return;
            }
        }
    })
    .await
}

async fn said(websocket: &mut WebSocketStream<TokioIo<Upgraded>>) -> Message {
    bounded(websocket.next()).await.unwrap().unwrap()
}

/// RFC 8441: browsers open websockets within the connection that they have.
#[tokio::test]
async fn websockets_share_a_connection_of_http_2() {
    let secure = Secure::with(ServeOptions {
        header_read_timeout: Duration::from_millis(200),
        ..ServeOptions::default()
    })
    .await;
    secure.proxy.route("/user/b/", parrot().await);
    let mut sender = secure.http2().await;
    // Its answer comes after the settings by which the server allows it.
    let request = get("https://localhost/hub/x").body(Empty::new()).unwrap();
    bounded(sender.send_request(request)).await.unwrap();
    let mut one = websocket(&mut sender, "/user/b/api/kernels/1/channels")
        .await
        .unwrap();
    let mut two = websocket(&mut sender, "/user/b/terminals/1").await.unwrap();
    let large = Message::binary(vec![7; 1 << 20]);
    for websocket in [&mut one, &mut two] {
        assert_eq!(said(websocket).await, Message::text("hello"));
        let (mut send, mut receive) = websocket.split();
        let sent = send.send(large.clone());
        let (sent, back) = bounded(futures_util::future::join(sent, receive.next())).await;
        sent.unwrap();
        assert_eq!(back.unwrap().unwrap(), large);
    }
    // It is in use for as long as one is open, however long nobody says anything.
    two.close(None).await.unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    one.send(Message::text("still there")).await.unwrap();
    assert_eq!(said(&mut one).await, Message::text("still there"));
}

#[tokio::test]
async fn a_websocket_that_nobody_answers_is_refused_by_http_2_too() {
    let secure = Secure::start().await;
    secure.proxy.route("/user/c/", nobody().await);
    let mut sender = secure.http2().await;
    let request = get("https://localhost/hub/x").body(Empty::new()).unwrap();
    bounded(sender.send_request(request)).await.unwrap();
    // One that is down, one that knows no websockets, and one that nobody has.
    for (path, status) in [("/user/c/x", 503), ("/user/a/x", 502), ("/hub/x", 404)] {
        let refused = websocket(&mut sender, path).await.map(drop).unwrap_err();
        assert_eq!(refused, status, "{path}");
    }
}
