//! The scopes that there are, each with its meaning and the scopes that it contains.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One scope.
#[derive(Debug)]
pub struct Definition {
    pub name: &'static str,
    pub meaning: &'static str,
    pub contains: &'static [&'static str],
}

const fn scope(
    name: &'static str,
    meaning: &'static str,
    contains: &'static [&'static str],
) -> Definition {
    Definition {
        name,
        meaning,
        contains,
    }
}

/// As in jupyterhub/scopes.py (6.1), `scope_definitions`.
pub const SCOPES: &[Definition] = &[
    scope("admin-ui", "Open the administrators' page", &[]),
    scope(
        "admin:users",
        "Read, change, create and delete users",
        &[
            "admin:auth_state",
            "users",
            "read:roles:users",
            "delete:users",
        ],
    ),
    scope("admin:auth_state", "Read users' authentication state", &[]),
    scope(
        "users",
        "Read and change users",
        &["read:users", "list:users", "users:activity"],
    ),
    scope("delete:users", "Delete users", &[]),
    scope("list:users", "List users", &["read:users:name"]),
    scope(
        "read:users",
        "Read users",
        &[
            "read:users:name",
            "read:users:groups",
            "read:users:activity",
        ],
    ),
    scope("read:users:name", "Read names of users", &[]),
    scope("read:users:groups", "Read users' groups", &[]),
    scope(
        "read:users:activity",
        "Read when users were last active",
        &[],
    ),
    scope(
        "read:roles",
        "Read who has which role",
        &[
            "read:roles:users",
            "read:roles:services",
            "read:roles:groups",
        ],
    ),
    scope("read:roles:users", "Read users' roles", &[]),
    scope("read:roles:services", "Read services' roles", &[]),
    scope("read:roles:groups", "Read groups' roles", &[]),
    scope(
        "users:activity",
        "Report users' activity",
        &["read:users:activity"],
    ),
    scope(
        "admin:servers",
        "Start, stop, create and delete servers, and read their state",
        &["admin:server_state", "servers"],
    ),
    scope("admin:server_state", "Read the state of servers", &[]),
    scope(
        "servers",
        "Start and stop servers",
        &["read:servers", "start:servers", "delete:servers"],
    ),
    scope("read:servers", "Read servers", &["read:users:name"]),
    scope("start:servers", "Start and change servers", &[]),
    scope("delete:servers", "Stop and delete servers", &[]),
    scope("tokens", "Make, read and revoke tokens", &["read:tokens"]),
    scope("read:tokens", "Read tokens", &[]),
    scope(
        "admin:groups",
        "Read, change, create and delete groups",
        &["groups", "read:roles:groups", "delete:groups"],
    ),
    scope(
        "groups",
        "Read groups, and change who is in them",
        &["read:groups", "list:groups"],
    ),
    scope("list:groups", "List groups", &["read:groups:name"]),
    scope("read:groups", "Read groups", &["read:groups:name"]),
    scope("read:groups:name", "Read names of groups", &[]),
    scope("delete:groups", "Delete groups", &[]),
    scope(
        "admin:services",
        "Read, create and delete services, but for those of the configuration",
        &["list:services", "read:services", "read:roles:services"],
    ),
    scope("list:services", "List services", &["read:services:name"]),
    scope("read:services", "Read services", &["read:services:name"]),
    scope("read:services:name", "Read names of services", &[]),
    scope("read:hub", "Read what the Hub is made of", &[]),
    scope("access:servers", "Use servers", &[]),
    scope("access:services", "Use services", &[]),
    scope(
        "users:shares",
        "Read what is shared with users, and leave it",
        &["read:users:shares"],
    ),
    scope("read:users:shares", "Read what is shared with users", &[]),
    scope(
        "groups:shares",
        "Read what is shared with groups, and leave it",
        &["read:groups:shares"],
    ),
    scope("read:groups:shares", "Read what is shared with groups", &[]),
    scope("read:shares", "Read with whom servers are shared", &[]),
    scope(
        "shares",
        "Share servers",
        &[
            "access:servers",
            "read:shares",
            "users:shares",
            "groups:shares",
        ],
    ),
    scope(
        "proxy",
        "Read the proxy's routes, and have them checked",
        &[],
    ),
    scope("shutdown", "Shut the Hub down", &[]),
    scope("read:metrics", "Read metrics", &[]),
];

/// The definition of a scope.
pub fn find(name: &str) -> Option<&'static Definition> {
    if name.starts_with(CUSTOM_PREFIX) {
        return custom().get(name).copied();
    }
    SCOPES.iter().find(|scope| scope.name == name)
}

const CUSTOM_PREFIX: &str = "custom:";

type Custom = BTreeMap<&'static str, &'static Definition>;

/// Those of the configuration. They live as long as the process, whose Hub has one configuration.
static CUSTOM: Mutex<Custom> = Mutex::new(Custom::new());

fn custom() -> MutexGuard<'static, Custom> {
    CUSTOM.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes a custom scope known: its name, its meaning and the scopes that it contains.
pub fn define(name: &str, meaning: &str, contains: &[String]) {
    let keep = |text: &str| -> &'static str { Box::leak(Box::from(text)) };
    let known = custom().get(name).copied();
    if known.is_some_and(|known| known.meaning == meaning && known.contains == contains) {
        return;
    }
    let contains: Vec<_> = contains.iter().map(|name| keep(name)).collect();
    let definition: &'static Definition =
        Box::leak(Box::new(scope(keep(name), keep(meaning), contains.leak())));
    custom().insert(definition.name, definition);
}

/// Whether a custom scope may have this name: `^custom:[a-z0-9][a-z0-9_\-\*:]+[a-z0-9_\*]$` (jupyterhub/scopes.py).
pub fn is_custom_name(name: &str) -> bool {
    let Some(name) = name.strip_prefix(CUSTOM_PREFIX) else {
        return false;
    };
    let first = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let last = |letter: char| first(letter) || "_*".contains(letter);
    let plain = |letter: char| last(letter) || "-:".contains(letter);
    name.len() >= 3 && name.starts_with(first) && name.chars().all(plain) && name.ends_with(last)
}

/// Whether a scope, with its filter or without, is a custom one.
pub fn is_custom(scope: &str) -> bool {
    is_custom_name(scope.split('!').next().unwrap_or_default())
}

/// A scope in words: "Use servers (alice/gpu)".
pub fn describe(scope: &str) -> String {
    let name = scope.split('!').next().unwrap_or_default();
    let meaning = match name {
        "inherit" => "Do everything that you may do",
        "self" => "Do everything that you may do with your own account and servers",
        _ => find(name).map_or(name, |scope| scope.meaning),
    };
    match scope.split_once('=') {
        Some((_, object)) => format!("{meaning} ({object})"),
        None => meaning.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_custom_scopes_are_those_of_jupyterhub() {
        for name in [
            "custom:abc",
            "custom:a:b",
            "custom:0-*",
            "custom:site:read_",
        ] {
            assert!(is_custom_name(name), "{name}");
        }
        for name in [
            "custom:ab",
            "custom:",
            "custom:_abc",
            "custom:abc-",
            "custom:abc:",
            "custom:aBc",
            "custom:a c",
            "abc",
            "custom:abc\n",
        ] {
            assert!(!is_custom_name(name), "{name}");
        }
    }

    #[test]
    fn every_contained_scope_is_defined() {
        for scope in SCOPES {
            for inner in scope.contains {
                assert!(find(inner).is_some(), "{inner} in {}", scope.name);
            }
        }
    }
}
