//! The static files of the pages, part of the program; their addresses carry a hash of the content.

use std::sync::LazyLock;

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

/// A file with the type it is served as.
struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static [u8],
    hash: String,
}

static ASSETS: LazyLock<[Asset; 4]> = LazyLock::new(|| {
    [
        asset("carrel.css", "text/css; charset=utf-8", include_bytes!("../static/carrel.css")),
        asset("progress.js", "text/javascript; charset=utf-8", include_bytes!("../static/progress.js")),
        asset("logo.svg", "image/svg+xml", LOGO),
        asset("favicon.ico", "image/x-icon", include_bytes!("../static/favicon.ico")),
    ]
});

/// The pages' header has it inline, so it lies with them.
const LOGO: &[u8] = include_bytes!("../templates/logo.svg");

fn asset(name: &'static str, content_type: &'static str, content: &'static [u8]) -> Asset {
    let digest = Sha256::digest(content);
    Asset { name, content_type, content, hash: hex::encode(&digest[..8]) }
}

fn find(name: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.name == name)
}

/// Address of the file `name` under the Hub's prefix `<base_url>hub/`.
pub fn url(hub: &str, name: &str) -> String {
    match find(name) {
        Some(asset) => format!("{hub}static/{name}?v={}", asset.hash),
        None => format!("{hub}static/{name}"),
    }
}

/// GET `<hub>static/<name>`: the file; none where there is no such file. With the hash in the query a browser may
/// keep it for good, else it asks again whether it changed.
pub fn serve(name: &str, query: Option<&str>, request: &HeaderMap) -> Option<Response> {
    let asset = find(name)?;
    let etag = format!("\"{}\"", asset.hash);
    let versioned = query.is_some_and(|query| query.split('&').any(|pair| pair.strip_prefix("v=") == Some(&asset.hash)));
    let cache = if versioned { "public, max-age=31536000, immutable" } else { "no-cache" };
    // RFC 9110 section 13.1.2: a list of tags, each perhaps weak, or `*`.
    let known = request.get_all(header::IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let known = known.flat_map(|list| list.split(',')).map(|tag| tag.trim().trim_start_matches("W/"));
    let unchanged = known.into_iter().any(|tag| tag == "*" || tag == etag);

    let mut response = match unchanged {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => asset.content.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(asset.content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(etag) = HeaderValue::from_str(&etag) {
        headers.insert(header::ETAG, etag);
    }
    Some(response)
}
