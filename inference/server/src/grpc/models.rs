//! TensorFlow Serving's `ModelService`: the state of versions, and another configuration.

use std::sync::Arc;

use tonic::{Code, Request, Response, Status};

use super::prediction::selector;
use crate::config::{Config, ModelConfig, VersionPolicy};
use crate::failure::{Failure, Kind};
use crate::models::{Selector, Version};
use crate::proto::tensorflow::serving::model_server_config::Config as Wanted;
use crate::proto::tensorflow::serving::model_service_server::ModelService;
use crate::proto::tensorflow::serving::model_version_status::State;
use crate::proto::tensorflow::serving::servable_version_policy::PolicyChoice;
use crate::proto::tensorflow::serving::{
    self, GetModelStatusRequest, GetModelStatusResponse, ModelVersionStatus, ReloadConfigRequest,
    ReloadConfigResponse, StatusProto,
};
use crate::service::Service;

pub struct OfModels(pub Arc<Service>);

#[tonic::async_trait]
impl ModelService for OfModels {
    async fn get_model_status(
        &self,
        request: Request<GetModelStatusRequest>,
    ) -> Result<Response<GetModelStatusResponse>, Status> {
        let spec = request.into_inner().model_spec.unwrap_or_default();
        let entry = self.0.models.entry(&spec.name)?;
        let only = match selector(&spec) {
            Selector::Latest => None,
            Selector::Number(number) => Some(number),
            label @ Selector::Label(_) => Some(entry.find(&label)?.version),
        };
        let versions = entry.versions();
        let wanted = versions.iter().rev();
        let wanted = wanted.filter(|(number, _)| only.is_none_or(|only| only == **number));
        let all: Vec<_> = wanted
            .map(|(number, version)| status(*number, version))
            .collect();
        match (only, all.is_empty()) {
            (Some(number), true) => {
                let message = format!("the model {:?} has no version {number}", spec.name);
                Err(Failure::not_found(message).into())
            }
            _ => Ok(Response::new(GetModelStatusResponse {
                model_version_status: all,
            })),
        }
    }

    async fn handle_reload_config_request(
        &self,
        request: Request<ReloadConfigRequest>,
    ) -> Result<Response<ReloadConfigResponse>, Status> {
        self.0.check_control()?;
        let config = request.into_inner().config.and_then(|config| config.config);
        let Some(Wanted::ModelConfigList(list)) = config else {
            let message = "the configuration has no model_config_list";
            return Err(Failure::invalid(message).into());
        };
        let models = list.config.into_iter().map(|model| self.config(model));
        let config = Config {
            models: models.collect::<Result<_, Failure>>()?,
        };
        config
            .check()
            .map_err(|error| Failure::invalid(error.to_string()))?;
        let names: Vec<_> = config
            .models
            .iter()
            .map(|model| model.name.clone())
            .collect();
        self.0.models.reconfigure(config).await?;
        for name in names {
            let entry = self.0.models.entry(&name)?;
            if !entry.is_ready(&Selector::Latest) {
                entry.find(&Selector::Latest)?;
            }
        }
        Ok(Response::new(ReloadConfigResponse {
            status: Some(StatusProto::default()),
        }))
    }
}

impl OfModels {
    /// The configuration of a model; what the message does not have stays as it was.
    fn config(&self, wanted: serving::ModelConfig) -> Result<ModelConfig, Failure> {
        let platform = &*wanted.model_platform;
        // TensorFlow's own is what its clients write without a thought.
        if !matches!(platform, "" | "tensorflow" | "onnx" | "onnxruntime") {
            let message = format!("{:?} is of the platform {platform:?}", wanted.name);
            return Err(Failure::new(Kind::Unimplemented, message));
        }
        let known = self.0.models.entry(&wanted.name);
        let known = known.map(|entry| entry.config.clone());
        let base = known.unwrap_or_else(|_| ModelConfig::new(&wanted.name, &wanted.base_path));
        let policy = wanted
            .model_version_policy
            .and_then(|policy| policy.policy_choice);
        Ok(ModelConfig {
            base_path: wanted.base_path.into(),
            version_policy: match policy {
                None => VersionPolicy::default(),
                Some(PolicyChoice::Latest(latest)) => {
                    VersionPolicy::Latest(latest.num_versions.max(1) as usize)
                }
                Some(PolicyChoice::All(_)) => VersionPolicy::All,
                Some(PolicyChoice::Specific(some)) => VersionPolicy::Specific(some.versions),
            },
            version_labels: wanted.version_labels.into_iter().collect(),
            ..base
        })
    }
}

fn status(number: i64, version: &Version) -> ModelVersionStatus {
    let (state, code, message) = match version {
        Version::Loading => (State::Loading, Code::Ok, String::new()),
        Version::Available(_) => (State::Available, Code::Ok, String::new()),
        Version::Failed(reason, _) => (State::End, Code::Internal, reason.clone()),
        Version::Unloaded => (State::End, Code::Ok, String::new()),
    };
    ModelVersionStatus {
        version: number,
        state: state.into(),
        status: Some(StatusProto {
            error_code: code.into(),
            error_message: message,
        }),
    }
}
