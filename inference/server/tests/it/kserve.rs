//! KServe's protocol v2 over HTTP.

use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::server::{Server, answer};

#[tokio::test(flavor = "multi_thread")]
async fn tensors_in_json() {
    let Some((_base, server)) = Server::with_doubling().await else {
        return;
    };
    let input =
        |data: Value| json!({"name": "x", "shape": [2, 2], "datatype": "FP32", "data": data});
    let output =
        json!({"name": "y", "datatype": "FP32", "shape": [2, 2], "data": [2.0, 4.0, 6.0, 8.0]});
    for data in [json!([1, 2, 3, 4]), json!([[1, 2], [3, 4]])] {
        let body = json!({"id": "7", "inputs": [input(data)], "outputs": [{"name": "y"}]});
        let (status, said) = server.json("/v2/models/m/versions/1/infer", &body).await;
        let wanted =
            json!({"model_name": "m", "model_version": "1", "id": "7", "outputs": [output]});
        assert_eq!((status, said), (StatusCode::OK, wanted));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tensors_as_bytes_after_the_json() {
    let Some((_base, server)) = Server::with_doubling().await else {
        return;
    };
    let header = json!({
        "inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}}],
        "parameters": {"binary_data_output": true},
    });
    let header = header.to_string();
    let numbers = |numbers: [f32; 2]| {
        numbers
            .iter()
            .flat_map(|one| one.to_le_bytes())
            .collect::<Vec<_>>()
    };
    let send = async |bytes: &[u8], length: &str| {
        let url = format!("{}/v2/models/m/infer", server.address);
        let body = [header.as_bytes(), bytes].concat();
        let request = server.client.post(url).body(body);
        request
            .header("Inference-Header-Content-Length", length)
            .send()
            .await
            .unwrap()
    };
    let length = header.len().to_string();
    let answered = send(&numbers([1.5, -2.0]), &length).await;
    assert_eq!(answered.status(), StatusCode::OK);
    let split = answered.headers()["inference-header-content-length"]
        .to_str()
        .unwrap();
    let split: usize = split.parse().unwrap();
    let body = answered.bytes().await.unwrap();
    let said: Value = serde_json::from_slice(&body[..split]).unwrap();
    assert_eq!(said["outputs"][0]["parameters"]["binary_data_size"], 8);
    assert_eq!(body[split..], numbers([3.0, -4.0]));
    let cases = [
        (&[0; 7][..], &*length, "8 bytes, and 7 are left"),
        (
            &[0; 9],
            &length,
            "1 bytes after the JSON belong to no input",
        ),
        (&[0; 8], "100000", "the JSON has 100000 bytes"),
        (&[0; 8], "-1", "is no number"),
        (&[0; 8], "18446744073709551615", "the JSON has"),
    ];
    for (bytes, length, why) in cases {
        let (status, said) = answer(send(bytes, length).await).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
        assert!(
            said["error"].as_str().unwrap().contains(why),
            "{why}: {said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_request_is_said() {
    let Some((_base, server)) = Server::with_doubling().await else {
        return;
    };
    let x = |change: &[(&str, Value)]| {
        let mut input = json!({"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]});
        for (key, value) in change {
            input[key] = value.clone();
        }
        json!({"inputs": [input]})
    };
    let cases = [
        (
            x(&[("datatype", json!("FP33"))]),
            r#"the input "x": there is no datatype "FP33""#,
        ),
        (
            x(&[("datatype", json!("INT64"))]),
            r#"the input "x" is f32, not i64"#,
        ),
        (
            x(&[("shape", json!([1, 3]))]),
            r#"the input "x": the shape [1, 3] has 3 elements"#,
        ),
        (
            x(&[("shape", json!([u64::MAX, 2]))]),
            r#"the input "x": the shape"#,
        ),
        (
            x(&[("data", Value::Null)]),
            "neither data nor binary_data_size",
        ),
        (x(&[("name", json!("z"))]), r#"there is no input "z""#),
        (json!({"inputs": []}), r#"the input "x" is missing"#),
        (json!({"input": []}), "no inference request"),
        (json!([]), "no inference request"),
    ];
    for (body, why) in cases {
        let (status, said) = server.json("/v2/models/m/infer", &body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{said}");
        assert!(
            said["error"].as_str().unwrap().contains(why),
            "{why}: {said}"
        );
    }
    let (status, said) = server.json("/v2/models/n/infer", &x(&[])).await;
    assert_eq!(
        (status, &said["error"]),
        (StatusCode::NOT_FOUND, &json!(r#"there is no model "n""#))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn server_models_statistics_and_metrics() {
    let Some((_base, server)) = Server::with_doubling().await else {
        return;
    };
    let get = async |path: &str| answer(server.get(path).await).await;
    let (status, said) = get("/v2").await;
    assert_eq!(
        (status, &said["name"]),
        (StatusCode::OK, &json!("carrel-model-server"))
    );
    for path in [
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models/m/ready",
        "/healthz",
        "/readyz",
    ] {
        assert_eq!(get(path).await.0, StatusCode::OK, "{path}");
    }
    let (_, said) = get("/v2/models/m").await;
    let wanted = json!({
        "name": "m", "versions": ["1"], "platform": "onnx_onnxv1",
        "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1, 2]}],
        "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1, 2]}],
    });
    assert_eq!(said, wanted);
    let body = json!({"inputs": [{"name": "x", "shape": [3, 2], "datatype": "FP32", "data": [0, 0, 0, 0, 0, 0]}]});
    assert_eq!(
        server.json("/v2/models/m/infer", &body).await.0,
        StatusCode::OK
    );
    let (_, said) = get("/v2/models/m/stats").await;
    let counts = &said["model_stats"][0];
    assert_eq!(counts["inference_count"], 3);
    assert_eq!(counts["inference_stats"]["success"]["count"], 1);
    let metrics = server.get("/metrics").await.text().await.unwrap();
    let line = r#"carrel_serving_model_rows_total{model="m",version="1"} 3"#;
    assert!(metrics.contains(line), "{metrics}");
    assert!(
        metrics.contains(r#"protocol="kserve-rest",code="OK""#),
        "{metrics}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_unloaded_and_loaded_on_demand() {
    let Some((_base, server)) = Server::with_doubling().await else {
        return;
    };
    let index = async || server.json("/v2/repository/index", &json!({})).await.1;
    let entry = |state: &str, reason: &str| json!([{"name": "m", "version": "1", "state": state, "reason": reason}]);
    assert_eq!(index().await, entry("READY", ""));
    let (status, _) = server
        .json("/v2/repository/models/m/unload", &json!({}))
        .await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(index().await, entry("UNAVAILABLE", "unloaded"));
    assert_eq!(
        server.get("/v2/models/m/ready").await.status(),
        StatusCode::SERVICE_UNAVAILABLE
    );
    // The watcher leaves it so.
    server.service.models.update_all().await;
    assert_eq!(index().await, entry("UNAVAILABLE", "unloaded"));
    let (status, _) = server
        .json("/v2/repository/models/m/load", &json!({}))
        .await;
    assert_eq!(status, StatusCode::OK);
    assert_eq!(index().await, entry("READY", ""));
    let (status, _) = server
        .json("/v2/repository/models/n/load", &json!({}))
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}
