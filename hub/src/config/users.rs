//! User names in the configuration, and the pattern that they must match.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use regex::Regex;

use super::report::{Report, join};
use super::value::Value;
use super::yaml::{Kind, Node};
use crate::auth::username;

/// Names of users, lower-case as JupyterHub normalizes them.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Users(pub BTreeSet<String>);

impl Deref for Users {
    type Target = BTreeSet<String>;
    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl Value for Users {
    fn expected() -> String {
        "a list of user names".to_owned()
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        Vec::<UserName>::read(node, path, report)
            .map(|names| Self(names.into_iter().map(|name| name.0).collect()))
    }

    fn show(&self) -> String {
        self.iter().cloned().collect::<Vec<_>>().show()
    }
}

/// Groups with their members. JupyterHub's longer form, a mapping with `users`, is taken as well.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Groups(BTreeMap<String, Users>);

impl Groups {
    pub fn iter(&self) -> impl Iterator<Item = (&String, &Users)> {
        self.0.iter()
    }
}

impl Value for Groups {
    fn expected() -> String {
        "a mapping of groups to lists of user names".to_owned()
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        if !matches!(node.kind, Kind::Map(_)) {
            report.expected(&Self::expected(), node, path);
            return None;
        }
        let mut groups = BTreeMap::new();
        for (name, _, members) in report.entries(node, path) {
            let path = join(path, name);
            let members = match members.child("users") {
                Some(long) => Users::read(long, &join(&path, "users"), report),
                None => Users::read(members, &path, report),
            };
            groups.insert(name.to_owned(), members.unwrap_or_default());
        }
        Some(Self(groups))
    }

    fn show(&self) -> String {
        "{}".to_owned()
    }
}

/// Names of users in place of others; both lower-case.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UserNames(BTreeMap<String, String>);

impl UserNames {
    /// The name that stands for this one, or it itself.
    pub fn of<'n>(&'n self, name: &'n str) -> &'n str {
        self.0.get(name).map_or(name, String::as_str)
    }
}

impl Value for UserNames {
    fn expected() -> String {
        "a mapping of names to user names".to_owned()
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        if !matches!(node.kind, Kind::Map(_)) {
            report.expected(&Self::expected(), node, path);
            return None;
        }
        let mut names = BTreeMap::new();
        for (given, _, name) in report.entries(node, path) {
            let name = UserName::read(name, &join(path, given), report)?;
            names.insert(given.to_lowercase(), name.0);
        }
        Some(Self(names))
    }

    fn show(&self) -> String {
        "{}".to_owned()
    }
}

struct UserName(String);

impl Value for UserName {
    fn expected() -> String {
        "a user name".to_owned()
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let name = String::read(node, path, report)?;
        match username::normalize(&name) {
            Ok(name) => Some(Self(name)),
            Err(error) => {
                report.wrong(node.at, path, error.to_string());
                None
            }
        }
    }

    fn show(&self) -> String {
        self.0.clone()
    }
}

/// A regular expression that a whole user name must match.
#[derive(Debug, Clone)]
pub struct UsernamePattern(Regex);

impl UsernamePattern {
    pub fn matches(&self, name: &str) -> bool {
        self.0.is_match(name)
    }
}

impl PartialEq for UsernamePattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Value for UsernamePattern {
    fn expected() -> String {
        "a regular expression, such as '[a-z]+'".to_owned()
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let pattern = String::read(node, path, report)?;
        // JupyterHub's `re.match` leaves the end open, which lets in more than people expect.
        match Regex::new(&format!("^(?:{pattern})$")) {
            Ok(regex) => Some(Self(regex)),
            Err(error) => {
                // What comes before draws the pattern, which stands in the file.
                let error = error.to_string();
                let reason = error.rsplit("error: ").next().unwrap_or_default();
                report.wrong(
                    node.at,
                    path,
                    format!("expected {}; {reason}", Self::expected()),
                );
                None
            }
        }
    }

    fn show(&self) -> String {
        self.0.as_str().to_owned()
    }
}
