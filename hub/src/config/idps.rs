//! `CILogonOAuthenticator.allowed_idps`: whose users may be let in, and what they are called here.

use std::collections::BTreeMap;
use std::ops::Deref;

use super::hints;
use super::report::{Report, join};
use super::section::{self, Key, Section, SectionKeys, section};
use super::value::{self, Value, read_scalar, text_value};
use super::yaml::{Kind, Node};

section! {
    /// One identity provider of CILogon.
    IdentityProvider {
        /// How the name of a user is made.
        username_derivation: UsernameDerivation = UsernameDerivation::default();
        /// Let in all its users.
        allow_all: bool = false;
        /// Domains whose users are let in.
        allowed_domains: Vec<String> = Vec::new();
        /// Claim with the domain; the one of the name without it.
        allowed_domains_claim: Option<String> = None;
    }
}

section! {
    /// How the name of a user is made.
    UsernameDerivation {
        /// Claim with the name.
        username_claim: String = String::new();
        /// What is done with it.
        action: Option<Action> = None;
        /// Domain that `strip_idp_domain` takes off.
        domain: String = String::new();
        /// What `prefix` puts before it, with a colon.
        prefix: String = String::new();
    }
}

/// What is done with a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    StripIdpDomain,
    Prefix,
}

text_value!(
    Action,
    "`strip_idp_domain` or `prefix`",
    |text| match text {
        "strip_idp_domain" => Some(Action::StripIdpDomain),
        "prefix" => Some(Action::Prefix),
        _ => None,
    },
    |action| format!("{action:?}")
);

/// A mapping with the keys of a section.
fn read_keys<T: Section + Default>(
    node: &Node,
    path: &str,
    keys: &SectionKeys,
    report: &mut Report,
) -> T {
    let mut read = T::default();
    let names: Vec<_> = keys.keys.iter().map(|key| key.name).collect();
    section::read(&mut read, path, node, report, |key| {
        hints::not_among(key, path, &names)
    });
    read
}

impl Value for UsernameDerivation {
    fn expected() -> String {
        "a mapping with `username_claim`, and `action` with `domain` or `prefix`".to_owned()
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let read: Self = read_keys(node, path, &Self::keys(), report);
        let missing = match read.action {
            _ if read.username_claim.is_empty() => Some("username_claim"),
            Some(Action::StripIdpDomain) if read.domain.is_empty() => Some("domain"),
            Some(Action::Prefix) if read.prefix.is_empty() => Some("prefix"),
            _ => None,
        };
        if let Some(missing) = missing {
            report.wrong(node.at, path, format!("`{missing}` is needed"));
        }
        Some(read)
    }

    fn show(&self) -> String {
        String::new()
    }
}

/// Identity providers by their `entityID`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct IdentityProviders(BTreeMap<String, IdentityProvider>);

impl Deref for IdentityProviders {
    type Target = BTreeMap<String, IdentityProvider>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Value for IdentityProviders {
    fn expected() -> String {
        "a mapping of entityIDs to mappings with `username_derivation`, `allow_all`, `allowed_domains` and \
         `allowed_domains_claim`"
            .to_owned()
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        if !matches!(node.kind, Kind::Map(_)) {
            report.expected(&Self::expected(), node, path);
            return None;
        }
        let mut read = BTreeMap::new();
        for (name, _, provider) in report.entries(node, path) {
            let path = join(path, name);
            let provider: IdentityProvider =
                read_keys(provider, &path, &IdentityProvider::keys(), report);
            if provider.username_derivation.username_claim.is_empty() {
                report.wrong(node.at, &path, "`username_derivation` is needed");
            }
            read.insert(name.to_owned(), provider);
        }
        Some(Self(read))
    }

    fn show(&self) -> String {
        "{}".to_owned()
    }
}
