//! What may be shared of a server: scopes that a filter by one server covers, each held for that server alone.

use super::definitions;
use super::scopes::UnknownScope;

/// What a share gives that does not say.
pub const DEFAULT: &str = "access:servers";

/// The scopes that are asked for of a server. Of any other, a share would look like a permission and be none:
/// `users:activity` is asked for of a user, whom no server's filter covers.
const OF_SERVERS: &[&str] = &[
    "access:servers",
    "admin:servers",
    "admin:server_state",
    "servers",
    "read:servers",
    "start:servers",
    "delete:servers",
    "shares",
    "read:shares",
];

/// Why scopes cannot be shared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotShareable {
    #[error(transparent)]
    Unknown(#[from] UnknownScope),
    #[error("Scope {scope} cannot be shared, for it is not one of a server; these are: {}", OF_SERVERS.join(", "))]
    NotOfServers { scope: &'static str },
    #[error("The filter of {0} is not that of the shared server: {1}")]
    Filter(&'static str, String),
}

/// Scopes without their filter, which may be missing or be that of the server.
pub fn read(scopes: &[String], owner: &str, server: &str) -> Result<Vec<String>, NotShareable> {
    let own = filter(owner, server);
    let read = scopes.iter().map(|scope| {
        let (name, given) = match scope.split_once('!') {
            None => (scope.as_str(), None),
            Some((name, given)) => (name, Some(given)),
        };
        let Some(known) = definitions::find(name) else {
            return Err(UnknownScope(scope.chars().take(80).collect()).into());
        };
        if given.is_some_and(|given| given != own) {
            return Err(NotShareable::Filter(known.name, own.clone()));
        }
        if !OF_SERVERS.contains(&known.name) {
            return Err(NotShareable::NotOfServers { scope: known.name });
        }
        Ok(known.name.to_owned())
    });
    read.collect()
}

/// Shared scopes with the filter of their server, as it is called now.
pub fn filtered(scopes: &[String], owner: &str, server: &str) -> Vec<String> {
    let own = filter(owner, server);
    let scopes = scopes.iter().map(|scope| format!("{scope}!{own}"));
    scopes.collect()
}

fn filter(owner: &str, server: &str) -> String {
    format!("server={owner}/{server}")
}

#[cfg(test)]
mod tests {
    use super::super::scopes::{Owner, Scopes, Target};
    use super::*;

    const SERVER: Target<'_> = Target::Server {
        user: "alice",
        server: "gpu",
    };

    fn read_one(scope: &str) -> Result<Vec<String>, NotShareable> {
        read(&[scope.to_owned()], "alice", "gpu")
    }

    #[test]
    fn what_may_be_shared_is_held_for_the_server_and_nothing_else() {
        for scope in OF_SERVERS {
            let read = read_one(scope).unwrap();
            assert_eq!(
                read_one(&format!("{scope}!server=alice/gpu")),
                Ok(read.clone())
            );
            let list = filtered(&read, "alice", "gpu");
            let held = Scopes::parse(list.iter().map(String::as_str), Owner::User("bob")).unwrap();
            assert!(held.holds(scope, SERVER), "{scope}");
            for listed in held.to_list() {
                assert!(listed.ends_with("!server=alice/gpu"), "{listed}");
            }
        }
    }

    #[test]
    fn what_no_server_s_filter_covers_is_not_shared() {
        for scope in [
            "users:activity",
            "admin:users",
            "tokens",
            "read:users",
            "groups:shares",
        ] {
            assert_eq!(read_one(scope), Err(NotShareable::NotOfServers { scope }));
        }
        for filter in [
            "server",
            "server=alice/",
            "server=bob/gpu",
            "user=alice",
            "",
        ] {
            let read = read_one(&format!("access:servers!{filter}"));
            let own = "server=alice/gpu".to_owned();
            assert_eq!(read, Err(NotShareable::Filter("access:servers", own)));
        }
        for unknown in ["fly", "self", "inherit", ""] {
            assert!(matches!(read_one(unknown), Err(NotShareable::Unknown(_))));
        }
    }
}
