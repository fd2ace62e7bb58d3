//! What differs between groups and what changes the finished pod: data in place of Python's hooks.

use json_patch::Patch;
use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::merge::strategic_merge;
use super::mistake::Mistake;
use super::options::KubeOptions;
use super::profiles;
use super::values::expected;
use crate::{Error, StartRequest};

/// Options for the members of groups (`Spawner.group_overrides` of JupyterHub).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupOverride {
    pub groups: Vec<String>,
    #[serde(default)]
    pub spawner_override: Map<String, Value>,
}

/// One change of the finished pod: a strategic merge patch, a JSON patch, or both in this order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PodPatch {
    /// Only for servers of members of these groups; for all where there are none.
    #[serde(default)]
    pub groups: Vec<String>,
    /// Laid over the pod; lists of things with names are merged by these, `null` removes.
    #[serde(default)]
    pub patch: Map<String, Value>,
    /// Operations of RFC 6902.
    #[serde(default)]
    pub json_patch: Patch,
}

expected! {
    GroupOverride: "`groups` and `spawner_override`";
    PodPatch: "`groups`, `patch` and `json_patch`";
}

/// The options of one start: those of the Hub, of the user's groups, and of what the user has chosen.
pub fn resolve(options: &KubeOptions, request: &StartRequest) -> Result<KubeOptions, Error> {
    let mut resolved = options.clone();
    for (name, group) in &options.group_overrides {
        if group
            .groups
            .iter()
            .any(|group| request.groups.contains(group))
        {
            let mistakes = resolved.apply(&group.spawner_override);
            if let Some(mistake) = mistakes.first() {
                return Err(Error::Start(format!("group_overrides: {name}: {mistake}")));
            }
        }
    }
    profiles::choose(&mut resolved, &request.groups, &request.user_options)
        .map_err(Error::Start)?;
    Ok(resolved)
}

/// Whether something for `wanted` is for somebody of `groups`; without any, it is for everybody.
pub(super) fn is_for(wanted: &[String], groups: &[String]) -> bool {
    wanted.is_empty() || wanted.iter().any(|group| groups.contains(group))
}

/// Changes the pod by all patches that are for `groups`.
pub(super) fn patch(pod: Pod, patches: &[PodPatch], groups: &[String]) -> Result<Pod, Mistake> {
    let wrong = |error: serde_json::Error| Mistake::new(format!("does not make a pod: {error}"));
    let mut document = serde_json::to_value(pod).map_err(wrong)?;
    for (index, patch) in patches.iter().enumerate() {
        if !is_for(&patch.groups, groups) {
            continue;
        }
        strategic_merge(&mut document, &Value::Object(patch.patch.clone()));
        json_patch::patch(&mut document, &patch.json_patch).map_err(|error| {
            Mistake::new(error.to_string())
                .within(index)
                .within("pod_patches")
        })?;
    }
    serde_json::from_value(document).map_err(|error| wrong(error).within("pod_patches"))
}
