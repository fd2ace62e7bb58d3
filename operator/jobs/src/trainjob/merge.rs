//! Patches of pods as Kubernetes merges them ("strategic merge patch"): objects field by field, the lists that have a key
//! item by item, other lists whole.

use serde_json::{Map, Value};

/// The field by which items of a list are told apart.
fn key(list: &str) -> Option<&'static str> {
    match list {
        "containers" | "env" | "imagePullSecrets" | "initContainers" | "schedulingGates"
        | "volumes" => Some("name"),
        "volumeMounts" => Some("mountPath"),
        _ => None,
    }
}

pub(super) fn merge(into: &mut Map<String, Value>, patch: Map<String, Value>) {
    for (field, new) in patch {
        match (into.get_mut(&field), new) {
            (_, Value::Null) => drop(into.remove(&field)),
            (Some(Value::Object(old)), Value::Object(new)) => merge(old, new),
            (Some(Value::Array(old)), Value::Array(new)) if key(&field).is_some() => {
                items(old, new, key(&field).unwrap_or_default());
            }
            (_, new) => drop(into.insert(field, new)),
        }
    }
}

/// Items of `new` in place of those of `old` with the same key, or after them.
fn items(old: &mut Vec<Value>, new: Vec<Value>, key: &str) {
    for item in new {
        let same = old.iter_mut().find(|one| one[key] == item[key]);
        match (same, item) {
            // Another source of the value takes the place of the one before.
            (Some(same), item) if item.get("value").or(item.get("valueFrom")).is_some() => {
                *same = item;
            }
            (Some(Value::Object(same)), Value::Object(item)) => merge(same, item),
            (Some(same), item) => *same = item,
            (None, item) => old.push(item),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn lists_with_a_key_are_merged_item_by_item() {
        let check = |old: Value, patch: Value, new: Value| {
            let (Value::Object(mut old), Value::Object(patch)) = (old, patch) else {
                panic!("objects");
            };
            merge(&mut old, patch);
            assert_eq!(Value::Object(old), new);
        };
        check(
            json!({ "env": [{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }] }),
            json!({ "env": [{ "name": "B", "valueFrom": {} }, { "name": "C", "value": "3" }] }),
            json!({ "env": [{ "name": "A", "value": "1" }, { "name": "B", "valueFrom": {} },
                { "name": "C", "value": "3" }] }),
        );
        check(
            json!({ "containers": [{ "name": "a", "image": "i" }] }),
            json!({ "containers": [{ "name": "a", "securityContext": { "runAsUser": 1 } }] }),
            json!({ "containers": [{ "name": "a", "image": "i",
                "securityContext": { "runAsUser": 1 } }] }),
        );
        check(
            json!({ "tolerations": [1], "nodeSelector": { "a": "b" }, "hostname": "h" }),
            json!({ "tolerations": [2], "nodeSelector": { "c": "d" }, "hostname": null }),
            json!({ "tolerations": [2], "nodeSelector": { "a": "b", "c": "d" } }),
        );
    }
}
