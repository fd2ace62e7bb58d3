//! One value in several representations.

use carrel_protocol::is_json;
use serde_json::{Map, Value};

/// One value in several representations, by MIME type; a frontend shows the richest that it knows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct MimeBundle {
    pub data: Map<String, Value>,
    /// By MIME type too, such as `{"image/png": {"width": 640}}`.
    pub metadata: Map<String, Value>,
}

impl MimeBundle {
    /// A bundle of plain text.
    pub fn plain(text: impl Into<String>) -> Self {
        Self::text(text.into())
    }

    /// The bundle with one more representation. JSON types take a JSON value or its text.
    #[must_use]
    pub fn with(self, mime: impl Into<String>, data: impl Into<Value>) -> Self {
        self.add(mime.into(), data.into())
    }

    // Generic functions are compiled again in each cell; what takes long in them stands here.

    fn text(text: String) -> Self {
        Self::default().add("text/plain".to_owned(), text.into())
    }

    fn add(mut self, mime: String, data: Value) -> Self {
        let parsed = match &data {
            Value::String(text) if is_json(&mime) => serde_json::from_str(text).ok(),
            _ => None,
        };
        self.data.insert(mime, parsed.unwrap_or(data));
        self
    }

    /// The bundle with metadata on the representation `mime`, such as
    /// `("image/png", json!({ "width": 640, "height": 480 }))` or `("text/html", json!({ "isolated": true }))`.
    #[must_use]
    pub fn with_metadata(mut self, mime: impl Into<String>, metadata: impl Into<Value>) -> Self {
        self.metadata.insert(mime.into(), metadata.into());
        self
    }
}
