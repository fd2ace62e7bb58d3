//! The schema of the Helm chart's values: made of the structs in `values` and of the Hub's own tables of keys.

mod values;

use carrel_hub::config::Config;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// `UPDATE=1 cargo test -p carrel-hub --test it chart` writes it anew.
#[test]
fn the_schema_is_up_to_date() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../deploy/chart/values.schema.json"
    );
    let schema = format!("{:#}\n", schema());
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, &schema).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap(),
        schema,
        "run this test with UPDATE=1 and commit the file"
    );
}

fn schema() -> Value {
    // The one draft that every version of Helm reads.
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<values::Values>()
        .to_value();
    schema["properties"]["hub"]["properties"]["config"] = config();
    schema
}

/// `hub.config`: sections and keys of the Hub's configuration. What a key may hold is the Hub's to check, which
/// names every mistake at once.
fn config() -> Value {
    let sections = Config::keys().into_iter().map(|section| {
        let keys = section.keys.iter();
        let keys: Map<String, Value> = keys
            .map(|key| {
                let description = format!("{} Expected: {}.", key.doc, key.expected);
                (key.name.to_owned(), json!({ "description": description }))
            })
            .collect();
        let schema = json!({
            "description": section.doc,
            "type": ["object", "null"],
            "additionalProperties": false,
            "properties": keys,
        });
        (section.name.to_owned(), schema)
    });
    json!({
        "description": "Sections of the Hub's configuration; they win over what other values give.",
        "type": "object",
        "additionalProperties": false,
        "properties": sections.collect::<Map<_, _>>(),
    })
}
