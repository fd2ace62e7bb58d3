//! Values in the formats that frontends render, each as a [`MimeBundle`]: the last expression of a cell, or shown by
//! [`display`](crate::display()).
//!
//! ```ignore
//! mime::html("<b>bold</b>")
//! display(&mime::png(std::fs::read("plot.png")?).with_metadata("image/png", json!({ "width": 320 })));
//! ```

use std::fmt::Display;

use crate::bundle::MimeBundle;

pub fn html(source: impl Into<String>) -> MimeBundle {
    text("text/html", source)
}

pub fn markdown(source: impl Into<String>) -> MimeBundle {
    text("text/markdown", source)
}

/// With its delimiters, as in `mime::latex(r"$\frac{1}{2}$")`.
pub fn latex(source: impl Into<String>) -> MimeBundle {
    text("text/latex", source)
}

pub fn svg(source: impl Into<String>) -> MimeBundle {
    text("image/svg+xml", source)
}

/// The bytes of a PNG file.
pub fn png(file: impl AsRef<[u8]>) -> MimeBundle {
    image("image/png", file.as_ref())
}

/// The bytes of a JPEG file.
pub fn jpeg(file: impl AsRef<[u8]>) -> MimeBundle {
    image("image/jpeg", file.as_ref())
}

/// A tree to look into.
pub fn json(value: impl Display) -> MimeBundle {
    value_of("application/json", value)
}

/// A specification of Vega-Lite 5.
pub fn vega_lite(specification: impl Display) -> MimeBundle {
    value_of("application/vnd.vegalite.v5+json", specification)
}

/// A specification of Vega 5.
pub fn vega(specification: impl Display) -> MimeBundle {
    value_of("application/vnd.vega.v5+json", specification)
}

/// A figure of Plotly: `data`, and `layout` if need be.
pub fn plotly(figure: impl Display) -> MimeBundle {
    value_of("application/vnd.plotly.v1+json", figure)
}

fn text(mime: &str, source: impl Into<String>) -> MimeBundle {
    let source = source.into();
    MimeBundle::plain(source.clone()).with(mime, source)
}

fn image(mime: &str, file: &[u8]) -> MimeBundle {
    MimeBundle::plain(format!("<{mime}, {} bytes>", file.len())).with_bytes(mime, file)
}

fn value_of(mime: &str, value: impl Display) -> MimeBundle {
    let value = value.to_string();
    MimeBundle::plain(value.clone()).with(mime, value)
}
