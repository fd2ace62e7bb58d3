//! Tokens for programs: made and revoked, by the API and by the token page alike.

use tracing::info;

use crate::access::permit::{ChangeTokens, Permit};
use crate::access::principal::{self, Principal};
use crate::access::roles;
use crate::access::scopes::{Owner, Scopes, UnknownScope};
use crate::app::App;
use crate::auth::secret;
use crate::db;
use crate::db::tokens::{ApiToken, NewToken};
use crate::db::users::User;
use crate::error::AppError;
use crate::time;

/// The longest note, in characters.
const LONGEST_NOTE: usize = 255;

/// What may be said of a new token.
#[derive(Debug, Default)]
pub struct TokenRequest {
    pub note: String,
    /// Seconds; none means that the token does not end by itself.
    pub expires_in: Option<i64>,
    /// None means all that the owner may do.
    pub scopes: Option<Vec<String>>,
    /// Roles, whose scopes are those of the token.
    pub roles: Option<Vec<String>>,
}

/// Makes a token that may do no more than its owner and than who asks for it; returns it with the token itself, which is
/// not stored.
pub async fn create(
    app: &App,
    permit: &Permit<ChangeTokens>,
    asker: &Scopes,
    request: TokenRequest,
) -> Result<(ApiToken, String), AppError> {
    let owner = app.db.user(&permit.0).await?;
    let owner = owner.ok_or_else(crate::names::no_such_user)?;
    let scopes = scopes_of(app, request.scopes, request.roles).await?;
    check_scopes(app, &owner, asker, &scopes).await?;
    let note: String = request.note.chars().take(LONGEST_NOTE).collect();
    let token = secret::generate();
    let hash = secret::hash(&token);
    let new = NewToken {
        token_hash: &hash,
        user_id: Some(owner.id),
        scopes: &scopes,
        note: &note,
        expires: lasting(app, request.expires_in)?.map(expiry).transpose()?,
        ..NewToken::default()
    };
    app.db.add_token(new).await?;
    info!(user.name = %owner.name, "Token made for {}", owner.name);
    let stored = app.db.token(&hash).await?;
    let stored = stored.ok_or_else(|| AppError::bad_request("The token ends before it begins."))?;
    Ok((stored, token))
}

/// How long a token lasts (`JupyterHub.token_expires_in_max_seconds`).
fn lasting(app: &App, wanted: Option<i64>) -> Result<Option<i64>, AppError> {
    let most = app.config.jupyter_hub.longest_token();
    match wanted {
        wanted if most == 0 => Ok(wanted),
        None => Ok(Some(most)),
        Some(wanted) if wanted > most => Err(AppError::bad_request(format!(
            "token expires_in: {wanted} must not exceed {most}"
        ))),
        Some(wanted) => Ok(Some(wanted)),
    }
}

async fn scopes_of(
    app: &App,
    scopes: Option<Vec<String>>,
    names: Option<Vec<String>>,
) -> Result<Vec<String>, AppError> {
    let mut names = names.unwrap_or_default();
    match scopes {
        Some(scopes) if names.is_empty() => return Ok(scopes),
        Some(_) => {
            return Err(AppError::bad_request(
                "specify either roles or scopes, not both",
            ));
        }
        None if names.is_empty() => names.push(roles::TOKEN.to_owned()),
        None => {}
    }
    let mut all = Vec::new();
    for name in &names {
        // The configuration may give a default role other scopes.
        match (app.db.role(name).await?, roles::default_role(name)) {
            (Some(role), _) => all.extend(role.scopes),
            (None, Some(scopes)) => all.extend(scopes.iter().map(|scope| (*scope).to_owned())),
            (None, None) => {
                return Err(AppError::bad_request(format!(
                    "Role {name:?} does not exist."
                )));
            }
        }
    }
    Ok(all)
}

async fn check_scopes(
    app: &App,
    owner: &User,
    asker: &Scopes,
    scopes: &[String],
) -> Result<(), AppError> {
    let of_owner = principal::scopes(&app.db, &Principal::User(owner.clone())).await?;
    let wanted = if scopes.iter().any(|scope| scope == "inherit") {
        of_owner.clone()
    } else {
        let wanted = Scopes::parse(scopes.iter().map(String::as_str), Owner::User(&owner.name))?;
        principal::with_members(&app.db, wanted).await?
    };
    if !wanted.is_subset(&of_owner) {
        return Err(AppError::bad_request(
            "A token cannot have more scopes than its owner.",
        ));
    }
    if !wanted.is_subset(asker) {
        return Err(AppError::forbidden(
            "A token cannot have more scopes than who asks for it.",
        ));
    }
    Ok(())
}

/// When a token ends that is to last for so many seconds; refused where that time cannot be told.
pub fn expiry(seconds: i64) -> Result<i64, AppError> {
    let expires = db::after(seconds);
    if expires > time::LATEST {
        return Err(AppError::bad_request(
            "expires_in reaches beyond the year 9999; leave it out for a token that does not end by itself",
        ));
    }
    Ok(expires)
}

/// `a<number>`, the public id of a token.
pub fn parse_id(id: &str) -> Option<i64> {
    id.strip_prefix('a')?.parse().ok()
}

impl From<UnknownScope> for AppError {
    fn from(unknown: UnknownScope) -> Self {
        Self::bad_request(unknown.to_string())
    }
}
