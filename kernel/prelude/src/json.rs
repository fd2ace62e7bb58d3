//! JSON as cells hand it in: `:dep serde_json` brings them another copy of that crate than the one that is used here.

use std::any::Any;
use std::fmt::Display;

use serde_json::Value;

/// The value of this copy, or what a value of any other one says in JSON. Text that is no JSON is a string.
pub(crate) fn value(json: impl Display + 'static) -> Value {
    let mut json = Some(json);
    if let Some(own) = (&mut json as &mut dyn Any).downcast_mut::<Option<Value>>() {
        return own.take().unwrap_or_default();
    }
    let text = json.map_or_else(String::new, |json| json.to_string());
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::value;

    #[test]
    fn json_is_taken_by_its_value_or_by_its_text() {
        assert_eq!(value(json!({ "a": [1] })), json!({ "a": [1] }));
        assert_eq!(value("{ \"a\": [1] }"), json!({ "a": [1] }));
        assert_eq!(value("plain text"), json!("plain text"));
        assert_eq!(value(Value::Null), Value::Null);
    }
}
