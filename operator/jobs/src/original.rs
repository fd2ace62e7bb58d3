//! The annotation that says in which version a job was made, and holds what the shape that it has now has no place for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::kind::Version;

pub const ANNOTATION: &str = "carrel.dev/original";

#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
pub struct Original {
    /// The version in which the job was made.
    pub version: String,
    /// By version: fields of its shape that this one lacks.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rest: BTreeMap<String, Map<String, Value>>,
}

impl Original {
    /// Of an object in the shape of `version`; one that says nothing was made in it.
    pub fn of(annotations: Option<&Value>, version: Version) -> Self {
        let text = annotations.and_then(|annotations| annotations.get(ANNOTATION)?.as_str());
        Self::from_text(text, version)
    }

    /// Of the annotation's text. What cannot be read was not written by this program, and says nothing.
    pub fn from_text(text: Option<&str>, version: Version) -> Self {
        let read = text.and_then(|text| serde_json::from_str(text).ok());
        read.unwrap_or_else(|| Self {
            version: version.name().to_owned(),
            rest: BTreeMap::new(),
        })
    }

    pub fn version(&self) -> Version {
        Version::from_name(&self.version).unwrap_or(Version::V1)
    }

    pub fn rest(&self, version: Version) -> Option<&Map<String, Value>> {
        self.rest.get(version.name())
    }

    /// Whether a job was over before an operator of v1 saw it, as its status of v1alpha1 says.
    pub fn was_over(&self) -> bool {
        let status = self
            .rest(Version::V1Alpha1)
            .and_then(|rest| rest.get("status"));
        let phase = status.and_then(|status| status["phase"].as_str());
        phase.is_some_and(|phase| ["CleanUp", "Done", "Failed"].contains(&phase))
    }

    /// The annotation on an object in the shape of `version`; none where the object says it all.
    pub fn to_text(&self, version: Version) -> Option<String> {
        let says_nothing = self.version == version.name() && self.rest.is_empty();
        // A map of texts and values is always JSON.
        (!says_nothing).then(|| serde_json::to_string(self).unwrap_or_default())
    }
}
