//! The static files of the pages, part of the program; their addresses carry a hash of the content.

/// Address of the file `name` under the Hub's prefix.
pub fn url(hub: &str, name: &str) -> String {
    format!("{hub}static/{name}")
}
