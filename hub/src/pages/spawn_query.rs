//! Options of a start in the query of `/hub/spawn`, as links give them (jupyterhub/handlers/pages.py, `SpawnHandler`).

use http::{HeaderMap, StatusCode};
use tracing::warn;

use crate::error::AppError;

const PREFIX: &str = "opt-";
/// What is the Hub's own.
const RESERVED: [&str; 3] = ["next", "display_name", "_xsrf"];

/// The options by their inputs in the form; empty where there are none. Where one begins with `opt-`, those without it are
/// none.
pub fn options(query: Option<&str>) -> Result<Vec<(String, String)>, AppError> {
    let (mut new, mut old) = (Vec::new(), Vec::new());
    for (key, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match key.strip_prefix(PREFIX) {
            Some("") => {
                let status = StatusCode::UNPROCESSABLE_ENTITY;
                let message = format!("Invalid user-option name {key}");
                return Err(AppError::new(status, message));
            }
            Some(name) => new.push((name.to_owned(), value.into_owned())),
            None if RESERVED.contains(&&*key) => {}
            None => old.push((key.into_owned(), value.into_owned())),
        }
    }
    if !old.is_empty() && new.is_empty() {
        warn!(
            "Options of a start in a query should begin with `opt-`, to be told from the Hub's own"
        );
    }
    Ok(if new.is_empty() { old } else { new })
}

/// Whether the visitor came by a page of the Hub, a bookmark or the address bar, and not by a link of another site: its
/// options are shown, and not begun with (CVE-2026-40864). A browser that does not say so shows them too; over plain HTTP
/// none does, but at localhost.
pub fn is_own_will(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    let mode = headers.get("sec-fetch-mode");
    site.is_some_and(|site| site == "same-origin" || site == "none")
        && mode.is_some_and(|mode| mode == "navigate")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_what_begins_so_or_all_that_is_not_the_hubs() {
        let read = |query| {
            let options = options(Some(query)).unwrap();
            let options = options
                .into_iter()
                .map(|(key, value)| format!("{key}={value}"));
            options.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            read("opt-profile=gpu&next=%2Fhub&opt-a=b%20c"),
            "profile=gpu a=b c"
        );
        assert_eq!(read("opt-profile=gpu&image=x"), "profile=gpu");
        assert_eq!(read("profile=gpu&display_name=x&_xsrf=y"), "profile=gpu");
        assert_eq!(read("next=/hub/home"), "");
        let (status, message) = options(Some("opt-=x")).unwrap_err().into_parts();
        assert_eq!(
            (status.as_u16(), &*message),
            (422, "Invalid user-option name opt-")
        );
    }
}
