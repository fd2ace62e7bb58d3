//! TensorFlow Serving's REST API.

use carrel_model_server::config::{ModelConfig, VersionPolicy};
use reqwest::StatusCode;
use serde_json::json;
use tempfile::TempDir;

use crate::networks::{F32, STRING, network, node, value};
use crate::server::{Server, answer, doubling, squaring};

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_columns() {
    let Some((_base, server)) = Server::with_doubling().await else {
        return;
    };
    let predict = "/v1/models/m:predict";
    let cases = [
        (
            json!({"instances": [[1.0, 2], [3, 4]]}),
            json!({"predictions": [[2.0, 4.0], [6.0, 8.0]]}),
        ),
        (
            json!({"instances": [{"x": [1, 2]}]}),
            json!({"predictions": [[2.0, 4.0]]}),
        ),
        (
            json!({"inputs": [[1, 2]]}),
            json!({"outputs": [[2.0, 4.0]]}),
        ),
        (
            json!({"inputs": {"x": [[1, 2]]}}),
            json!({"outputs": [[2.0, 4.0]]}),
        ),
    ];
    for (body, wanted) in cases {
        assert_eq!(
            server.json(predict, &body).await,
            (StatusCode::OK, wanted),
            "{body}"
        );
    }
    let answer = server
        .post(
            predict,
            r#"{"inputs": [[NaN, -Infinity], [Infinity, 1e39]]}"#,
        )
        .await;
    let text = answer.text().await.unwrap();
    assert!(
        text.contains("[[NaN,-Infinity],[Infinity,Infinity]]"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn several_inputs_and_outputs_and_bytes() {
    let base = TempDir::new().unwrap();
    let folder = base.path().join("1");
    std::fs::create_dir(&folder).unwrap();
    let (text, number) = (value("text", STRING, &[-1]), value("number", F32, &[-1]));
    let outputs = vec![
        value("text_bytes", STRING, &[-1]),
        value("same", F32, &[-1]),
    ];
    let nodes = vec![
        node("Identity", &["text"], "text_bytes"),
        node("Identity", &["number"], "same"),
    ];
    network(&folder, vec![text, number], outputs, nodes);
    let Some(server) = Server::start(vec![ModelConfig::new("m", base.path())]).await else {
        return;
    };
    let predict = "/v1/models/m:predict";
    let rows = json!({"instances": [
        {"text": {"b64": "aGk="}, "number": 1}, {"text": "ho", "number": 2},
    ]});
    let wanted = json!({"predictions": [
        {"text_bytes": {"b64": "aGk="}, "same": 1.0}, {"text_bytes": {"b64": "aG8="}, "same": 2.0},
    ]});
    assert_eq!(server.json(predict, &rows).await, (StatusCode::OK, wanted));
    let columns = json!({"inputs": {"text": [{"b64": "aGk="}], "number": [1]}});
    let wanted = json!({"outputs": {"text_bytes": [{"b64": "aGk="}], "same": [1.0]}});
    assert_eq!(
        server.json(predict, &columns).await,
        (StatusCode::OK, wanted)
    );
    for body in [
        json!({"instances": [{"text": "a"}, {"text": "b", "number": 2}]}),
        json!({"instances": [{"text": "a", "number": 1}, {"text": "b"}]}),
    ] {
        let (status, said) = server.json(predict, &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(
            said["error"]
                .as_str()
                .unwrap()
                .contains(r#"the input "number" is missing"#),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_said_with_its_code() {
    let Some((_base, server)) = Server::with_doubling().await else {
        return;
    };
    let good = r#"{"instances": [[1, 2]]}"#;
    let cases = [
        (
            "/v1/models/n:predict",
            good,
            404,
            r#"there is no model "n""#,
        ),
        (
            "/v1/models/m/versions/7:predict",
            good,
            404,
            "has no version 7",
        ),
        (
            "/v1/models/m/labels/stable:predict",
            good,
            404,
            r#"has no label "stable""#,
        ),
        ("/v1/models/m:classify", good, 501, "use predict"),
        ("/v1/models/m", good, 400, "MODEL:predict"),
        ("/v1/models/m:predict", "{", 400, "the body is no JSON"),
        (
            "/v1/models/m:predict",
            "{}",
            400,
            "neither instances nor inputs",
        ),
        (
            "/v1/models/m:predict",
            r#"{"instances": [[1, 2], [3]]}"#,
            400,
            r#"the input "x": a part has 1"#,
        ),
        (
            "/v1/models/m:predict",
            r#"{"instances": [["a", "b"]]}"#,
            400,
            r#"the input "x": "a" is no f32"#,
        ),
        (
            "/v1/models/m:predict",
            r#"{"instances": [[1, 2, 3]]}"#,
            400,
            "has the shape [?, 2], not [1, 3]",
        ),
        (
            "/v1/models/m:predict",
            r#"{"inputs": {"z": [[1, 2]]}}"#,
            400,
            r#"there is no input "z""#,
        ),
        (
            "/v1/models/m:predict",
            r#"{"signature_name": "s", "instances": [[1, 2]]}"#,
            400,
            r#"there is no signature "s""#,
        ),
    ];
    for (path, body, code, why) in cases {
        let (status, said) = answer(server.post(path, body).await).await;
        assert_eq!(status.as_u16(), code, "{path} {body}: {said}");
        let error = said["error"].as_str().unwrap_or_default();
        assert!(error.contains(why), "{path} {body}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_metadata_by_version_and_label() {
    let base = TempDir::new().unwrap();
    doubling(&base.path().join("1"));
    squaring(&base.path().join("00002"));
    std::fs::create_dir(base.path().join("3")).unwrap();
    let config = ModelConfig {
        version_policy: VersionPolicy::All,
        version_labels: [("stable".to_owned(), 1)].into(),
        ..ModelConfig::new("m", base.path())
    };
    let Some(server) = Server::start(vec![config]).await else {
        return;
    };
    let (status, said) = answer(server.get("/v1/models/m").await).await;
    assert_eq!(status, StatusCode::OK);
    let all = said["model_version_status"].as_array().unwrap();
    let states: Vec<_> = all
        .iter()
        .map(|one| (one["version"].as_str(), one["state"].as_str()))
        .collect();
    let state = |version, state| (Some(version), Some(state));
    assert_eq!(
        states,
        [
            state("3", "END"),
            state("2", "AVAILABLE"),
            state("1", "AVAILABLE")
        ]
    );
    assert!(
        all[0]["status"]["error_message"]
            .as_str()
            .unwrap()
            .contains("model.onnx")
    );
    let body = json!({"instances": [[3, 5]]});
    for (path, wanted) in [
        ("/v1/models/m:predict", [9.0, 25.0]),
        ("/v1/models/m/versions/1:predict", [6.0, 10.0]),
        ("/v1/models/m/labels/stable:predict", [6.0, 10.0]),
    ] {
        let (_, said) = server.json(path, &body).await;
        assert_eq!(said, json!({"predictions": [wanted]}), "{path}");
    }
    let (_, said) = answer(server.get("/v1/models/m/labels/stable/metadata").await).await;
    assert_eq!(
        said["model_spec"],
        json!({"name": "m", "signature_name": "", "version": "1"})
    );
    let signature = &said["metadata"]["signature_def"]["signature_def"]["serving_default"];
    assert_eq!(
        signature["inputs"]["x"],
        json!({
            "dtype": "DT_FLOAT",
            "tensor_shape": {
                "dim": [{"size": "-1", "name": ""}, {"size": "2", "name": ""}],
                "unknown_rank": false,
            },
            "name": "x",
        })
    );
    let (status, _) = answer(server.get("/v1/models/m/versions/9").await).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
