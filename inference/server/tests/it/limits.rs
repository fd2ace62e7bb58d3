//! What is too much: large bodies, requests that wait too long, and too many of them.

use std::time::{Duration, Instant};

use carrel_model_server::config::ModelConfig;
use reqwest::StatusCode;
use serde_json::json;
use tempfile::TempDir;

use crate::networks::{F32, network, node, value};
use crate::server::Server;

/// Rows and columns of the slow network.
const SIDE: usize = 256;
/// How many products it computes, each for about a millisecond.
const PRODUCTS: usize = 500;

/// A server whose network computes for about half a second.
async fn slow(change: impl FnOnce(&mut ModelConfig)) -> Option<(TempDir, Server)> {
    let base = TempDir::new().unwrap();
    let folder = base.path().join("1");
    std::fs::create_dir(&folder).unwrap();
    let name = |index: usize| match index {
        0 => "x".to_owned(),
        PRODUCTS => "y".to_owned(),
        index => format!("product{index}"),
    };
    let products = (0..PRODUCTS).map(|one| node("MatMul", &[&name(one), "x"], &name(one + 1)));
    let square = |name: &str| value(name, F32, &[-1, SIDE as i64]);
    network(
        &folder,
        vec![square("x")],
        vec![square("y")],
        products.collect(),
    );
    let mut config = ModelConfig::new("m", base.path());
    config.threads = 1;
    config.warm_up = false;
    change(&mut config);
    let server = Server::start(vec![config]).await?;
    Some((base, server))
}

fn zeros() -> serde_json::Value {
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
    let Some((_base, server)) = slow(|_| {}).await else {
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
    let Some((_base, server)) = slow(|config| config.queue = 1).await else {
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
