//! A host for each user and each service below the Hub's own (`JupyterHub.subdomain_host`; jupyterhub/utils.py). Pure.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sha2::{Digest as _, Sha256};
use url::{Position, Url};

use crate::config::{JupyterHub, SubdomainHook};

/// The longest label of a name (RFC 1035, 2.3.4).
const LONGEST_LABEL: usize = 63;

#[derive(Debug, Clone)]
pub struct Subdomains {
    hub: Url,
    hook: SubdomainHook,
}

impl Subdomains {
    /// None where all share the Hub's host.
    pub fn of(config: &JupyterHub) -> Option<Self> {
        let hub = config.subdomain_host.as_ref()?.0.clone();
        let hook = config.subdomain_hook;
        Some(Self { hub, hook })
    }

    /// The Hub's own name.
    pub fn domain(&self) -> &str {
        self.hub.host_str().unwrap_or_default()
    }

    /// `https://hub.example.org[:port]`
    pub fn hub(&self) -> String {
        self.hub.origin().ascii_serialization()
    }

    /// `https://<host>[:port]`
    pub fn origin(&self, host: &str) -> String {
        let port = &self.hub[Position::AfterHost..Position::AfterPort];
        format!("{}://{host}{port}", self.hub.scheme())
    }

    /// The origins of all others, as policies of browsers name them.
    pub fn all(&self) -> String {
        self.origin(&format!("*.{}", self.domain()))
    }

    /// Whether a name lies below the Hub's.
    pub fn hold(&self, host: &str) -> bool {
        let below = host.strip_suffix(self.domain());
        below.is_some_and(|below| below.len() > 1 && below.ends_with('.'))
    }

    pub fn user(&self, name: &str) -> String {
        let label = match self.hook {
            SubdomainHook::Idna => label(name),
            SubdomainHook::Legacy => quoted(name),
        };
        format!("{label}.{}", self.domain())
    }

    pub fn service(&self, name: &str) -> String {
        match self.hook {
            // A name of a user never holds two hyphens in a row without a hash before them.
            SubdomainHook::Idna => format!("{}--service.{}", label(name), self.domain()),
            SubdomainHook::Legacy => format!("services.{}", self.domain()),
        }
    }
}

/// `_strict_dns_safe_encode`: the name itself, its IDNA form, or a part of it with a hash.
fn label(name: &str) -> String {
    if name.contains("--") {
        return trimmed(name);
    }
    if is_label(name) {
        return name.to_ascii_lowercase();
    }
    if name.is_ascii() {
        return trimmed(name);
    }
    let encoded = idna::domain_to_ascii_strict(name).ok();
    // Two names that look alike, such as one with a ligature, are not to share a host.
    let encoded = encoded.filter(|encoded| idna::domain_to_unicode(encoded).0 == name);
    encoded
        .filter(|encoded| is_label(encoded))
        .unwrap_or_else(|| trimmed(name))
}

/// `_is_dns_safe`
fn is_label(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    (1..=LONGEST_LABEL).contains(&name.len())
        && name.bytes().all(plain)
        && !name.bytes().all(|byte| byte.is_ascii_digit())
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// `_trim_and_hash`
fn trimmed(name: &str) -> String {
    let hash = hex::encode(Sha256::digest(name));
    let lower = name.to_lowercase();
    let safe = lower
        .chars()
        .filter(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit());
    let stub: String = safe.take(8).collect();
    let stub = if stub.is_empty() { "x" } else { &stub };
    format!("u-{stub}--{}", &hash[..7])
}

/// `_dns_quote`
fn quoted(name: &str) -> String {
    const SET: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.');
    let quoted = utf8_percent_encode(name, SET).to_string();
    quoted.to_lowercase().replace('%', "_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::PublicHost;

    fn at(host: &str, hook: SubdomainHook) -> Subdomains {
        let config = JupyterHub {
            subdomain_host: PublicHost::parse(host),
            subdomain_hook: hook,
            ..JupyterHub::default()
        };
        Subdomains::of(&config).unwrap()
    }

    /// As JupyterHub 6.1.1 calls them.
    #[test]
    fn users_and_services_have_jupyterhubs_names() {
        let hub = at("http://hub.test:8000", SubdomainHook::Idna);
        for (name, host) in [
            ("alice", "alice.hub.test"),
            ("a-b", "a-b.hub.test"),
            ("ali ce", "u-alice--0e0be36.hub.test"),
            ("a@b.org", "u-aborg--5b26064.hub.test"),
            ("a--b", "u-ab--90827a2.hub.test"),
            ("123", "u-123--a665a45.hub.test"),
            ("-", "u-x--3973e02.hub.test"),
            ("jürgen", "xn--jrgen-kva.hub.test"),
            ("\u{fb01}", "u-x--b6554cc.hub.test"),
            ("a。b", "u-ab--c63064a.hub.test"),
            ("straße", "xn--strae-oqa.hub.test"),
            ("Ünï", "u-n--216999f.hub.test"),
        ] {
            assert_eq!(hub.user(name), host, "{name}");
        }
        assert_eq!(hub.service("who.am"), "u-whoam--8a11006--service.hub.test");
        assert_eq!(hub.service("grader"), "grader--service.hub.test");
        let legacy = at("http://hub.test", SubdomainHook::Legacy);
        assert_eq!(legacy.user("a_b@c.d"), "a_5fb_40c.d.hub.test");
        assert_eq!(legacy.service("grader"), "services.hub.test");
    }

    #[test]
    fn names_that_look_alike_have_hosts_of_their_own() {
        let hub = at("hub.test", SubdomainHook::Idna);
        let names = ["fi", "\u{fb01}", "a。b", "a.b", "straße", "strasse"];
        let hosts: std::collections::BTreeSet<_> = names.map(|name| hub.user(name)).into();
        assert_eq!(hosts.len(), names.len(), "{hosts:?}");
        assert!(hosts.iter().all(|host| host.matches('.').count() == 2));
    }

    #[test]
    fn origins_have_the_hubs_scheme_and_port() {
        let hub = at("http://hub.test:8000", SubdomainHook::Idna);
        assert_eq!(hub.hub(), "http://hub.test:8000");
        assert_eq!(hub.origin("a.hub.test"), "http://a.hub.test:8000");
        let hub = at("hub.test", SubdomainHook::Idna);
        assert_eq!(hub.hub(), "https://hub.test");
        assert_eq!(hub.all(), "https://*.hub.test");
        for (host, is) in [
            ("a.hub.test", true),
            ("a.b.hub.test", true),
            ("hub.test", false),
            (".hub.test", false),
            ("evilhub.test", false),
        ] {
            assert_eq!(hub.hold(host), is, "{host}");
        }
    }
}
