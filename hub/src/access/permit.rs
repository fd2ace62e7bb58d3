//! Permits: proof that a scope was held for an object, which is within; actions read it from there and nowhere else.

use std::ops::Deref;

use super::scopes::{Access, Reach, Scopes, Target};
use crate::names::{GroupName, Named, UserName};

/// What somebody wants to do, and to what.
pub trait Action {
    /// The scope that it takes.
    const SCOPE: &'static str;

    fn target(&self) -> Target<'_>;
}

/// Proof that whoever asked may do this.
#[derive(Debug, Clone)]
pub struct Permit<A>(A);

impl<A> Permit<A> {
    pub fn into_inner(self) -> A {
        self.0
    }
}

impl<A> Deref for Permit<A> {
    type Target = A;
    fn deref(&self) -> &A {
        &self.0
    }
}

/// Why somebody may not.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// The scope is held for others: whether the object exists is not told.
    #[error("No access to resources or resources not found")]
    Elsewhere,
    #[error("Action is not authorized with current scopes; requires any of [{0}]")]
    Missing(String),
}

/// The one question before every action.
pub fn permit<A: Action>(scopes: &Scopes, action: A) -> Result<Permit<A>, Denied> {
    require(scopes, &[A::SCOPE], action.target())?;
    Ok(Permit(action))
}

/// Whether one of these scopes is held, as for reading an object of which each shows a part.
pub fn require(scopes: &Scopes, names: &[&str], target: Target<'_>) -> Result<(), Denied> {
    let best = names.iter().map(|name| scopes.access(name, target));
    let best = best.min_by_key(|access| match access {
        Access::Granted => 0,
        Access::Elsewhere => 1,
        Access::None => 2,
    });
    match best {
        Some(Access::Granted) => Ok(()),
        Some(Access::Elsewhere) if !matches!(target, Target::Hub) => Err(Denied::Elsewhere),
        _ => Err(Denied::Missing(names.join(", "))),
    }
}

/// Whom a list shows to somebody with these scopes.
pub fn reach(scopes: &Scopes, scope: &str) -> Result<Reach, Denied> {
    let reach = scopes.reach(scope);
    reach.ok_or_else(|| Denied::Missing(scope.to_owned()))
}

/// The whole, of which no filter covers a part (GHSA-69wv-m5fw-2fhp: what is new is in no filter).
#[derive(Debug, Clone, Copy)]
pub struct Hub;

fn user(name: &UserName) -> Target<'_> {
    Target::User(name)
}

fn group(name: &GroupName) -> Target<'_> {
    Target::Group(name)
}

fn hub(_: &Hub) -> Target<'_> {
    Target::Hub
}

/// Each action is a type of its own, so that the permit of one is not taken for that of another.
macro_rules! actions {
    ($object:ty, $target:path; $($(#[$doc:meta])* $name:ident: $scope:literal;)*) => { $(
        $(#[$doc])*
        #[derive(Debug, Clone)]
        pub struct $name(pub $object);

        impl Action for $name {
            const SCOPE: &'static str = $scope;

            fn target(&self) -> Target<'_> {
                $target(&self.0)
            }
        }
    )* };
}

actions! { Named, Named::target;
    /// Starts a server, or creates or changes one.
    StartServer: "start:servers";
    /// Stops a server, or deletes it.
    StopServer: "delete:servers";
    ReadServer: "read:servers";
    /// Shares a server, takes that back, makes codes for it.
    ShareServer: "shares";
    ReadShares: "read:shares";
}

actions! { UserName, user;
    ChangeUser: "admin:users";
    DeleteUser: "delete:users";
    ReportActivity: "users:activity";
    /// Reads what ran for a user, and for how long.
    ReadUsage: "read:users:activity";
    ReadTokens: "read:tokens";
    /// Makes tokens or revokes them.
    ChangeTokens: "tokens";
    /// Reads with whom any server of a user is shared.
    ReadSharesOf: "read:shares";
    ReadSharedWithUser: "read:users:shares";
    /// Gives up what is shared with a user.
    LeaveShare: "users:shares";
}

actions! { GroupName, group;
    /// Changes who is in a group, or its properties.
    ChangeGroup: "groups";
    DeleteGroup: "delete:groups";
    ReadSharedWithGroup: "read:groups:shares";
    /// Gives up what is shared with a group.
    LeaveShareOfGroup: "groups:shares";
}

actions! { Hub, hub;
    AddUsers: "admin:users";
    AddGroups: "admin:groups";
    ChangeServices: "admin:services";
    ReadHub: "read:hub";
    ReadMetrics: "read:metrics";
    UseProxy: "proxy";
    /// Reads who did what, of all.
    ReadAudit: "admin:users";
    ShutDown: "shutdown";
}
