//! Lists of scopes are stored as JSON, which this module alone writes.

pub(super) fn read(json: &str) -> Vec<String> {
    serde_json::from_str(json).unwrap_or_default()
}

pub(super) fn write(list: &[String]) -> String {
    serde_json::Value::from(list).to_string()
}
