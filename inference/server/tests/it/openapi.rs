//! The OpenAPI document and the paths that there are: each of one is in the other.

use std::collections::BTreeSet;

use carrel_model_server::config::ModelConfig;
use carrel_skip::package_folder;
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tempfile::TempDir;

use crate::server::{Server, answer, doubling};

#[tokio::test(flavor = "multi_thread")]
async fn every_path_of_the_document_is_there() {
    let base = TempDir::new().unwrap();
    doubling(&base.path().join("1"));
    let config = ModelConfig {
        version_labels: [("stable".to_owned(), 1)].into(),
        ..ModelConfig::new("m", base.path())
    };
    let Some(server) = Server::start(vec![config]).await else {
        return;
    };
    let (status, document) = answer(server.get("/openapi.json").await).await;
    assert_eq!(status, StatusCode::OK, "{document}");
    let paths = document["paths"].as_object().unwrap();
    for (path, operations) in paths {
        let asked = path.replace("{model}", "m").replace("{version}", "1");
        let asked = asked.replace("{label}", "stable");
        let methods = operations.as_object().unwrap().keys();
        for method in methods.filter(|key| *key != "parameters") {
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let url = format!("{}{asked}", server.address);
            let answered = server
                .client
                .request(method.clone(), url)
                .body("{}")
                .send()
                .await;
            let status = answered.unwrap().status();
            // Bodies of inference need more than this.
            let wanted = match asked.ends_with("predict") || asked.ends_with("infer") {
                true => StatusCode::BAD_REQUEST,
                false => StatusCode::OK,
            };
            // Unloaded by the path before it.
            let unloaded = server
                .client
                .post(format!("{}/v2/repository/models/m/load", server.address));
            assert_eq!(status, wanted, "{method} {path}");
            unloaded.send().await.unwrap();
        }
    }
    assert_eq!(documented(&document), routed());
}

/// The paths of the document but TensorFlow Serving's, which the server reads itself.
fn documented(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().unwrap().keys();
    paths
        .filter(|path| !is_read_by_the_server(path))
        .cloned()
        .collect()
}

fn is_read_by_the_server(path: &str) -> bool {
    path.starts_with("/v1/") || path.starts_with("/model/")
}

/// The paths of the router's source.
fn routed() -> BTreeSet<String> {
    let source = std::fs::read_to_string(package_folder().join("src/http.rs")).unwrap();
    let (first, rest) = source.split_once("let router =").unwrap();
    let routes = |text: &str| {
        let parts = text.split(".route(").skip(1);
        let paths = parts.map(|part| part.split('"').nth(1).unwrap().to_owned());
        paths.collect::<Vec<_>>()
    };
    let kserve = routes(first)
        .into_iter()
        .map(|path| format!("/v2{}", path.trim_end_matches('/')));
    let others = routes(rest)
        .into_iter()
        .filter(|path| !is_read_by_the_server(path));
    kserve.chain(others).collect()
}
