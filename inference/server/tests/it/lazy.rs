//! Models that are loaded when they are asked for, and unloaded once nobody asks any more.

use std::sync::atomic::{AtomicUsize, Ordering};

use carrel_model_server::config::{Load, ModelConfig};
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::limits::PRODUCTS;
use crate::server::{Server, answer, doubling, resident, slow_to_warm_up, squaring, with_weights};

/// The states of the versions of `m` as the index has them.
async fn states(server: &Server) -> Vec<String> {
    let (_, index) = answer(server.post("/v2/repository/index", "{}").await).await;
    let versions = index.as_array().unwrap().iter();
    let states = versions.map(|one| one["state"].as_str().unwrap().to_owned());
    states.collect()
}

fn lazy(base: &TempDir, unload_after_s: Option<u64>) -> ModelConfig {
    ModelConfig {
        load: Load::Lazy,
        unload_after_s,
        ..ModelConfig::new("m", base.path())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_of_many_requests_loads_it() {
    let base = TempDir::new().unwrap();
    doubling(&base.path().join("1"));
    let Some(server) = Server::start(vec![lazy(&base, None)]).await else {
        return;
    };
    assert_eq!(states(&server).await, ["UNAVAILABLE"]);
    // It will answer, so those who send requests may.
    let ready = server.get("/v2/models/m/ready").await;
    assert_eq!(ready.status(), StatusCode::OK);
    assert_eq!(
        server.get("/v2/health/ready").await.status(),
        StatusCode::OK
    );
    let body = json!({"instances": [[1, 2]]});
    let asked = (0..8).map(|_| server.json("/v1/models/m:predict", &body));
    for (status, said) in join_all(asked).await {
        assert_eq!(
            (status, said),
            (StatusCode::OK, json!({"predictions": [[2.0, 4.0]]}))
        );
    }
    assert_eq!(states(&server).await, ["READY"]);
    let (status, said) = server.json("/v1/models/m/versions/7:predict", &body).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn it_stays_for_those_who_wait_however_long_it_loads() {
    let base = TempDir::new().unwrap();
    slow_to_warm_up(&base.path().join("1"), PRODUCTS);
    // Looked at again and again while it loads.
    let Some(server) = Server::start(vec![lazy(&base, Some(0))]).await else {
        return;
    };
    let asked = (0..4).map(|_| server.get("/v2/models/m"));
    for answered in join_all(asked).await {
        let (status, said) = answer(answered).await;
        assert_eq!(status, StatusCode::OK, "{said}");
    }
    server
        .until(async || states(&server).await == ["UNAVAILABLE"])
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_that_is_not_there_is_neither_ready_nor_waited_for() {
    let base = TempDir::new().unwrap();
    slow_to_warm_up(&base.path().join("1"), 10 * PRODUCTS);
    let config = ModelConfig {
        version_labels: [("stable".to_owned(), 1), ("next".to_owned(), 7)].into(),
        ..lazy(&base, None)
    };
    let Some(server) = Server::start(vec![config]).await else {
        return;
    };
    let ready = async |version: &str| {
        let path = format!("/v2/models/m/versions/{version}/ready");
        server.get(&path).await.status() == StatusCode::OK
    };
    for version in ["1", "stable"] {
        assert!(ready(version).await, "{version}");
    }
    for version in ["7", "next", "none"] {
        assert!(!ready(version).await, "{version}");
    }
    let absent = async || server.get("/v2/models/m/versions/7").await.status();
    assert_eq!(absent().await, StatusCode::NOT_FOUND);
    // Nor does it wake the model.
    assert_eq!(states(&server).await, ["UNAVAILABLE"]);
    let loading = async || states(&server).await == ["LOADING"];
    let asked = async {
        server.until(loading).await;
        let said = absent().await;
        (said, loading().await)
    };
    let (first, (said, still)) = tokio::join!(server.get("/v2/models/m"), asked);
    assert_eq!(first.status(), StatusCode::OK);
    assert_eq!((said, still), (StatusCode::NOT_FOUND, true));
    // What comes later is found.
    squaring(&base.path().join("7"));
    server.until(async || ready("7").await).await;
    assert!(ready("next").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_be_loaded_says_why_to_who_asks() {
    let base = TempDir::new().unwrap();
    let folder = base.path().join("1");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("model.onnx"), "no network").unwrap();
    let Some(server) = Server::start(vec![lazy(&base, None)]).await else {
        return;
    };
    let body = json!({"instances": [[1, 2]]});
    let (status, said) = server.json("/v1/models/m:predict", &body).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{said}");
    assert!(
        said["error"].as_str().unwrap().contains("could not load"),
        "{said}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn its_memory_is_given_back_once_nobody_asks() {
    const MIB: usize = 100;
    let base = TempDir::new().unwrap();
    with_weights(&base.path().join("1"), MIB);
    let Some(server) = Server::start(vec![lazy(&base, Some(1))]).await else {
        return;
    };
    let body = json!({"inputs": [{"name": "x", "shape": [1], "datatype": "INT64", "data": [3]}]});
    for _ in 0..3 {
        let most = AtomicUsize::new(0);
        // Asked again and again it stays.
        server
            .until(async || {
                let (status, said) = server.json("/v2/models/m/infer", &body).await;
                let data = &said["outputs"][0]["data"];
                assert_eq!((status, data), (StatusCode::OK, &json!([0.0])));
                most.fetch_max(resident(), Ordering::Relaxed) >= MIB
            })
            .await;
        server
            .until(async || states(&server).await == ["UNAVAILABLE"])
            .await;
        let most = most.into_inner();
        server
            .until(async || resident() + MIB * 9 / 10 < most)
            .await;
    }
    let (_, said) = answer(server.get("/v2/models/m").await).await;
    assert_eq!(said["versions"], Value::from(vec!["1"]), "{said}");
}
