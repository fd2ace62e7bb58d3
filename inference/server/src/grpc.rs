//! Every service of the gRPC port.

use std::sync::Arc;
use std::time::Duration;

use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Code, Status};
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use crate::auth::protect;
use crate::failure::{Failure, Kind};
use crate::proto::DESCRIPTORS;
use crate::proto::inference::grpc_inference_service_server::GrpcInferenceServiceServer;
use crate::proto::tensorflow::serving::model_service_server::ModelServiceServer;
use crate::proto::tensorflow::serving::prediction_service_server::PredictionServiceServer;
use crate::service::Service;

mod bodies;
pub(crate) mod codec;
mod kserve;
mod kserve_infer;
mod models;
mod prediction;
mod serve;

mod weight;

pub use serve::serve;

/// Both protocols, health, and reflection; and who says that the server is healthy.
///
/// # Errors
/// Where the descriptors of the build are broken.
pub async fn routes(service: Arc<Service>) -> anyhow::Result<(Routes, HealthReporter)> {
    let largest = service.largest_body;
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_service_status("", ServingStatus::NotServing)
        .await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()?;
    let older = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1alpha()?;
    let prediction = PredictionServiceServer::new(prediction::Prediction(Arc::clone(&service)));
    let models = ModelServiceServer::new(models::OfModels(Arc::clone(&service)));
    let tokens = service.tokens.clone();
    let inference = GrpcInferenceServiceServer::new(kserve::Inference(Arc::clone(&service)));
    let routes = Routes::new(prediction.max_decoding_message_size(largest))
        .add_service(models)
        .add_service(inference.max_decoding_message_size(largest))
        .add_service(health)
        .add_service(reflection)
        .add_service(older);
    let router = protect(routes.into_axum_router(), tokens, is_open, || {
        Status::unauthenticated("a bearer token is needed").into_http()
    });
    Ok((router.into(), reporter))
}

/// Whether everybody may ask this, whatever others take.
fn is_open(path: &str) -> bool {
    path.starts_with("/grpc.health.v1.Health/")
}

impl From<Failure> for Status {
    fn from(failure: Failure) -> Self {
        let code = match failure.kind {
            Kind::InvalidArgument => Code::InvalidArgument,
            Kind::NotFound => Code::NotFound,
            Kind::PermissionDenied => Code::PermissionDenied,
            Kind::FailedPrecondition => Code::FailedPrecondition,
            Kind::ResourceExhausted => Code::ResourceExhausted,
            Kind::DeadlineExceeded => Code::DeadlineExceeded,
            Kind::Unavailable => Code::Unavailable,
            Kind::Unimplemented => Code::Unimplemented,
            Kind::Internal => Code::Internal,
        };
        Self::new(code, failure.message)
    }
}

/// How long the client waits: `grpc-timeout`, digits and a unit.
fn patience(metadata: &MetadataMap) -> Option<Duration> {
    let text = metadata.get("grpc-timeout")?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = number.parse().ok()?;
    match unit {
        "H" => Some(Duration::from_secs(number.checked_mul(3600)?)),
        "M" => Some(Duration::from_secs(number.checked_mul(60)?)),
        "S" => Some(Duration::from_secs(number)),
        "m" => Some(Duration::from_millis(number)),
        "u" => Some(Duration::from_micros(number)),
        "n" => Some(Duration::from_nanos(number)),
        _ => None,
    }
}
