//! What is too much: large bodies, requests that wait too long, and too many of them.

use std::path::Path;
use std::time::{Duration, Instant};

use carrel_model_server::config::ModelConfig;
use carrel_model_server::service::Limits;
use reqwest::StatusCode;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::networks::{F32, network, node, value};
use crate::server::{HEAD, LIMITS, Server, all_access, answer, doubling};

/// Rows and columns of the slow network.
const SIDE: usize = 256;
/// Half a second.
pub const PRODUCTS: usize = 500;

/// Version 1 of a model that computes so many products, each for about a millisecond.
pub fn products(base: &Path, products: usize) {
    let folder = base.join("1");
    std::fs::create_dir(&folder).unwrap();
    let name = |index: usize| match index {
        0 => "x".to_owned(),
        index if index == products => "y".to_owned(),
        index => format!("product{index}"),
    };
    let begin = [
        node("Transpose", &["x"], "transposed"),
        node("MatMul", &["transposed", "x"], "square"),
    ];
    let nodes = (0..products).map(|one| node("MatMul", &[&name(one), "square"], &name(one + 1)));
    let square = |name: &str| value(name, F32, &[-1, SIDE as i64]);
    network(
        &folder,
        vec![square("x")],
        vec![square("y")],
        begin.into_iter().chain(nodes).collect(),
    );
}

/// A server of such a model.
async fn slow(count: usize, change: impl FnOnce(&mut ModelConfig)) -> Option<(TempDir, Server)> {
    let base = TempDir::new().unwrap();
    products(base.path(), count);
    let mut config = ModelConfig::new("m", base.path());
    config.threads = 1;
    config.warm_up = false;
    change(&mut config);
    let server = Server::start(vec![config]).await?;
    Some((base, server))
}

pub fn zeros() -> serde_json::Value {
    let data = vec![0; SIDE * SIDE];
    json!({"inputs": [{"name": "x", "shape": [SIDE, SIDE], "datatype": "FP32", "data": data}]})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_body_is_refused() {
    let Some((_base, server)) = Server::with_doubling().await else {
        return;
    };
    for path in ["/v1/models/m:predict", "/v2/models/m/infer"] {
        let answered = server.post(path, vec![b' '; (1 << 20) + 1]).await;
        assert_eq!(answered.status(), StatusCode::PAYLOAD_TOO_LARGE);
        assert!(
            answered
                .text()
                .await
                .unwrap()
                .contains("larger than 1048576 bytes")
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_past_its_deadline_is_answered_so() {
    let Some((_base, server)) = slow(PRODUCTS, |_| {}).await else {
        return;
    };
    let mut body = zeros();
    let begun = Instant::now();
    assert_eq!(
        server.json("/v2/models/m/infer", &body).await.0,
        StatusCode::OK
    );
    let whole = begun.elapsed();
    assert!(
        whole > Duration::from_millis(50),
        "the network is too fast for the test: {whole:?}"
    );
    body["parameters"] = json!({"timeout": 10_000});
    let (status, said) = server.json("/v2/models/m/infer", &body).await;
    assert_eq!(status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(said["error"], r#"the model "m" did not answer in 10 ms"#);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_said_at_once() {
    let Some((_base, server)) = slow(PRODUCTS, |config| config.queue = 1).await else {
        return;
    };
    let body = zeros();
    let ask = async || server.json("/v2/models/m/infer", &body).await;
    let answers: [_; 4] = tokio::join!(ask(), ask(), ask(), ask()).into();
    let count = |wanted| {
        answers
            .iter()
            .filter(|(status, _)| *status == wanted)
            .count()
    };
    assert_eq!(count(StatusCode::OK), 2, "{answers:?}");
    assert_eq!(count(StatusCode::TOO_MANY_REQUESTS), 2, "{answers:?}");
    let refused = answers
        .iter()
        .find(|(status, _)| *status == StatusCode::TOO_MANY_REQUESTS);
    let (_, said) = refused.unwrap();
    assert_eq!(
        said["error"],
        r#"1 requests wait for the model "m" already"#
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_nobody_waits_for_is_not_computed_on() {
    // Half a minute, and no place to wait.
    let Some((_base, server)) = slow(60 * PRODUCTS, |config| config.queue = 0).await else {
        return;
    };
    let mut body = zeros();
    body["parameters"] = json!({"timeout": 50_000});
    let ask = async || server.json("/v2/models/m/infer", &body).await.0;
    let begun = Instant::now();
    for _ in 0..3 {
        // Too many, while the one before is still being stopped.
        server
            .until(async || ask().await == StatusCode::GATEWAY_TIMEOUT)
            .await;
    }
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_together_take_no_more_than_they_may() {
    let base = TempDir::new().unwrap();
    doubling(&base.path().join("1"));
    let models = vec![ModelConfig::new("m", base.path())];
    let limits = Limits {
        bodies: 4 << 20,
        ..LIMITS
    };
    let Some(server) = Server::start_with(models, limits, all_access()).await else {
        return;
    };
    // Four bodies of 1 MiB that do not come to their end, and then no other.
    let address = server.address.strip_prefix("http://").unwrap();
    let mut begun = Vec::new();
    for length in ["Content-Length: 1048576", "Transfer-Encoding: chunked"].repeat(2) {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let head = format!("POST /v1/models/m:predict HTTP/1.1\r\nHost: m\r\n{length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        begun.push(stream);
    }
    let ask = async || {
        server
            .json("/v1/models/m:predict", &json!({"instances": [[1, 2]]}))
            .await
    };
    // Not by asking: a request that is answered meanwhile would have its part, and one of the four none.
    server
        .until(async || server.service.bodies.available_permits() == 0)
        .await;
    let (status, said) = ask().await;
    assert_eq!(status, StatusCode::TOO_MANY_REQUESTS);
    let wanted = "the requests that are being read take all the memory they may";
    assert_eq!(said["error"], wanted);
    drop(begun);
    server.until(async || ask().await.0 == StatusCode::OK).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn json_takes_no_more_than_all_bodies_may() {
    let Some((_base, server)) = Server::with_doubling().await else {
        return;
    };
    // Of 1 MiB of text these would become a hundred.
    let objects = r#"{"":0},"#.repeat((1 << 20) / 7 - 10);
    let objects = objects.trim_end_matches(',');
    let cases = [
        (
            "/v1/models/m:predict",
            format!(r#"{{"instances": [{objects}]}}"#),
        ),
        (
            "/v2/models/m/infer",
            format!(r#"{{"inputs": [{objects}]}}"#),
        ),
    ];
    for (path, body) in cases {
        let (status, said) = answer(server.post(path, body).await).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        let said = said["error"].as_str().unwrap();
        assert!(said.contains("bytes once it is read"), "{said}");
    }
    // Long text is no more than it is.
    let long = json!({"instances": [[1, 2]], "comment": "[,".repeat(400_000)});
    let (status, said) = server.json("/v1/models/m:predict", &long).await;
    assert_eq!(status, StatusCode::OK, "{said}");
    assert_eq!(
        server.service.bodies.available_permits(),
        server.service.most_bodies
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_connection_is_closed() {
    let Some((_base, server)) = Server::with_doubling().await else {
        return;
    };
    let address = server.address.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET /healthz HT").await.unwrap();
    let mut rest = Vec::new();
    let read = stream.read_to_end(&mut rest);
    // An error is an end too.
    let _ = tokio::time::timeout(4 * HEAD, read).await.unwrap();
}
