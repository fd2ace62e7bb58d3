//! Lists of named items, and `JupyterHub.load_roles`: what the configuration puts into the database at each start.

use std::fmt;
use std::ops::Deref;

use super::hints;
use super::report::{Report, join};
use super::scope_list::ScopeList;
use super::section::{self, Key, Section, SectionKeys, section};
use super::users::Users;
use super::value::{self, Value};
use super::yaml::{Kind, Node};
use crate::auth::secret;

section! {
    /// One role: scopes under a name, and who has it. Those that every Hub has, `user`, `admin`, `server` (of the
    /// tokens that servers get) and `token` (of those of which nothing is said), get the scopes that are given here in place of
    /// their own.
    Role {
        /// Name of 3 to 255 small letters, digits and characters of `-_~.`, of which a letter comes first.
        name: String = String::new();
        /// What the role is for.
        description: String = String::new();
        /// Scopes as in JupyterHub, such as `servers!group=staff`.
        scopes: ScopeList = ScopeList::default();
        /// Users who have it; they get an account.
        users: Users = Users::default();
        /// Groups whose members have it.
        groups: Vec<String> = Vec::new();
        /// Services that have it.
        services: Vec<String> = Vec::new();
    }
}

/// Text that no log shows.
#[derive(Clone, PartialEq)]
pub struct Secret(pub String);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Value for Secret {
    fn expected() -> String {
        String::from("8 to 64 characters that nobody guesses")
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let text = String::read(node, path, report)?;
        if (secret::SHORTEST..=secret::MAX_TOKEN_LENGTH).contains(&text.len()) {
            return Some(Self(text));
        }
        report.wrong(node.at, path, format!("expected {}", Self::expected()));
        None
    }

    fn show(&self) -> String {
        String::new()
    }
}

/// An item of a list, with a name that no other has.
pub trait Item: Section + Default + PartialEq {
    /// What it is, with its article.
    const WHAT: &'static str;

    fn name(&self) -> &str;
    fn keys() -> SectionKeys;
    fn check(&self, node: &Node, path: &str, report: &mut Report);
}

/// A list of items whose names differ.
#[derive(Debug, Clone, PartialEq)]
pub struct Named<T>(Vec<T>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Deref for Named<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Item> Value for Named<T> {
    fn expected() -> String {
        format!("a list, each item {} (see below)", T::WHAT)
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let Kind::List(items) = &node.kind else {
            report.expected(&Self::expected(), node, path);
            return None;
        };
        let keys: Vec<_> = T::keys().keys.iter().map(|key| key.name).collect();
        let mut read: Vec<T> = Vec::new();
        for (index, node) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if !matches!(node.kind, Kind::Map(_)) {
                report.expected("keys, each with its value", node, &path);
                continue;
            }
            let mut item = T::default();
            section::read(&mut item, &path, node, report, |key| {
                hints::not_among(key, T::WHAT, &keys)
            });
            if read.iter().any(|other| other.name() == item.name()) {
                let message = format!("another of them is named {:?} too", item.name());
                report.wrong(node.at, &join(&path, "name"), message);
            }
            item.check(node, &path, report);
            read.push(item);
        }
        Some(Self(read))
    }

    fn show(&self) -> String {
        String::from("[]")
    }
}

impl Item for Role {
    const WHAT: &'static str = "a role";

    fn name(&self) -> &str {
        &self.name
    }

    fn keys() -> SectionKeys {
        Self::keys()
    }

    fn check(&self, node: &Node, path: &str, report: &mut Report) {
        // jupyterhub/roles.py, `_validate_role_name`.
        let plain = |letter: char| {
            letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-_~.".contains(letter)
        };
        let fits = (3..=255).contains(&self.name.len())
            && self.name.chars().all(plain)
            && self
                .name
                .starts_with(|first: char| first.is_ascii_lowercase())
            && self
                .name
                .ends_with(|last: char| last.is_ascii_alphanumeric());
        let at = report.given(&join(path, "name")).unwrap_or(node.at);
        if !fits {
            let message = "a role needs a name of 3 to 255 small letters, digits and characters of `-_~.`, \
                           which begins with a letter and ends with a letter or digit";
            report.wrong(at, &join(path, "name"), message);
        }
    }
}
