//! Requests that are computed together.

use std::time::{Duration, Instant};

use carrel_model_server::config::{Batching, ModelConfig};
use reqwest::StatusCode;
use serde_json::json;
use tempfile::TempDir;

use crate::limits::{PRODUCTS, products, zeros};
use crate::networks::{F32, network, node, value_of};
use crate::server::{Server, answer, doubling};

/// A server whose batches wait for a quarter of a second, far longer than requests of this machine take to arrive.
async fn batching(max_size: usize) -> Option<(TempDir, Server)> {
    let base = TempDir::new().unwrap();
    doubling(&base.path().join("1"));
    let server = Server::start(vec![batched(&base, max_size)]).await?;
    Some((base, server))
}

fn batched(base: &TempDir, max_size: usize) -> ModelConfig {
    ModelConfig {
        batching: Some(Batching {
            max_size,
            max_delay_us: 250_000,
        }),
        ..ModelConfig::new("m", base.path())
    }
}

async fn executions(server: &Server) -> u64 {
    let (_, said) = answer(server.get("/v2/models/m/stats").await).await;
    said["model_stats"][0]["execution_count"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_of_a_batch_has_its_own_rows() {
    let Some((_base, server)) = batching(8).await else {
        return;
    };
    let ask = async |first: f32, rows: usize| {
        let body: Vec<_> = (0..rows).map(|row| [first, row as f32]).collect();
        let wanted: Vec<_> = (0..rows)
            .map(|row| [2.0 * first, 2.0 * row as f32])
            .collect();
        let said = server
            .json("/v1/models/m:predict", &json!({ "instances": body }))
            .await;
        assert_eq!(said, (StatusCode::OK, json!({ "predictions": wanted })));
    };
    tokio::join!(ask(1.0, 1), ask(2.0, 3), ask(3.0, 2), ask(4.0, 2));
    assert!(executions(&server).await < 4);
    // More rows than a batch has, and those of an empty one, are computed alone.
    let before = executions(&server).await;
    tokio::join!(ask(5.0, 9), ask(6.0, 20));
    let body = json!({"inputs": [{"name": "x", "shape": [0, 2], "datatype": "FP32", "data": []}]});
    let (status, said) = server.json("/v2/models/m/infer", &body).await;
    assert_eq!(
        (status, &said["outputs"][0]["shape"]),
        (StatusCode::OK, &json!([0, 2]))
    );
    assert_eq!(executions(&server).await, before + 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_batch_does_not_wait() {
    let Some((_base, server)) = batching(1).await else {
        return;
    };
    let begun = Instant::now();
    for _ in 0..20 {
        let body = json!({"instances": [[1, 2]]});
        assert_eq!(
            server.json("/v1/models/m:predict", &body).await.0,
            StatusCode::OK
        );
    }
    // Had each waited, they would have taken 5 s.
    assert!(
        begun.elapsed() < Duration::from_secs(4),
        "{:?}",
        begun.elapsed()
    );
    assert_eq!(executions(&server).await, 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_one_request_is_not_the_others_affair() {
    let Some((_base, server)) = batching(8).await else {
        return;
    };
    let ask = async |body: serde_json::Value| server.json("/v1/models/m:predict", &body).await;
    let (good, bad, also) = tokio::join!(
        ask(json!({"instances": [[1, 2]]})),
        ask(json!({"instances": [[1, 2, 3]]})),
        ask(json!({"inputs": {"x": [[3, 4]]}})),
    );
    assert_eq!(good, (StatusCode::OK, json!({"predictions": [[2.0, 4.0]]})));
    assert_eq!(bad.0, StatusCode::BAD_REQUEST);
    assert_eq!(also, (StatusCode::OK, json!({"outputs": [[6.0, 8.0]]})));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_rows_is_computed_alone() {
    let base = TempDir::new().unwrap();
    let folder = base.path().join("1");
    std::fs::create_dir(&folder).unwrap();
    // Of two requests with a row each it would give two rows, each with a number of both.
    network(
        &folder,
        vec![value_of("x", F32, &["a", "b"])],
        vec![value_of("y", F32, &["b", "a"])],
        vec![node("Transpose", &["x"], "y")],
    );
    let Some(server) = Server::start(vec![batched(&base, 8)]).await else {
        return;
    };
    let ask = async |first: f32| {
        let body = json!({"inputs": [[first, 2.0]]});
        let said = server.json("/v1/models/m:predict", &body).await;
        assert_eq!(said, (StatusCode::OK, json!({"outputs": [[first], [2.0]]})));
    };
    tokio::join!(ask(1.0), ask(3.0));
    assert_eq!(executions(&server).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_keeps_its_place_until_its_inputs_are_gone() {
    let base = TempDir::new().unwrap();
    products(base.path(), 10 * PRODUCTS);
    let config = ModelConfig {
        queue: 3,
        threads: 1,
        warm_up: false,
        ..batched(&base, 256)
    };
    let Some(server) = Server::start(vec![config]).await else {
        return;
    };
    let ask = async |microseconds: u64| {
        let mut body = zeros();
        body["parameters"] = json!({"timeout": microseconds});
        server.json("/v2/models/m/infer", &body).await.0
    };
    let others = async {
        server.until(async || executions(&server).await == 1).await;
        // Two go away without an answer, and wait for their batch still.
        assert_eq!(ask(20_000).await, StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(ask(20_000).await, StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(ask(20_000).await, StatusCode::TOO_MANY_REQUESTS);
    };
    tokio::join!(ask(2_000_000), others);
    // The first is stopped when it goes away, else it were some five seconds, and with it go the others.
    server
        .until(async || ask(20_000).await == StatusCode::GATEWAY_TIMEOUT)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_nobody_waits_for_is_stopped() {
    let base = TempDir::new().unwrap();
    // Half a minute.
    products(base.path(), 60 * PRODUCTS);
    let config = ModelConfig {
        threads: 1,
        warm_up: false,
        ..batched(&base, 512)
    };
    let Some(server) = Server::start(vec![config]).await else {
        return;
    };
    let mut body = zeros();
    body["parameters"] = json!({"timeout": 500_000});
    let ask = async || server.json("/v2/models/m/infer", &body).await.0;
    let begun = Instant::now();
    for runs in 1..=3 {
        // Together, and one request that finds the batch full.
        let answers: [_; 3] = tokio::join!(ask(), ask(), ask()).into();
        assert_eq!(answers, [StatusCode::GATEWAY_TIMEOUT; 3]);
        server
            .until(async || executions(&server).await >= runs)
            .await;
    }
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
}
