//! Jobs from one version of their API to another, as JSON: what this program does not know is carried along, and what the
//! new shape has no place for goes into the annotation of [`crate::original`], so that the way back gives what there was.

mod pytorch;
mod rest;
mod run_policy;
mod status;

use serde_json::{Map, Value, json};

use crate::kind::{Kind, Version};
use crate::original::{ANNOTATION, Original};
use rest::merge;

const RUN_POLICY: &str = "runPolicy";

#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConvertError {
    #[error("{0:?} is no kind of this operator")]
    Kind(String),
    #[error("{kind} has no version {version:?}")]
    Version { kind: Kind, version: String },
    #[error("the object has no {0}")]
    Missing(&'static str),
}

/// An object in the version that `api_version` names.
///
/// # Errors
/// When the object is none of ours, or there is no such version.
pub fn convert(object: &Value, api_version: &str) -> Result<Value, ConvertError> {
    let name = object["kind"]
        .as_str()
        .ok_or(ConvertError::Missing("kind"))?;
    let kind = Kind::from_name(name).ok_or_else(|| ConvertError::Kind(name.to_owned()))?;
    let from = object["apiVersion"]
        .as_str()
        .ok_or(ConvertError::Missing("apiVersion"))?;
    let (from, to) = (version(kind, from)?, version(kind, api_version)?);
    let object = match from {
        Version::V1 => object.clone(),
        _ => step(kind, from, Version::V1, object),
    };
    Ok(match to {
        Version::V1 => object,
        _ => step(kind, Version::V1, to, &object),
    })
}

fn version(kind: Kind, text: &str) -> Result<Version, ConvertError> {
    let version = Version::from_api_version(text);
    version
        .filter(|version| kind.versions().contains(version))
        .ok_or_else(|| ConvertError::Version {
            kind,
            version: text.to_owned(),
        })
}

/// From or to v1.
fn step(kind: Kind, from: Version, to: Version, object: &Value) -> Value {
    let mut object = object.clone();
    let mut original = Original::of(object["metadata"].get("annotations"), from);
    let back = original.rest.remove(to.name()).unwrap_or_default();
    let mut rest = Map::new();
    if let Some(spec) = object.get_mut("spec").and_then(Value::as_object_mut) {
        *spec = self::spec(kind, (from, to), std::mem::take(spec), &mut rest, &back);
    }
    if let Some(status) = object.get_mut("status").and_then(Value::as_object_mut) {
        *status = status::convert(kind, (from, to), std::mem::take(status), &mut rest, &back);
    }
    if !rest.is_empty() {
        original.rest.insert(from.name().to_owned(), rest);
    }
    object["apiVersion"] = json!(to.api_version());
    annotate(&mut object["metadata"], original.to_text(to));
    object
}

/// `rest` gets what the new shape has no place for; `back` is what the old one had no place for.
fn spec(
    kind: Kind,
    (from, to): (Version, Version),
    spec: Map<String, Value>,
    rest: &mut Map<String, Value>,
    back: &Map<String, Value>,
) -> Map<String, Value> {
    let mut spec = spec;
    if from == Version::V1 && spec.get(RUN_POLICY) == Some(&json!({})) {
        spec.remove(RUN_POLICY);
    }
    let (mut spec, unplaced) = match (kind, from, to) {
        (Kind::PyTorchJob, Version::V1Alpha1, _) => pytorch::to_v1(spec, rest, back),
        (Kind::PyTorchJob, _, Version::V1Alpha1) => pytorch::from_v1(spec, rest, back),
        (_, from, Version::V1) => run_policy::to_v1(kind, from, spec, back),
        (_, _, to) => run_policy::from_v1(kind, to, spec, rest),
    };
    if !unplaced.is_empty() {
        rest.insert("spec".to_owned(), Value::Object(unplaced));
    }
    if let Some(Value::Object(back)) = back.get("spec") {
        merge(&mut spec, back);
    }
    if to == Version::V1 {
        // Its schema has it by default, and the SDK reads no job without it.
        spec.entry(RUN_POLICY).or_insert_with(|| json!({}));
    }
    spec
}

fn annotate(metadata: &mut Value, text: Option<String>) {
    let Value::Object(metadata) = metadata else {
        return;
    };
    match text {
        Some(text) => {
            let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
            if let Value::Object(annotations) = annotations {
                annotations.insert(ANNOTATION.to_owned(), json!(text));
            }
        }
        None => {
            let annotations = metadata.get_mut("annotations");
            let annotations = annotations.and_then(Value::as_object_mut);
            let removed = annotations.map(|all| (all.remove(ANNOTATION).is_some(), all.is_empty()));
            if removed == Some((true, true)) {
                metadata.remove("annotations");
            }
        }
    }
}
