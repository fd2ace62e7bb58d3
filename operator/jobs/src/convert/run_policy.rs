//! Shapes that differ in where they have the fields of the run policy: v1alpha2 and the betas.

use serde_json::{Map, Value, json};

use crate::kind::{Kind, Version};
use crate::spec::AT_TOP;

/// Fields of v1 that it had at the top of the spec, as jobs of its first years do.
const WERE_AT_TOP: &str = "atTop";

/// The fields at the top of the spec of a version before v1.
fn at_top(version: Version) -> &'static [&'static str] {
    match version {
        Version::V1Alpha2 => &["cleanPodPolicy"],
        _ => &AT_TOP,
    }
}

/// The spec in v1, and nothing that has no place there.
pub(super) fn to_v1(
    kind: Kind,
    from: Version,
    mut spec: Map<String, Value>,
    back: &Map<String, Value>,
) -> (Map<String, Value>, Map<String, Value>) {
    let stay = back.get(WERE_AT_TOP).and_then(Value::as_array);
    let stays = |field: &str| stay.is_some_and(|stay| stay.iter().any(|one| one == field));
    let mut policy = Map::new();
    for field in at_top(from) {
        if !stays(field)
            && let Some(value) = spec.remove(*field)
        {
            policy.insert((*field).to_owned(), value);
        }
    }
    let mut new = Map::new();
    for field in at_top(from).iter().copied().chain([kind.replicas_field()]) {
        if let Some(value) = spec.remove(field) {
            new.insert(field.to_owned(), value);
        }
    }
    if !policy.is_empty() {
        new.insert("runPolicy".to_owned(), Value::Object(policy));
    }
    (new, spec)
}

/// The spec in an older version, and what has no place there.
pub(super) fn from_v1(
    kind: Kind,
    to: Version,
    mut spec: Map<String, Value>,
    rest: &mut Map<String, Value>,
) -> (Map<String, Value>, Map<String, Value>) {
    let mut new = Map::new();
    let mut were_at_top = Vec::new();
    for field in at_top(to) {
        let policy = spec.get_mut("runPolicy").and_then(Value::as_object_mut);
        if let Some(value) = policy.and_then(|policy| policy.remove(*field)) {
            new.insert((*field).to_owned(), value);
            if spec["runPolicy"] == json!({}) {
                spec.remove("runPolicy");
            }
        } else if let Some(value) = spec.remove(*field) {
            new.insert((*field).to_owned(), value);
            were_at_top.push(*field);
        }
    }
    if !were_at_top.is_empty() {
        rest.insert(WERE_AT_TOP.to_owned(), json!(were_at_top));
    }
    let replicas = kind.replicas_field();
    if let Some(value) = spec.remove(replicas) {
        new.insert(replicas.to_owned(), value);
    }
    (new, spec)
}
