//! TensorFlow Serving's REST API: `/v1/models/MODEL[/versions/VERSION|/labels/LABEL]` with `:predict` or `/metadata`; and
//! `/model/MODEL[/version/VERSION]:predict` of Kubeflow's proxy before there was one.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use carrel_inference::{PREDICT_IMAGES, Signature, TensorSpec};
use serde_json::{Value, json};

use super::answer::{Read, Refusal, code, document, off_the_thread, read, room, written};
use super::tensorflow_body::{self as body, Predict};
use crate::failure::{Failure, Kind};
use crate::models::{Entry, Selector, Version};
use crate::names;
use crate::served::Call;
use crate::service::Service;

/// What a path says.
#[derive(Debug, PartialEq, Eq)]
struct Target<'a> {
    model: &'a str,
    selector: Selector,
    /// `metadata`, or what comes after a colon.
    verb: Option<&'a str>,
}

pub async fn get(
    State(service): State<Arc<Service>>,
    Path(path): Path<String>,
) -> Result<Response, Refusal> {
    let target = target(&path)?;
    match target.verb {
        None => {
            let entry = service.models.entry(target.model)?;
            Ok(document(&status(&entry, &target.selector)?))
        }
        Some("metadata") => {
            let models = &service.models;
            let served = models.find_awake(target.model, &target.selector).await?;
            Ok(document(&json!({
                "model_spec": {
                    "name": served.name,
                    "signature_name": "",
                    "version": served.version.to_string(),
                },
                "metadata": {"signature_def": {"signature_def": signatures(&served.model)}},
            })))
        }
        Some(verb) => Err(Failure::invalid(format!("{verb:?} is asked for by POST")).into()),
    }
}

pub async fn post(
    State(service): State<Arc<Service>>,
    Path(path): Path<String>,
    body: Body,
) -> Result<Response, Refusal> {
    answer(&service, &target(&path)?, body, None).await
}

/// As Kubeflow's proxy of 2018 was asked: it knew no signatures, and pictures were what it was for.
pub async fn older(
    State(service): State<Arc<Service>>,
    Path(path): Path<String>,
    body: Body,
) -> Result<Response, Refusal> {
    let path = path.replace("/version/", "/versions/");
    let target = target(&path)?;
    let models = &service.models;
    let served = models.find_awake(target.model, &target.selector).await?;
    let has_pictures = served.model.signatures().contains_key(PREDICT_IMAGES);
    let without = has_pictures.then_some(PREDICT_IMAGES);
    answer(&service, &target, body, without).await
}

/// `without` is the signature of a request that names none.
async fn answer(
    service: &Service,
    target: &Target<'_>,
    body: Body,
    without: Option<&str>,
) -> Result<Response, Refusal> {
    match target.verb {
        Some("predict") => {
            let body = read(body, service).await?;
            let begun = Instant::now();
            let answer = predict(service, target, &body, without).await;
            service
                .metrics
                .count("tensorflow-rest", code(&answer), begun.elapsed());
            Ok(written(answer?))
        }
        Some(verb @ ("classify" | "regress")) => {
            let message =
                format!("{verb} takes tf.Example, which no ONNX network does; use predict");
            Err(Failure::new(Kind::Unimplemented, message).into())
        }
        _ => Err(Failure::invalid("what to do is missing: MODEL:predict").into()),
    }
}

async fn predict(
    service: &Service,
    target: &Target<'_>,
    body: &Read,
    without: Option<&str>,
) -> Result<String, Failure> {
    let models = &service.models;
    let served = models.find_awake(target.model, &target.selector).await?;
    let (_room, predict) = off_the_thread(body.bytes.len(), || {
        let room = room(service, body, &body.bytes)?;
        Ok::<_, Failure>((room, body::read(&served, &body.bytes, without)?))
    })?;
    let Predict {
        signature,
        inputs,
        form,
    } = predict;
    let call = Call {
        signature: Some(signature),
        inputs,
        ..Call::default()
    };
    let outputs = served.run(call).await?;
    let bytes = outputs.iter().map(|(_, one)| one.memory()).sum();
    off_the_thread(bytes, || body::write(&outputs, form))
}

/// Reads `MODEL[/versions/VERSION|/labels/LABEL][:VERB|/metadata]`.
fn target(path: &str) -> Result<Target<'_>, Failure> {
    let wrong = || Failure::not_found(format!("/v1/models/{path} is no path of the API"));
    let (path, verb) = match path.rsplit_once(':') {
        Some((path, verb)) => (path, Some(verb)),
        None => (path, None),
    };
    let parts: Vec<_> = path.split('/').collect();
    let (model, parts) = parts.split_first().ok_or_else(wrong)?;
    let (selector, rest) = match parts {
        ["versions", version, rest @ ..] => {
            let number = version.parse();
            let number =
                number.map_err(|_| Failure::invalid(format!("{version:?} is no version")))?;
            (Selector::Number(number), rest)
        }
        ["labels", label, rest @ ..] => (Selector::Label((*label).to_owned()), rest),
        rest => (Selector::Latest, rest),
    };
    let verb = match (rest, verb) {
        ([], verb) => verb,
        (["metadata"], None) => Some("metadata"),
        _ => return Err(wrong()),
    };
    Ok(Target {
        model,
        selector,
        verb,
    })
}

/// `GetModelStatusResponse` in JSON, the newest version first; with what KServe's protocol v1 has at the same path.
fn status(entry: &Entry, selector: &Selector) -> Result<Value, Failure> {
    let versions = entry.versions();
    let only = match selector {
        Selector::Latest => None,
        Selector::Number(number) => Some(*number),
        Selector::Label(_) => Some(entry.find(selector)?.version),
    };
    let wanted = versions
        .iter()
        .rev()
        .filter(|(number, _)| only.is_none_or(|only| only == **number));
    let all: Vec<_> = wanted
        .map(|(number, version)| version_status(*number, version))
        .collect();
    match (only, all.is_empty()) {
        (Some(number), true) => {
            let name = &entry.config.name;
            Err(Failure::not_found(format!(
                "the model {name:?} has no version {number}"
            )))
        }
        _ => Ok(json!({
            "model_version_status": all,
            "name": entry.config.name,
            "ready": entry.is_ready(selector),
        })),
    }
}

fn version_status(number: i64, version: &Version) -> Value {
    let (state, code, message) = match version {
        Version::Loading => ("LOADING", "OK", ""),
        Version::Available(_) => ("AVAILABLE", "OK", ""),
        Version::Failed(reason, _) => ("END", "INTERNAL", &**reason),
        Version::Unloaded => ("END", "OK", ""),
    };
    json!({
        "version": number.to_string(),
        "state": state,
        "status": {"error_code": code, "error_message": message},
    })
}

/// `SignatureDefMap` in JSON.
fn signatures(model: &carrel_inference::Model) -> Value {
    let tensors = |specs: &[TensorSpec]| -> Value {
        let specs = specs
            .iter()
            .map(|spec| (spec.name.clone(), tensor_info(spec)));
        Value::Object(specs.collect())
    };
    let all = model
        .signatures()
        .iter()
        .map(|(name, Signature { inputs, outputs })| {
            let signature = json!({
                "inputs": tensors(inputs),
                "outputs": tensors(outputs),
                "method_name": "tensorflow/serving/predict",
            });
            (name.clone(), signature)
        });
    Value::Object(all.collect())
}

fn tensor_info(spec: &TensorSpec) -> Value {
    let dims = spec.shape.iter().map(|dim| {
        let size = dim.map_or_else(|| "-1".to_owned(), |dim| dim.to_string());
        json!({"size": size, "name": ""})
    });
    json!({
        "dtype": names::tensorflow(spec.dtype),
        "tensor_shape": {"dim": dims.collect::<Vec<_>>(), "unknown_rank": false},
        "name": spec.name,
    })
}

#[cfg(test)]
mod tests {
    use super::{Selector, Target, target};

    #[test]
    fn paths_name_a_model_a_version_and_what_to_do() {
        let label = || Selector::Label("stable".into());
        let cases = [
            ("m", Selector::Latest, None),
            ("m:predict", Selector::Latest, Some("predict")),
            ("m/metadata", Selector::Latest, Some("metadata")),
            ("m/versions/3", Selector::Number(3), None),
            ("m/versions/3:predict", Selector::Number(3), Some("predict")),
            (
                "m/versions/3/metadata",
                Selector::Number(3),
                Some("metadata"),
            ),
            ("m/labels/stable:predict", label(), Some("predict")),
        ];
        for (path, selector, verb) in cases {
            let wanted = Target {
                model: "m",
                selector,
                verb,
            };
            assert_eq!(target(path), Ok(wanted), "{path}");
        }
        for path in [
            "m/other",
            "m/versions/x",
            "m/metadata:predict",
            "m/versions/3/x",
        ] {
            assert!(target(path).is_err(), "{path}");
        }
    }
}
