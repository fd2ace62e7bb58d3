//! TensorFlow Serving's `PredictionService`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use carrel_inference::{Named, Signature, TensorSpec};
use prost::Message as _;
use prost_types::Any;
use tonic::{Request, Response, Status};

use super::patience;
use crate::failure::{Failure, Kind};
use crate::models::Selector;
use crate::proto::tensorflow::serving::model_spec::VersionChoice;
use crate::proto::tensorflow::serving::prediction_service_server::PredictionService;
use crate::proto::tensorflow::serving::{
    GetModelMetadataRequest, GetModelMetadataResponse, ModelSpec, PredictRequest, PredictResponse,
    SignatureDefMap, Unanswered,
};
use crate::proto::tensorflow::{SignatureDef, TensorProto};
use crate::served::{Call, Served};
use crate::service::Service;
use crate::tensor_proto;

/// The only metadata that there is, in TensorFlow Serving too.
const SIGNATURES: &str = "signature_def";

pub struct Prediction(pub Arc<Service>);

#[tonic::async_trait]
impl PredictionService for Prediction {
    async fn predict(
        &self,
        request: Request<PredictRequest>,
    ) -> Result<Response<PredictResponse>, Status> {
        let begun = Instant::now();
        let patience = patience(request.metadata());
        let answer = predict(&self.0, request.into_inner(), patience).await;
        let code = answer
            .as_ref()
            .map_or_else(|failure| failure.kind.name(), |_| "OK");
        self.0
            .metrics
            .count("tensorflow-grpc", code, begun.elapsed());
        Ok(Response::new(answer?))
    }

    async fn classify(&self, _: Request<Unanswered>) -> Result<Response<Unanswered>, Status> {
        Err(unanswered("Classify").into())
    }

    async fn regress(&self, _: Request<Unanswered>) -> Result<Response<Unanswered>, Status> {
        Err(unanswered("Regress").into())
    }

    async fn multi_inference(
        &self,
        _: Request<Unanswered>,
    ) -> Result<Response<Unanswered>, Status> {
        Err(unanswered("MultiInference").into())
    }

    async fn get_model_metadata(
        &self,
        request: Request<GetModelMetadataRequest>,
    ) -> Result<Response<GetModelMetadataResponse>, Status> {
        let request = request.into_inner();
        let fields = &request.metadata_field;
        if fields.is_empty() || fields.iter().any(|field| field != SIGNATURES) {
            let message = format!("metadata_field is {fields:?}, and there is {SIGNATURES:?} only");
            return Err(Failure::invalid(message).into());
        }
        let spec = request.model_spec.unwrap_or_default();
        let selector = selector(&spec);
        let served = self.0.models.find_awake(&spec.name, &selector).await?;
        let signatures = served.model.signatures().iter();
        let map = SignatureDefMap {
            signature_def: signatures
                .map(|(name, one)| (name.clone(), definition(one)))
                .collect(),
        };
        let any = Any {
            type_url: "type.googleapis.com/tensorflow.serving.SignatureDefMap".into(),
            value: map.encode_to_vec(),
        };
        Ok(Response::new(GetModelMetadataResponse {
            model_spec: Some(model_spec(&served, "")),
            metadata: HashMap::from([(SIGNATURES.to_owned(), any)]),
        }))
    }
}

fn unanswered(method: &str) -> Failure {
    let message = format!("{method} takes tf.Example, which no ONNX network does; use Predict");
    Failure::new(Kind::Unimplemented, message)
}

async fn predict(
    service: &Service,
    request: PredictRequest,
    patience: Option<std::time::Duration>,
) -> Result<PredictResponse, Failure> {
    let missing = || Failure::new(Kind::InvalidArgument, "the model_spec is missing");
    let spec = request.model_spec.ok_or_else(missing)?;
    let models = &service.models;
    let served = models.find_awake(&spec.name, &selector(&spec)).await?;
    let (signature, expected) = served.signature(Some(&spec.signature_name))?;
    let inputs = inputs(request.inputs, expected, service.largest_body)?;
    let call = Call {
        signature: Some(signature.to_owned()),
        inputs,
        outputs: request.output_filter,
        patience,
    };
    let outputs = served.run(call).await?;
    let outputs = outputs
        .iter()
        .map(|(name, tensor)| (name.clone(), tensor_proto::write(tensor)));
    Ok(PredictResponse {
        outputs: outputs.collect(),
        model_spec: Some(model_spec(&served, signature)),
    })
}

/// The tensors, which take no more than `most` bytes together: few bytes of a message may mean a large one, so each is
/// held against the signature before it is made.
fn inputs(
    protos: HashMap<String, TensorProto>,
    expected: &Signature,
    most: usize,
) -> Result<Named, Failure> {
    let mut left = most;
    let mut inputs = Vec::with_capacity(protos.len());
    for (name, proto) in protos {
        let wrong = |why| Failure::invalid(format!("the input {name:?}: {why}"));
        let (dtype, shape) = tensor_proto::described(&proto).map_err(wrong)?;
        expected.check_input(&name, dtype, &shape)?;
        let tensor = tensor_proto::read(proto, left).map_err(wrong)?;
        left = left.saturating_sub(tensor.memory());
        inputs.push((name, tensor));
    }
    Ok(inputs)
}

/// Which version is meant.
pub fn selector(spec: &ModelSpec) -> Selector {
    match &spec.version_choice {
        None => Selector::Latest,
        Some(VersionChoice::Version(number)) => Selector::Number(*number),
        Some(VersionChoice::VersionLabel(label)) => Selector::Label(label.clone()),
    }
}

fn model_spec(served: &Served, signature: &str) -> ModelSpec {
    ModelSpec {
        name: served.name.clone(),
        signature_name: signature.to_owned(),
        version_choice: Some(VersionChoice::Version(served.version)),
    }
}

fn definition(signature: &Signature) -> SignatureDef {
    let infos = |specs: &[TensorSpec]| {
        let infos = specs
            .iter()
            .map(|spec| (spec.name.clone(), tensor_proto::info(spec)));
        infos.collect()
    };
    SignatureDef {
        inputs: infos(&signature.inputs),
        outputs: infos(&signature.outputs),
        method_name: "tensorflow/serving/predict".into(),
    }
}
