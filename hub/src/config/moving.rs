//! `carrel-hub check FILE`: what this Hub takes of a configuration, or of values of the chart or of Zero to JupyterHub.

mod import;
mod literal;
mod outcome;
mod python;
mod schema;
mod sections;
mod values;

use std::path::Path;

use super::report::{ConfigErrors, Report};
use super::yaml::{self, Kind, Node};
use super::{Config, read_file};

pub use import::{FromPython, of_python as read_python};
pub use outcome::Told;

use outcome::Outcome;

/// How deep the values of a chart within charts may lie.
const MAX_CHARTS: usize = 3;

/// Reads a file and starts nothing.
pub fn check(path: &Path) -> Result<Told, ConfigErrors> {
    let file = path.display().to_string();
    let text = match read_file(path) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("the file could not be read: {error}");
            return Err(Report::new(file).fail(None, message));
        }
    };
    match yaml::parse(&text) {
        Ok(root) => Ok(told(&file, &root)),
        Err(error) => Err(Report::new(file).fail(Some(error.at), error.message)),
    }
}

fn told(file: &str, root: &Node) -> Told {
    let Some((charts, values)) = find_values(root) else {
        let mut outcome = Outcome::new(file, "the Hub's own configuration");
        sections::of_hub(root, &mut outcome);
        return outcome.told();
    };
    let what = match charts.as_str() {
        "" => String::from("values of the chart"),
        charts => format!(
            "values of a chart that holds this one: only what is under `{charts}:` is looked at"
        ),
    };
    let mut outcome = Outcome::new(file, &what);
    values::read(values, &charts, &mut outcome);
    outcome.told()
}

/// The values of the chart in a file, and under which keys they lie: those of a chart that holds it have them under its
/// name. Nothing where the file is the Hub's own configuration.
fn find_values(root: &Node) -> Option<(String, &Node)> {
    let Kind::Map(entries) = &root.kind else {
        return None;
    };
    let names: Vec<_> = entries.iter().map(|(key, _)| key.text()).collect();
    let sections = Config::keys();
    if names
        .iter()
        .any(|name| sections.iter().any(|section| section.name == name))
    {
        return None;
    }
    if let Some(found) = within(root, MAX_CHARTS) {
        return Some(found);
    }
    let known = schema::properties(schema::root())?;
    let is_value = |name: &String| name != "global" && known.contains_key(name);
    names.iter().any(is_value).then(|| (String::new(), root))
}

fn within(node: &Node, depth: usize) -> Option<(String, &Node)> {
    if let Some(found) = node.child("jupyterhub") {
        return matches!(found.kind, Kind::Map(_)).then(|| (String::from("jupyterhub"), found));
    }
    let Kind::Map(entries) = &node.kind else {
        return None;
    };
    let deeper = depth.checked_sub(1)?;
    let mut found = entries.iter().filter_map(|(key, value)| {
        let (charts, values) = within(value, deeper)?;
        Some((format!("{}.{charts}", key.text()), values))
    });
    found.next()
}
