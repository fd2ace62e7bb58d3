//! Accounts: who may have one, the administrators of the configuration, and passwords that an administrator sets.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use tracing::{error, info, warn};

use crate::access::roles;
use crate::app::Urls;
use crate::auth::username::{self, Invalid};
use crate::auth::{password, secret};
use crate::config::{self, Config, SpawnerClass};
use crate::db::Db;
use crate::db::groups::Change;
use crate::db::roles::NewRole;
use crate::db::services::{NewClient, NewService};
use crate::db::users::User;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{0}")]
    Name(#[from] Invalid),
    #[error(
        "the configuration does not let {0} log in: look at Authenticator.allowed_users, allow_all, blocked_users and \
         username_pattern"
    )]
    NotAllowed(String),
    #[error("the Hub keeps no passwords with this JupyterHub.authenticator_class")]
    NotKept,
    #[error("{0}")]
    Password(String),
    #[error("could not hash the password")]
    Hash(#[from] password::Error),
    #[error("could not use the database")]
    Db(#[from] sqlx::Error),
}

/// `Authenticator.blocked_users`, `username_pattern`, `allow_all`, `allowed_users`, `admin_users` and
/// `allow_existing_users`; whom an administrator has added is allowed as well (jupyterhub/auth.py, `add_user`), and whom
/// the authenticator's own rules let in.
pub fn may_log_in(config: &Config, name: &str, known: Option<&User>, vouched: bool) -> bool {
    let authenticator = &config.authenticator;
    let allowed = vouched
        || known.is_some_and(|user| user.added || authenticator.allow_existing_users)
        || authenticator.allow_all
        || authenticator.allowed_users.contains(name)
        || authenticator.admin_users.contains(name);
    allowed && fits_pattern(config, name) && !authenticator.blocked_users.contains(name)
}

/// Whether the configuration gives this user rights: nobody makes such an account by themselves.
pub fn is_named(config: &Config, name: &str) -> bool {
    let hub = &config.jupyter_hub;
    config.authenticator.admin_users.contains(name)
        || hub.load_roles.iter().any(|role| role.users.contains(name))
        || hub
            .load_groups
            .iter()
            .any(|(_, members)| members.contains(name))
}

/// `Authenticator.username_pattern`
pub fn fits_pattern(config: &Config, name: &str) -> bool {
    let pattern = config.authenticator.username_pattern.as_ref();
    pattern.is_none_or(|pattern| pattern.matches(name))
}

/// What is wrong with a password that somebody wants to have. An empty one is never set, whatever the configuration
/// says.
pub fn password_error(config: &Config, new: &str) -> Option<String> {
    let minimum = minimum_length(config);
    if new.chars().count() < minimum {
        return Some(format!(
            "The new password needs at least {minimum} characters."
        ));
    }
    (new.len() > password::MAX_LENGTH).then(|| "The new password is too long.".to_owned())
}

pub fn minimum_length(config: &Config) -> usize {
    config.native_authenticator.minimum_password_length.max(1)
}

/// Sets a user's password and ends the user's logins and tokens; a user whom the configuration lets in is created. True if so.
pub async fn set_password(
    config: &Config,
    db: &Db,
    name: &str,
    password: String,
) -> Result<bool, Error> {
    let name = username::normalize(name)?;
    let known = db.user(&name).await?;
    if !config.jupyter_hub.authenticator_class.is_native() {
        return Err(Error::NotKept);
    }
    if !may_log_in(config, &name, known.as_ref(), false) {
        return Err(Error::NotAllowed(name));
    }
    if let Some(wrong) = password_error(config, &password) {
        return Err(Error::Password(wrong));
    }
    let hash = password::hash(password).await?;
    let admin = config.authenticator.admin_users.contains(&name);
    if db.add_user(&name, admin, Some(&hash), false).await? {
        return Ok(true);
    }
    if let Some(user) = db.user(&name).await? {
        db.set_password(user.id, &hash, None).await?;
    }
    Ok(false)
}

/// Whether whoever comes may make an account.
pub fn has_signup(config: &Config) -> bool {
    config.jupyter_hub.authenticator_class.is_native() && config.native_authenticator.open_signup
}

/// At the very first start the administrators get the empty password, which lets them in once to set their own. One
/// that the configuration names later gets none: by then the Hub may be open to many.
pub async fn create_administrators(config: &Config, db: &Db) -> Result<(), Error> {
    let native = config.jupyter_hub.authenticator_class.is_native();
    let first = native && db.no_users().await?;
    for name in config.authenticator.admin_users.iter() {
        if first {
            let hash = password::hash(String::new()).await?;
            db.add_user(name, true, Some(&hash), true).await?;
            info!(user.name = %name, "Administrator {name} was created with the empty password");
        } else if !native {
            db.add_user(name, true, None, false).await?;
            db.set_admin(name, true).await?;
        } else if db.add_user(name, true, None, false).await? {
            warn!(
                user.name = %name,
                "Administrator {name} was created and has no password: set one with `carrel-hub set-password`"
            );
        } else {
            db.set_admin(name, true).await?;
        }
    }
    for user in db.configured_admins().await? {
        if !config.authenticator.admin_users.contains(&user.name) {
            db.set_admin(&user.name, false).await?;
            warn!(
                user.name = %user.name,
                "{} is no administrator any more: Authenticator.admin_users does not name them", user.name
            );
        }
    }
    Ok(())
}

/// An administrator of the first start who can still log in with the empty password.
pub async fn first_account(config: &Config, db: &Db) -> Result<Option<String>, sqlx::Error> {
    if !config.jupyter_hub.authenticator_class.is_native() {
        return Ok(None);
    }
    let empty = db.users_with_empty_password().await?;
    let mut administrators = empty.into_iter().filter(|user| user.admin);
    let first = administrators.find(|user| may_log_in(config, &user.name, Some(user), false));
    Ok(first.map(|user| user.name))
}

/// The groups of `JupyterHub.load_groups`, with their members, who get an account where they have none (jupyterhub/app.py,
/// `init_groups`). What the API has added since stays.
pub async fn create_groups(config: &Config, db: &Db) -> Result<(), Error> {
    for (name, members) in config.jupyter_hub.load_groups.iter() {
        for member in members.iter() {
            db.add_user(member, false, None, false).await?;
        }
        let members: Vec<String> = members.iter().cloned().collect();
        // Nothing where it is there; a member who was deleted a moment ago is none.
        let _ = db.add_groups(std::slice::from_ref(name), &[]).await?;
        let _ = db.change_members(name, &members, Change::Add).await?;
    }
    Ok(())
}

/// The roles of `JupyterHub.load_roles` and the services of `JupyterHub.services`, as the file has them now.
pub async fn create_roles_and_services(config: &Config, urls: &Urls, db: &Db) -> Result<(), Error> {
    let hub = &config.jupyter_hub;
    let no_info = serde_json::Map::new();
    let hash = |service: &config::Service| {
        let token = service.api_token.as_ref();
        token.map(|token| secret::hash(&token.0))
    };
    let hashes: Vec<_> = hub.services.iter().map(hash).collect();
    let services = hub.services.iter().zip(&hashes);
    let services = services.map(|(service, hash)| NewService {
        name: &service.name,
        admin: service.admin,
        url: &service.url,
        info: &no_info,
        display: service.display,
        token_hash: hash.as_deref(),
        command: service.command.as_ref().map_or(&[], |command| &command.0),
        oauth_no_confirm: service.oauth_no_confirm,
        client: service
            .oauth_client(&urls.public(&urls.service(&service.name)))
            .map(|(client_id, redirect_uri)| NewClient {
                client_id,
                redirect_uri,
                allowed_scopes: &service.oauth_client_allowed_scopes,
            }),
    });
    db.set_services(&services.collect::<Vec<_>>()).await?;
    let mut all = Vec::new();
    for role in hub.load_roles.iter() {
        for user in role.users.iter() {
            db.add_user(user, false, None, false).await?;
        }
        for group in &role.groups {
            let _ = db.add_groups(std::slice::from_ref(group), &[]).await?;
        }
        all.push(NewRole {
            name: &role.name,
            description: &role.description,
            scopes: &role.scopes,
            users: role.users.iter().map(String::as_str).collect(),
            groups: role.groups.iter().map(String::as_str).collect(),
            services: role.services.iter().map(String::as_str).collect(),
        });
    }
    let of_users: Vec<String>;
    let given = all.iter().any(|role| role.name == roles::USER);
    if given && !hub.extra_user_scopes.is_empty() {
        warn!(
            "JupyterHub.extra_user_scopes is passed over: load_roles gives the role `user` other scopes"
        );
    } else if !hub.extra_user_scopes.is_empty() {
        let own = roles::default_role(roles::USER).into_iter().flatten();
        let own = own.map(|scope| (*scope).to_owned());
        of_users = own.chain(hub.extra_user_scopes.iter().cloned()).collect();
        all.push(NewRole {
            name: roles::USER,
            description: "",
            scopes: &of_users,
            users: Vec::new(),
            groups: Vec::new(),
            services: Vec::new(),
        });
    }
    db.set_roles(&all).await?;
    Ok(())
}

/// Whether the servers of users run under accounts of the machine that they have themselves: where the authenticator knows
/// those, and the Hub can become any of them.
pub fn are_of_the_machine(config: &Config) -> bool {
    config.jupyter_hub.authenticator_class.has_system_users() && nix::unistd::geteuid().is_root()
}

/// With `LocalProcess` all servers run as the Hub's own user, so that each can read the files of all others, and the
/// Hub's database.
pub async fn warn_of_shared_account(config: &Config, db: &Db) -> Result<(), Error> {
    let authenticator = &config.authenticator;
    let mut users: BTreeSet<String> = authenticator.allowed_users.0.clone();
    users.extend(authenticator.admin_users.iter().cloned());
    users.extend(db.added_users().await?.into_iter().map(|user| user.name));
    let hub = &config.jupyter_hub;
    let several = hub.authenticator_class.has_system_users() || users.len() > 1;
    let shared = (authenticator.allow_all || several) && !are_of_the_machine(config);
    if shared && hub.spawner_class == SpawnerClass::LocalProcess {
        warn!(
            "More than one user may log in, and with LocalProcess the servers of all run as this account of the machine: \
             each can read and change the files of the others, and the Hub's database. That is for people who trust each \
             other; use Kubernetes for others"
        );
    }
    Ok(())
}

/// Says at each start whose password is empty, and louder where others than this machine's users reach the Hub.
pub async fn warn_of_empty_passwords(
    config: &Config,
    db: &Db,
    address: SocketAddr,
) -> Result<(), Error> {
    if !config.jupyter_hub.authenticator_class.is_native() {
        return Ok(());
    }
    for user in db.users_with_empty_password().await? {
        let name = &user.name;
        if !may_log_in(config, name, Some(&user), false) {
            continue;
        }
        if address.ip().is_loopback() {
            warn!(user.name = %name, "The password of administrator {name} is empty: log in and set one");
        } else {
            error!(
                user.name = %name,
                "The password of administrator {name} is empty and the Hub listens on {address}: whoever reaches it \
                 can log in. Set a password now"
            );
        }
    }
    Ok(())
}
