//! Sets of scopes: expanded, cut to what two of them have in common, asked whether they cover an object. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use super::definitions::{self, Definition};
use super::roles;
use crate::auth::username::normalize;

/// What `self` stands for, each with `!user=` (jupyterhub/scopes.py, `_expand_self_scope`).
const SELF: &[&str] = &[
    "read:users",
    "users:shares",
    "read:shares",
    "users:activity",
    "servers",
    "tokens",
    "access:servers",
];

/// To what a scope is limited. A server is written `user/server`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Filter {
    User(String),
    Group(String),
    Server(String),
    Service(String),
}

/// The objects that one scope is held for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Held {
    All,
    Only(BTreeSet<Filter>),
}

/// Who is in which group; only of the groups that filters name.
pub type Members = Arc<BTreeMap<String, BTreeSet<String>>>;

/// Expanded scopes: everything that is contained is listed, and no filter stands beside the whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scopes {
    held: BTreeMap<&'static str, Held>,
    members: Members,
}

/// Whose scopes they are: what `self` and filters without a name stand for.
#[derive(Debug, Clone, Copy)]
pub enum Owner<'a> {
    /// Normalized.
    User(&'a str),
    Service(&'a str),
    /// The process of a server, which is its user's: `(user, server)`.
    Server(&'a str, &'a str),
}

/// The object that an action is about.
#[derive(Debug, Clone, Copy)]
pub enum Target<'a> {
    /// Something that no filter covers, such as creating a user.
    Hub,
    User(&'a str),
    Group(&'a str),
    Service(&'a str),
    Server {
        user: &'a str,
        server: &'a str,
    },
}

/// How far a scope is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// For the object asked about.
    Granted,
    /// For other objects only: whether this one exists is not told.
    Elsewhere,
    None,
}

/// A scope that does not exist.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Scope {0:?} does not exist.")]
pub struct UnknownScope(pub String);

impl Scopes {
    /// Expands scopes that somebody asks for; `inherit` gives nothing here, for it is its owner's affair.
    pub fn parse<'a>(
        scopes: impl IntoIterator<Item = &'a str>,
        owner: Owner<'_>,
    ) -> Result<Self, UnknownScope> {
        let (parsed, unknown) = Self::stored(scopes, owner);
        match unknown.first() {
            None => Ok(parsed),
            Some(text) => Err(UnknownScope(text.chars().take(80).collect())),
        }
    }

    /// Expands scopes that a Hub has stored. It may have been one of a later version: what is not known here gives
    /// nothing, and is returned beside what is.
    pub fn stored<'a>(
        scopes: impl IntoIterator<Item = &'a str>,
        owner: Owner<'_>,
    ) -> (Self, Vec<&'a str>) {
        let (mut parsed, mut unknown) = (Self::default(), Vec::new());
        for text in scopes {
            match text {
                "inherit" => {}
                "self" => parsed.add_own(owner),
                _ => match read(text, owner) {
                    Some((scope, None)) => parsed.add(scope, None),
                    Some((scope, Some(Some(filter)))) => parsed.add(scope, Some(&filter)),
                    // `!user` of a service, and the like: it is nobody's.
                    Some((_, Some(None))) => {}
                    None => unknown.push(text),
                },
            }
        }
        (parsed, unknown)
    }

    /// The scopes of these roles, as far as every Hub has them.
    pub fn of_roles(names: &[&str], owner: Owner<'_>) -> Self {
        let mut scopes = Self::default();
        for name in names {
            let role = roles::default_role(name).unwrap_or_default();
            scopes.extend(&Self::stored(role.iter().copied(), owner).0);
        }
        scopes
    }

    fn add_own(&mut self, owner: Owner<'_>) {
        let (Owner::User(name) | Owner::Server(name, _)) = owner else {
            return;
        };
        let filter = Filter::User(name.to_owned());
        for scope in SELF.iter().filter_map(|name| definitions::find(name)) {
            self.add(scope, Some(&filter));
        }
    }

    fn add(&mut self, scope: &'static Definition, filter: Option<&Filter>) {
        // A server's filter says nothing of its user, whom `read:servers` contains (`_expand_scope`).
        let of_server = matches!(filter, Some(Filter::Server(_)));
        if of_server && scope.name.starts_with("read:user") {
            return;
        }
        // What is held already holds what it contains, which custom scopes may do in a circle.
        match (filter, self.held.get_mut(scope.name)) {
            (_, Some(Held::All)) => return,
            (None, _) => {
                self.held.insert(scope.name, Held::All);
            }
            (Some(filter), Some(Held::Only(filters))) => {
                if !filters.insert(filter.clone()) {
                    return;
                }
            }
            (Some(filter), None) => {
                let filters = BTreeSet::from([filter.clone()]);
                self.held.insert(scope.name, Held::Only(filters));
            }
        }
        for inner in scope
            .contains
            .iter()
            .filter_map(|name| definitions::find(name))
        {
            self.add(inner, filter);
        }
    }

    pub fn extend(&mut self, other: &Self) {
        for (name, theirs) in &other.held {
            match (self.held.get_mut(name), theirs) {
                (Some(Held::All), _) => {}
                (Some(Held::Only(ours)), Held::Only(theirs)) => ours.extend(theirs.iter().cloned()),
                _ => {
                    self.held.insert(name, theirs.clone());
                }
            }
        }
        self.members = both_members(&self.members, &other.members);
    }

    /// The groups that filters name: their members decide whom the scopes cover.
    pub fn groups(&self) -> BTreeSet<String> {
        let filters = self.held.values().filter_map(|held| match held {
            Held::All => None,
            Held::Only(filters) => Some(filters),
        });
        let groups = filters.flatten().filter_map(|filter| match filter {
            Filter::Group(group) => Some(group.clone()),
            _ => None,
        });
        groups.collect()
    }

    pub fn set_members(&mut self, members: Members) {
        self.members = members;
    }

    /// What both hold: a token never does more than its owner may at this moment.
    pub fn intersect(&self, other: &Self) -> Self {
        let mut common = Self {
            held: BTreeMap::new(),
            members: both_members(&self.members, &other.members),
        };
        for (name, ours) in &self.held {
            let both = match (ours, other.held.get(name)) {
                (_, None) => continue,
                (Held::All, Some(theirs)) => theirs.clone(),
                (ours, Some(Held::All)) => ours.clone(),
                (Held::Only(ours), Some(Held::Only(theirs))) => {
                    let pairs = ours.iter().flat_map(|a| theirs.iter().map(move |b| (a, b)));
                    let both = pairs.filter_map(|(a, b)| narrower(a, b, &common.members));
                    Held::Only(both.cloned().collect())
                }
            };
            if !matches!(&both, Held::Only(filters) if filters.is_empty()) {
                common.held.insert(name, both);
            }
        }
        common
    }

    pub fn is_subset(&self, other: &Self) -> bool {
        self.intersect(other).held == self.held
    }

    /// How far a scope is held, for this object.
    pub fn access(&self, name: &str, target: Target<'_>) -> Access {
        match self.held.get(name) {
            None => Access::None,
            Some(Held::All) => Access::Granted,
            Some(Held::Only(filters)) => {
                let mut filters = filters.iter();
                if filters.any(|filter| covers(filter, target, &self.members)) {
                    Access::Granted
                } else {
                    Access::Elsewhere
                }
            }
        }
    }

    pub fn holds(&self, name: &str, target: Target<'_>) -> bool {
        self.access(name, target) == Access::Granted
    }

    /// For whom a scope is held; none where it is not held at all.
    pub fn reach(&self, name: &str) -> Option<Reach> {
        let filters = match self.held.get(name)? {
            Held::All => return Some(Reach::All),
            Held::Only(filters) => filters,
        };
        let (mut users, mut groups, mut services) = (Vec::new(), Vec::new(), Vec::new());
        for filter in filters {
            match filter {
                Filter::User(user) => users.push(user.clone()),
                Filter::Group(group) => groups.push(group.clone()),
                Filter::Service(service) => services.push(service.clone()),
                Filter::Server(_) => {}
            }
        }
        Some(Reach::Only {
            users,
            groups,
            services,
        })
    }

    /// Sorted, as `GET /hub/api/user` lists them.
    pub fn to_list(&self) -> Vec<String> {
        let mut list = Vec::new();
        for (name, held) in &self.held {
            match held {
                Held::All => list.push((*name).to_owned()),
                Held::Only(filters) => {
                    list.extend(filters.iter().map(|filter| format!("{name}!{filter}")));
                }
            }
        }
        list.sort();
        list
    }
}

/// Whom a list shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    All,
    Only {
        users: Vec<String>,
        groups: Vec<String>,
        services: Vec<String>,
    },
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

/// May use this service.
pub fn access_scope_of_service(service: &str) -> String {
    format!("access:services!service={service}")
}

/// Scopes of the token that a server's own process holds: those that are given, or those of the role `server`. Without that
/// of activity nobody would know which servers are idle, so it is always one of them (jupyterhub/user.py, `spawn`).
pub fn of_server(given: Option<&[String]>, user: &str, server: &str) -> Vec<String> {
    let owner = Owner::Server(user, server);
    let mut scopes = match given {
        Some(given) => Scopes::stored(given.iter().map(String::as_str), owner).0,
        None => Scopes::of_roles(&[roles::SERVER], owner),
    };
    scopes.extend(&Scopes::stored(["users:activity!user"], owner).0);
    let mut list = scopes.to_list();
    if given.is_some_and(|given| given.iter().any(|scope| scope == "inherit")) {
        list.push("inherit".to_owned());
    }
    list
}

/// What every OAuth token may do: say who its owner is.
pub fn identify_scopes(user: &str) -> Vec<String> {
    vec![
        format!("read:users:groups!user={user}"),
        format!("read:users:name!user={user}"),
    ]
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(name) => write!(f, "user={name}"),
            Self::Group(name) => write!(f, "group={name}"),
            Self::Server(name) => write!(f, "server={name}"),
            Self::Service(name) => write!(f, "service={name}"),
        }
    }
}

type Read = (&'static Definition, Option<Option<Filter>>);

/// Names in filters are normalized as those in addresses are, which they are compared with.
fn read(text: &str, owner: Owner<'_>) -> Option<Read> {
    let (name, filter) = match text.split_once('!') {
        None => (text, None),
        Some((name, filter)) => (name, Some(read_filter(filter, owner)?)),
    };
    Some((definitions::find(name)?, filter))
}

/// None where it does not read; nothing within where it stands for what the owner has not.
fn read_filter(text: &str, owner: Owner<'_>) -> Option<Option<Filter>> {
    let Some((kind, name)) = text.split_once('=') else {
        return match (text, owner) {
            ("user", Owner::User(name) | Owner::Server(name, _)) => {
                Some(Some(Filter::User(name.to_owned())))
            }
            ("server", Owner::Server(user, server)) => {
                Some(Some(Filter::Server(format!("{user}/{server}"))))
            }
            ("service", Owner::Service(name)) => Some(Some(Filter::Service(name.to_owned()))),
            ("user" | "server" | "service", _) => Some(None),
            _ => None,
        };
    };
    let filter = match kind {
        "user" => Filter::User(normalize(name).ok()?),
        "server" => {
            let (user, server) = name.split_once('/')?;
            Filter::Server(format!("{}/{server}", normalize(user).ok()?))
        }
        "group" if !name.is_empty() => Filter::Group(name.to_owned()),
        "service" if !name.is_empty() => Filter::Service(name.to_owned()),
        _ => return None,
    };
    Some(Some(filter))
}

fn covers(filter: &Filter, target: Target<'_>, members: &Members) -> bool {
    match (filter, target) {
        (Filter::User(filter), Target::User(user) | Target::Server { user, .. }) => filter == user,
        (Filter::Group(group), Target::User(user) | Target::Server { user, .. }) => {
            is_member(members, group, user)
        }
        (Filter::Server(filter), Target::Server { user, server }) => {
            filter.split_once('/') == Some((user, server))
        }
        (Filter::Group(filter), Target::Group(group)) => filter == group,
        (Filter::Service(filter), Target::Service(service)) => filter == service,
        _ => false,
    }
}

/// The filter that covers no more than either.
fn narrower<'a>(a: &'a Filter, b: &'a Filter, members: &Members) -> Option<&'a Filter> {
    if a == b {
        return Some(a);
    }
    let within = |inner: &Filter, outer: &Filter| match (inner, outer) {
        (Filter::Server(server), Filter::User(user)) => user_of(server) == user,
        (Filter::Server(server), Filter::Group(group)) => {
            is_member(members, group, user_of(server))
        }
        (Filter::User(user), Filter::Group(group)) => is_member(members, group, user),
        _ => false,
    };
    if within(a, b) {
        Some(a)
    } else {
        within(b, a).then_some(b)
    }
}

fn both_members(a: &Members, b: &Members) -> Members {
    match (a.is_empty(), b.is_empty()) {
        (_, true) => Arc::clone(a),
        (true, _) => Arc::clone(b),
        _ => {
            let both = a.iter().chain(b.iter());
            Arc::new(
                both.map(|(name, who)| (name.clone(), who.clone()))
                    .collect(),
            )
        }
    }
}

fn is_member(members: &Members, group: &str, user: &str) -> bool {
    members
        .get(group)
        .is_some_and(|members| members.contains(user))
}

fn user_of(server: &str) -> &str {
    server.split_once('/').map_or(server, |(user, _)| user)
}

#[cfg(test)]
mod tests;
