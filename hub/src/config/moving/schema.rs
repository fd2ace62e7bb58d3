//! The chart's schema of values, held against a file whose places are known.

use std::sync::LazyLock;

use serde_json::Value;

use crate::config::hints;
use crate::config::report::join;
use crate::config::yaml::{At, Kind, Node};

static SCHEMA: LazyLock<Value> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../../../deploy/chart/values.schema.json"))
        .unwrap_or_default()
});

/// The schema of all values.
pub fn root() -> &'static Value {
    &SCHEMA
}

/// The values that a mapping has by its schema; nothing where its keys are free.
pub fn properties(schema: &Value) -> Option<&serde_json::Map<String, Value>> {
    schema["properties"].as_object()
}

/// What is wrong with a node, with the place of each.
pub fn mistakes(node: &Node, path: &str, schema: &Value) -> Vec<(At, String, String)> {
    let kinds = ["anyOf", "oneOf"].into_iter();
    let choices = kinds.filter_map(|key| schema[key].as_array()).flatten();
    let choices: Vec<_> = choices.collect();
    if !choices.is_empty() {
        let fits = |choice: &&Value| mistakes(node, path, choice).is_empty();
        return match choices.iter().any(fits) {
            true => Vec::new(),
            false => vec![wrong(node, path, &choices)],
        };
    }
    if !is_of(node, schema) {
        return vec![wrong(node, path, &[schema])];
    }
    let mut found = Vec::new();
    match &node.kind {
        Kind::List(items) => {
            for (index, item) in items.iter().enumerate() {
                found.extend(mistakes(
                    item,
                    &format!("{path}[{index}]"),
                    &schema["items"],
                ));
            }
        }
        Kind::Map(entries) => {
            for (key, value) in entries {
                let name = key.text();
                let path = join(path, &name);
                found.extend(match schema["properties"].get(&name) {
                    Some(known) => mistakes(value, &path, known),
                    None if schema["additionalProperties"] == Value::Bool(false) => {
                        vec![(key.at, path, unknown(&name, schema))]
                    }
                    None => mistakes(value, &path, &schema["additionalProperties"]),
                });
            }
        }
        _ => {}
    }
    found
}

/// A value that the schema does not have.
pub fn unknown(name: &str, schema: &Value) -> String {
    let names: Vec<_> = properties(schema).into_iter().flatten().collect();
    let names: Vec<_> = names.iter().map(|(name, _)| name.as_str()).collect();
    hints::not_among(name, "this", &names).replace("unknown key", "the chart has no such value")
}

/// Whether a node is of the kind that a schema without choices asks for.
fn is_of(node: &Node, schema: &Value) -> bool {
    let word = node.text();
    if let Some(constant) = schema.get("const") {
        return *constant == Value::String(word);
    }
    if let Some(words) = schema["enum"].as_array() {
        let none = matches!(node.kind, Kind::Null) && words.contains(&Value::Null);
        return none || words.contains(&Value::String(word));
    }
    let kinds: Vec<_> = match &schema["type"] {
        Value::String(kind) => vec![kind.as_str()],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => return true,
    };
    kinds.into_iter().any(|kind| match (kind, &node.kind) {
        ("null", Kind::Null)
        | ("boolean", Kind::Bool(_))
        | ("number", Kind::Number(_))
        | ("array", Kind::List(_))
        | ("object", Kind::Map(_)) => true,
        ("string", Kind::Text(text)) => schema["pattern"].as_str().is_none_or(|pattern| {
            regex::Regex::new(pattern).is_ok_and(|pattern| pattern.is_match(text))
        }),
        // Helm reads YAML 1.1.
        ("boolean", Kind::Text(word)) => {
            ["yes", "no", "on", "off"].contains(&word.to_lowercase().as_str())
        }
        ("integer", Kind::Number(number)) => number.parse::<f64>().is_ok_and(|number| {
            let least = schema["minimum"].as_f64();
            number.fract() == 0.0 && least.is_none_or(|least| number >= least)
        }),
        _ => false,
    })
}

fn wrong(node: &Node, path: &str, schemas: &[&Value]) -> (At, String, String) {
    let mut words = Vec::new();
    for schema in schemas {
        expected(schema, &mut words);
    }
    words.sort_unstable();
    words.dedup();
    // Values may be secrets.
    let message = format!("expected {}, found {}", words.join(" or "), node.kind());
    (node.at, path.to_owned(), message)
}

/// What may stand there, in words.
fn expected<'s>(schema: &'s Value, words: &mut Vec<&'s str>) {
    let choices = ["anyOf", "oneOf"].into_iter();
    for choice in choices.filter_map(|key| schema[key].as_array()).flatten() {
        expected(choice, words);
    }
    if let Some(pattern) = schema["pattern"].as_str() {
        words.push(pattern);
        return;
    }
    let given = ["const", "enum", "type"].into_iter();
    let Some(given) = given.filter_map(|key| schema.get(key)).next() else {
        return;
    };
    let kinds = match given {
        Value::Array(kinds) => kinds.as_slice(),
        kind => std::slice::from_ref(kind),
    };
    let kinds = kinds.iter().filter_map(Value::as_str);
    words.extend(kinds.filter(|kind| *kind != "null").map(|kind| match kind {
        "boolean" => "true or false",
        "number" | "integer" => "a number",
        "string" => "text",
        "array" => "a list",
        "object" => "a mapping",
        word => word,
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A word of JSON Schema that is not read here would check nothing.
    #[test]
    fn every_word_of_the_schema_is_read() {
        const READ: [&str; 11] = [
            "type",
            "pattern",
            "enum",
            "const",
            "anyOf",
            "oneOf",
            "items",
            "properties",
            "additionalProperties",
            "minimum",
            // These say nothing of what is right.
            "description",
        ];
        fn words(schema: &Value, found: &mut std::collections::BTreeSet<String>) {
            for (word, part) in schema.as_object().into_iter().flatten() {
                found.insert(word.clone());
                match (word.as_str(), part) {
                    ("properties", Value::Object(properties)) => {
                        properties.values().for_each(|part| words(part, found));
                    }
                    ("anyOf" | "oneOf", Value::Array(parts)) => {
                        parts.iter().for_each(|part| words(part, found))
                    }
                    ("items" | "additionalProperties", part) => words(part, found),
                    _ => {}
                }
            }
        }
        let mut found = std::collections::BTreeSet::new();
        words(root(), &mut found);
        let ignored = ["$schema", "title", "format", "maximum"];
        found.retain(|word| !READ.contains(&word.as_str()) && !ignored.contains(&word.as_str()));
        assert!(found.is_empty(), "{found:?}");
        assert!(properties(root()).is_some_and(|properties| properties.len() > 10));
    }
}
