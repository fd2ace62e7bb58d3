//! The static files of the pages, part of the program; their addresses carry a hash of the content.

use std::sync::LazyLock;

use axum::extract::{Path, RawQuery};
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};
use sha2::{Digest as _, Sha256};

use crate::error::AppError;

struct Asset {
    name: &'static str,
    content_type: &'static str,
    content: &'static str,
    hash: String,
}

static ASSETS: LazyLock<[Asset; 5]> = LazyLock::new(|| {
    let (css, js) = ("text/css; charset=utf-8", "text/javascript; charset=utf-8");
    [
        // The look is the Hub's.
        asset(
            "carrel.css",
            css,
            include_str!("../../hub/static/carrel.css"),
        ),
        asset(
            "dashboard.css",
            css,
            include_str!("../static/dashboard.css"),
        ),
        asset("live.js", js, include_str!("../static/live.js")),
        asset("follow.js", js, include_str!("../static/follow.js")),
        asset(
            "logo.svg",
            "image/svg+xml",
            include_str!("../../hub/templates/logo.svg"),
        ),
    ]
});

fn asset(name: &'static str, content_type: &'static str, content: &'static str) -> Asset {
    let digest = Sha256::digest(content);
    Asset {
        name,
        content_type,
        content,
        hash: hex::encode(&digest[..8]),
    }
}

/// The address of a file below `base`.
pub fn address(base: &str, name: &str) -> String {
    let found = ASSETS.iter().find(|asset| asset.name == name);
    let hash = found.map(|asset| asset.hash.as_str()).unwrap_or_default();
    format!("{base}static/{name}?v={hash}")
}

/// GET static/NAME: with its hash in the query a browser may keep it for good, else it asks each time.
pub async fn serve(
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, AppError> {
    let found = ASSETS.iter().find(|asset| asset.name == name);
    let asset = found.ok_or_else(|| AppError::not_found("There is no such file."))?;
    let is_exact = query.is_some_and(|query| query == format!("v={}", asset.hash));
    let cache = match is_exact {
        true => "public, max-age=31536000, immutable",
        false => "no-cache",
    };
    let headers = [
        (
            header::CONTENT_TYPE,
            HeaderValue::from_static(asset.content_type),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static(cache)),
    ];
    Ok((StatusCode::OK, headers, asset.content).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_pages_files_are_served() {
        for name in ["../Cargo.toml", "", "carrel.css/", "nothing.js"] {
            assert!(
                serve(Path(name.to_owned()), RawQuery(None)).await.is_err(),
                "{name}"
            );
        }
        let exact = address("/x/", "live.js");
        let query = exact.split_once('?').unwrap().1.to_owned();
        let response = serve(Path("live.js".to_owned()), RawQuery(Some(query)))
            .await
            .unwrap();
        assert!(
            response.headers()[header::CACHE_CONTROL]
                .to_str()
                .unwrap()
                .contains("immutable")
        );
    }

    #[test]
    fn style_sheets_load_nothing() {
        for asset in ASSETS.iter().filter(|asset| asset.name.ends_with(".css")) {
            assert!(
                !asset.content.contains("url(") && !asset.content.contains("@import"),
                "{}",
                asset.name
            );
        }
    }
}
