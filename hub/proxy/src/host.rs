//! The host of a request as the first segment of its path (`--host-routing` of configurable-http-proxy). Pure.

use http::header::{HOST, HeaderValue};
use http::uri::Authority;
use http::{HeaderMap, Request, Uri};

/// `/alice.hub.example.org/user/alice/`. Without a host that reads, the segment is empty, as no route has it.
pub(crate) fn place<B>(request: &Request<B>) -> String {
    let host = host(request.headers(), request.uri());
    format!("/{host}{}", request.uri().path())
}

/// The host that a request is for, without the port, in small letters; empty where it does not read.
pub fn host(headers: &HeaderMap, uri: &Uri) -> String {
    let given = headers.get(HOST).map(HeaderValue::to_str);
    let host = match given {
        Some(Ok(host)) => host.parse::<Authority>().ok(),
        Some(Err(_)) => None,
        None => uri.authority().cloned(),
    };
    let host = host.as_ref().map_or("", Authority::host);
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// What follows the host in a prefix.
pub(crate) fn path_of(prefix: &str) -> &str {
    let host = prefix.get(1..).and_then(|rest| rest.find('/'));
    match host {
        Some(end) => &prefix[end + 1..],
        None => "/",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_where_its_host_is() {
        for (host, place_of_it) in [
            ("Alice.Hub.test:8000", "/alice.hub.test/user/a"),
            ("alice.hub.test.", "/alice.hub.test/user/a"),
            ("[::1]:8000", "/[::1]/user/a"),
            ("x@alice.hub.test", "/alice.hub.test/user/a"),
            ("alice.hub.test/user/bob", "//user/a"),
            ("alice hub", "//user/a"),
            ("", "//user/a"),
        ] {
            let request = Request::get("/user/a?b").header(HOST, host).body(());
            assert_eq!(place(&request.unwrap()), place_of_it, "{host}");
        }
        let absolute = Request::get("http://bob.hub.test/user/a").body(());
        assert_eq!(place(&absolute.unwrap()), "/bob.hub.test/user/a");
    }

    #[test]
    fn a_prefix_is_a_host_and_a_path() {
        for (prefix, path) in [
            ("/alice.hub.test/user/alice/", "/user/alice/"),
            ("/hub.test/", "/"),
            ("/hub.test", "/"),
            ("/", "/"),
        ] {
            assert_eq!(path_of(prefix), path);
        }
    }
}
