//! Types of the configuration's values that the standard library lacks.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;

/// A URL path that begins and ends with `/`.
#[derive(Debug, Clone, PartialEq)]
pub struct BaseUrl(String);

impl Default for BaseUrl {
    fn default() -> Self {
        Self("/".to_owned())
    }
}

impl Deref for BaseUrl {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

/// A program and its arguments; never empty. The file may give the program alone, as text.
#[derive(Debug, Clone, PartialEq)]
pub struct Command(pub Vec<String>);

impl Deref for Command {
    type Target = [String];
    fn deref(&self) -> &[String] {
        &self.0
    }
}

/// Address of the database; it may hold a password, which `Debug` leaves out.
#[derive(Clone, PartialEq)]
pub struct DbUrl(pub String);

impl fmt::Debug for DbUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.split(':').next().unwrap_or_default())?;
        f.write_str(":...")
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

/// What runs the users' servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpawnerClass {
    LocalProcess,
}

/// What checks the users' passwords.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthenticatorClass {
    Native,
}

/// One field of the spawn form; its value arrives in `user_options` under `name`.
#[derive(Debug, Clone, PartialEq)]
pub struct OptionsField {
    pub name: String,
    pub label: String,
    pub help: String,
    pub default: String,
    pub kind: FieldKind,
}

#[derive(Debug, Clone, PartialEq)]
pub enum FieldKind {
    Text,
    /// One of these values.
    Choice(Vec<String>),
}
