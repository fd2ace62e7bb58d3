//! Few bytes that mean much, by TensorFlow Serving's gRPC.

use carrel_inference::Tensor;
use carrel_model_server::config::ModelConfig;
use carrel_model_server::proto::inference::ModelInferRequest;
use carrel_model_server::proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use carrel_model_server::proto::inference::model_infer_request::InferInputTensor;
use carrel_model_server::proto::tensorflow::serving::prediction_service_client::PredictionServiceClient;
use carrel_model_server::proto::tensorflow::serving::{ModelSpec, PredictRequest};
use carrel_model_server::proto::tensorflow::{TensorProto, tensor_shape_proto::Dim};
use carrel_model_server::tensor_proto;
use tempfile::TempDir;
use tonic::transport::Endpoint;
use tonic::{Code, Status};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::networks::{F32, network, node, value};
use crate::server::Server;

/// So many rows of two, all of one value that is there once.
fn rows(rows: i64) -> TensorProto {
    let one = Tensor::new([1, 2], vec![1.0f32; 2]).unwrap();
    let mut proto = tensor_proto::write(&one);
    proto.float_val.truncate(1);
    proto.tensor_shape.as_mut().unwrap().dim[0] = Dim {
        size: rows,
        name: String::new(),
    };
    proto
}

/// Two bytes each, and hundreds once they are read.
#[tokio::test(flavor = "multi_thread")]
async fn nested_messages_are_weighed_before_they_are_read() {
    let Some((_base, server)) = Server::with_doubling().await else {
        return;
    };
    let endpoint = Endpoint::from_shared(format!("http://{}", server.grpc)).unwrap();
    let mut client = GrpcInferenceServiceClient::new(endpoint.connect().await.unwrap());
    let mut ask = async |count: usize| {
        let request = ModelInferRequest {
            model_name: "m".into(),
            inputs: vec![InferInputTensor::default(); count],
            ..ModelInferRequest::default()
        };
        client.model_infer(request).await.unwrap_err()
    };
    // Of 64 MiB that all bodies may take.
    let status = ask(400_000).await;
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let status = ask(4).await;
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    let bodies = &server.service.bodies;
    server
        .until(async || bodies.available_permits() == server.service.most_bodies)
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_inputs_together_are_no_larger_than_a_body() {
    let base = TempDir::new().unwrap();
    let folder = base.path().join("1");
    std::fs::create_dir(&folder).unwrap();
    let two = |name: &str| value(name, F32, &[-1, 2]);
    let add = node("Add", &["a", "b"], "y");
    network(&folder, vec![two("a"), two("b")], vec![two("y")], vec![add]);
    let Some(server) = Server::start(vec![ModelConfig::new("m", base.path())]).await else {
        return;
    };
    let endpoint = Endpoint::from_shared(format!("http://{}", server.grpc)).unwrap();
    let channel = endpoint.connect().await.unwrap();
    let client = PredictionServiceClient::new(channel.clone());
    let ask = async |inputs: Vec<(&str, TensorProto)>| -> Result<usize, Status> {
        let inputs = inputs.into_iter().map(|(name, one)| (name.to_owned(), one));
        let request = PredictRequest {
            model_spec: Some(ModelSpec {
                name: "m".into(),
                ..ModelSpec::default()
            }),
            inputs: inputs.collect(),
            ..PredictRequest::default()
        };
        let said = client.clone().predict(request).await?.into_inner();
        Ok(said.outputs["y"].float_val.len())
    };
    // Of a body of 1 MiB these are a quarter and three quarters.
    let (small, large) = (1 << 15, 3 << 15);
    let fits = ask(vec![("a", rows(small)), ("b", rows(small))]).await;
    assert_eq!(fits.unwrap(), 1 << 16);
    let refused = async |inputs, why: &str| {
        let status = ask(inputs).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().contains(why), "{}", status.message());
    };
    refused(vec![("a", rows(large)), ("b", rows(large))], "is too large").await;
    // With bodies that take all, no other is read; health is asked for all the same.
    let bodies = &server.service.bodies;
    let most = u32::try_from(bodies.available_permits()).unwrap();
    let taken = bodies.acquire_many(most).await.unwrap();
    let status = ask(vec![("a", rows(1)), ("b", rows(1))]).await.unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    let mut health = HealthClient::new(channel);
    health.check(HealthCheckRequest::default()).await.unwrap();
    drop(taken);
    ask(vec![("a", rows(1)), ("b", rows(1))]).await.unwrap();
    server
        .until(async || bodies.available_permits() == most as usize)
        .await;
    // Those that the signature does not have are not made at all.
    let endless = || rows(i64::MAX);
    refused(vec![("c", endless())], r#"there is no input "c""#).await;
    let mut whole = endless();
    whole.dtype = 9;
    refused(vec![("a", whole)], r#"the input "a" is f32, not i64"#).await;
    let mut long = endless();
    long.tensor_shape.as_mut().unwrap().dim.push(Dim::default());
    refused(vec![("a", long)], r#"the input "a" has the shape [?, 2]"#).await;
}
