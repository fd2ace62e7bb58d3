//! Named servers: what they may be called, and how they are created and changed without being started.

use super::UserOptions;
use crate::access::permit::{Permit, StartServer};
use crate::app::App;
use crate::auth::username::escape;
use crate::db::named_servers::{Change, Changed, NewServer};
use crate::db::servers::Server;
use crate::db::users::User;
use crate::names::Named;

/// What [`is_server_name`] asks for, in words.
const SERVER_NAME_RULE: &str = "The name of a server has up to 30 small letters, digits and single hyphens, \
     and begins with a letter.";
/// The longest display name, in characters (jupyterhub/apihandlers/users.py, 6.0).
const LONGEST_DISPLAY_NAME: usize = 255;

/// Why a server was not created or changed.
#[derive(Debug, thiserror::Error)]
pub enum NamedError {
    #[error("No such user")]
    NoUser,
    #[error("{0} has no such server")]
    NoServer(String),
    #[error("{SERVER_NAME_RULE}")]
    Name,
    #[error("Named servers are not enabled.")]
    NotEnabled,
    #[error(
        "User {0} already has the maximum of {1} named servers.  One must be deleted before a new server can be created"
    )]
    TooMany(String, u32),
    #[error(
        "A display name has up to {LONGEST_DISPLAY_NAME} characters, all of which can be seen."
    )]
    DisplayName,
    #[error(
        "The default server keeps its name, under which its files are kept. Create a named server beside it."
    )]
    OfDefault,
    #[error("User {0} already has a default server")]
    Default(String),
    #[error("User {0} already has server {1}")]
    Taken(String, String),
    #[error(
        "The files of another server of this user are kept under the name {0}; choose another, or try again in a minute"
    )]
    InUse(String),
    #[error("{0} is active. Please stop it before modifying it.")]
    Active(String),
    #[error("could not use the database")]
    Db(#[from] sqlx::Error),
}

/// What is to become of a server; what is not there stays.
#[derive(Debug, Default)]
pub struct Wanted {
    pub name: Option<String>,
    pub display_name: Option<String>,
    pub user_options: Option<UserOptions>,
}

/// A server. Everybody has a default one, even where it never ran.
pub async fn existing(app: &App, named: &Named) -> Result<Server, NamedError> {
    if let Some(server) = app.db.server(&named.user, &named.server).await? {
        return Ok(server);
    }
    if !named.server.is_empty() {
        return Err(NamedError::NoServer(named.user.to_string()));
    }
    let user = app.db.user(&named.user).await?.ok_or(NamedError::NoUser)?;
    let prefix = app.urls.server(&user.name, "");
    Ok(Server::never_started(&user, prefix))
}

/// The same with a row, which the default server that never ran is given.
pub async fn with_row(app: &App, server: Server) -> Result<Server, NamedError> {
    if server.id != 0 {
        return Ok(server);
    }
    let new = NewServer {
        user_id: server.user_id,
        name: &server.name,
        display_name: &server.display_name,
        user_options: &server.user_options,
        prefix: &server.prefix,
        named_limit: 0,
    };
    match app.db.create_server(new).await? {
        // Another request was faster.
        Changed::Taken => {
            let row = app.db.server(&server.user, &server.name).await?;
            row.ok_or(NamedError::NoServer(server.user))
        }
        changed => done(changed, &server.user, &server.name),
    }
}

/// Whether a server of this name may be started or created, by `JupyterHub.allow_named_servers`; how many there may be is
/// counted where the row is written (jupyterhub/handlers/base.py, `_check_named_server_request`).
pub async fn admit(app: &App, user: &User, name: &str) -> Result<(), NamedError> {
    if name.is_empty() {
        return Ok(());
    }
    enabled(app, name)?;
    if !is_server_name(name) && app.db.server(&user.name, name).await?.is_none() {
        return Err(NamedError::Name);
    }
    Ok(())
}

fn enabled(app: &App, name: &str) -> Result<(), NamedError> {
    if name.is_empty() || app.config.jupyter_hub.allow_named_servers {
        Ok(())
    } else {
        Err(NamedError::NotEnabled)
    }
}

/// Creates a named server that is not started.
pub async fn create(
    app: &App,
    permit: Permit<StartServer>,
    wanted: Wanted,
) -> Result<Server, NamedError> {
    let named = &permit.0;
    let user = app.db.user(&named.user).await?.ok_or(NamedError::NoUser)?;
    if named.server.is_empty() {
        return Err(NamedError::Default(user.name));
    }
    if app.db.server(&user.name, &named.server).await?.is_some() {
        return Err(NamedError::Taken(user.name, named.server.clone()));
    }
    admit(app, &user, &named.server).await?;
    check(None, wanted.display_name.as_deref())?;
    let new = NewServer {
        user_id: user.id,
        name: &named.server,
        display_name: wanted.display_name.as_deref().unwrap_or_default(),
        user_options: &wanted.user_options.unwrap_or_default(),
        prefix: &app.urls.server(&user.name, &named.server),
        named_limit: app.config.jupyter_hub.named_server_limit_per_user,
    };
    done(app.db.create_server(new).await?, &user.name, &named.server)
}

/// Changes a server that is stopped.
pub async fn change(
    app: &App,
    permit: Permit<StartServer>,
    wanted: Wanted,
) -> Result<Server, NamedError> {
    let named = &permit.0;
    enabled(app, &named.server)?;
    if named.server.is_empty() && wanted.name.is_some() {
        return Err(NamedError::OfDefault);
    }
    check(wanted.name.as_deref(), wanted.display_name.as_deref())?;
    let server = app.db.server(&named.user, &named.server).await?;
    let server = server.ok_or_else(|| NamedError::NoServer(named.user.to_string()))?;
    let prefix = wanted
        .name
        .as_deref()
        .map(|name| app.urls.server(&server.user, name));
    let change = Change {
        name: wanted.name.as_deref(),
        prefix: prefix.as_deref(),
        display_name: wanted.display_name.as_deref(),
        user_options: wanted.user_options.as_ref(),
    };
    let name = wanted.name.as_deref().unwrap_or(&server.name);
    match app.db.change_server(server.id, change).await? {
        Changed::NotStopped => Err(NamedError::Active(server.full_name())),
        changed => done(changed, &server.user, name),
    }
}

/// Whether a server may have this name and be called so.
pub(super) fn check(name: Option<&str>, display_name: Option<&str>) -> Result<(), NamedError> {
    if name.is_some_and(|name| !is_server_name(name)) {
        return Err(NamedError::Name);
    }
    let is_shown = |name: &str| {
        name.chars().count() <= LONGEST_DISPLAY_NAME && !name.chars().any(char::is_control)
    };
    if display_name.is_some_and(|name| !is_shown(name)) {
        return Err(NamedError::DisplayName);
    }
    Ok(())
}

fn done(changed: Changed, user: &str, name: &str) -> Result<Server, NamedError> {
    match changed {
        Changed::Done(server) => Ok(*server),
        Changed::Taken => Err(NamedError::Taken(user.to_owned(), name.to_owned())),
        Changed::InUse => Err(NamedError::InUse(name.to_owned())),
        Changed::TooMany(limit) => Err(NamedError::TooMany(user.to_owned(), limit)),
        Changed::NotStopped => Err(NamedError::NoServer(user.to_owned())),
    }
}

/// Whether a new named server may have this name (jupyterhub/slugs.py, 6.0).
pub fn is_server_name(name: &str) -> bool {
    let words_are_plain = name.split('-').all(|word| {
        !word.is_empty()
            && word
                .chars()
                .all(|letter| letter.is_ascii_lowercase() || letter.is_ascii_digit())
    });
    name.len() <= 30
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && words_are_plain
        && escape(name) == name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn server_names_are_slugs() {
        for good in ["a", "gpu-2", "a1-b2"] {
            assert!(is_server_name(good), "{good}");
        }
        for bad in [
            "",
            "2gpu",
            "-a",
            "a-",
            "a--b",
            "A",
            "a/b",
            "a b",
            &"a".repeat(31),
        ] {
            assert!(!is_server_name(bad), "{bad}");
        }
    }
}
