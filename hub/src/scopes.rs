//! Scopes: what a token or a session may do. Pure: no HTTP and no database.

use std::collections::BTreeSet;
use std::fmt;

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

    /// Reads stored or requested scopes; `inherit` and `self` stand for everything the owner has.
    pub fn parse<'a>(
        scopes: impl IntoIterator<Item = &'a str>,
        owner: &Scopes,
    ) -> Result<Self, ScopeError> {
        let mut parsed = Self::default();
        for text in scopes {
            if text == "inherit" || text == "self" {
                parsed.0.extend(owner.0.iter().cloned());
                continue;
            }
            let (name, filter) = parse_one(text)
                .ok_or_else(|| ScopeError::Unknown(text.chars().take(80).collect()))?;
            parsed.add(name, &filter);
        }
        Ok(parsed)
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
        format!("access:servers!server={user}/{server}"),
    ]
}

/// `JUPYTERHUB_OAUTH_ACCESS_SCOPES`: any of these lets a visitor in.
pub fn access_scopes(user: &str, server: &str) -> Vec<String> {
    vec![
        format!("access:servers!server={user}/{server}"),
        format!("access:servers!user={user}"),
    ]
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

fn parse_one(text: &str) -> Option<(&'static str, Filter)> {
    let (name, filter) = match text.split_once('!') {
        None => (text, Filter::All),
        Some((name, filter)) => match filter.split_once('=')? {
            ("user", user) => (name, Filter::User(user.to_owned())),
            ("server", server) if server.contains('/') => (name, Filter::Server(server.to_owned())),
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
mod tests {
    use super::*;

    fn parse(scopes: &[&str]) -> Scopes {
        Scopes::parse(scopes.iter().copied(), &Scopes::default()).unwrap()
    }

    #[test]
    fn every_contained_scope_is_in_the_table() {
        for (name, _, contained) in SCOPES {
            for inner in *contained {
                assert!(
                    SCOPES.iter().any(|(known, ..)| known == inner),
                    "{inner} in {name}"
                );
            }
        }
    }

    #[test]
    fn a_token_is_cut_to_what_its_owner_may() {
        let owner = Scopes::of_user("alice", false);
        let cut = parse(&["access:servers!server=alice/", "access:servers!server=bob/"])
            .intersect(&owner);
        assert_eq!(cut.to_list(), ["access:servers!server=alice/"]);
        let raised = parse(&["admin:users"]).intersect(&owner);
        assert!(!raised.holds("delete:users", Target::User("alice")));
        assert!(
            parse(&["users"])
                .intersect(&owner)
                .holds("read:users", Target::User("alice"))
        );
    }

    #[test]
    fn filters_cover_their_own_objects_only() {
        let scopes = parse(&["servers!server=alice/gpu", "read:users!user=bob"]);
        assert!(scopes.holds(
            "start:servers",
            Target::Server {
                user: "alice",
                server: "gpu"
            }
        ));
        assert!(!scopes.holds(
            "start:servers",
            Target::Server {
                user: "alice",
                server: ""
            }
        ));
        assert!(!scopes.holds("start:servers", Target::User("alice")));
        assert!(scopes.holds("read:users:name", Target::User("bob")));
        assert!(!scopes.holds("read:users:name", Target::Hub));
    }

    #[test]
    fn inherit_is_what_the_owner_has() {
        let owner = Scopes::of_user("alice", false);
        assert_eq!(Scopes::parse(["inherit"], &owner).unwrap(), owner);
        assert!(Scopes::parse(["no:such"], &owner).is_err());
        assert!(Scopes::parse(["servers!group=x"], &owner).is_err());
    }

    #[test]
    fn subset_follows_filters() {
        let owner = Scopes::of_user("alice", false);
        assert!(parse(&["access:servers!server=alice/gpu"]).is_subset(&owner));
        assert!(!parse(&["access:servers"]).is_subset(&owner));
        assert!(owner.is_subset(&Scopes::of_user("alice", true)));
    }
}
