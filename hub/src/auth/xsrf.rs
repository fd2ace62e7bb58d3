//! Protection of forms against other sites: a token that only this login session can know.
//!
//! The token is derived from the login cookie (or, before a login, from a random one) with a key of the Hub, so it needs
//! no storage, and who can set a cookie from another page of this host cannot tell the token that fits it.

use std::fmt;

use http::{HeaderMap, Method};

use super::secret;
use crate::headers::text;

/// Makes the tokens. All replicas of a Hub have the same key; it is in their database.
pub struct Key(String);

impl Key {
    pub fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The token for the forms of the session whose cookie is `cookie`.
    pub fn token(&self, cookie: &str) -> String {
        self.derive("_xsrf", cookie)
    }

    /// A value for another purpose than forms that only a replica of this Hub can make.
    pub fn derive(&self, purpose: &str, of: &str) -> String {
        secret::derive(&self.0, &format!("{purpose} {of}"))
    }

    /// Whether `given` is the token of this session.
    pub fn verify(&self, cookie: &str, given: Option<&str>) -> bool {
        given.is_some_and(|given| secret::equal(&self.token(cookie), given))
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(...)")
    }
}

/// Whether a request with a cookie needs the token (jupyterhub/_xsrf_utils.py). Reading needs none if the browser
/// says that a person navigates; `no-cors` counts only from this very origin (CVE-2026-40864).
pub fn needed(method: &Method, headers: &HeaderMap) -> bool {
    let read_only = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
    let site = text(headers, "sec-fetch-site");
    match text(headers, "sec-fetch-mode").as_deref() {
        Some("websocket") => false,
        None | Some("navigate") => !read_only,
        Some("no-cors") => !(read_only && site.as_deref() == Some("same-origin")),
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
    fn a_token_fits_its_own_session_and_hub() {
        let (key, other) = (Key::new("one".into()), Key::new("other".into()));
        let mine = key.token("mine");
        assert!(key.verify("mine", Some(&mine)));
        assert!(!key.verify("yours", Some(&mine)));
        assert!(!other.verify("mine", Some(&mine)));
        assert!(!key.verify("mine", Some("")));
        assert!(!key.verify("mine", None));
        // What somebody can compute who set the cookie.
        assert!(!key.verify("mine", Some(&secret::derive("mine", "_xsrf"))));
        assert!(!format!("{key:?}").contains("one"));
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
