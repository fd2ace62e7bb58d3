//! Section `KubeSpawner:`: the spawner's own table of options, read from the file with its places.

use std::ops::Deref;

use carrel_spawner::kube::{KubeOptions, Mistake};
use serde_json::Value;

use super::hints;
use super::report::{Report, join};
use super::section::{Key, Section, SectionKeys};
use super::yaml::{Kind, Node};

const NAME: &str = "KubeSpawner";

/// Options of pods.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct KubeSpawner(pub KubeOptions);

impl Deref for KubeSpawner {
    type Target = KubeOptions;
    fn deref(&self) -> &KubeOptions {
        &self.0
    }
}

impl KubeSpawner {
    pub fn keys() -> SectionKeys {
        let keys = KubeOptions::keys().into_iter();
        SectionKeys {
            name: NAME,
            doc: KubeOptions::doc(),
            keys: keys
                .map(|key| Key {
                    name: key.name,
                    doc: key.doc,
                    expected: key.expected,
                    default: show(&key.default),
                })
                .collect(),
        }
    }

    /// Mistakes that no key has by itself.
    pub(super) fn check(&self, report: &mut Report) {
        for mistake in self.0.check() {
            tell(&mistake, NAME, None, report);
        }
    }
}

impl Section for KubeSpawner {
    fn read_key(&mut self, key: &str, value: &Node, path: &str, report: &mut Report) -> bool {
        let json = json(value, path, report);
        let Some(mistakes) = self.0.set(key, &json) else {
            return false;
        };
        for mistake in mistakes {
            tell(&mistake, path, Some(value), report);
        }
        true
    }
}

/// Puts a mistake where it stands in the file: at its value, or at the nearest key around it.
pub(super) fn tell(mistake: &Mistake, path: &str, value: Option<&Node>, report: &mut Report) {
    let mut path = path.to_owned();
    let mut node = value;
    let mut at = value.map(|value| value.at).or(report.given(&path));
    for step in &mistake.path {
        let index = step.parse::<usize>().ok();
        path = match index {
            Some(index) => format!("{path}[{index}]"),
            None => join(&path, step),
        };
        node = node.and_then(|node| node.child(step));
        at = node.map(|node| node.at).or(report.given(&path)).or(at);
    }
    let unknown = mistake.message == "unknown key";
    let message = match (unknown, &mistake.path[..]) {
        (true, [.., over, key]) if over.ends_with("_override") => {
            hints::not_among(key, NAME, KubeOptions::NAMES)
        }
        _ => mistake.message.clone(),
    };
    if mistake.warning {
        let at = report.given(&path).or(at);
        return report.warn(at, &path, mistake.message.clone());
    }
    let key = report.given(&path).filter(|_| unknown);
    match key.or(at) {
        Some(at) => report.wrong(at, &path, message),
        None => report.contradiction(&path, message),
    }
}

/// The value as JSON, whose mappings keep the file's order.
pub(super) fn json(node: &Node, path: &str, report: &mut Report) -> String {
    match &node.kind {
        Kind::Null => String::from("null"),
        Kind::Bool(value) => value.to_string(),
        Kind::Text(text) => Value::from(text.as_str()).to_string(),
        Kind::Number(number) => match number.parse::<i64>() {
            Ok(whole) => whole.to_string(),
            Err(_) => Value::from(number.parse::<f64>().unwrap_or_default()).to_string(),
        },
        Kind::List(items) => {
            let items = items.iter().enumerate();
            let items = items.map(|(index, item)| json(item, &format!("{path}[{index}]"), report));
            format!("[{}]", items.collect::<Vec<_>>().join(","))
        }
        Kind::Map(_) => {
            let entries = report.entries(node, path).into_iter();
            let entries = entries.map(|(key, _, value)| {
                let value = json(value, &join(path, key), report);
                format!("{}:{value}", Value::from(key))
            });
            format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
        }
    }
}

fn show(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            let items: Vec<_> = items.iter().map(show).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(entries) => {
            let entries = entries.iter();
            let entries: Vec<_> = entries
                .map(|(key, value)| format!("{key}: {}", show(value)))
                .collect();
            format!("{{{}}}", entries.join(", "))
        }
        other => other.to_string(),
    }
}
