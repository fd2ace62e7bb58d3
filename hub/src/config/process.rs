//! What a server's process is made of, as the configuration gives it: command and environment.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

use super::report::{Report, join};
use super::value::Value;
use super::yaml::{Kind, Node};

/// A program and its first arguments; never empty. The file may give the program alone, as text.
#[derive(Debug, Clone, PartialEq)]
pub struct Command(pub Vec<String>);

impl Value for Command {
    fn expected() -> String {
        "a program, or a list: the program and its arguments".to_owned()
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let words = match &node.kind {
            Kind::Text(program) => vec![program.clone()],
            Kind::List(_) => Vec::read(node, path, report)?,
            _ => Vec::new(),
        };
        if words.first().is_none_or(String::is_empty) {
            report.expected(&Self::expected(), node, path);
            return None;
        }
        Some(Self(words))
    }

    fn show(&self) -> String {
        self.0.show()
    }
}

/// Environment variables; the values may be secrets, so `Debug` shows only the names.
#[derive(Clone, Default, PartialEq)]
pub struct Environment(pub BTreeMap<String, String>);

impl Deref for Environment {
    type Target = BTreeMap<String, String>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Value for Environment {
    fn expected() -> String {
        "a mapping of names to texts".to_owned()
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        if !matches!(node.kind, Kind::Map(_)) {
            report.wrong(
                node.at,
                path,
                format!("expected {}, found {}", Self::expected(), node.kind()),
            );
            return None;
        }
        let mut variables = BTreeMap::new();
        for (name, at, value) in report.entries(node, path) {
            let path = join(path, name);
            if name.is_empty() || name.contains(['=', '\0']) {
                report.wrong(
                    at,
                    &path,
                    "the name of a variable must not be empty or hold `=`",
                );
            }
            match &value.kind {
                Kind::Text(text) if !text.contains('\0') => {
                    variables.insert(name.to_owned(), text.clone());
                }
                Kind::Text(_) => report.wrong(
                    value.at,
                    &path,
                    "the value of a variable must not hold a NUL character",
                ),
                _ => report.wrong(
                    value.at,
                    &path,
                    format!("expected text, found {}; put it in quotes", value.kind()),
                ),
            }
        }
        Some(Self(variables))
    }

    fn show(&self) -> String {
        let names: Vec<_> = self.0.keys().map(|name| format!("{name}: ...")).collect();
        format!("{{{}}}", names.join(", "))
    }
}
