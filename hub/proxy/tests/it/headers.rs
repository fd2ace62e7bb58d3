//! Which headers arrive, at the target and at the client.

use axum::Router;
use axum::http::{HeaderMap, Request};
use axum::response::AppendHeaders;

use crate::harness::{TestProxy, backend, scripted};

/// A proxy to a backend that answers with the request as it got it: one line for the start, one per header, sorted.
async fn mirror() -> TestProxy {
    let handler = |request: Request<axum::body::Body>| async move {
        let mut lines = vec![format!("{} {}", request.method(), request.uri())];
        lines.extend(header_lines(request.headers()));
        lines.join("\n")
    };
    TestProxy::to(backend(Router::new().fallback(handler)).await).await
}

fn header_lines(headers: &HeaderMap) -> Vec<String> {
    let mut lines: Vec<_> = headers
        .iter()
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    lines.sort();
    lines
}

/// What arrives of `GET /user/a/` with these header lines.
async fn arrives(lines: &str) -> Vec<String> {
    let mut client = mirror().await.connect().await;
    client
        .send(&format!("GET /user/a/ HTTP/1.1\r\n{lines}\r\n\r\n"))
        .await;
    client
        .answer()
        .await
        .text()
        .lines()
        .skip(1)
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn the_host_stays_and_the_client_is_told() {
    let expected = [
        "host: hub.test:8000",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-host: hub.test:8000",
        "x-forwarded-port: 8000",
        "x-forwarded-proto: http",
    ];
    assert_eq!(arrives("Host: hub.test:8000").await, expected);
}

#[tokio::test]
async fn the_words_of_earlier_proxies_stay_in_front() {
    let lines = "Host: hub.test\r\nX-Forwarded-For: 10.0.0.9\r\nX-Forwarded-For: 10.0.0.8\r\n\
        X-Forwarded-Host: example.org\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Proto: https";
    let expected = [
        "host: hub.test",
        "x-forwarded-for: 10.0.0.9,10.0.0.8,127.0.0.1",
        "x-forwarded-host: example.org",
        "x-forwarded-port: 443,80",
        "x-forwarded-proto: https,http",
    ];
    assert_eq!(arrives(lines).await, expected);
}

#[tokio::test]
async fn hop_by_hop_headers_end_here() {
    let lines = "Host: hub.test\r\nConnection: keep-alive, X-Secret, host\r\nX-Secret: 1\r\nKeep-Alive: 5\r\nTE: trailers\r\n\
        Proxy-Authorization: x\r\nProxy-Connection: close\r\nUpgrade: h2c\r\nAccept: */*";
    let arrived = arrives(lines).await;
    let own: Vec<_> = arrived
        .iter()
        .filter(|line| !line.starts_with("x-forwarded"))
        .collect();
    assert_eq!(own, ["accept: */*", "host: hub.test"]);
}

#[tokio::test]
async fn hop_by_hop_headers_of_the_target_end_here() {
    let headers = AppendHeaders([
        ("connection", "x-internal"),
        ("x-internal", "1"),
        ("keep-alive", "5"),
        ("x-kept", "1"),
    ]);
    let proxy = TestProxy::to(
        backend(Router::new().fallback(move || async move { (headers, "ok") })).await,
    )
    .await;
    let answer = proxy.get("/user/a/").await;
    assert_eq!(answer.header("x-kept").as_deref(), Some("1"));
    for gone in ["connection", "x-internal", "keep-alive"] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
}

#[tokio::test]
async fn path_and_query_pass_as_they_are() {
    let proxy = mirror().await;
    for path in [
        "/user/a/%E2%82%AC/%2F%2e%2E/..?a=%20&b=c%2Fd&&=",
        "/user/a?",
        "/user/a/;x=1/:@!$&'()*+,~",
    ] {
        let text = proxy.get(path).await.text();
        assert_eq!(text.lines().next(), Some(format!("GET {path}").as_str()));
    }
}

#[tokio::test]
async fn a_request_to_a_forward_proxy_loses_its_scheme_and_host() {
    let mut client = mirror().await.connect().await;
    client
        .send("GET http://hub.test/user/a/x?y HTTP/1.1\r\nHost: hub.test\r\n\r\n")
        .await;
    assert!(
        client
            .answer()
            .await
            .text()
            .starts_with("GET /user/a/x?y\nhost: hub.test\n")
    );
}

#[tokio::test]
async fn http_1_0_without_a_host_is_served() {
    let mut client = mirror().await.connect().await;
    client.send("GET /user/a/ HTTP/1.0\r\n\r\n").await;
    assert!(
        client
            .answer()
            .await
            .text()
            .starts_with("GET /user/a/\nhost: 127.0.0.1:")
    );
    assert!(client.rest().await.is_empty(), "the connection stays open");
}

/// Programs count bytes, not fields: those of tracing and of single sign-on add dozens.
#[tokio::test]
async fn hundreds_of_fields_pass_both_ways() {
    let lines: String = (0..250)
        .map(|count| format!("x-{count}: {count}\r\n"))
        .collect();
    let fields = lines.clone();
    // A target of axum would stop at 100 itself.
    let target = scripted(move |_, mut client| {
        let fields = fields.clone();
        async move {
            let arrived = client.until("\r\n\r\n").await;
            let count = arrived
                .lines()
                .filter(|line| line.starts_with("x-"))
                .count();
            let body = format!("{count} arrived");
            let length = body.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n{fields}\r\n");
            client.send(&(head + &body)).await;
        }
    })
    .await;
    let mut client = TestProxy::to(target).await.connect().await;
    client
        .send(&format!("GET /user/a/ HTTP/1.1\r\nHost: x\r\n{lines}\r\n"))
        .await;
    let answer = client.answer().await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.text(), "254 arrived", "four are of the proxy");
    assert_eq!(answer.header("x-249").as_deref(), Some("249"));
}

/// A byte beyond ASCII in one option does not hide the others.
#[tokio::test]
async fn an_option_that_does_not_read_leaves_the_others_in_force() {
    let mut client = mirror().await.connect().await;
    let head =
        b"GET /user/a/ HTTP/1.1\r\nHost: x\r\nConnection: \xe9, x-secret\r\nX-Secret: 1\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut client.stream, head)
        .await
        .unwrap();
    let arrived = client.answer().await.text();
    assert!(!arrived.contains("x-secret"), "{arrived}");
}

#[tokio::test]
async fn a_head_that_is_too_large_or_ambiguous_is_refused() {
    let proxy = mirror().await;
    let large = format!("Host: x\r\nX-Large: {}", "x".repeat(100_000));
    let many = "X-Many: 1\r\n".repeat(257) + "Host: x";
    for (lines, status) in [
        (large.as_str(), 431),
        (many.as_str(), 431),
        ("Host: x\r\nContent-Length: 3\r\nContent-Length: 4", 400),
        ("Host: x\r\nTransfer-Encoding: chunked, identity", 400),
        ("Host: x\r\nBad Header: 1", 400),
    ] {
        let mut client = proxy.connect().await;
        client
            .send(&format!("POST /user/a/ HTTP/1.1\r\n{lines}\r\n\r\n"))
            .await;
        assert_eq!(
            client.head().await.status,
            status,
            "{}",
            &lines[..40.min(lines.len())]
        );
    }
}
