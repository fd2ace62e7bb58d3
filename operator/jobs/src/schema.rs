//! Schemas of types as definitions of Kubernetes hold them: structural, without references.

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};

/// The schema of `T`.
pub(crate) fn of<T: JsonSchema>() -> Value {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.inline_subschemas = true;
        settings.meta_schema = None;
    });
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<T>()
        .to_value();
    make_structural(&mut schema);
    schema
}

/// Any object.
pub(crate) fn template(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// Any objects.
pub(crate) fn objects(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
    })
}

/// Variables of a container.
pub(crate) fn variables(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 128,
        "items": {
            "type": "object",
            "required": ["name"],
            "properties": {
                "name": { "type": "string" },
                "value": { "type": "string" },
                "valueFrom": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
            },
        },
    })
}

pub(crate) fn int_or_string(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "x-kubernetes-int-or-string": true })
}

pub(crate) fn quantities(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "additionalProperties": { "x-kubernetes-int-or-string": true },
    })
}

pub(crate) fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

/// What schemars says of optional values and enums, in the words that Kubernetes allows.
fn make_structural(schema: &mut Value) {
    let Value::Object(fields) = schema else {
        return;
    };
    for annotation in ["title", "$schema", "default"] {
        fields.remove(annotation);
    }
    choose(fields);
    if let Some(Value::Array(types)) = fields.get("type") {
        let others: Vec<_> = types.iter().filter(|one| *one != "null").cloned().collect();
        if let [one] = &others[..] {
            fields.insert("type".to_owned(), one.clone());
            fields.insert("nullable".to_owned(), json!(true));
        }
    }
    if let Some(Value::Array(values)) = fields.get_mut("enum") {
        values.retain(|value| !value.is_null());
    }
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(make_structural);
    }
    for inner in ["items", "additionalProperties"] {
        if let Some(inner) = fields.get_mut(inner) {
            make_structural(inner);
        }
    }
}

/// `anyOf` of something and nothing becomes the something, which may be null.
fn choose(fields: &mut Map<String, Value>) {
    let Some(Value::Array(choices)) = fields.get("anyOf") else {
        return;
    };
    let null = json!({ "type": "null" });
    let others: Vec<_> = choices.iter().filter(|one| **one != null).collect();
    if let [Value::Object(one)] = &others[..] {
        let one = one.clone();
        fields.remove("anyOf");
        for (key, value) in one {
            fields.entry(key).or_insert(value);
        }
        fields.insert("nullable".to_owned(), json!(true));
    }
}
