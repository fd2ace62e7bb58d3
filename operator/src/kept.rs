//! A job as the store keeps it: spec and status as text, a fraction of what they take as values.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use kube::api::{ApiResource, DynamicObject};
use kube::core::DynamicResourceScope;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// A job of any kind.
#[derive(Clone, Debug, Deserialize)]
pub struct KeptJob {
    pub metadata: ObjectMeta,
    #[serde(default, deserialize_with = "text")]
    spec: Option<Box<str>>,
    #[serde(default, deserialize_with = "text")]
    status: Option<Box<str>>,
}

/// As text. It was read as values before, whose depth is bounded, and so reads again.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<str>>, D::Error> {
    let value = Value::deserialize(deserializer)?;
    Ok((!value.is_null()).then(|| value.to_string().into_boxed_str()))
}

impl KeptJob {
    pub fn object(&self, resource: &ApiResource) -> DynamicObject {
        let mut object = DynamicObject::new("", resource);
        object.metadata = self.metadata.clone();
        for (field, text) in [("spec", &self.spec), ("status", &self.status)] {
            let read = text.as_deref().map(serde_json::from_str::<Value>);
            if let Some(Ok(value)) = read {
                object.data[field] = value;
            }
        }
        object
    }
}

impl Resource for KeptJob {
    type DynamicType = ApiResource;
    type Scope = DynamicResourceScope;

    fn kind(resource: &ApiResource) -> Cow<'_, str> {
        DynamicObject::kind(resource)
    }

    fn group(resource: &ApiResource) -> Cow<'_, str> {
        DynamicObject::group(resource)
    }

    fn version(resource: &ApiResource) -> Cow<'_, str> {
        DynamicObject::version(resource)
    }

    fn plural(resource: &ApiResource) -> Cow<'_, str> {
        DynamicObject::plural(resource)
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests {
    use carrel_jobs::kind::Kind;
    use serde_json::json;

    use super::*;
    use crate::resource::resource;

    #[test]
    fn a_job_comes_back_as_it_was() {
        let resource = resource(Kind::TfJob);
        let mut job = json!({
            "apiVersion": "kubeflow.org/v1", "kind": "TFJob",
            "metadata": { "name": "job", "namespace": "lab", "uid": "u", "annotations": { "a": "b" } },
            "spec": { "tfReplicaSpecs": { "Worker": { "replicas": 2, "x": [1.5, null, "\u{1f680}\n"] } } },
            "status": { "state": "Running" },
        });
        let back = |job: &Value| {
            let kept: KeptJob = serde_json::from_value(job.clone()).unwrap();
            serde_json::to_value(kept.object(&resource)).unwrap()
        };
        assert_eq!(back(&job), job);
        job.as_object_mut().unwrap().remove("status");
        assert_eq!(back(&job), job);
    }
}
