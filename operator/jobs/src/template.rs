//! Pods' templates as JSON: what this program reads of them and adds to them.

use serde_json::{Map, Value, json};

use crate::spec::Template;

/// The containers, or none.
pub fn containers(template: &Template) -> &[Value] {
    let containers = template.get("spec").and_then(|spec| spec.get("containers"));
    containers
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

pub fn container<'a>(template: &'a Template, name: &str) -> Option<&'a Value> {
    containers(template)
        .iter()
        .find(|container| container["name"] == name)
}

/// A field of the pod's spec that is a text, and not empty.
pub fn text<'a>(template: &'a Template, field: &str) -> Option<&'a str> {
    let text = template.get("spec")?.get(field)?.as_str()?;
    (!text.is_empty()).then_some(text)
}

/// The port `name` of a container.
pub fn port(container: &Value, name: &str) -> Option<i32> {
    let ports = container["ports"].as_array()?;
    let port = ports.iter().find(|port| port["name"] == name)?;
    port["containerPort"]
        .as_i64()
        .and_then(|port| i32::try_from(port).ok())
}

/// The object under a field, made where there is none.
pub fn object<'a>(parent: &'a mut Map<String, Value>, field: &str) -> &'a mut Map<String, Value> {
    let value = parent.entry(field).or_insert_with(|| json!({}));
    if !value.is_object() {
        *value = json!({});
    }
    match value {
        Value::Object(fields) => fields,
        _ => unreachable!("it was made an object"),
    }
}

/// Sets variables of a container, in place of those that it has of the same names. They come first, so that its own may
/// refer to them: `$(RANK)`.
pub fn set_variables(container: &mut Value, variables: &[(String, String)]) {
    let Value::Object(container) = container else {
        return;
    };
    let list = container.entry("env").or_insert_with(|| json!([]));
    if !list.is_array() {
        *list = json!([]);
    }
    if let Value::Array(list) = list {
        let ours = |one: &Value| {
            variables
                .iter()
                .any(|(name, _)| one["name"] == name.as_str())
        };
        list.retain(|one| !ours(one));
        let new = variables
            .iter()
            .map(|(name, value)| json!({ "name": name, "value": value }));
        list.splice(..0, new);
    }
}

/// Adds a port to a container that has none of that name.
pub fn add_port(container: &mut Value, name: &str, number: i32) {
    if port(container, name).is_some() {
        return;
    }
    if let Value::Object(container) = container {
        let list = container.entry("ports").or_insert_with(|| json!([]));
        if let Value::Array(list) = list {
            list.push(json!({ "name": name, "containerPort": number, "protocol": "TCP" }));
        }
    }
}
