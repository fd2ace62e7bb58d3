//! What a target must not see, and what is changed of headers. Pure.

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, HOST, HeaderMap, HeaderName, HeaderValue, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};

use crate::rule::{Edits, Standing};

/// How names of cookies begin that open the sessions of somebody, and who alone sees them.
const SESSIONS: [(&[u8], Standing); 3] = [
    (b"jupyterhub-", Standing::Hub),
    (b"__Host-jupyterhub-", Standing::Hub),
    (b"carrel-dashboard", Standing::Ours),
];
/// What targets take for the word of a proxy.
static FORWARDED: [HeaderName; 8] = [
    HeaderName::from_static("forwarded"),
    HeaderName::from_static("x-forwarded-for"),
    HeaderName::from_static("x-forwarded-host"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-prefix"),
    HeaderName::from_static("x-forwarded-proto"),
    HeaderName::from_static("x-forwarded-scheme"),
    HeaderName::from_static("x-real-ip"),
];

/// What says where a message ends and what becomes of its connection, and to whom it goes: the gateway sets it.
static KEPT: [HeaderName; 9] = [
    CONNECTION,
    CONTENT_LENGTH,
    HOST,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// The name of a header that a route may change.
///
/// # Errors
/// When it is none.
pub fn changeable(name: HeaderName) -> Result<HeaderName, String> {
    match name {
        HOST => Err(
            "the header `host` is not changed as others are: a route has a key for it".to_owned(),
        ),
        _ if KEPT.contains(&name) => {
            Err(format!("the header `{name}` is the gateway's own to set"))
        }
        _ => Ok(name),
    }
}

/// Takes out what a client cannot say of itself.
pub fn distrust(headers: &mut HeaderMap) {
    for name in &FORWARDED {
        headers.remove(name);
    }
}

/// Takes out the cookies of sessions with others. The Hub leads to servers of users, so it does not see the dashboards'.
pub fn hide_cookies(headers: &mut HeaderMap, standing: Standing) {
    let is_of_others = |cookie: &[u8]| {
        let name = cookie.trim_ascii_start();
        SESSIONS.iter().any(|(begin, whose)| {
            let start = name.get(..begin.len());
            *whose != standing && start.is_some_and(|start| start.eq_ignore_ascii_case(begin))
        })
    };
    let mut lines = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    if !lines.any(|line| line.split(|byte| *byte == b';').any(is_of_others)) {
        return;
    }
    let lines: Vec<Vec<u8>> = headers
        .get_all(COOKIE)
        .iter()
        .map(|line| {
            let cookies = line.as_bytes().split(|byte| *byte == b';');
            let kept = cookies.filter(|cookie| !is_of_others(cookie));
            let kept: Vec<&[u8]> = kept.map(<[u8]>::trim_ascii).collect();
            kept.join(&b"; "[..])
        })
        .collect();
    headers.remove(COOKIE);
    for line in lines.iter().filter(|line| !line.is_empty()) {
        // Parts of a value are a value.
        if let Ok(line) = HeaderValue::from_bytes(line) {
            headers.append(COOKIE, line);
        }
    }
}

pub fn edit(headers: &mut HeaderMap, edits: &Edits) {
    for name in &edits.remove {
        headers.remove(name);
    }
    for (name, value) in &edits.set {
        headers.insert(name, value.clone());
    }
    for (name, value) in &edits.add {
        headers.append(name, value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_seen_by_those_alone_whose_they_are() {
        use Standing::{Foreign, Hub, Ours};
        let both = "jupyterhub-session-id=1; carrel-dashboard=2; a=3";
        for (standing, given, kept) in [
            (Foreign, both, Some("a=3")),
            (Hub, both, Some("jupyterhub-session-id=1; a=3")),
            (Ours, both, Some("carrel-dashboard=2; a=3")),
            (
                Foreign,
                "a=1; jupyterhub-session-id=2; b=3",
                Some("a=1; b=3"),
            ),
            (Foreign, "JupyterHub-hub-login=2", None),
            (Foreign, "__Host-jupyterhub-hub-login=2; a=3", Some("a=3")),
            (Foreign, "a=jupyterhub-x;b=2", Some("a=jupyterhub-x;b=2")),
            (
                Foreign,
                "jupyterhub-user-a=1;jupyterhub-hub-login=2; _xsrf=3",
                Some("_xsrf=3"),
            ),
        ] {
            let mut headers = HeaderMap::new();
            headers.append(COOKIE, HeaderValue::from_static(given));
            hide_cookies(&mut headers, standing);
            let left = headers.get(COOKIE).map(|value| value.to_str().unwrap());
            assert_eq!(left, kept, "{given}");
        }
    }

    #[test]
    fn headers_are_removed_set_and_added() {
        let mut headers = HeaderMap::new();
        let name = HeaderName::from_static;
        for (key, value) in [("a", "1"), ("b", "2"), ("c", "3")] {
            headers.append(name(key), HeaderValue::from_static(value));
        }
        let value = HeaderValue::from_static("x");
        let edits = Edits {
            set: vec![(name("b"), value.clone())],
            add: vec![(name("c"), value)],
            remove: vec![name("a")],
        };
        edit(&mut headers, &edits);
        assert!(!headers.contains_key("a"));
        assert_eq!(headers["b"], "x");
        assert_eq!(headers.get_all("c").iter().count(), 2);
    }
}
