//! What requests of this crate have in common: of a rank to its operator, of a notebook to a jobs service or its model server.

use std::env;

use ureq::config::ConfigBuilder;
use ureq::http::request::{Builder, Request};
use ureq::typestate::AgentScope;

/// Those whom these requests go to are no strangers behind a proxy, and a token goes nowhere else.
pub(crate) fn agent() -> ConfigBuilder<AgentScope> {
    ureq::Agent::config_builder().proxy(None).max_redirects(0)
}

/// Refuses an address that this program cannot reach.
pub(crate) fn check(url: &str) -> Result<(), &'static str> {
    match url.starts_with("http://") {
        true => Ok(()),
        false => Err("its address does not begin with http://, and this program knows no TLS"),
    }
}

/// A request with JSON and, where there is one, a token.
pub(crate) fn request(method: &str, url: &str, token: Option<&str>) -> Builder {
    let request = Request::builder()
        .method(method)
        .uri(url)
        .header("Content-Type", "application/json");
    match token {
        Some(token) => request.header("Authorization", format!("Bearer {token}")),
        None => request,
    }
}

/// A variable of the process that is not empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    env::var(name).ok().filter(|value| !value.is_empty())
}
