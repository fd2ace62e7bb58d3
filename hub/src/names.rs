//! Names in addresses, read in one place: who is permitted, looked up and changed is one and the same user.

use std::fmt;
use std::ops::Deref;

use axum::extract::{FromRequestParts, OptionalFromRequestParts, Path};
use http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::access::scopes::Target;
use crate::app::App;
use crate::auth::username::{self, Invalid};
use crate::db::users::User;
use crate::error::AppError;

/// The name of a user as the database holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserName(String);

impl UserName {
    pub fn normalize(name: &str) -> Result<Self, Invalid> {
        username::normalize(name).map(Self)
    }

    /// That of a query's argument.
    pub fn read(name: &str) -> Result<Self, AppError> {
        Self::normalize(name).map_err(|_| no_such_user())
    }

    /// That of a row.
    pub fn of(user: &User) -> Self {
        Self(user.name.clone())
    }
}

impl Deref for UserName {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a group, which stands in addresses and in filters of scopes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupName(String);

impl GroupName {
    /// None for what no group is called.
    pub fn parse(name: String) -> Option<Self> {
        let fits = (1..=username::MAX_LENGTH).contains(&name.len())
            && !name.contains('/')
            && !name.chars().any(char::is_control);
        fits.then_some(Self(name))
    }
}

impl Deref for GroupName {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

#[derive(Debug, Deserialize)]
struct GroupWords {
    group: String,
}

/// The `{group}` of a request's path.
impl FromRequestParts<App> for GroupName {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, AppError> {
        let words = path::<GroupWords>(parts, app).await;
        let name = words.ok().and_then(|Path(words)| Self::parse(words.group));
        name.ok_or_else(|| AppError::not_found("No such group"))
    }
}

/// The user, and perhaps the server, that the path of a request names: `{user}` and `{server}` of its route.
#[derive(Debug, Clone)]
pub struct Named {
    pub user: UserName,
    /// Empty for the default server. Names of servers have one spelling.
    pub server: String,
}

impl Named {
    pub fn target(&self) -> Target<'_> {
        Target::Server {
            user: &self.user,
            server: &self.server,
        }
    }
}

#[derive(Debug, Deserialize)]
struct Words {
    user: Option<String>,
    #[serde(default)]
    server: String,
}

impl FromRequestParts<App> for Named {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, AppError> {
        let named = <Self as OptionalFromRequestParts<App>>::from_request_parts(parts, app).await?;
        named.ok_or_else(no_such_user)
    }
}

/// None where the route has no `{user}`.
impl OptionalFromRequestParts<App> for Named {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Option<Self>, AppError> {
        let Path(words) = path::<Words>(parts, app).await?;
        let Some(user) = words.user else {
            return Ok(None);
        };
        Ok(Some(Self {
            user: UserName::normalize(&user).map_err(|_| no_such_user())?,
            server: words.server,
        }))
    }
}

/// The server that a path names beside a user or a group: `{owner}` and `{server}` of its route.
#[derive(Debug, Clone)]
pub struct OfOwner(pub Named);

#[derive(Debug, Deserialize)]
struct OwnerWords {
    owner: String,
    #[serde(default)]
    server: String,
}

impl FromRequestParts<App> for OfOwner {
    type Rejection = AppError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, AppError> {
        let Path(words) = path::<OwnerWords>(parts, app).await?;
        let user = UserName::normalize(&words.owner).map_err(|_| no_such_user())?;
        let server = words.server;
        Ok(Self(Named { user, server }))
    }
}

async fn path<W: DeserializeOwned + Send>(
    parts: &mut Parts,
    app: &App,
) -> Result<Path<W>, AppError> {
    let words = <Path<W> as FromRequestParts<App>>::from_request_parts(parts, app).await;
    words.map_err(|_| AppError::bad_request("This address does not read."))
}

/// Nobody can have a name that does not read, so this tells nobody who exists.
pub fn no_such_user() -> AppError {
    AppError::not_found("No such user")
}
