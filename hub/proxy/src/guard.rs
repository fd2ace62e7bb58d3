//! What an answer of one target may not say, because the other targets share its origin. Pure.
//!
//! A browser keeps cookies, service workers and some policies for a whole host: without this, the server of one user
//! speaks there for the fallback and for the servers of all others.

use http::header::{ALT_SVC, HeaderName, HeaderValue, SET_COOKIE, STRICT_TRANSPORT_SECURITY};
use http::{HeaderMap, Uri};
use url::Url;

use crate::path::{is_at, is_below};

const SERVICE_WORKER_ALLOWED: HeaderName = HeaderName::from_static("service-worker-allowed");

/// Fields whose effect has no narrower range than the origin. The last two let their sender read of the failures of
/// all requests to it (Network Error Logging).
static ORIGIN_WIDE: [HeaderName; 5] = [
    HeaderName::from_static("clear-site-data"),
    STRICT_TRANSPORT_SECURITY,
    ALT_SVC,
    HeaderName::from_static("nel"),
    HeaderName::from_static("report-to"),
];

/// RFC 6265bis, 4.1.3.2.
const FOR_ONE_HOST: &[u8] = b"__Host-";

/// Takes out of an answer to `asked` what reaches beyond `prefix`. Cookies keep to the prefix, whatever path they ask
/// for: programs that take the host for theirs go on. Those named in `reserved` are the fallback's alone, and those for one
/// host and all of it (`__Host-`) are let by where the target has its own.
pub(crate) fn confine(
    headers: &mut HeaderMap,
    (prefix, own_host): (&str, bool),
    asked: &Uri,
    reserved: &[&str],
) {
    confine_workers(headers, prefix, asked);
    for name in &ORIGIN_WIDE {
        headers.remove(name);
    }
    if headers.contains_key(SET_COOKIE) {
        let cookies: Vec<_> = headers.get_all(SET_COOKIE).iter().cloned().collect();
        headers.remove(SET_COOKIE);
        for cookie in cookies {
            if let Some(cookie) = confine_cookie(cookie, (prefix, own_host), asked, reserved) {
                headers.append(SET_COOKIE, cookie);
            }
        }
    }
}

/// Without the field a worker may have the folder of its script: that of `/user/a`, which is at the prefix `/user/a/` as
/// well, is `/user/`. The field stands in its place, also for less (Service Workers, "Update", "maxScopeString"). Every
/// answer says so: a browser may take a script from its cache that was not asked for as one.
fn confine_workers(headers: &mut HeaderMap, prefix: &str, asked: &Uri) {
    let mut given = headers.get_all(SERVICE_WORKER_ALLOWED).iter();
    match (given.next(), given.next()) {
        (None, _) => {}
        // A browser joins several to one address, which begins like the first and leads anywhere.
        (Some(allowed), None) if is_scope_below(allowed, prefix, asked) => return,
        _ => drop(headers.remove(SERVICE_WORKER_ALLOWED)),
    }
    if !is_below(folder(asked.path()), prefix)
        && let Ok(whole) = HeaderValue::from_str(&whole(prefix))
    {
        headers.insert(SERVICE_WORKER_ALLOWED, whole);
    }
}

/// All up to the last slash, and with it.
fn folder(path: &str) -> &str {
    &path[..path.rfind('/').map_or(0, |at| at + 1)]
}

/// The path of all that lies below a prefix.
fn whole(prefix: &str) -> String {
    format!("{}/", prefix.trim_end_matches('/'))
}

/// The scope is a URL relative to the script's (Service Workers, 3.2, "maxScopeString"), and covers every address that
/// begins like it: `/user/al` would cover `/user/alice/`.
fn is_scope_below(allowed: &HeaderValue, prefix: &str, asked: &Uri) -> bool {
    let scope = || {
        let script = Url::parse("http://host").ok()?.join(asked.path()).ok()?;
        script.join(allowed.to_str().ok()?).ok()
    };
    scope().is_some_and(|scope| is_below(scope.path(), prefix))
}

fn confine_cookie(
    cookie: HeaderValue,
    (prefix, own_host): (&str, bool),
    asked: &Uri,
    reserved: &[&str],
) -> Option<HeaderValue> {
    let mut parts = cookie.as_bytes().split(|byte| *byte == b';');
    let pair = parts.next()?;
    let name = pair.split(|byte| *byte == b'=').next()?.trim_ascii();
    if reserved.iter().any(|reserved| reserved.as_bytes() == name) {
        return None;
    }
    let (mut path, mut domain) = (None, false);
    let mut kept = vec![pair];
    for part in parts {
        let (key, value) = attribute(part);
        match key {
            key if key.eq_ignore_ascii_case(b"path") => path = Some(value),
            key if key.eq_ignore_ascii_case(b"domain") => domain = true,
            _ => kept.push(part),
        }
    }
    let path = path.filter(|path| path.starts_with(b"/"));
    let path = path.unwrap_or_else(|| default_path(asked).as_bytes());
    if name.starts_with(FOR_ONE_HOST) {
        // With another path browsers would not take it.
        return (own_host && !domain).then_some(cookie);
    }
    let inside = std::str::from_utf8(path).is_ok_and(|path| is_at(path, prefix));
    if inside && !domain {
        return Some(cookie);
    }
    let confined = format!(" Path={}", whole(prefix));
    kept.push(confined.as_bytes());
    // Parts of a value, a semicolon and a path: a value again.
    HeaderValue::from_bytes(&kept.join(&b';')).ok()
}

fn attribute(part: &[u8]) -> (&[u8], &[u8]) {
    let at = part.iter().position(|byte| *byte == b'=');
    let (key, value) = part.split_at(at.unwrap_or(part.len()));
    (
        key.trim_ascii(),
        value.get(1..).unwrap_or_default().trim_ascii(),
    )
}

/// "If the uri-path contains no more than one %x2F ("/") character, output %x2F ... Output the characters of the
/// uri-path from the first character up to, but not including, the right-most %x2F" (RFC 6265 5.1.4).
fn default_path(asked: &Uri) -> &str {
    let path = asked.path();
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(end) => &path[..end],
    }
}
