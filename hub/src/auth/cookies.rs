//! The Hub's cookies: their names, how they are read and how they are set.

use http::{HeaderMap, HeaderValue, Response, header};

/// Browsers take a cookie whose name begins so from the host that it is for, by HTTPS and for all of its paths, and from
/// nobody else (RFC 6265bis, 4.1.3.2).
const FOR_ONE_HOST: &str = "__Host-";

/// The name of a cookie by which somebody is known.
#[derive(Debug)]
pub struct Name {
    pub plain: &'static str,
    /// With `JupyterHub.cookie_host_prefix_enabled`.
    pub for_one_host: &'static str,
}

/// The login, HttpOnly and sent to the Hub alone.
pub const LOGIN: Name = Name {
    plain: "jupyterhub-hub-login",
    for_one_host: "__Host-jupyterhub-hub-login",
};
/// Random name of a browser that is not logged in; its login form is bound to it.
pub const FORM_ID: Name = Name {
    plain: "jupyterhub-hub-form",
    for_one_host: "__Host-jupyterhub-hub-form",
};
/// A login that goes by way of another service, sent to where it comes back alone.
pub const OAUTH: Name = Name {
    plain: "jupyterhub-hub-oauth",
    for_one_host: "__Host-jupyterhub-hub-oauth",
};
/// Name of the login session; single-user servers read it for their cache, so it is sent to them and unsigned.
pub const SESSION_ID: &str = "jupyterhub-session-id";
/// Copy of the form token, for clients that take it from here (hubtraf).
pub const XSRF: &str = "_xsrf";
/// Those that no server may set, behind whatever proxy.
pub const OF_THE_HUB: [&str; 7] = [
    LOGIN.plain,
    LOGIN.for_one_host,
    FORM_ID.plain,
    FORM_ID.for_one_host,
    OAUTH.plain,
    OAUTH.for_one_host,
    SESSION_ID,
];

/// Every value of a cookie: two of the same name arrive together when they have different paths. The other programs of
/// this host may put any bytes into theirs.
pub fn all<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    up_to(128, headers, name)
}

/// The same of values that may be long.
pub fn long<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    up_to(4096, headers, name)
}

fn up_to<'a>(most: usize, headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(header::COOKIE).into_iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .filter_map(|pair| std::str::from_utf8(pair).ok()?.trim().split_once('='))
        .filter(move |(key, value)| *key == name && !value.is_empty() && value.len() <= most)
        .map(|(_, value)| value)
        .take(8)
}

/// How long a cookie stays.
#[derive(Debug, Clone, Copy)]
pub enum Life {
    Seconds(i64),
    /// Until the browser ends.
    Browser,
    Ended,
}

/// A `Set-Cookie` value, for one host unless there is a `domain`. The value, path and domain are the Hub's own, made of
/// characters that need no quoting.
pub fn set(
    (name, value, path, life): (&str, &str, &str, Life),
    domain: Option<&str>,
    https: bool,
) -> Option<HeaderValue> {
    let life = match life {
        Life::Seconds(seconds) => format!("; Max-Age={seconds}"),
        Life::Browser => String::new(),
        Life::Ended => String::from("; Max-Age=0"),
    };
    let domain = domain.map(|domain| format!("; Domain={domain}"));
    let domain = domain.unwrap_or_default();
    let (path, secure) = match name.starts_with(FOR_ONE_HOST) {
        true => ("/", "; Secure"),
        false => (path, if https { "; Secure" } else { "" }),
    };
    HeaderValue::try_from(format!(
        "{name}={value}; Path={path}{domain}{life}; HttpOnly; SameSite=Lax{secure}"
    ))
    .ok()
}

/// Sets cookies by name, value, path and life.
pub fn append<B>(
    response: &mut Response<B>,
    https: bool,
    domain: Option<&str>,
    cookies: &[(&str, &str, &str, Life)],
) {
    for &cookie in cookies {
        if let Some(cookie) = set(cookie, domain, https) {
            response.headers_mut().append(header::SET_COOKIE, cookie);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_know_the_names_too() {
        assert_eq!(OF_THE_HUB, carrel_service::COOKIES_OF_THE_HUB);
    }

    #[test]
    fn every_cookie_of_a_name_is_read() {
        let mut headers = HeaderMap::new();
        headers.append(header::COOKIE, HeaderValue::from_static("a=1; b=2; a=3"));
        headers.append(header::COOKIE, HeaderValue::from_static("a=4;a="));
        assert_eq!(all(&headers, "a").collect::<Vec<_>>(), ["1", "3", "4"]);
    }

    #[test]
    fn foreign_bytes_spoil_no_cookie_but_their_own() {
        let mut headers = HeaderMap::new();
        for line in [
            &b"lang=\xc3\xa9; a=1; b=\xe9"[..],
            b"\xff; a=2",
            b"a=\xe9; a=3",
        ] {
            headers.append(header::COOKIE, HeaderValue::from_bytes(line).unwrap());
        }
        assert_eq!(all(&headers, "a").collect::<Vec<_>>(), ["1", "2", "3"]);
    }

    #[test]
    fn cookies_are_secure_on_https_only() {
        let cookie = set(("a", "b", "/hub/", Life::Browser), None, true).unwrap();
        assert_eq!(cookie, "a=b; Path=/hub/; HttpOnly; SameSite=Lax; Secure");
        let cookie = set(("a", "", "/", Life::Ended), Some("hub.test"), false).unwrap();
        let want = "a=; Path=/; Domain=hub.test; Max-Age=0; HttpOnly; SameSite=Lax";
        assert_eq!(cookie, want);
        let cookie = set(("__Host-a", "b", "/hub/", Life::Browser), None, false).unwrap();
        let want = "__Host-a=b; Path=/; HttpOnly; SameSite=Lax; Secure";
        assert_eq!(cookie, want);
    }
}
