//! PyTorchJob v1alpha1, whose replicas are a list, and v1, where they have names.

use serde_json::{Map, Value, json};

const REPLICAS: &str = "pytorchReplicaSpecs";
/// The list of v1alpha1: for each entry its name in v1, if it has one, and what v1 has no place for.
const ENTRIES: &str = "entries";
/// The names of v1, and what v1alpha1 has no place for.
const NAMED: &str = "replicas";

/// The spec in v1 and its fields that have no place there.
pub(super) fn to_v1(
    mut spec: Map<String, Value>,
    rest: &mut Map<String, Value>,
    back: &Map<String, Value>,
) -> (Map<String, Value>, Map<String, Value>) {
    let mut new = Map::new();
    let named = back.get(NAMED).and_then(Value::as_object);
    if let Some(Value::Array(entries)) = spec.get("replicaSpecs") {
        let mut replicas = Map::new();
        let mut unplaced = Vec::new();
        for entry in entries {
            let Some(entry) = entry.as_object() else {
                unplaced.push(json!({ "rest": entry }));
                continue;
            };
            let key = key(entry, named).filter(|key| !replicas.contains_key(key));
            let Some(key) = key else {
                unplaced.push(json!({ "rest": entry }));
                continue;
            };
            let (mut replica, other) = split(entry, &["replicas", "template"]);
            if let Some(Value::Object(named)) = named.and_then(|named| named.get(&key)) {
                super::rest::merge(&mut replica, named);
            }
            unplaced.push(json!({ "key": key, "rest": other }));
            replicas.insert(key, Value::Object(replica));
        }
        if !follow(&unplaced, &replicas) {
            rest.insert(ENTRIES.to_owned(), Value::Array(unplaced));
        }
        new.insert(REPLICAS.to_owned(), Value::Object(replicas));
        spec.remove("replicaSpecs");
    }
    (new, spec)
}

/// The spec in v1alpha1 and its fields that have no place there.
pub(super) fn from_v1(
    mut spec: Map<String, Value>,
    rest: &mut Map<String, Value>,
    back: &Map<String, Value>,
) -> (Map<String, Value>, Map<String, Value>) {
    let mut new = Map::new();
    if let Some(Value::Object(replicas)) = spec.get_mut(REPLICAS) {
        let mut replicas = std::mem::take(replicas);
        let mut list = Vec::new();
        let mut named = Map::new();
        let entries = back.get(ENTRIES).and_then(Value::as_array);
        let written = entries.into_iter().flatten();
        for entry in written {
            let Some(key) = entry["key"].as_str() else {
                list.push(entry["rest"].clone());
                continue;
            };
            // One that is gone was removed in v1.
            let Some(Value::Object(replica)) = replicas.remove(key) else {
                continue;
            };
            let (mut one, other) = split(&replica, &["replicas", "template"]);
            if let Value::Object(rest) = &entry["rest"] {
                super::rest::merge(&mut one, rest);
            }
            list.push(Value::Object(one));
            named.insert(key.to_owned(), Value::Object(other));
        }
        for (key, replica) in sorted(replicas) {
            let Value::Object(replica) = replica else {
                continue;
            };
            let (mut one, other) = split(&replica, &["replicas", "template"]);
            one.insert("replicaType".to_owned(), json!(key.to_uppercase()));
            list.push(Value::Object(one));
            named.insert(key, Value::Object(other));
        }
        // A name alone follows from the type.
        let usual = |key: &str| ["Master", "Worker"].contains(&key);
        named.retain(|key, other| {
            !usual(key) || other.as_object().is_none_or(|one| !one.is_empty())
        });
        if !named.is_empty() {
            rest.insert(NAMED.to_owned(), Value::Object(named));
        }
        new.insert("replicaSpecs".to_owned(), Value::Array(list));
        spec.remove(REPLICAS);
    }
    (new, spec)
}

/// Whether the entries are what the names in v1 give anyway.
fn follow(entries: &[Value], replicas: &Map<String, Value>) -> bool {
    let usual = sorted(replicas.clone()).into_iter();
    let usual = usual.map(|(key, _)| {
        let replica_type = key.to_uppercase();
        json!({ "key": key, "rest": { "replicaType": replica_type } })
    });
    usual.eq(entries.iter().cloned())
}

/// The name of an entry in v1: as it was written there, else `Master` or `Worker`.
fn key(entry: &Map<String, Value>, named: Option<&Map<String, Value>>) -> Option<String> {
    let written = match entry.get("replicaType") {
        None => "MASTER",
        Some(written) => written.as_str()?,
    };
    let usual = ["Master", "Worker"];
    let usual = usual
        .into_iter()
        .find(|key| key.eq_ignore_ascii_case(written));
    let known = named.and_then(|named| {
        let mut known = named.keys();
        known.find(|key| key.eq_ignore_ascii_case(written)).cloned()
    });
    known.or_else(|| usual.map(str::to_owned))
}

fn split(of: &Map<String, Value>, fields: &[&str]) -> (Map<String, Value>, Map<String, Value>) {
    let all = of.iter().map(|(key, value)| (key.clone(), value.clone()));
    all.partition(|(key, _)| fields.contains(&key.as_str()))
}

/// The master first, as everybody writes it.
fn sorted(replicas: Map<String, Value>) -> Vec<(String, Value)> {
    let mut replicas: Vec<_> = replicas.into_iter().collect();
    replicas.sort_by_key(|(key, _)| !key.eq_ignore_ascii_case("master"));
    replicas
}
