//! `JupyterHub.custom_scopes`: scopes that mean something to services and servers, and nothing to the Hub itself.

use std::collections::BTreeMap;

use super::hints;
use super::report::{Report, join};
use super::section::{self, Key, SectionKeys, section};
use super::value::{self, Value};
use super::yaml::{Kind, Node};
use crate::access::definitions::is_custom_name;

section! {
    /// One scope of `JupyterHub.custom_scopes`, by its name.
    CustomScope {
        /// What it lets one do, as people are told who are asked about it.
        description: String = String::new();
        /// Other custom scopes that it contains.
        subscopes: Vec<String> = Vec::new();
    }
}

/// Each by its name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct CustomScopes(pub BTreeMap<String, CustomScope>);

impl Value for CustomScopes {
    fn expected() -> String {
        "a mapping of names such as `custom:site:read` to scopes (see below)".to_owned()
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        if !matches!(node.kind, Kind::Map(_)) {
            report.expected(&Self::expected(), node, path);
            return None;
        }
        let keys: Vec<_> = CustomScope::keys()
            .keys
            .iter()
            .map(|key| key.name)
            .collect();
        let mut scopes = BTreeMap::new();
        for (name, at, node) in report.entries(node, path) {
            let path = join(path, name);
            if !is_custom_name(name) {
                let message = "the name of a custom scope is `custom:` and small letters, digits and characters of `_-:*`, of \
                               which a letter or digit comes first and neither `-` nor `:` last";
                report.wrong(at, &path, message);
            }
            let mut scope = CustomScope::default();
            section::read(&mut scope, &path, node, report, |key| {
                hints::not_among(key, "a custom scope", &keys)
            });
            if scope.description.is_empty() {
                report.wrong(
                    at,
                    &join(&path, "description"),
                    "say what the scope lets one do",
                );
            }
            scopes.insert(name.to_owned(), scope);
        }
        Some(Self(scopes))
    }

    fn show(&self) -> String {
        "{}".to_owned()
    }
}
