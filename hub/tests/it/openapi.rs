//! The OpenAPI document of the API, and whether the Hub keeps what it promises: asked by schemathesis.

use std::time::Duration;

use carrel_skip::{Need, skip};
use serde_json::Value;
use tokio::process::Command;

use super::api::token;
use crate::harness::apart::prepared;
use crate::harness::three::user;
use crate::harness::{Behaviour, FakeSpawner, TestHub};

/// Of each operation, and of each way of making requests.
const EXAMPLES: &str = "15";
const PATIENCE: Duration = Duration::from_secs(170);
/// Other checks take for wrong what JupyterHub does: a word of a query that nobody reads is passed over, an `offset` below
/// 0 means its absolute value, and what fits its type may still be refused with 400, as a name that nobody can have.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_schema_conformance,unsupported_method,ignored_auth,use_after_free";

/// What there is, or may come to be: else most requests would find nothing.
const EXISTING: &str = r#"
[parameters]
"path.user" = "ada"
"path.owner" = "ada"
"path.server" = "gpu"
"path.group" = "class"
"path.service" = "report"
"#;

async fn document(hub: &TestHub) -> Value {
    let reply = hub.browser().get("/hub/api/openapi.json").await;
    reply.expect(200).json()
}

fn operations(document: &Value) -> Vec<(&String, &String, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let of = |(path, item)| {
        let item: &Value = item;
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (path, method, operation))
    };
    paths.iter().flat_map(of).collect()
}

#[tokio::test]
async fn the_document_names_each_operation_once_with_its_words_and_errors() {
    let hub = TestHub::start().await;
    let document = document(&hub).await;
    let operations = operations(&document);
    assert!(operations.len() > 60, "{} operations", operations.len());
    let mut names: Vec<_> = operations
        .iter()
        .map(|(.., operation)| operation["operationId"].as_str().unwrap())
        .collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
    for (path, method, operation) in operations {
        let parameters = operation["parameters"].as_array().unwrap();
        let words = parameters.iter().filter(|one| one["in"] == "path");
        assert_eq!(words.count(), path.matches('{').count(), "{method} {path}");
        let responses = &operation["responses"];
        assert!(
            responses["default"].is_object() || *path == "/",
            "{method} {path}"
        );
        let open = operation["security"].is_null();
        assert_eq!(open, *path == "/", "{method} {path}");
    }
}

#[tokio::test]
async fn bodies_and_answers_have_their_shapes_in_the_document() {
    let hub = TestHub::start().await;
    let document = document(&hub).await;
    let tokens = &document["paths"]["/users/{user}/tokens"]["post"];
    let body = &tokens["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(body["$ref"], "#/components/schemas/TokenRequest");
    let answer = &tokens["responses"]["201"]["content"]["application/json"]["schema"];
    assert_eq!(answer["$ref"], "#/components/schemas/NewToken");
}

/// All that the document promises, and much that it does not: wrong types, wrong methods, tokens that are none.
#[tokio::test]
async fn schemathesis_finds_nothing_that_the_document_does_not_promise() {
    let Some(prepared) = prepared() else {
        return;
    };
    let program = prepared.join("venv/bin/schemathesis");
    if !program.exists() {
        skip(Need::Prepared, "schemathesis is not installed");
        return;
    }
    let hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), |config| {
        config.authenticator.allow_all = true;
        config.jupyter_hub.allow_named_servers = true;
    })
    .await;
    let admin = hub.admin().await;
    user(&hub, "ada").await;
    let token = token(&admin, &["inherit"]).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("schemathesis.toml"), EXISTING).unwrap();
    let run = Command::new(program)
        .current_dir(folder.path())
        .arg("run")
        .arg(format!("{}/hub/api/openapi.json", hub.origin))
        .args(["--header", &format!("Authorization: token {token}")])
        .args(["--checks", CHECKS, "--max-examples", EXAMPLES])
        // It does as it is told.
        .args(["--exclude-path", "/shutdown"])
        .args([
            "--seed",
            "1",
            "--no-color",
            "--suppress-health-check",
            "all",
        ])
        .kill_on_drop(true)
        .output();
    let run = tokio::time::timeout(PATIENCE, run).await.unwrap().unwrap();
    let told = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{told}");
    let tested = told.split("Tested: ").nth(1).unwrap_or_default();
    let tested: usize = tested.split_whitespace().next().unwrap().parse().unwrap();
    assert!(tested > 60, "{told}");
}
