//! A server for those who have a token.

use carrel_model_server::auth::Tokens;
use carrel_model_server::config::ModelConfig;
use carrel_model_server::proto::inference::grpc_inference_service_client::GrpcInferenceServiceClient;
use carrel_model_server::proto::inference::{
    RepositoryModelLoadRequest, RepositoryModelUnloadRequest, ServerLiveRequest,
};
use carrel_model_server::proto::tensorflow::serving::ReloadConfigRequest;
use carrel_model_server::proto::tensorflow::serving::model_service_client::ModelServiceClient;
use carrel_model_server::service::Access;
use reqwest::StatusCode;
use serde_json::json;
use tempfile::TempDir;
use tonic::transport::Endpoint;
use tonic::{Code, Request};
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;

use crate::server::{LIMITS, Server, doubling};

#[tokio::test(flavor = "multi_thread")]
async fn requests_without_a_token_are_refused() {
    let base = TempDir::new().unwrap();
    doubling(&base.path().join("1"));
    let file = base.path().join("tokens");
    std::fs::write(&file, "# of the class\nfirst\n\n  second \n").unwrap();
    let tokens = Tokens::read(&file).unwrap();
    let models = vec![ModelConfig::new("m", base.path())];
    let access = Access {
        tokens: Some(tokens),
        ..Access::default()
    };
    let Some(server) = Server::start_with(models, LIMITS, access).await else {
        return;
    };
    let get = async |path: &str, authorization: &str| {
        let request = server.client.get(format!("{}{path}", server.address));
        let request = request.header("authorization", authorization);
        request.send().await.unwrap().status()
    };
    for path in ["/v1/models/m", "/v2/models/m", "/v2", "/metrics"] {
        for good in ["Bearer first", "bearer second"] {
            assert_eq!(get(path, good).await, StatusCode::OK, "{path} {good}");
        }
        for bad in [
            "",
            "Bearer",
            "Bearer third",
            "Basic first",
            "Bearer # of the class",
            "Bearer ",
        ] {
            assert_eq!(
                get(path, bad).await,
                StatusCode::UNAUTHORIZED,
                "{path} {bad}"
            );
        }
    }
    let refused = server.get("/v2").await;
    assert_eq!(refused.headers()["www-authenticate"], "Bearer");
    assert_eq!(
        refused.text().await.unwrap(),
        r#"{"error":"a bearer token is needed"}"#
    );
    assert_eq!(server.get("/healthz").await.status(), StatusCode::OK);
    let address = format!("http://{}", server.grpc);
    let mut client = GrpcInferenceServiceClient::connect(address.clone())
        .await
        .unwrap();
    let refused = client.server_live(ServerLiveRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let mut request = Request::new(ServerLiveRequest {});
    request
        .metadata_mut()
        .insert("authorization", "Bearer second".parse().unwrap());
    assert!(client.server_live(request).await.unwrap().into_inner().live);
    let channel = Endpoint::from_shared(address).unwrap().connect().await;
    let mut health = HealthClient::new(channel.unwrap());
    let asked = HealthCheckRequest {
        service: String::new(),
    };
    health.check(asked).await.unwrap();
}

#[test]
fn a_file_without_tokens_is_no_protection() {
    let base = TempDir::new().unwrap();
    let file = base.path().join("tokens");
    std::fs::write(&file, "# none\n").unwrap();
    let error = Tokens::read(&file).err().unwrap().to_string();
    assert!(error.ends_with("has no token"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn models_are_not_changed_by_requests_unless_that_is_allowed() {
    let base = TempDir::new().unwrap();
    doubling(&base.path().join("1"));
    let models = vec![ModelConfig::new("m", base.path())];
    let Some(server) = Server::start_with(models, LIMITS, Access::default()).await else {
        return;
    };
    let why =
        "models are not loaded or unloaded by requests; --model-control of the server allows it";
    for verb in ["load", "unload"] {
        let path = format!("/v2/repository/models/m/{verb}");
        let refused = server.json(&path, &json!({})).await;
        assert_eq!(refused, (StatusCode::FORBIDDEN, json!({ "error": why })));
    }
    let address = format!("http://{}", server.grpc);
    let refused = |status: tonic::Status| {
        assert_eq!(
            (status.code(), status.message()),
            (Code::PermissionDenied, why)
        );
    };
    let mut client = GrpcInferenceServiceClient::connect(address.clone())
        .await
        .unwrap();
    let load = RepositoryModelLoadRequest {
        model_name: "m".into(),
        ..RepositoryModelLoadRequest::default()
    };
    refused(client.repository_model_load(load).await.unwrap_err());
    let unload = RepositoryModelUnloadRequest {
        model_name: "m".into(),
        ..RepositoryModelUnloadRequest::default()
    };
    refused(client.repository_model_unload(unload).await.unwrap_err());
    let mut client = ModelServiceClient::connect(address).await.unwrap();
    let reload = ReloadConfigRequest::default();
    refused(
        client
            .handle_reload_config_request(reload)
            .await
            .unwrap_err(),
    );
    assert_eq!(
        server.get("/v2/models/m/ready").await.status(),
        StatusCode::OK
    );
}
