//! Values of the chart, under the names of Zero to JupyterHub: what the schema says of them, and what the chart does in
//! another way.

use std::sync::LazyLock;

use serde_json::Value;

use super::outcome::Outcome;
use super::python::{self, Says};
use super::{schema, sections};
use crate::config::report::join;
use crate::config::yaml::{self, Kind, Node};

/// What the templates refuse, and what is without effect: they read the same file.
static MOVING: LazyLock<Option<Node>> =
    LazyLock::new(|| yaml::parse(include_str!("../../../../deploy/chart/moving.yaml")).ok());
const PYTHON: &str = "hub.extraConfig";
/// What the Hub itself looks at, each mistake once.
const OF_THE_HUB: [&str; 4] = [
    "hub.config",
    "hub.loadRoles",
    "hub.services",
    "singleuser.profileList",
];

/// Reads values that lie under `charts`.
pub fn read(values: &Node, charts: &str, outcome: &mut Outcome) {
    let prefix = match charts {
        "" => String::new(),
        charts => format!("{charts}."),
    };
    let mut own = Outcome::new("", "");
    sections::of_values(values, &prefix, &mut own);
    let reader = Reader {
        root: values,
        prefix,
    };
    reader.walk(values, "", schema::root(), outcome);
    reader.merge(own, outcome);
}

struct Reader<'a> {
    root: &'a Node,
    prefix: String,
}

impl Reader<'_> {
    fn walk(&self, node: &Node, path: &str, schema: &Value, outcome: &mut Outcome) {
        let Kind::Map(entries) = &node.kind else {
            return self.leaf(node, path, schema, outcome);
        };
        let Some(known) = schema::properties(schema) else {
            return self.leaf(node, path, schema, outcome);
        };
        for (key, value) in entries {
            let name = key.text();
            let path = join(path, &name);
            let shown = format!("{}{path}", self.prefix);
            if path == PYTHON {
                self.python(value, &path, outcome);
            } else if let Some(instead) = self.refused(value, &path) {
                outcome.refused(Some(key.at), &shown, &instead);
            } else if let Some(why) =
                entry("without_effect", &path).and_then(|entry| said(entry, "why"))
            {
                outcome.without_effect(Some(key.at), &shown, &why);
            } else if path == "hub.config" {
                if let Some(mistake) = not_sections(value) {
                    outcome.refused(Some(value.at), &shown, mistake);
                }
            } else if let Some(schema) = known.get(&name) {
                self.walk(value, &path, schema, outcome);
            } else {
                outcome.refused(Some(key.at), &shown, &schema::unknown(&name, schema));
            }
        }
    }

    fn leaf(&self, node: &Node, path: &str, schema: &Value, outcome: &mut Outcome) {
        let mistakes = schema::mistakes(node, path, schema);
        let shown = format!("{}{path}", self.prefix);
        let note = entry("noted", path).and_then(|entry| said(entry, "note"));
        match note.filter(|_| mistakes.is_empty()) {
            Some(note) => outcome.noted(node.at, &shown, &note),
            None if mistakes.is_empty() => outcome.taken(node.at, &shown),
            None => {}
        }
        for (at, path, message) in mistakes {
            outcome.refused(Some(at), &format!("{}{path}", self.prefix), &message);
        }
    }

    /// What to use in place of a value that the templates refuse.
    fn refused(&self, value: &Node, path: &str) -> Option<String> {
        let text = value.text();
        let entries = list("refused")
            .iter()
            .filter(|entry| said(entry, "path").as_deref() == Some(path));
        let mut fitting = entries.filter(|entry| {
            let asked = said(entry, "where").is_none_or(|path| {
                sections::at(self.root, &path)
                    .is_some_and(|node| matches!(node.kind, Kind::Bool(true)))
            });
            let words = entry.child("is");
            let fits = match words.map(|words| &words.kind) {
                Some(Kind::List(words)) => words.iter().any(|word| word.text() == text),
                _ => !is_empty(value),
            };
            asked && fits
        });
        said(fitting.next()?, "instead")
    }

    /// `hub.extraConfig`, statement by statement.
    fn python(&self, value: &Node, path: &str, outcome: &mut Outcome) {
        let whole = (value.clone(), path.to_owned());
        let texts = match &value.kind {
            Kind::Map(entries) => entries
                .iter()
                .map(|(key, value)| (value.clone(), join(path, &key.text())))
                .collect(),
            _ => vec![whole],
        };
        for (text, path) in texts {
            let shown = format!("{}{path}", self.prefix);
            let Kind::Text(code) = &text.kind else {
                continue;
            };
            for statement in python::read(code) {
                let mut at = text.at;
                at.line += statement.line - 1;
                let instead = match statement.says {
                    Says::Value { section, key, .. } => {
                        format!("Python is not run. Instead: hub.config.{section}.{key}")
                    }
                    Says::Other { begins, instead } => {
                        format!("Python is not run (`{begins}`). Instead: {instead}")
                    }
                };
                outcome.refused(Some(at), &shown, &instead);
            }
        }
    }

    /// What the Hub says of values wins over "taken".
    fn merge(&self, own: Outcome, outcome: &mut Outcome) {
        let paths: Vec<_> = OF_THE_HUB
            .iter()
            .map(|path| format!("{}{path}", self.prefix))
            .collect();
        outcome.take_over(own, &paths);
        self.https(outcome);
    }

    /// A kind that is not given is the default one.
    fn https(&self, outcome: &mut Outcome) {
        for entry in list("refused") {
            let (Some(path), Some(place), Some(_)) = (
                said(entry, "path"),
                said(entry, "where"),
                said(entry, "default"),
            ) else {
                continue;
            };
            let asked = sections::at(self.root, &place);
            let asked = asked.filter(|node| matches!(node.kind, Kind::Bool(true)));
            let (Some(asked), None) = (asked, sections::at(self.root, &path)) else {
                continue;
            };
            let instead = said(entry, "instead").unwrap_or_default();
            outcome.refused(Some(asked.at), &format!("{}{path}", self.prefix), &instead);
        }
    }
}

fn not_sections(value: &Node) -> Option<&'static str> {
    let fits = matches!(value.kind, Kind::Map(_) | Kind::Null);
    (!fits).then_some("expected sections, such as `JupyterHub:`")
}

fn is_empty(node: &Node) -> bool {
    match &node.kind {
        Kind::Null | Kind::Bool(false) => true,
        Kind::Text(text) => text.is_empty(),
        Kind::List(items) => items.is_empty(),
        Kind::Map(entries) => entries.is_empty(),
        Kind::Bool(true) | Kind::Number(_) => false,
    }
}

fn list(name: &str) -> &'static [Node] {
    match MOVING
        .as_ref()
        .and_then(|moving| moving.child(name))
        .map(|list| &list.kind)
    {
        Some(Kind::List(entries)) => entries,
        _ => &[],
    }
}

/// The entry of a path in one of the lists.
fn entry(list_name: &str, path: &str) -> Option<&'static Node> {
    let mut entries = list(list_name).iter();
    entries.find(|entry| said(entry, "path").as_deref() == Some(path))
}

fn said(entry: &Node, key: &str) -> Option<String> {
    entry.child(key).map(Node::text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_what_differs_is_read() {
        assert!(list("refused").len() > 5 && list("without_effect").len() > 50);
        for (name, key) in [
            ("refused", "instead"),
            ("without_effect", "why"),
            ("noted", "note"),
        ] {
            for entry in list(name) {
                assert!(
                    said(entry, key).is_some_and(|text| text.len() > 10),
                    "{entry:?}"
                );
            }
        }
    }
}
