//! A list of scopes in a configuration, each of which there is.

use std::ops::Deref;

use super::report::Report;
use super::value::Value;
use super::yaml::Node;
use crate::access::definitions::is_custom;
use crate::access::scopes::{Owner, Scopes};

/// Scopes as in JupyterHub, such as `servers!group=staff`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ScopeList(pub Vec<String>);

impl Deref for ScopeList {
    type Target = [String];
    fn deref(&self) -> &[String] {
        &self.0
    }
}

impl Value for ScopeList {
    fn expected() -> String {
        Vec::<String>::expected()
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let list = Vec::<String>::read(node, path, report)?;
        let scopes = list.iter().map(String::as_str);
        let (_, unknown) = Scopes::stored(scopes, Owner::User("somebody"));
        // Custom ones are looked at once all of the file is read.
        for scope in unknown.into_iter().filter(|scope| !is_custom(scope)) {
            report.wrong(node.at, path, format!("there is no scope {scope:?}"));
        }
        Some(Self(list))
    }

    fn show(&self) -> String {
        self.0.show()
    }
}
