//! Headers that several programs write: one that is no ASCII spoils its own part and not those of the others.

use std::borrow::Cow;

use http::header::AsHeaderName;
use http::{HeaderMap, HeaderValue};

/// The first field of this name. What does not read as UTF-8 is replaced, and is equal to nothing that is asked for.
pub fn text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<Cow<'_, str>> {
    headers.get(name).map(lossy)
}

pub fn lossy(value: &HeaderValue) -> Cow<'_, str> {
    String::from_utf8_lossy(value.as_bytes())
}
