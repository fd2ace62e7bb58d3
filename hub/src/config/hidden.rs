//! Secrets of the configuration that are no tokens: passwords, and what clients show to providers.

use std::fmt;

use super::report::Report;
use super::value::Value;
use super::yaml::{Kind, Node};

/// Text that neither a log nor a report of mistakes shows.
#[derive(Clone, Default, PartialEq)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}

impl Value for Hidden {
    fn expected() -> String {
        "text, which no log shows".to_owned()
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        if let Kind::Text(text) = &node.kind {
            return Some(Self(text.clone()));
        }
        let found = node.kind();
        report.wrong(node.at, path, format!("expected text, found {found}"));
        None
    }

    fn show(&self) -> String {
        String::new()
    }
}
