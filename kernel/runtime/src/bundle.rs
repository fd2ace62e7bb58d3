//! One value in several representations.

use std::collections::BTreeMap;
use std::fmt::Display;

/// A representation of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// Of a JSON type, as `application/json` or one that ends with `+json`: JSON.
    Text(String),
    /// Frontends get it in base64.
    Bytes(Vec<u8>),
}

/// One value in several representations, by MIME type; a frontend shows the richest that it knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MimeBundle {
    pub data: BTreeMap<String, Data>,
    /// By MIME type too, each as JSON, such as `{"width": 640}`.
    pub metadata: BTreeMap<String, String>,
}

impl MimeBundle {
    /// A bundle of plain text.
    pub fn plain(text: impl Into<String>) -> Self {
        Self::default().add("text/plain".to_owned(), Data::Text(text.into()))
    }

    /// The bundle with one more representation, such as `("text/html", "<b>bold</b>")` or
    /// `("application/json", json!({ "a": 1 }))`.
    #[must_use]
    pub fn with(self, mime: impl Into<String>, data: impl Display) -> Self {
        self.add(mime.into(), text(&data))
    }

    /// The bundle with one more representation, such as the bytes of a PNG file.
    #[must_use]
    pub fn with_bytes(self, mime: impl Into<String>, data: impl Into<Vec<u8>>) -> Self {
        self.add(mime.into(), Data::Bytes(data.into()))
    }

    /// The bundle with metadata on the representation `mime`, such as
    /// `("image/png", json!({ "width": 640, "height": 480 }))` or `("text/html", json!({ "isolated": true }))`.
    #[must_use]
    pub fn with_metadata(mut self, mime: impl Into<String>, metadata: impl Display) -> Self {
        self.metadata.insert(mime.into(), metadata.to_string());
        self
    }

    // Generic functions are compiled again in each cell; what takes long in them stands here.

    fn add(mut self, mime: String, data: Data) -> Self {
        self.data.insert(mime, data);
        self
    }
}

fn text(data: &dyn Display) -> Data {
    Data::Text(data.to_string())
}
