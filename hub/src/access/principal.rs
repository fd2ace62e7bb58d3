//! Who acts: a user, or a service.

use std::sync::Arc;

use super::roles;
use super::scopes::{Owner, Scopes, identify_scopes};
use super::sharing;
use crate::db::services::Service;
use crate::db::users::User;
use crate::db::{Db, Result};

#[derive(Debug, Clone)]
pub enum Principal {
    User(User),
    Service(Service),
}

impl Principal {
    pub fn name(&self) -> &str {
        match self {
            Self::User(user) => &user.name,
            Self::Service(service) => &service.name,
        }
    }

    /// `user` or `service`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::User(_) => "user",
            Self::Service(_) => "service",
        }
    }

    /// Whether it may make others administrators (CVE-2024-41942).
    pub fn is_admin(&self) -> bool {
        match self {
            Self::User(user) => user.admin,
            Self::Service(service) => service.admin,
        }
    }

    /// The roles that it has without anybody's saying so.
    pub fn default_roles(&self) -> &'static [&'static str] {
        match self {
            Self::User(user) => roles::of_user(user.admin),
            Self::Service(service) => roles::of_service(service.admin),
        }
    }

    pub fn user(&self) -> Option<&User> {
        match self {
            Self::User(user) => Some(user),
            Self::Service(_) => None,
        }
    }

    /// What `self` and filters without a name stand for in its scopes.
    pub fn owner(&self) -> Owner<'_> {
        match self {
            Self::User(user) => Owner::User(&user.name),
            Self::Service(service) => Owner::Service(&service.name),
        }
    }
}

/// What somebody may do at this moment: by the roles that every Hub has, by those of the configuration, by groups, by
/// shares. What is shared with a group counts for tokens of its members too, which JupyterHub leaves out
/// (jupyterhub/scopes.py, `get_scopes_for`): a token of scope `inherit` would do less than its owner.
pub async fn scopes(db: &Db, principal: &Principal) -> Result<Scopes> {
    let owner = principal.owner();
    let roles = match principal {
        Principal::User(user) => db.roles_of_user(user.id).await?,
        Principal::Service(service) => db.roles_of_service(service.id).await?,
    };
    // Those that the configuration gives other scopes are among the roles already.
    let is_default = |name: &&&str| !roles.iter().any(|role| role.name == ***name);
    let defaults: Vec<_> = principal
        .default_roles()
        .iter()
        .filter(is_default)
        .copied()
        .collect();
    let mut scopes = Scopes::of_roles(&defaults, owner);
    for role in &roles {
        let (scopes_of_role, _) = Scopes::stored(role.scopes.iter().map(String::as_str), owner);
        scopes.extend(&scopes_of_role);
    }
    if let Principal::User(user) = principal {
        scopes.extend(&shared_with(db, user).await?);
    }
    with_members(db, scopes).await
}

/// What others have shared with a user, or with a group that the user is in.
async fn shared_with(db: &Db, user: &User) -> Result<Scopes> {
    let mut scopes = Scopes::default();
    for share in db.scopes_shared_with(user.id).await? {
        let shared = sharing::filtered(&share.scopes, &share.owner, &share.server);
        let shared = shared.iter().map(String::as_str);
        scopes.extend(&Scopes::stored(shared, Owner::User(&user.name)).0);
    }
    Ok(scopes)
}

/// What a token may do at this moment: what it was given, as far as its owner may it; and what of it is not known here.
pub async fn scopes_of_token<'t>(
    db: &Db,
    principal: &Principal,
    token: &'t [String],
) -> Result<(Scopes, Vec<&'t str>)> {
    let of_owner = scopes(db, principal).await?;
    cut(db, principal, &of_owner, token).await
}

/// The same of one whose owner's scopes are at hand, as for a list of tokens.
pub async fn cut<'t>(
    db: &Db,
    principal: &Principal,
    of_owner: &Scopes,
    token: &'t [String],
) -> Result<(Scopes, Vec<&'t str>)> {
    if token.iter().any(|scope| scope == "inherit") {
        return Ok((of_owner.clone(), Vec::new()));
    }
    let (mut given, unknown) = Scopes::stored(token.iter().map(String::as_str), principal.owner());
    given.extend(&identify(principal));
    let given = with_members(db, given).await?;
    Ok((given.intersect(of_owner), unknown))
}

/// What every token may do: say whose it is (jupyterhub/scopes.py, `identify_scopes`).
pub fn identify(principal: &Principal) -> Scopes {
    let scopes = match principal {
        Principal::User(user) => identify_scopes(&user.name),
        Principal::Service(service) => vec![format!("read:services:name!service={}", service.name)],
    };
    Scopes::stored(scopes.iter().map(String::as_str), principal.owner()).0
}

/// With the members of the groups that its filters name.
pub async fn with_members(db: &Db, mut scopes: Scopes) -> Result<Scopes> {
    let groups = scopes.groups();
    if !groups.is_empty() {
        scopes.set_members(Arc::new(db.members_of(groups).await?));
    }
    Ok(scopes)
}
