//! KServe's protocol v2 over gRPC, with Triton's extensions.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use carrel_inference::TensorSpec;
use futures_util::{Stream, StreamExt as _};
use tonic::{Request, Response, Status, Streaming};

use super::kserve_infer::{inputs, number, response, text};
use super::patience;
use crate::failure::Failure;
use crate::models::Selector;
use crate::names;
use crate::proto::inference::grpc_inference_service_server::GrpcInferenceService;
use crate::proto::inference::model_metadata_response::TensorMetadata;
use crate::proto::inference::repository_index_response::ModelIndex;
use crate::proto::inference::trace_setting_response::SettingValue;
use crate::proto::inference::{
    InferStatistics, ModelInferRequest, ModelInferResponse, ModelMetadataRequest,
    ModelMetadataResponse, ModelReadyRequest, ModelReadyResponse, ModelStatistics,
    ModelStatisticsRequest, ModelStatisticsResponse, ModelStreamInferResponse,
    RepositoryIndexRequest, RepositoryIndexResponse, RepositoryModelLoadRequest,
    RepositoryModelLoadResponse, RepositoryModelUnloadRequest, RepositoryModelUnloadResponse,
    ServerLiveRequest, ServerLiveResponse, ServerMetadataRequest, ServerMetadataResponse,
    ServerReadyRequest, ServerReadyResponse, StatisticDuration, TraceSettingRequest,
    TraceSettingResponse,
};
use crate::served::{Call, Served};
use crate::service::Service;

pub struct Inference(pub Arc<Service>);

#[tonic::async_trait]
impl GrpcInferenceService for Inference {
    type ModelStreamInferStream =
        Pin<Box<dyn Stream<Item = Result<ModelStreamInferResponse, Status>> + Send>>;

    async fn server_live(
        &self,
        _: Request<ServerLiveRequest>,
    ) -> Result<Response<ServerLiveResponse>, Status> {
        Ok(Response::new(ServerLiveResponse { live: true }))
    }

    async fn server_ready(
        &self,
        _: Request<ServerReadyRequest>,
    ) -> Result<Response<ServerReadyResponse>, Status> {
        let ready = self.0.is_ready() && self.0.models.are_ready();
        Ok(Response::new(ServerReadyResponse { ready }))
    }

    async fn model_ready(
        &self,
        request: Request<ModelReadyRequest>,
    ) -> Result<Response<ModelReadyResponse>, Status> {
        let ModelReadyRequest { name, version } = request.into_inner();
        let entry = self.0.models.entry(&name);
        let ready = entry.is_ok_and(|entry| entry.is_ready(&Selector::of_text(&version)));
        Ok(Response::new(ModelReadyResponse { ready }))
    }

    async fn server_metadata(
        &self,
        _: Request<ServerMetadataRequest>,
    ) -> Result<Response<ServerMetadataResponse>, Status> {
        Ok(Response::new(ServerMetadataResponse {
            name: env!("CARGO_PKG_NAME").to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            extensions: names::EXTENSIONS.map(str::to_owned).into(),
        }))
    }

    async fn model_metadata(
        &self,
        request: Request<ModelMetadataRequest>,
    ) -> Result<Response<ModelMetadataResponse>, Status> {
        let ModelMetadataRequest { name, version } = request.into_inner();
        let selector = Selector::of_text(&version);
        let served = self.0.models.find_awake(&name, &selector).await?;
        let (_, signature) = served.signature(None)?;
        let available = self.0.models.entry(&name)?.available();
        let tensors = |specs: &[TensorSpec]| specs.iter().map(metadata).collect();
        Ok(Response::new(ModelMetadataResponse {
            name,
            versions: available
                .iter()
                .map(|one| one.version.to_string())
                .collect(),
            platform: names::PLATFORM.to_owned(),
            inputs: tensors(&signature.inputs),
            outputs: tensors(&signature.outputs),
        }))
    }

    async fn model_infer(
        &self,
        request: Request<ModelInferRequest>,
    ) -> Result<Response<ModelInferResponse>, Status> {
        let patience = patience(request.metadata());
        Ok(Response::new(
            infer(&self.0, request.into_inner(), patience).await?,
        ))
    }

    async fn model_stream_infer(
        &self,
        request: Request<Streaming<ModelInferRequest>>,
    ) -> Result<Response<Self::ModelStreamInferStream>, Status> {
        let service = Arc::clone(&self.0);
        let answers = request.into_inner().then(move |request| {
            let service = Arc::clone(&service);
            async move {
                let request = request?;
                let id = request.id.clone();
                Ok(match infer(&service, request, None).await {
                    Ok(response) => ModelStreamInferResponse {
                        error_message: String::new(),
                        infer_response: Some(response),
                    },
                    // One request of a stream fails, and the others are answered.
                    Err(failure) => ModelStreamInferResponse {
                        error_message: failure.message,
                        infer_response: Some(ModelInferResponse {
                            id,
                            ..ModelInferResponse::default()
                        }),
                    },
                })
            }
        });
        Ok(Response::new(Box::pin(answers)))
    }

    async fn model_statistics(
        &self,
        request: Request<ModelStatisticsRequest>,
    ) -> Result<Response<ModelStatisticsResponse>, Status> {
        let ModelStatisticsRequest { name, version } = request.into_inner();
        let served = match &*name {
            "" => self.0.models.available(),
            name => vec![self.0.models.find(name, &Selector::of_text(&version))?],
        };
        Ok(Response::new(ModelStatisticsResponse {
            model_stats: served.iter().map(|served| statistics(served)).collect(),
        }))
    }

    async fn repository_index(
        &self,
        request: Request<RepositoryIndexRequest>,
    ) -> Result<Response<RepositoryIndexResponse>, Status> {
        let only_ready = request.into_inner().ready;
        let mut models = Vec::new();
        for (name, entry) in &*self.0.models.entries() {
            for (number, version) in &*entry.versions() {
                let (state, reason) = version.state();
                if !only_ready || state == "READY" {
                    models.push(ModelIndex {
                        name: name.clone(),
                        version: number.to_string(),
                        state: state.to_owned(),
                        reason: reason.to_owned(),
                    });
                }
            }
        }
        Ok(Response::new(RepositoryIndexResponse { models }))
    }

    async fn repository_model_load(
        &self,
        request: Request<RepositoryModelLoadRequest>,
    ) -> Result<Response<RepositoryModelLoadResponse>, Status> {
        let name = request.into_inner().model_name;
        self.0.check_control()?;
        self.0.models.load_on_demand(&name).await?;
        Ok(Response::new(RepositoryModelLoadResponse {}))
    }

    async fn repository_model_unload(
        &self,
        request: Request<RepositoryModelUnloadRequest>,
    ) -> Result<Response<RepositoryModelUnloadResponse>, Status> {
        let name = request.into_inner().model_name;
        self.0.check_control()?;
        self.0.models.unload_on_demand(&name).await?;
        Ok(Response::new(RepositoryModelUnloadResponse {}))
    }

    async fn trace_setting(
        &self,
        request: Request<TraceSettingRequest>,
    ) -> Result<Response<TraceSettingResponse>, Status> {
        let request = request.into_inner();
        let model = Some(&*request.model_name).filter(|name| !name.is_empty());
        if let Some(model) = model {
            self.0.models.entry(model)?;
        }
        let traces = &self.0.models.traces;
        if !request.settings.is_empty() {
            self.0.check_control()?;
            let changes = request.settings.into_iter().map(|(name, setting)| {
                let values = Some(setting.value).filter(|values| !values.is_empty());
                (name, values)
            });
            traces.change(model, &changes.collect())?;
        }
        let settings = traces.get(model).into_iter();
        let settings = settings.map(|(name, value)| (name.to_owned(), SettingValue { value }));
        Ok(Response::new(TraceSettingResponse {
            settings: settings.collect(),
        }))
    }
}

async fn infer(
    service: &Service,
    request: ModelInferRequest,
    patience: Option<Duration>,
) -> Result<ModelInferResponse, Failure> {
    let begun = Instant::now();
    let answer = compute(service, request, patience).await;
    let code = answer
        .as_ref()
        .map_or_else(|failure| failure.kind.name(), |_| "OK");
    service.metrics.count("kserve-grpc", code, begun.elapsed());
    answer
}

async fn compute(
    service: &Service,
    request: ModelInferRequest,
    patience: Option<Duration>,
) -> Result<ModelInferResponse, Failure> {
    let selector = Selector::of_text(&request.model_version);
    let served = service
        .models
        .find_awake(&request.model_name, &selector)
        .await?;
    let timeout = number(&request, "timeout").filter(|time| *time > 0);
    let timeout = timeout.map(Duration::from_micros);
    let call = Call {
        signature: text(&request, "signature_name").map(str::to_owned),
        inputs: inputs(&request)?,
        outputs: request
            .outputs
            .iter()
            .map(|output| output.name.clone())
            .collect(),
        patience: timeout.into_iter().chain(patience).min(),
    };
    let in_fields = request.raw_input_contents.is_empty();
    let outputs = served.run(call).await?;
    Ok(response(&served, request.id, &outputs, in_fields))
}

fn metadata(spec: &TensorSpec) -> TensorMetadata {
    TensorMetadata {
        name: spec.name.clone(),
        datatype: names::kserve(spec.dtype).to_owned(),
        shape: spec
            .shape
            .iter()
            .map(|dim| dim.map_or(-1, |dim| dim as i64))
            .collect(),
    }
}

fn statistics(served: &Served) -> ModelStatistics {
    let counts = served.statistics.counts();
    let time = |count: u64, ns: u64| Some(StatisticDuration { count, ns });
    ModelStatistics {
        name: served.name.clone(),
        version: served.version.to_string(),
        last_inference: counts.last,
        inference_count: counts.rows,
        execution_count: served.executions(),
        inference_stats: Some(InferStatistics {
            success: time(counts.successes, counts.success_time),
            fail: time(counts.failures, counts.failure_time),
            queue: time(counts.successes, counts.waiting_time),
            compute_input: time(counts.successes, 0),
            compute_infer: time(counts.successes, counts.computing_time),
            compute_output: time(counts.successes, 0),
            cache_hit: time(0, 0),
            cache_miss: time(0, 0),
        }),
    }
}
