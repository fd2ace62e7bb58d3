//! Broken bodies: each is answered, and by no fault of the server.

use carrel_model_server::proto::inference::ModelInferRequest;
use carrel_model_server::proto::tensorflow::serving::{ModelSpec, PredictRequest};
use carrel_model_server::tensor_proto;
use prost::Message as _;
use serde_json::json;

use crate::mutations::mutations;
use crate::server::Server;

#[tokio::test(flavor = "multi_thread")]
async fn json() {
    let Some((_base, server)) = Server::with_doubling().await else {
        return;
    };
    let bodies = [
        (
            "/v1/models/m:predict",
            json!({"signature_name": "serving_default", "instances": [{"x": [1, -2.5e3]}]}),
        ),
        (
            "/v1/models/m:predict",
            json!({"inputs": {"x": [[1, 2], [3, {"b64": "aGk="}]]}}),
        ),
        (
            "/v2/models/m/infer",
            json!({
                "id": "é", "inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]}],
                "outputs": [{"name": "y", "parameters": {"binary_data": true}}],
            }),
        ),
    ];
    for (path, body) in bodies {
        for bad in mutations(body.to_string().as_bytes()) {
            let status = server.post(path, bad.clone()).await.status();
            let fault = status.is_server_error();
            assert!(!fault, "{status}: {}", String::from_utf8_lossy(&bad));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_after_the_json() {
    let Some((_base, server)) = Server::with_doubling().await else {
        return;
    };
    let header = json!({"inputs": [
        {"name": "x", "shape": [1, 2], "datatype": "FP32", "parameters": {"binary_data_size": 8}},
    ]});
    let header = header.to_string();
    let good = [header.as_bytes(), &[0; 8]].concat();
    for bad in mutations(&good) {
        let request = server
            .client
            .post(format!("{}/v2/models/m/infer", server.address));
        let request = request.header("Inference-Header-Content-Length", header.len());
        let status = request.body(bad.clone()).send().await.unwrap().status();
        assert!(
            !status.is_server_error(),
            "{status}: {}",
            String::from_utf8_lossy(&bad)
        );
    }
}

#[test]
fn protocol_buffers() {
    let tensor = carrel_inference::Tensor::new([2, 2], vec![1.0f32, 2.0, 3.0, 4.0]).unwrap();
    let request = PredictRequest {
        model_spec: Some(ModelSpec {
            name: "m".into(),
            ..ModelSpec::default()
        }),
        inputs: [("x".to_owned(), tensor_proto::write(&tensor))].into(),
        output_filter: vec!["y".into()],
    };
    let most = 1 << 20;
    for bad in mutations(&request.encode_to_vec()) {
        let Ok(request) = PredictRequest::decode(&*bad) else {
            continue;
        };
        for (_, proto) in request.inputs {
            if let Ok(tensor) = tensor_proto::read(proto, most) {
                assert!(tensor.memory() <= most);
            }
        }
        let _ = ModelInferRequest::decode(&*bad);
    }
}
