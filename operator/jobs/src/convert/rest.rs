//! Putting back what was set aside.

use serde_json::{Map, Value};

/// Adds the fields of `rest` that are missing, those of objects within objects too. What is there stays.
pub(super) fn merge(into: &mut Map<String, Value>, rest: &Map<String, Value>) {
    for (key, value) in rest {
        match (into.get_mut(key), value) {
            (Some(Value::Object(inner)), Value::Object(rest)) => merge(inner, rest),
            (Some(_), _) => {}
            (None, value) => drop(into.insert(key.clone(), value.clone())),
        }
    }
}
