//! The OAuth 2 provider for single-user servers: authorization code with PKCE (RFC 6749, RFC 7636). No HTTP here.

use crate::access::scopes::{Owner, Scopes, Target, access_scope, identify_scopes};
use crate::app::App;
use crate::auth::caller::Login;
use crate::auth::secret;
use crate::db;
use crate::db::oauth::{OAuthClient, OAuthCode};
use crate::db::servers::Server;
use crate::db::tokens::NewToken;

const CODE_LIFE_SECONDS: i64 = 5 * 60;
/// Length of a base64url SHA-256 without padding.
const CHALLENGE_LENGTH: usize = 43;

/// A request for a code whose client and redirect URI are right.
#[derive(Debug)]
pub struct Authorization {
    pub client: OAuthClient,
    pub server: Server,
    state: Option<String>,
    challenge: Option<String>,
}

/// Why there is no [`Authorization`].
#[derive(Debug)]
pub enum Denied {
    /// The client or its redirect URI is wrong: nothing may be sent there (RFC 6749, 4.1.2.1).
    Here(&'static str),
    /// The client is told, by this URL.
    There(String),
    Db(sqlx::Error),
}

impl From<sqlx::Error> for Denied {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error)
    }
}

impl Authorization {
    /// Reads the query of `/oauth2/authorize`.
    pub async fn read(app: &App, query: &str) -> Result<Self, Denied> {
        let get = |name: &str| {
            let mut arguments = url::form_urlencoded::parse(query.as_bytes());
            arguments
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        };
        let unknown =
            Denied::Here("No running server has this client_id; it may have stopped meanwhile.");
        let Some(client) = app
            .db
            .oauth_client(&get("client_id").unwrap_or_default())
            .await?
        else {
            return Err(unknown);
        };
        let Some(server) = app.db.server_by_id(client.server_id).await? else {
            return Err(unknown);
        };
        if get("redirect_uri").as_deref() != Some(&client.redirect_uri) {
            return Err(Denied::Here(
                "redirect_uri is not the one that this server has registered.",
            ));
        }
        let mut authorization = Self {
            client,
            server,
            state: get("state"),
            challenge: None,
        };
        if get("response_type").as_deref() != Some("code") {
            return Err(Denied::There(
                authorization.answer(&[("error", "unsupported_response_type")]),
            ));
        }
        match challenge(
            get("code_challenge"),
            get("code_challenge_method").as_deref(),
        ) {
            Ok(challenge) => authorization.challenge = challenge,
            Err(description) => {
                let error = [
                    ("error", "invalid_request"),
                    ("error_description", description),
                ];
                return Err(Denied::There(authorization.answer(&error)));
            }
        }
        Ok(authorization)
    }

    /// Whether this visitor may enter the server at all.
    pub fn is_allowed(&self, login: &Login) -> bool {
        let target = Target::Server {
            user: &self.server.user,
            server: &self.server.name,
        };
        login.scopes.holds("access:servers", target)
    }

    /// What the server gets of this visitor: knowing who it is, and letting it in.
    pub fn scopes(&self, login: &Login) -> Vec<String> {
        let mut scopes = identify_scopes(&login.user().name);
        scopes.push(access_scope(&self.server.user, &self.server.name));
        let scopes = scopes.iter().map(String::as_str);
        let (wanted, _) = Scopes::stored(scopes, Owner::User(&login.user().name));
        wanted.intersect(&login.scopes).to_list()
    }

    /// Another's server could send a visitor here at any time: that is confirmed once. One's own is not asked about.
    pub async fn needs_confirmation(&self, app: &App, login: &Login) -> db::Result<bool> {
        if login.user().id == self.server.user_id {
            return Ok(false);
        }
        let wanted = self.scopes(login);
        let tokens = app.db.tokens_of(login.user().id).await?;
        let confirmed = tokens.iter().any(|token| {
            token.client_id.as_ref() == Some(&self.client.client_id)
                && wanted.iter().all(|scope| token.scopes.contains(scope))
        });
        Ok(!confirmed)
    }

    /// The URL that brings a code for `scopes` to the server.
    pub async fn grant(&self, app: &App, login: &Login, scopes: Vec<String>) -> db::Result<String> {
        let code = secret::generate();
        let stored = OAuthCode {
            code_hash: secret::hash(&code),
            client_id: self.client.client_id.clone(),
            user_id: login.user().id,
            session_id: login.session.session_id.clone(),
            redirect_uri: self.client.redirect_uri.clone(),
            code_challenge: self.challenge.clone(),
            scopes,
            expires: db::after(CODE_LIFE_SECONDS),
        };
        app.db.add_code(&stored).await?;
        Ok(self.answer(&[("code", &code)]))
    }

    fn answer(&self, pairs: &[(&str, &str)]) -> String {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query
            .extend_pairs(pairs)
            .extend_pairs(self.state.as_deref().map(|state| ("state", state)));
        format!("{}?{}", self.client.redirect_uri, query.finish())
    }
}

/// The form that a server posts to `/oauth2/token`.
#[derive(Debug)]
pub struct Exchange<'a> {
    pub client_id: &'a str,
    pub client_secret: &'a str,
    pub grant_type: &'a str,
    pub code: &'a str,
    pub redirect_uri: &'a str,
    pub code_verifier: &'a str,
}

#[derive(Debug)]
pub struct Granted {
    pub token: String,
    pub seconds: i64,
    pub scopes: Vec<String>,
}

/// Errors of RFC 6749, 5.2; singleuser shows the text to its visitor.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    #[error("Client id or secret are wrong.")]
    Client,
    #[error("Only authorization_code is supported.")]
    GrantType,
    #[error("The code is unknown, too old, or was used before. Log in again.")]
    Code,
    #[error("The code_verifier does not fit the code. Log in again.")]
    Verifier,
    #[error("could not use the database")]
    Db(#[from] sqlx::Error),
}

/// Gives a token for a code.
pub async fn exchange(app: &App, form: &Exchange<'_>) -> Result<Granted, Refused> {
    let client = app
        .db
        .oauth_client(form.client_id)
        .await?
        .ok_or(Refused::Client)?;
    let short = form.client_secret.len() <= secret::MAX_TOKEN_LENGTH;
    let mut known = client.secret_hashes.split(' ');
    if !short || !known.any(|known| secret::is(form.client_secret, known)) {
        return Err(Refused::Client);
    }
    if form.grant_type != "authorization_code" {
        return Err(Refused::GrantType);
    }
    // Taken before it is checked: a code that somebody tried in vain is spent.
    let code_hash = secret::hash(form.code);
    let Some(code) = app.db.take_code(&code_hash).await? else {
        if app.db.revoke_code(&code_hash).await? {
            tracing::warn!(client.id = %client.client_id, "A code came twice: what was given for it is revoked");
        }
        return Err(Refused::Code);
    };
    if code.client_id != client.client_id || code.redirect_uri != form.redirect_uri {
        return Err(Refused::Code);
    }
    if !verifier_fits(code.code_challenge.as_deref(), form.code_verifier) {
        return Err(Refused::Verifier);
    }
    let seconds = app.login_seconds();
    let token = secret::generate();
    let new = NewToken {
        token_hash: &secret::hash(&token),
        user_id: Some(code.user_id),
        client_id: Some(&client.client_id),
        // Logging out of the Hub ends it.
        session_id: Some(&code.session_id),
        code_hash: Some(&code_hash),
        scopes: &code.scopes,
        note: &format!("OAuth token of {}", client.client_id),
        expires: Some(db::after(seconds)),
        ..NewToken::default()
    };
    app.db.add_token(new).await?;
    if app.db.was_reused(&code_hash).await? {
        app.db.revoke_code(&code_hash).await?;
        return Err(Refused::Code);
    }
    tracing::info!(client.id = %client.client_id, "OAuth token given");
    Ok(Granted {
        token,
        seconds,
        scopes: code.scopes,
    })
}

/// Only S256: without a method the RFC means `plain`, which protects nothing here.
fn challenge(
    challenge: Option<String>,
    method: Option<&str>,
) -> Result<Option<String>, &'static str> {
    match (challenge, method) {
        (None, None) => Ok(None),
        (Some(challenge), Some("S256")) if challenge.len() == CHALLENGE_LENGTH => {
            Ok(Some(challenge))
        }
        (_, Some("S256")) => Err("code_challenge is not a base64url SHA-256"),
        _ => Err("code_challenge_method must be S256"),
    }
}

/// A verifier where no challenge was sent is refused too: somebody took the challenge out on the way (RFC 9700, 4.8.2).
fn verifier_fits(challenge: Option<&str>, verifier: &str) -> bool {
    match challenge {
        None => verifier.is_empty(),
        Some(challenge) => {
            (43..=128).contains(&verifier.len())
                && secret::equal(&secret::s256(verifier), challenge)
        }
    }
}
