//! Configuration in Python, which is read and never run: lines `c.Class.key = literal`, and what to use instead of others.

use super::literal;
use crate::config::yaml::Kind;

/// One statement of such a file.
#[derive(Debug)]
pub struct Statement {
    /// Counted from 1.
    pub line: usize,
    pub says: Says,
}

#[derive(Debug)]
pub enum Says {
    /// `c.Section.key = value`
    Value {
        section: String,
        key: String,
        value: Kind,
    },
    /// What is not taken: how it begins, and what to use instead.
    Other {
        begins: String,
        instead: &'static str,
    },
}

/// What a statement holds, and what does the same here. The first that fits counts.
const INSTEAD: [(&str, &str); 25] = [
    (
        "modify_pod_hook",
        "KubeSpawner.pod_patches changes the finished pod",
    ),
    (
        "pre_spawn_hook",
        "KubeSpawner.group_overrides sets options by group, KubeSpawner.init_containers runs what prepares a server",
    ),
    (
        "post_stop_hook",
        "KubeSpawner.lifecycle_hooks runs what comes before the end",
    ),
    (
        "auth_state_hook",
        "the authenticator's keys for groups, and KubeSpawner.group_overrides",
    ),
    (
        "post_auth_hook",
        "the authenticator's keys: allowed_groups, admin_groups, and those for claims",
    ),
    (
        "profile_list",
        "KubeSpawner.profile_list as data; allowed_groups says who may choose a profile",
    ),
    (
        "options_form",
        "KubeSpawner.profile_list, or the fields of Spawner.options_form",
    ),
    (
        "options_from_form",
        "KubeSpawner.profile_list, or the fields of Spawner.options_form",
    ),
    ("EventLog", "EventLogger.file, which handlers are here"),
    ("template_paths", "the pages are part of the Hub"),
    ("template_vars", "the pages are part of the Hub"),
    ("logo_file", "the pages are part of the Hub"),
    (
        "extra_handlers",
        "a program of its own behind the proxy, see JupyterHub.services",
    ),
    (
        ".services",
        "JupyterHub.services as data (hub.services in the chart)",
    ),
    (
        "load_roles",
        "JupyterHub.load_roles as data (hub.loadRoles in the chart)",
    ),
    ("load_groups", "JupyterHub.load_groups as data"),
    (
        "Spawner)",
        "KubeSpawner.group_overrides, profile_list and pod_patches, which need no class of one's own",
    ),
    (
        "Authenticator)",
        "the authenticators of the Hub and their keys: allowed_groups, admin_groups, and those for claims",
    ),
    (
        "authenticator_class",
        "JupyterHub.authenticator_class with a name that the Hub knows",
    ),
    (
        "spawner_class",
        "JupyterHub.spawner_class: kube or localprocess",
    ),
    (
        "environment",
        "Spawner.environment or KubeSpawner.environment as data (singleuser.extraEnv in the chart)",
    ),
    (
        "volume",
        "KubeSpawner.volumes and volume_mounts as data, `{username}` in them; group_overrides for groups",
    ),
    (
        "get_config(",
        "the value itself, where it is used; nothing is computed of `custom`",
    ),
    (
        "environ",
        "the value itself; secrets in a file of their own",
    ),
    (
        "admin_users",
        "Authenticator.admin_users, or a role in JupyterHub.load_roles",
    ),
];
const ELSE: &str =
    "what it sets, as data: Class.key in the configuration (hub.config in the chart)";

/// All statements but comments and imports.
pub fn read(text: &str) -> Vec<Statement> {
    let mut statements: Vec<(usize, String)> = Vec::new();
    for (line, text) in (1..).zip(text.lines()) {
        let begins = !text.starts_with([' ', '\t', ')', ']', '}', '#']) && !text.trim().is_empty();
        match statements.last_mut() {
            Some((_, last)) if !begins || literal::is_open(last) => {
                last.push('\n');
                last.push_str(text);
            }
            _ if begins => statements.push((line, text.to_owned())),
            _ => {}
        }
    }
    let statements = statements.into_iter();
    let statements = statements.filter(|(_, text)| !is_import(text));
    statements
        .map(|(line, text)| Statement {
            line,
            says: assignment(&text).unwrap_or_else(|| other(&text)),
        })
        .collect()
}

fn is_import(text: &str) -> bool {
    let docstring = text.starts_with("\"\"\"") || text.starts_with("'''");
    let config = text.starts_with("c = get_config()");
    text.starts_with("import ") || text.starts_with("from ") || docstring || config
}

fn assignment(text: &str) -> Option<Says> {
    let (name, value) = text.strip_prefix("c.")?.split_once('=')?;
    let (section, key) = name.trim().split_once('.')?;
    let plain = |word: &str| {
        !word.is_empty()
            && word
                .chars()
                .all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
    };
    if !plain(section) || !plain(key) {
        return None;
    }
    Some(Says::Value {
        section: section.to_owned(),
        key: key.to_owned(),
        value: literal::read(value)?,
    })
}

fn other(text: &str) -> Says {
    let instead = INSTEAD.iter().find(|(needle, _)| text.contains(needle));
    let first = text.lines().next().unwrap_or_default();
    // What comes after may be a secret.
    let first = first.split(['=', '(']).next().unwrap_or_default().trim();
    Says::Other {
        begins: first.chars().take(60).collect(),
        instead: instead.map_or(ELSE, |(_, instead)| instead),
    }
}
