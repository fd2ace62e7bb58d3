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

static ASSETS: LazyLock<[Asset; 5]> = LazyLock::new(|| {
    [
        asset(
            "carrel.css",
            "text/css; charset=utf-8",
            include_bytes!("../static/carrel.css"),
        ),
        asset(
            "progress.js",
            "text/javascript; charset=utf-8",
            include_bytes!("../static/progress.js"),
        ),
        asset(
            "reload.js",
            "text/javascript; charset=utf-8",
            include_bytes!("../static/reload.js"),
        ),
        asset("logo.svg", "image/svg+xml", LOGO),
        asset(
            "favicon.ico",
            "image/x-icon",
            include_bytes!("../static/favicon.ico"),
        ),
    ]
});

/// The pages' header has it inline, so it lies with them.
const LOGO: &[u8] = include_bytes!("../templates/logo.svg");

fn asset(name: &'static str, content_type: &'static str, content: &'static [u8]) -> Asset {
    let digest = Sha256::digest(content);
    Asset {
        name,
        content_type,
        content,
        hash: hex::encode(&digest[..8]),
    }
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

/// GET `<hub>static/<name>`: the file, or that it is unchanged; none where there is no such file. With its hash in
/// the query a browser may keep it for good, else it asks each time whether the file changed.
pub fn serve(name: &str, query: Option<&str>, request: &HeaderMap) -> Option<Response> {
    let asset = find(name)?;
    let wanted = format!("v={}", asset.hash);
    let versioned = query.is_some_and(|query| query.split('&').any(|pair| pair == wanted));
    let cache = match versioned {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    let etag = format!("\"{}\"", asset.hash);
    let mut response = match is_known(&etag, request) {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => asset.content.into_response(),
    };
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(asset.content_type),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    if let Ok(etag) = HeaderValue::try_from(etag) {
        headers.insert(header::ETAG, etag);
    }
    Some(response)
}

/// Whether `If-None-Match` holds the tag: a list of tags, weak or not, or `*` (RFC 9110, section 13.1.2).
fn is_known(etag: &str, request: &HeaderMap) -> bool {
    let lists = request.get_all(header::IF_NONE_MATCH).into_iter();
    lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(|tag| tag.trim().trim_start_matches("W/"))
        .any(|tag| tag == "*" || tag == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(address: &str, known: Option<&'static str>) -> Response {
        let (path, query) = address.split_once('?').unwrap_or((address, ""));
        let name = path.strip_prefix("/hub/static/").unwrap();
        let known = known.map(|tag| (header::IF_NONE_MATCH, HeaderValue::from_static(tag)));
        serve(name, Some(query), &known.into_iter().collect()).unwrap()
    }

    #[test]
    fn the_address_with_the_hash_is_kept_for_good() {
        let response = get(&url("/hub/", "carrel.css"), None);
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(
            response.headers()[header::CONTENT_TYPE],
            "text/css; charset=utf-8"
        );
        assert_eq!(
            response.headers()[header::X_CONTENT_TYPE_OPTIONS],
            "nosniff"
        );
        assert_eq!(
            response.headers()[header::CACHE_CONTROL],
            "public, max-age=31536000, immutable"
        );
    }

    #[test]
    fn other_addresses_are_asked_again_each_time() {
        for address in ["/hub/static/logo.svg", "/hub/static/logo.svg?v=older"] {
            assert_eq!(
                get(address, None).headers()[header::CACHE_CONTROL],
                "no-cache"
            );
        }
    }

    #[test]
    fn a_file_that_the_browser_has_is_not_sent_again() {
        let asset = find("progress.js").unwrap();
        let list = format!("\"other\", W/\"{}\"", asset.hash);
        let request =
            HeaderMap::from_iter([(header::IF_NONE_MATCH, HeaderValue::try_from(list).unwrap())]);
        assert_eq!(
            serve(asset.name, None, &request).unwrap().status(),
            StatusCode::NOT_MODIFIED
        );
        assert_eq!(
            get("/hub/static/progress.js", Some("*")).status(),
            StatusCode::NOT_MODIFIED
        );
        assert_eq!(
            get("/hub/static/progress.js", Some("\"other\"")).status(),
            StatusCode::OK
        );
    }

    #[test]
    fn only_the_pages_files_are_served() {
        for name in ["../Cargo.toml", "carrel.css/", "", "nothing.js"] {
            assert!(serve(name, None, &HeaderMap::new()).is_none(), "{name:?}");
        }
    }

    #[test]
    fn the_style_sheet_loads_nothing() {
        let css = include_str!("../static/carrel.css");
        assert!(!css.contains("url(") && !css.contains("@import"));
    }
}
