//! What cells show and how they end, in the words of the protocol.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use carrel_protocol::{MimeBundle, Panic, Place, is_json};
use carrel_runtime::Data;
use serde_json::Value;

pub fn mime_bundle(bundle: carrel_runtime::MimeBundle) -> MimeBundle {
    let data = bundle.data.into_iter().map(|(mime, data)| {
        let data = match data {
            Data::Text(text) if is_json(&mime) => json(text),
            Data::Text(text) => text.into(),
            Data::Bytes(bytes) => STANDARD.encode(bytes).into(),
        };
        (mime, data)
    });
    let metadata = bundle.metadata.into_iter();
    MimeBundle {
        data: data.collect(),
        metadata: metadata.map(|(mime, text)| (mime, json(text))).collect(),
    }
}

/// A text that is no JSON is taken for a string.
fn json(text: String) -> Value {
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

/// A panic in the protocol's words.
pub fn panic_report(panic: carrel_runtime::Panic) -> Panic {
    Panic {
        message: panic.message,
        place: place(panic.place),
    }
}

pub fn place(place: carrel_runtime::Place) -> Place {
    Place {
        file: place.file,
        line: place.line,
        column: place.column,
    }
}
