//! Protection of forms against other sites: a token that only this login session can know.
//!
//! The token is derived from the secret in the login cookie (or, before a login, from a random cookie), so it
//! needs no storage and no key, and a cookie set by another page of this host does not make one that fits.

use http::{HeaderMap, Method};

use super::secret;

/// The token for the forms of the session whose cookie is `cookie`.
pub fn token(cookie: &str) -> String {
    secret::derive(cookie, "_xsrf")
}

/// Whether `given` is the token of this session.
pub fn verify(cookie: &str, given: Option<&str>) -> bool {
    given.is_some_and(|given| secret::equal(&token(cookie), given))
}

/// Whether a request with a cookie needs the token (jupyterhub/_xsrf_utils.py). Reading needs none if the browser
/// says that a person navigates; `no-cors` counts only from this very origin (CVE-2026-40864).
pub fn needed(method: &Method, headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let read_only = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    match text("sec-fetch-mode") {
        Some("websocket") => false,
        None | Some("navigate") => !read_only,
        Some("no-cors") => !(read_only && text("sec-fetch-site") == Some("same-origin")),
        Some(_) => true,
    }
}

/// The token in a header or in the query.
pub fn given(headers: &HeaderMap, query: &str) -> Option<String> {
    let header = ["x-xsrftoken", "x-csrftoken"]
        .iter()
        .find_map(|name| headers.get(*name)?.to_str().ok());
    let argument = || url::form_urlencoded::parse(query.as_bytes()).find(|(key, _)| key == "_xsrf");
    header
        .map(str::to_owned)
        .or_else(|| argument().map(|(_, value)| value.into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_fits_its_own_session() {
        let mine = token("mine");
        assert!(verify("mine", Some(&mine)));
        assert!(!verify("yours", Some(&mine)));
        assert!(!verify("mine", Some("")));
        assert!(!verify("mine", None));
    }

    #[test]
    fn only_reading_by_navigation_needs_no_token() {
        let table = [
            (Method::GET, None, None, false),
            (Method::POST, None, None, true),
            (Method::GET, Some("navigate"), Some("cross-site"), false),
            (Method::POST, Some("navigate"), Some("same-origin"), true),
            (Method::GET, Some("cors"), Some("same-origin"), true),
            (Method::GET, Some("no-cors"), Some("same-origin"), false),
            (Method::GET, Some("no-cors"), Some("cross-site"), true),
            (Method::POST, Some("no-cors"), Some("same-origin"), true),
            (Method::GET, Some("websocket"), None, false),
        ];
        for (method, mode, site, want) in table {
            let mut headers = HeaderMap::new();
            for (name, value) in [("sec-fetch-mode", mode), ("sec-fetch-site", site)] {
                if let Some(value) = value {
                    headers.insert(name, value.parse().unwrap());
                }
            }
            assert_eq!(
                needed(&method, &headers),
                want,
                "{method} {mode:?} {site:?}"
            );
        }
    }
}
