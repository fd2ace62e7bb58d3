//! Requests that are computed together.

use carrel_model_server::config::{Batching, ModelConfig};
use reqwest::StatusCode;
use serde_json::json;
use tempfile::TempDir;

use crate::server::{Server, answer, doubling};

/// A server whose batches wait for a quarter of a second, far longer than requests of this machine take to arrive.
async fn batching(max_size: usize) -> Option<(TempDir, Server)> {
    let base = TempDir::new().unwrap();
    doubling(&base.path().join("1"));
    let config = ModelConfig {
        batching: Some(Batching {
            max_size,
            max_delay_us: 250_000,
        }),
        ..ModelConfig::new("m", base.path())
    };
    let server = Server::start(vec![config]).await?;
    Some((base, server))
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
    let begun = std::time::Instant::now();
    for _ in 0..20 {
        let body = json!({"instances": [[1, 2]]});
        assert_eq!(
            server.json("/v1/models/m:predict", &body).await.0,
            StatusCode::OK
        );
    }
    // Had each waited, they would have taken 5 s.
    assert!(
        begun.elapsed() < std::time::Duration::from_secs(4),
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
