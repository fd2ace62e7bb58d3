//! Scopes: what a token or a session may do. Pure: no HTTP and no database.

use std::collections::BTreeSet;
use std::fmt;

use crate::auth::username::normalize;

/// A scope, its meaning, and the scopes that it contains (jupyterhub/scopes.py, `scope_definitions`).
const SCOPES: &[(&str, &str, &[&str])] = &[
    (
        "admin:users",
        "Read, change, create and delete users",
        &[
            "admin:auth_state",
            "users",
            "read:roles:users",
            "delete:users",
        ],
    ),
    ("admin:auth_state", "Read users' authentication state", &[]),
    (
        "users",
        "Read and change users",
        &["read:users", "list:users", "users:activity"],
    ),
    ("delete:users", "Delete users", &[]),
    ("list:users", "List users", &["read:users:name"]),
    (
        "read:users",
        "Read users",
        &[
            "read:users:name",
            "read:users:groups",
            "read:users:activity",
        ],
    ),
    ("read:users:name", "Read names of users", &[]),
    ("read:users:groups", "Read users' groups", &[]),
    (
        "read:users:activity",
        "Read when users were last active",
        &[],
    ),
    ("read:roles:users", "Read users' roles", &[]),
    (
        "users:activity",
        "Report users' activity",
        &["read:users:activity"],
    ),
    (
        "admin:servers",
        "Start, stop and delete servers, and read their state",
        &["admin:server_state", "servers"],
    ),
    ("admin:server_state", "Read the state of servers", &[]),
    (
        "servers",
        "Start and stop servers",
        &["read:servers", "start:servers", "delete:servers"],
    ),
    ("read:servers", "Read servers", &["read:users:name"]),
    ("start:servers", "Start servers", &[]),
    ("delete:servers", "Stop and delete servers", &[]),
    ("tokens", "Make, read and revoke tokens", &["read:tokens"]),
    ("read:tokens", "Read tokens", &[]),
    ("access:servers", "Use servers", &[]),
];

/// What role `user` gives: `self` of JupyterHub, as far as the Hub serves it.
const USER_ROLE: &[&str] = &[
    "read:users",
    "users:activity",
    "servers",
    "tokens",
    "access:servers",
];
/// What role `admin` gives.
const ADMIN_ROLE: &[&str] = &["admin:users", "admin:servers", "tokens", "access:servers"];

/// To whom a scope applies. A server is written `user/server`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Filter {
    All,
    User(String),
    Server(String),
}

/// One scope with its filter, such as `read:users!user=alice`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope {
    pub name: &'static str,
    pub filter: Filter,
}

/// Expanded scopes: everything that is contained is listed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scopes(BTreeSet<Scope>);

/// Whose token or session it is: what `inherit`, `self` and a filter `!user` without a name stand for.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'a> {
    /// Normalized.
    pub name: &'a str,
    pub admin: bool,
}

/// Proof that a scope was held for an object; actions take it as an argument.
#[derive(Debug, Clone, Copy)]
pub struct Permit(());

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    #[error("Scope {0:?} does not exist.")]
    Unknown(String),
    #[error("Action is not authorized with current scopes; requires any of [{0}]")]
    Missing(&'static str),
}

/// The object that an action is about.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// Something that no filter covers, such as creating a user.
    Hub,
    User(&'a str),
    Server {
        user: &'a str,
        server: &'a str,
    },
}

impl Scopes {
    /// What a user may do who is logged in.
    pub fn of_user(name: &str, admin: bool) -> Self {
        let own = USER_ROLE
            .iter()
            .map(|scope| (*scope, Filter::User(name.to_owned())));
        let all = ADMIN_ROLE
            .iter()
            .filter(|_| admin)
            .map(|scope| (*scope, Filter::All));
        let mut scopes = Self::default();
        for (scope, filter) in own.chain(all) {
            scopes.add(scope, &filter);
        }
        scopes
    }

    /// Reads scopes that somebody asks for.
    pub fn parse<'a>(
        scopes: impl IntoIterator<Item = &'a str>,
        owner: Owner<'_>,
    ) -> Result<Self, ScopeError> {
        let (parsed, unknown) = Self::stored(scopes, owner);
        match unknown.first() {
            None => Ok(parsed),
            Some(text) => Err(ScopeError::Unknown(text.chars().take(80).collect())),
        }
    }

    /// Reads scopes that a Hub has stored. It may have been one of a later version: what is not known here gives
    /// nothing, and is returned beside what is.
    pub fn stored<'a>(
        scopes: impl IntoIterator<Item = &'a str>,
        owner: Owner<'_>,
    ) -> (Self, Vec<&'a str>) {
        let (mut parsed, mut unknown) = (Self::default(), Vec::new());
        for text in scopes {
            match text {
                "inherit" => parsed.extend(&Self::of_user(owner.name, owner.admin)),
                // An administrator's as well: the role `user` for oneself (jupyterhub/scopes.py, `_expand_self_scope`).
                "self" => parsed.extend(&Self::of_user(owner.name, false)),
                _ => match parse_one(text, owner) {
                    Some((name, filter)) => parsed.add(name, &filter),
                    None => unknown.push(text),
                },
            }
        }
        (parsed, unknown)
    }

    fn add(&mut self, name: &str, filter: &Filter) {
        let Some((name, _, contained)) = SCOPES.iter().find(|(known, ..)| *known == name) else {
            return;
        };
        self.0.insert(Scope {
            name,
            filter: filter.clone(),
        });
        for inner in *contained {
            self.add(inner, filter);
        }
    }

    pub fn extend(&mut self, other: &Self) {
        self.0.extend(other.0.iter().cloned());
    }

    /// What both hold: a token never does more than its owner may at this moment.
    pub fn intersect(&self, other: &Self) -> Self {
        let pairs = self
            .0
            .iter()
            .flat_map(|a| other.0.iter().map(move |b| (a, b)));
        let common = pairs
            .filter(|(a, b)| a.name == b.name)
            .filter_map(|(a, b)| {
                Some(Scope {
                    name: a.name,
                    filter: narrower(&a.filter, &b.filter)?.clone(),
                })
            });
        Self(common.collect())
    }

    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.iter().all(|scope| {
            let mut held = other.0.iter().filter(|held| held.name == scope.name);
            held.any(|held| narrower(&held.filter, &scope.filter) == Some(&scope.filter))
        })
    }

    pub fn holds(&self, name: &str, target: Target<'_>) -> bool {
        self.0
            .iter()
            .any(|scope| scope.name == name && covers(&scope.filter, target))
    }

    /// Sorted, as `GET /hub/api/user` lists them.
    pub fn to_list(&self) -> Vec<String> {
        let mut list: Vec<String> = self.0.iter().map(Scope::to_string).collect();
        list.sort();
        list
    }
}

/// The one question before every action of the API.
pub fn require(
    scopes: &Scopes,
    name: &'static str,
    target: Target<'_>,
) -> Result<Permit, ScopeError> {
    if scopes.holds(name, target) {
        Ok(Permit(()))
    } else {
        Err(ScopeError::Missing(name))
    }
}

/// Scopes of the token that a server's own process holds (role `server`).
pub fn of_server(user: &str, server: &str) -> Vec<String> {
    vec![
        format!("users:activity!user={user}"),
        access_scope(user, server),
    ]
}

/// `JUPYTERHUB_OAUTH_ACCESS_SCOPES`: any of these lets a visitor in.
pub fn access_scopes(user: &str, server: &str) -> Vec<String> {
    vec![
        access_scope(user, server),
        format!("access:servers!user={user}"),
    ]
}

/// May open this server, and no other of its owner.
pub fn access_scope(user: &str, server: &str) -> String {
    format!("access:servers!server={user}/{server}")
}

/// What every OAuth token may do: say who its owner is.
pub fn identify_scopes(user: &str) -> Vec<String> {
    vec![
        format!("read:users:groups!user={user}"),
        format!("read:users:name!user={user}"),
    ]
}

/// A scope in words: "Use servers (alice/gpu)".
pub fn describe(scope: &str) -> String {
    let name = scope.split('!').next().unwrap_or_default();
    let meaning = SCOPES
        .iter()
        .find(|(known, ..)| *known == name)
        .map_or(name, |(_, meaning, _)| meaning);
    match scope.split_once('=') {
        Some((_, object)) => format!("{meaning} ({object})"),
        None => meaning.to_owned(),
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.filter {
            Filter::All => f.write_str(self.name),
            Filter::User(user) => write!(f, "{}!user={user}", self.name),
            Filter::Server(server) => write!(f, "{}!server={server}", self.name),
        }
    }
}

/// Names in filters are normalized as those in addresses are, which they are compared with.
fn parse_one(text: &str, owner: Owner<'_>) -> Option<(&'static str, Filter)> {
    let (name, filter) = match text.split_once('!') {
        None => (text, Filter::All),
        Some((name, "user")) => (name, Filter::User(owner.name.to_owned())),
        Some((name, filter)) => match filter.split_once('=')? {
            ("user", user) => (name, Filter::User(normalize(user).ok()?)),
            ("server", server) => {
                let (user, server) = server.split_once('/')?;
                let server = format!("{}/{server}", normalize(user).ok()?);
                (name, Filter::Server(server))
            }
            _ => return None,
        },
    };
    let (name, ..) = SCOPES.iter().find(|(known, ..)| *known == name)?;
    Some((name, filter))
}

fn covers(filter: &Filter, target: Target<'_>) -> bool {
    match (filter, target) {
        (Filter::All, _) => true,
        (Filter::User(filter), Target::User(user) | Target::Server { user, .. }) => filter == user,
        (Filter::Server(filter), Target::Server { user, server }) => {
            filter.split_once('/') == Some((user, server))
        }
        _ => false,
    }
}

fn narrower<'a>(a: &'a Filter, b: &'a Filter) -> Option<&'a Filter> {
    match (a, b) {
        _ if a == b => Some(a),
        (Filter::All, other) | (other, Filter::All) => Some(other),
        (Filter::User(user), Filter::Server(server)) if server_of(server, user) => Some(b),
        (Filter::Server(server), Filter::User(user)) if server_of(server, user) => Some(a),
        _ => None,
    }
}

fn server_of(server: &str, user: &str) -> bool {
    server
        .split_once('/')
        .is_some_and(|(owner, _)| owner == user)
}

#[cfg(test)]
mod tests;
