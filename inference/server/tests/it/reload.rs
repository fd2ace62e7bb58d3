//! Versions that come and go while requests are answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use carrel_model_server::config::{Config, ModelConfig, VersionPolicy};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::server::{Server, answer, doubling, squaring};

#[tokio::test(flavor = "multi_thread")]
async fn fifty_versions_come_and_go_without_a_failed_request() {
    let Some((base, server)) = Server::with_doubling().await else {
        return;
    };
    let server = Arc::new(server);
    let (stop, answered) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicUsize::new(0)),
    );
    let asking = (0..4).map(|_| {
        let (server, stop, answered) = (
            Arc::clone(&server),
            Arc::clone(&stop),
            Arc::clone(&answered),
        );
        tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                let body = json!({"instances": [[3, 5]]});
                let (status, said) = server.json("/v1/models/m:predict", &body).await;
                assert_eq!(status, StatusCode::OK, "{said}");
                let first = &said["predictions"][0][0];
                assert!(*first == 6.0 || *first == 9.0, "{said}");
                answered.fetch_add(1, Ordering::Relaxed);
            }
        })
    });
    let asking: Vec<_> = asking.collect();
    for version in 2..=51 {
        let folder = base.path().join(version.to_string());
        if version % 2 == 0 {
            squaring(&folder);
        } else {
            doubling(&folder);
        }
        let newest = Value::from(version.to_string());
        server
            .until(async || {
                let (_, said) = answer(server.get("/v2/models/m").await).await;
                said["versions"] == json!([newest])
            })
            .await;
        std::fs::remove_dir_all(base.path().join((version - 1).to_string())).unwrap();
    }
    stop.store(true, Ordering::Relaxed);
    for one in asking {
        one.await.unwrap();
    }
    assert!(answered.load(Ordering::Relaxed) >= 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_version_leaves_the_last_and_is_tried_again() {
    let Some((base, server)) = Server::with_doubling().await else {
        return;
    };
    let broken = base.path().join("2");
    std::fs::create_dir(&broken).unwrap();
    std::fs::write(broken.join("model.onnx"), "no network").unwrap();
    let state = async || {
        let (_, said) = answer(server.get("/v1/models/m/versions/2").await).await;
        said["model_version_status"][0]["state"]
            .as_str()
            .map(str::to_owned)
    };
    server
        .until(async || state().await.as_deref() == Some("END"))
        .await;
    let body = json!({"instances": [[3, 5]]});
    let first =
        async || server.json("/v1/models/m:predict", &body).await.1["predictions"][0][0].clone();
    assert_eq!(first().await, 6.0);
    let (status, said) = server.json("/v1/models/m/versions/2:predict", &body).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{said}");
    std::fs::remove_dir_all(&broken).unwrap();
    squaring(&broken);
    server.until(async || first().await == 9.0).await;
    // Back: the newer folder goes, and the older is there still.
    std::fs::remove_dir_all(&broken).unwrap();
    server.until(async || first().await == 6.0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_configuration_keeps_what_stays() {
    let Some((base, server)) = Server::with_doubling().await else {
        return;
    };
    squaring(&base.path().join("2"));
    let other = TempDir::new().unwrap();
    doubling(&other.path().join("1"));
    let models = vec![
        ModelConfig {
            version_policy: VersionPolicy::Specific(vec![1]),
            version_labels: [("old".to_owned(), 1)].into(),
            ..ModelConfig::new("m", base.path())
        },
        ModelConfig::new("n", other.path()),
    ];
    server.service.models.reconfigure(Config { models }).await;
    let body = json!({"instances": [[3, 5]]});
    for path in [
        "/v1/models/m/labels/old:predict",
        "/v1/models/n:predict",
        "/v1/models/m:predict",
    ] {
        let (_, said) = server.json(path, &body).await;
        assert_eq!(said, json!({"predictions": [[6.0, 10.0]]}), "{path}");
    }
    server.service.models.reconfigure(Config::default()).await;
    let (status, _) = server.json("/v1/models/m:predict", &body).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
