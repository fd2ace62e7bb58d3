//! Who may ask: those with a bearer token, where there are any.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use axum::Router;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::{Next, from_fn};
use axum::response::Response;
use subtle::ConstantTimeEq as _;

/// The tokens of a file.
pub struct Tokens(Vec<String>);

impl Tokens {
    /// A token in each line; empty ones, and those that begin with `#`, are none.
    ///
    /// # Errors
    /// Where the file cannot be read, or has no token.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file);
        let text = text.with_context(|| format!("could not read {}", file.display()))?;
        let lines = text.lines().map(str::trim);
        let tokens = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        let tokens: Vec<_> = tokens.map(str::to_owned).collect();
        anyhow::ensure!(!tokens.is_empty(), "{} has no token", file.display());
        Ok(Self(tokens))
    }

    fn allow(&self, headers: &HeaderMap) -> bool {
        let given = headers
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let Some((scheme, token)) = given.and_then(|given| given.split_once(' ')) else {
            return false;
        };
        let token = token.trim().as_bytes();
        // All are compared, so that the time tells nothing.
        let same = self
            .0
            .iter()
            .filter(|known| bool::from(known.as_bytes().ct_eq(token)))
            .count();
        scheme.eq_ignore_ascii_case("bearer") && same > 0
    }
}

/// Asks for a token but on paths that are `open`.
pub fn protect(
    router: Router,
    tokens: Option<Arc<Tokens>>,
    open: fn(&str) -> bool,
    refuse: fn() -> Response,
) -> Router {
    let Some(tokens) = tokens else { return router };
    router.layer(from_fn(move |request: Request, next: Next| {
        let tokens = Arc::clone(&tokens);
        async move {
            match open(request.uri().path()) || tokens.allow(request.headers()) {
                true => next.run(request).await,
                false => refuse(),
            }
        }
    }))
}
