//! `?next=`: where to go after a login or a start, and nowhere else than on this host.

use url::Url;

use crate::subdomains::Subdomains;

/// The local path that `next` names, or nothing if it leads to another host; one of a server leads there by way of the Hub.
///
/// The URL is read as a browser reads it (WHATWG: a backslash is a slash, tabs and line ends vanish), so what is
/// checked is what would be followed. `host` is the request's own (`Host`, with a port).
pub fn local_path(next: &str, host: &str, subdomains: Option<&Subdomains>) -> Option<String> {
    let absolute = next.starts_with("http://") || next.starts_with("https://");
    if next.len() > 8 * 1024 || !(absolute || next.starts_with('/')) {
        return None;
    }
    let scheme = if next.starts_with("https:") {
        "https"
    } else {
        "http"
    };
    let here = Url::parse(&format!("{scheme}://{host}/")).ok()?;
    let there = here.join(next).ok()?;
    let same_port = there.port_or_known_default() == here.port_or_known_default();
    let of_server = |host| subdomains.is_some_and(|subdomains| subdomains.hold(host));
    let known = there.host_str() == here.host_str() || there.host_str().is_some_and(of_server);
    let plain = there.username().is_empty() && there.password().is_none();
    if !(known && same_port && plain) {
        return None;
    }
    // A path of this host may begin with two slashes; alone it would name another host (CVE-2026-33709).
    let path = there[url::Position::BeforePath..].trim_start_matches('/');
    Some(format!("/{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{JupyterHub, PublicHost};

    #[test]
    fn only_paths_of_this_host_are_followed() {
        let table = [
            ("/hub/home", Some("/hub/home")),
            ("/user/a/lab?x=1#y", Some("/user/a/lab?x=1#y")),
            ("/user/é", Some("/user/%C3%A9")),
            ("http://hub.example:8000/hub/home", Some("/hub/home")),
            (
                "http://hub.example:8000//evil.example/x",
                Some("/evil.example/x"),
            ),
            ("/a/..//evil.example", Some("/evil.example")),
            ("//evil.example", None),
            ("///evil.example", None),
            ("/\\evil.example", None),
            ("\\\\evil.example", None),
            ("/\t/evil.example", None),
            ("http://evil.example/", None),
            ("http:evil.example", None),
            ("https://hub.example:8000@evil.example/", None),
            ("http://user@hub.example:8000/", None),
            ("javascript:alert(1)", None),
            ("home", None),
            ("", None),
        ];
        for (next, want) in table {
            assert_eq!(
                local_path(next, "hub.example:8000", None).as_deref(),
                want,
                "{next:?}"
            );
        }
    }

    #[test]
    fn a_host_that_does_not_read_leads_nowhere() {
        assert_eq!(local_path("/hub/home", "not a host", None), None);
    }

    #[test]
    fn with_hosts_of_their_own_servers_are_no_strangers() {
        let config = JupyterHub {
            subdomain_host: PublicHost::parse("http://hub.example:8000"),
            ..JupyterHub::default()
        };
        let subdomains = Subdomains::of(&config);
        let table = [
            (
                "http://ada.hub.example:8000/user/ada/lab",
                Some("/user/ada/lab"),
            ),
            ("http://ada.hub.example/user/ada/lab", None),
            ("http://evilhub.example:8000/", None),
            (
                "//ada.hub.example:8000//evil.example",
                Some("/evil.example"),
            ),
        ];
        for (next, want) in table {
            let path = local_path(next, "hub.example:8000", subdomains.as_ref());
            assert_eq!(path.as_deref(), want, "{next:?}");
        }
    }
}
