//! Versions that come and go while requests are answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use carrel_model_server::config::{Config, ModelConfig, VersionPolicy};
use carrel_model_server::models::{Models, Version};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;
use tonic::Code;
use tonic::transport::Endpoint;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::limits::PRODUCTS;
use crate::networks::engines;
use crate::server::{Server, answer, doubling, resident, slow_to_warm_up, squaring};

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
    let mut memory = Vec::new();
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
        memory.push(resident());
    }
    // Flat once buffers and threads are there.
    let (begin, end) = (memory[15], memory[49]);
    assert!(end < begin + 16, "{memory:?} MiB");
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
    server
        .service
        .models
        .reconfigure(Config { models })
        .await
        .unwrap();
    let body = json!({"instances": [[3, 5]]});
    for path in [
        "/v1/models/m/labels/old:predict",
        "/v1/models/n:predict",
        "/v1/models/m:predict",
    ] {
        let (_, said) = server.json(path, &body).await;
        assert_eq!(said, json!({"predictions": [[6.0, 10.0]]}), "{path}");
    }
    let channel = Endpoint::from_shared(format!("http://{}", server.grpc));
    let channel = channel.unwrap().connect().await.unwrap();
    let health = async || {
        let service = "m".into();
        let mut client = HealthClient::new(channel.clone());
        let asked = client.check(HealthCheckRequest { service });
        asked.await.map(drop).map_err(|status| status.code())
    };
    server.until(async || health().await == Ok(())).await;
    server
        .service
        .models
        .reconfigure(Config::default())
        .await
        .unwrap();
    let (status, _) = server.json("/v1/models/m:predict", &body).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    server
        .until(async || health().await == Err(Code::NotFound))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_model_that_goes_takes_its_trace_settings_along() {
    let Some((base, server)) = Server::with_doubling().await else {
        return;
    };
    let level = async || {
        let (_, said) = answer(server.get("/v2/models/m/trace/setting").await).await;
        said["trace_level"].clone()
    };
    let first = level().await;
    let changed = json!({"trace_level": ["TIMESTAMPS"]});
    let (status, _) = server.json("/v2/models/m/trace/setting", &changed).await;
    assert_eq!(status, StatusCode::OK);
    assert_ne!(level().await, first);
    let models = vec![ModelConfig::new("m", base.path())];
    let same = Config { models };
    let reconfigure = async |config: Config| server.service.models.reconfigure(config).await;
    reconfigure(same.clone()).await.unwrap();
    assert_ne!(level().await, first);
    reconfigure(Config::default()).await.unwrap();
    reconfigure(same).await.unwrap();
    assert_eq!(level().await, first);
}

/// A model whose version takes a while to load, and those who load it when they are asked to.
fn slow_to_load() -> Option<(TempDir, Arc<Models>)> {
    let base = TempDir::new().unwrap();
    slow_to_warm_up(&base.path().join("1"), PRODUCTS);
    let config = Config {
        models: vec![ModelConfig::new("m", base.path())],
    };
    Some((base, Arc::new(Models::new(engines()?, config))))
}

/// Waits until version 1 of the model is as it should be.
async fn until(models: &Models, wanted: impl Fn(&Version) -> bool) {
    let reached = async {
        loop {
            let versions = models.entry("m").unwrap().versions();
            if versions.get(&1).is_some_and(&wanted) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reached)
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_load_goes_on_where_its_caller_goes_away() {
    let Some((_base, models)) = slow_to_load() else {
        return;
    };
    tokio::select! {
        loaded = models.load_on_demand("m") => panic!("it was too fast: {loaded:?}"),
        () = until(&models, |one| matches!(one, Version::Loading)) => {}
    }
    until(&models, |one| matches!(one, Version::Available(_))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_configuration_keeps_what_is_loading_and_what_was_unloaded() {
    let Some((base, models)) = slow_to_load() else {
        return;
    };
    let labelled = |label: &str| Config {
        models: vec![ModelConfig {
            version_labels: [(label.to_owned(), 1)].into(),
            ..ModelConfig::new("m", base.path())
        }],
    };
    let both = async {
        until(&models, |one| matches!(one, Version::Loading)).await;
        models.reconfigure(labelled("a")).await.unwrap();
        until(&models, |one| matches!(one, Version::Available(_))).await;
    };
    let (loaded, ()) = tokio::join!(models.load_on_demand("m"), both);
    loaded.unwrap();
    models.unload_on_demand("m").await.unwrap();
    models.reconfigure(labelled("b")).await.unwrap();
    let entry = models.entry("m").unwrap();
    assert!(entry.is_unloaded() && entry.available().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_first_run_without_an_end_holds_neither_its_model_nor_others() {
    // Half a minute each.
    let (slow, slower) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    slow_to_warm_up(&slow.path().join("1"), 60 * PRODUCTS);
    slow_to_warm_up(&slower.path().join("1"), 60 * PRODUCTS);
    let quick = TempDir::new().unwrap();
    doubling(&quick.path().join("1"));
    let config = Config {
        models: vec![
            ModelConfig {
                timeout_ms: 100,
                ..ModelConfig::new("m", slow.path())
            },
            ModelConfig::new("a", slower.path()),
            ModelConfig::new("z", quick.path()),
        ],
    };
    let Some(engines) = engines() else { return };
    let models = Arc::new(Models::new(engines, config));
    let begun = Instant::now();
    let quicker = async {
        until(&models, |one| matches!(one, Version::Available(_))).await;
        while models.entry("z").unwrap().available().is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        () = models.update_all() => panic!("the slower one was too fast"),
        () = quicker => {}
    }
    assert!(
        begun.elapsed() < Duration::from_secs(15),
        "{:?}",
        begun.elapsed()
    );
}
