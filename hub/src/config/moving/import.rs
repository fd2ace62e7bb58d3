//! `jupyterhub_config.py` as this Hub's YAML: its simple lines, and the others as comments that say what to use instead.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::python::{self, Says};
use crate::config::kube_spawner::json;
use crate::config::report::Report;
use crate::config::yaml::{At, Kind, Node};
use crate::config::{Config, report};

/// What a file in Python gives.
#[derive(Debug, Default)]
pub struct FromPython {
    /// Sections and keys, then comments about what is not taken.
    pub yaml: String,
    /// Whether users of the database may log in by that alone (`Authenticator.allow_existing_users`).
    pub existing_users: bool,
}

/// Keys that say where JupyterHub kept its own things.
const ITS_OWN: [(&str, &str, &str); 3] = [
    (
        "JupyterHub",
        "db_url",
        "this Hub keeps a database of its own; without the key, in the state folder",
    ),
    (
        "JupyterHub",
        "cookie_secret_file",
        "this Hub keeps its secrets in its database",
    ),
    (
        "JupyterHub",
        "cookie_secret",
        "this Hub keeps its secrets in its database",
    ),
];

type Sections = BTreeMap<String, BTreeMap<String, (usize, Kind)>>;

/// Reads it; nothing is run.
pub fn of_python(file: &str, text: &str) -> FromPython {
    let mut sections = Sections::new();
    let mut notes: Vec<(usize, String)> = Vec::new();
    for statement in python::read(text) {
        let line = statement.line;
        match statement.says {
            Says::Value {
                section,
                key,
                value,
            } => {
                let own = ITS_OWN
                    .iter()
                    .find(|(of, name, _)| *of == section && *name == key);
                match own {
                    Some((.., why)) => notes.push((line, format!("c.{section}.{key}: {why}"))),
                    None => {
                        sections
                            .entry(section)
                            .or_default()
                            .insert(key, (line, value));
                    }
                }
            }
            Says::Other { begins, instead } => {
                notes.push((
                    line,
                    format!("{begins}: Python is not run. Instead: {instead}"),
                ));
            }
        }
    }
    let existing_users = admits_existing(&sections);
    drop_mistakes(&mut sections, &mut notes);
    let mut yaml = written(sections);
    notes.sort();
    for (line, note) in notes {
        let _ = writeln!(yaml, "# {file}:{line}: {note}");
    }
    FromPython {
        yaml,
        existing_users,
    }
}

/// `allow_existing_users` is true by itself where `allowed_users` names somebody (jupyterhub/auth.py).
fn admits_existing(sections: &Sections) -> bool {
    let key = |name: &str| Some(&sections.get("Authenticator")?.get(name)?.1);
    match key("allow_existing_users") {
        Some(Kind::Bool(given)) => *given,
        _ => matches!(key("allowed_users"), Some(Kind::List(users)) if !users.is_empty()),
    }
}

/// What this Hub does not have becomes a note.
fn drop_mistakes(sections: &mut Sections, notes: &mut Vec<(usize, String)>) {
    let mut report = Report::new("");
    Config::default().read_sections(&tree(sections), &mut report);
    let (mistakes, warnings) = report.remarks();
    for (_, path, message) in mistakes.into_iter().chain(warnings) {
        let mut steps = path.split(['.', '[']);
        let (section, key) = (steps.next().unwrap_or_default(), steps.next());
        let Some(keys) = sections.get_mut(section) else {
            continue;
        };
        let dropped: Vec<_> = match key {
            Some(key) => keys.remove_entry(key).into_iter().collect(),
            None => std::mem::take(keys).into_iter().collect(),
        };
        for (key, (line, _)) in dropped {
            notes.push((line, format!("c.{section}.{key}: {message}")));
        }
    }
    sections.retain(|_, keys| !keys.is_empty());
}

fn tree(sections: &Sections) -> Node {
    let node = |line: usize, kind: Kind| Node {
        at: At { line, column: 1 },
        kind,
    };
    let sections = sections.iter().map(|(name, keys)| {
        let keys = keys.iter().map(|(key, (line, value))| {
            (
                node(*line, Kind::Text(key.clone())),
                node(*line, value.clone()),
            )
        });
        (
            node(1, Kind::Text(name.clone())),
            node(1, Kind::Map(keys.collect())),
        )
    });
    node(1, Kind::Map(sections.collect()))
}

fn written(sections: Sections) -> String {
    let mut yaml = String::new();
    for (section, keys) in sections {
        let _ = writeln!(yaml, "{section}:");
        for (key, (line, kind)) in keys {
            let path = report::join(&section, &key);
            let at = At { line, column: 1 };
            let value = json(&Node { at, kind }, &path, &mut Report::new(""));
            let _ = writeln!(yaml, "  {key}: {value}");
        }
    }
    yaml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simple_lines_become_yaml_and_others_notes() {
        let text = r#"import os
# c.JupyterHub.port = 1
c = get_config()  # noqa
c.JupyterHub.db_url = "sqlite:///jupyterhub.sqlite"
c.JupyterHub.base_url = '/science/'
c.JupyterHub.load_roles = [
    {"name": "staff", "scopes": ["list:users"], "groups": ["staff"]},  # one
]
c.JupyterHub.load_roles[0]["users"] = []
c.Authenticator.admin_users = {"ada"}
c.Authenticator.allowed_users = {"bob", "ada"}
c.SimpleAuthenticator.password = "hunter2"
c.Spawner.http_timeout = 60
c.Spawner.environment = {"KEY": os.environ["KEY"]}
def pre_spawn(spawner):
    spawner.environment["A"] = "b"

c.Spawner.pre_spawn_hook = pre_spawn
"#;
        let taken = of_python("jupyterhub_config.py", text);
        let (yaml, notes) = taken.yaml.split_once('#').unwrap();
        assert_eq!(
            yaml,
            "Authenticator:\n  admin_users: [\"ada\"]\n  allowed_users: [\"bob\",\"ada\"]\n\
             JupyterHub:\n  base_url: \"/science/\"\n  load_roles: [{\"name\":\"staff\",\"scopes\":[\"list:users\"],\
             \"groups\":[\"staff\"]}]\nSpawner:\n  http_timeout: 60\n"
        );
        Config::parse("yaml", &taken.yaml).unwrap();
        assert!(taken.existing_users && !taken.yaml.contains("hunter2"));
        for note in [
            "jupyterhub_config.py:4: c.JupyterHub.db_url: this Hub keeps",
            "jupyterhub_config.py:9: c.JupyterHub.load_roles[0][\"users\"]: Python is not run. Instead: JupyterHub.load_roles",
            "jupyterhub_config.py:12: c.SimpleAuthenticator.password: unknown section",
            "jupyterhub_config.py:14: c.Spawner.environment: Python is not run. Instead: Spawner.environment",
            "jupyterhub_config.py:15: def pre_spawn: Python is not run. Instead: ",
            "jupyterhub_config.py:18: c.Spawner.pre_spawn_hook: Python is not run. Instead: KubeSpawner.group_overrides",
        ] {
            assert!(notes.contains(note), "{note}\n{notes}");
        }
    }
}
