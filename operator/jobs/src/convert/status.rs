//! Statuses: the older shapes say the same in other words, and keep what they have no words for.

use serde_json::{Map, Value, json};

use crate::kind::{Kind, Version};
use crate::status::{self, JobCondition};

const NAMED: &str = "replicaStatuses";
const OF_TF: &str = "tfReplicaStatuses";
/// v1's counts, in v1alpha1 of PyTorchJob.
const COUNTS: &str = "replicaCounts";

pub(super) fn convert(
    kind: Kind,
    (from, to): (Version, Version),
    mut status: Map<String, Value>,
    rest: &mut Map<String, Value>,
    back: &Map<String, Value>,
) -> Map<String, Value> {
    match (kind, from, to) {
        (Kind::TfJob, Version::V1Alpha2, _) => rename(&mut status, OF_TF, NAMED),
        (Kind::TfJob, _, Version::V1Alpha2) => rename(&mut status, NAMED, OF_TF),
        (Kind::PyTorchJob, Version::V1Alpha1, _) => return to_v1(status, rest),
        (Kind::PyTorchJob, _, Version::V1Alpha1) => {
            // One that no operator of v1 has written.
            return match back.get("status") {
                Some(Value::Object(old)) if status.is_empty() => old.clone(),
                _ => from_v1(status),
            };
        }
        _ => {}
    }
    status
}

fn rename(status: &mut Map<String, Value>, from: &str, to: &str) {
    if let Some(value) = status.remove(from) {
        status.insert(to.to_owned(), value);
    }
}

fn to_v1(mut status: Map<String, Value>, rest: &mut Map<String, Value>) -> Map<String, Value> {
    if !status.contains_key("conditions") {
        if !status.is_empty() {
            rest.insert("status".to_owned(), Value::Object(status));
        }
        return Map::new();
    }
    status.remove("phase");
    status.remove("state");
    status.remove(NAMED);
    rename(&mut status, COUNTS, NAMED);
    if let Some(state) = status::state(&conditions(&status)) {
        status.insert("state".to_owned(), json!(state));
    }
    status
}

fn from_v1(mut status: Map<String, Value>) -> Map<String, Value> {
    let (state, phase) = status::v1alpha1(&conditions(&status));
    let mut list = Vec::new();
    if let Some(Value::Object(counts)) = status.remove(NAMED) {
        for (role, counts) in &counts {
            list.push(replicas(role, counts));
        }
        status.insert(COUNTS.to_owned(), Value::Object(counts));
    }
    status.insert("phase".to_owned(), json!(phase));
    status.insert("state".to_owned(), json!(state));
    status.insert(NAMED.to_owned(), Value::Array(list));
    status
}

fn replicas(role: &str, counts: &Value) -> Value {
    let names = [
        ("Running", "active"),
        ("Succeeded", "succeeded"),
        ("Failed", "failed"),
    ];
    let mut states = Map::new();
    for (state, field) in names {
        let count = counts[field].as_i64().unwrap_or_default();
        if count > 0 {
            states.insert(state.to_owned(), json!(count));
        }
    }
    let worst = ["Failed", "Running", "Succeeded"];
    let state = worst.into_iter().find(|state| states.contains_key(*state));
    json!({
        "replica_type": role.to_uppercase(),
        "state": state.unwrap_or("Unknown"),
        "ReplicasStates": states,
    })
}

/// Those that are ours; somebody else may have put others there.
fn conditions(status: &Map<String, Value>) -> Vec<JobCondition> {
    let conditions = status.get("conditions").and_then(Value::as_array);
    let conditions = conditions.into_iter().flatten();
    let ours = conditions.filter_map(|one| serde_json::from_value(one.clone()).ok());
    ours.collect()
}
