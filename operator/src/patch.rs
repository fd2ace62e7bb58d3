//! The difference of two documents as a merge patch (RFC 7386).

use serde_json::{Map, Value};

/// What makes `old` into `new`; nothing where they are the same.
pub fn merge_patch(old: &Value, new: &Value) -> Option<Value> {
    if old == new {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (old, new) else {
        return Some(new.clone());
    };
    let mut patch = Map::new();
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in new {
        let change = match old.get(key) {
            Some(before) => merge_patch(before, value),
            None => Some(value.clone()),
        };
        if let Some(change) = change {
            patch.insert(key.clone(), change);
        }
    }
    Some(Value::Object(patch))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_patch_makes_the_new_of_the_old() {
        let check = |old: Value, new: Value, patch: Value| {
            assert_eq!(merge_patch(&old, &new), Some(patch));
        };
        assert_eq!(
            merge_patch(&json!({ "a": [1] }), &json!({ "a": [1] })),
            None
        );
        check(json!({ "a": 1 }), json!({}), json!({ "a": null }));
        check(
            json!({ "a": { "b": 1, "c": 2 }, "d": [1] }),
            json!({ "a": { "c": 3 }, "d": [1, 2] }),
            json!({ "a": { "b": null, "c": 3 }, "d": [1, 2] }),
        );
        check(
            json!({}),
            json!({ "a": { "b": 1 } }),
            json!({ "a": { "b": 1 } }),
        );
    }
}
