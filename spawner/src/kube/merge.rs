//! Putting one JSON document over another: as KubeSpawner's overrides do, and as Kubernetes' strategic patches do.

use serde_json::{Map, Value};

/// Mappings are merged, `null` removes a key, everything else replaces (KubeSpawner's `kubespawner_override`).
pub fn merge(target: &mut Value, over: &Value) {
    merge_with(target, over, &|_, _| None);
}

/// [`merge`], but lists of things with names are merged by these, as `kubectl patch` merges the parts of a pod.
pub fn strategic_merge(target: &mut Value, over: &Value) {
    merge_with(target, over, &|list, over| {
        let key = ["name", "mountPath", "containerPort"]
            .into_iter()
            .find(|key| {
                let has = |item: &Value| item.get(key).is_some();
                !over.is_empty() && over.iter().all(has) && list.iter().all(has)
            })?;
        Some(key)
    });
}

/// By which key the items of two lists belong together, if they do.
type MergeKey<'a> = &'a dyn Fn(&[Value], &[Value]) -> Option<&'static str>;

fn merge_with(target: &mut Value, over: &Value, merge_key: MergeKey<'_>) {
    match (target, over) {
        (Value::Object(target), Value::Object(over)) => merge_maps(target, over, merge_key),
        (Value::Array(list), Value::Array(over)) => match merge_key(list, over) {
            Some(key) => merge_lists(list, over, key, merge_key),
            None => list.clone_from(over),
        },
        (target, Value::Object(over)) => {
            // What is removed here was never there.
            let mut fresh = Map::new();
            merge_maps(&mut fresh, over, merge_key);
            *target = Value::Object(fresh);
        }
        (target, over) => *target = over.clone(),
    }
}

fn merge_maps(target: &mut Map<String, Value>, over: &Map<String, Value>, merge_key: MergeKey<'_>) {
    for (key, value) in over {
        if value.is_null() {
            target.remove(key);
        } else {
            let place = target.entry(key.clone()).or_insert(Value::Null);
            merge_with(place, value, merge_key);
        }
    }
}

/// `$patch: delete` removes an item (strategic merge patch of Kubernetes).
fn merge_lists(list: &mut Vec<Value>, over: &[Value], key: &str, merge_key: MergeKey<'_>) {
    for item in over {
        let place = list
            .iter()
            .position(|known| known.get(key) == item.get(key));
        let delete = item.get("$patch").is_some_and(|patch| patch == "delete");
        match (place, delete) {
            (Some(index), true) => drop(list.remove(index)),
            (Some(index), false) => merge_with(&mut list[index], item, merge_key),
            (None, true) => {}
            (None, false) => list.push(item.clone()),
        }
    }
}
