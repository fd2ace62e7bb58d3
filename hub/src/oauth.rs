//! The OAuth 2 provider for single-user servers and services: authorization code with PKCE (RFC 6749, RFC 7636). No HTTP here.

use std::collections::BTreeSet;

use crate::access::scopes::{
    Owner, Scopes, Target, access_scope, access_scope_of_service, identify_scopes,
};
use crate::app::App;
use crate::auth::caller::Login;
use crate::auth::secret;
use crate::db;
use crate::db::oauth::{OAuthClient, OAuthCode};
use crate::db::servers::Server;
use crate::db::services::Service;
use crate::db::tokens::NewToken;

const CODE_LIFE_SECONDS: i64 = 5 * 60;
/// Length of a base64url SHA-256 without padding.
const CHALLENGE_LENGTH: usize = 43;

/// What a client stands for, which a visitor wants to enter.
#[derive(Debug)]
pub enum Resource {
    Server(Box<Server>),
    Service(Service),
}

impl Resource {
    async fn of(app: &App, client: &OAuthClient) -> db::Result<Option<Self>> {
        if let Some(id) = client.server_id {
            let server = app.db.server_by_id(id).await?;
            return Ok(server.map(|server| Self::Server(Box::new(server))));
        }
        let Some(id) = client.service_id else {
            return Ok(None);
        };
        Ok(app.db.service_by_id(id).await?.map(Self::Service))
    }

    /// As a form asks about it: "Server alice/gpu".
    pub fn title(&self) -> String {
        match self {
            Self::Server(server) => format!("Server {}", server.full_name()),
            Self::Service(service) => format!("JupyterHub service {}", service.name),
        }
    }

    /// As a sentence names it.
    pub fn description(&self) -> String {
        match self {
            Self::Server(server) => format!("the server at {}", server.prefix),
            Self::Service(_) => self.title(),
        }
    }

    fn access_scope(&self) -> String {
        match self {
            Self::Server(server) => access_scope(&server.user, &server.name),
            Self::Service(service) => access_scope_of_service(&service.name),
        }
    }

    /// A scope whose filter without a name stands for the client or for its visitor, with that name.
    fn named(&self, scope: &str, user: &str) -> String {
        match (scope.split_once('!'), self) {
            (Some((scope, "user")), _) => format!("{scope}!user={user}"),
            (Some((scope, "service")), Self::Service(service)) => {
                format!("{scope}!service={}", service.name)
            }
            (Some((scope, "server")), Self::Server(server)) => {
                format!("{scope}!server={}/{}", server.user, server.name)
            }
            _ => scope.to_owned(),
        }
    }
}

/// A request for a code whose client and redirect URI are right.
#[derive(Debug)]
pub struct Authorization {
    pub client: OAuthClient,
    pub resource: Resource,
    state: Option<String>,
    challenge: Option<String>,
    /// What the client asks for; none for all that it may.
    requested: Vec<String>,
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
        let unknown = Denied::Here(
            "No running server or service has this client_id; it may have stopped meanwhile.",
        );
        let Some(client) = app
            .db
            .oauth_client(&get("client_id").unwrap_or_default())
            .await?
        else {
            return Err(unknown);
        };
        let Some(resource) = Resource::of(app, &client).await? else {
            return Err(unknown);
        };
        if get("redirect_uri").as_deref() != Some(&client.redirect_uri) {
            return Err(Denied::Here(
                "redirect_uri is not the one that this client has registered.",
            ));
        }
        let mut authorization = Self {
            client,
            resource,
            state: get("state"),
            challenge: None,
            requested: Vec::new(),
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
        let scope = get("scope").unwrap_or_default();
        // The old name of what every client gets (jupyterhub/oauth/provider.py, `validate_scopes`).
        let requested = scope
            .split_whitespace()
            .filter(|scope| *scope != "identify");
        authorization.requested = requested.map(str::to_owned).collect();
        Ok(authorization)
    }

    /// Whether this visitor may enter at all.
    pub fn is_allowed(&self, login: &Login) -> bool {
        match &self.resource {
            Resource::Server(server) => {
                let (user, server) = (&server.user, &server.name);
                let target = Target::Server { user, server };
                login.scopes.holds("access:servers", target)
            }
            Resource::Service(service) => {
                let target = Target::Service(&service.name);
                login.scopes.holds("access:services", target)
            }
        }
    }

    /// Where to send a visitor of a client that asks for more than it may.
    pub fn too_much(&self, login: &Login) -> Option<String> {
        let name = &login.user().name;
        let allowed = self.with_required(&self.client.allowed_scopes, name);
        let requested = self.with_required(&self.requested, name);
        let is = |scopes: &[String]| scopes.iter().any(|scope| scope == "inherit");
        if is(&allowed) {
            return None;
        }
        let parse = |scopes: &[String]| {
            let (parsed, unknown) =
                Scopes::stored(scopes.iter().map(String::as_str), Owner::User(name));
            (parsed, unknown.is_empty())
        };
        let (requested_scopes, known) = parse(&requested);
        let fits = known && !is(&requested) && requested_scopes.is_subset(&parse(&allowed).0);
        (!fits).then(|| self.answer(&[("error", "invalid_scope")]))
    }

    /// These scopes, and those without which the client is of no use: knowing who a visitor is, and letting them in.
    fn with_required(&self, scopes: &[String], user: &str) -> Vec<String> {
        let named = scopes.iter().map(|scope| self.resource.named(scope, user));
        let mut all = identify_scopes(user);
        all.push(self.resource.access_scope());
        all.extend(named);
        all
    }

    /// What the client gets of this visitor: what it asks for, as far as the visitor has it.
    pub fn scopes(&self, login: &Login) -> Vec<String> {
        let name = &login.user().name;
        let asked = if self.requested.is_empty() {
            &self.client.allowed_scopes
        } else {
            &self.requested
        };
        let mut scopes = BTreeSet::new();
        for scope in self.with_required(asked, name) {
            let (wanted, _) = Scopes::stored([scope.as_str()], Owner::User(name));
            if scope == "inherit"
                || (wanted.is_subset(&login.scopes) && !wanted.to_list().is_empty())
            {
                scopes.insert(scope);
            } else {
                scopes.extend(wanted.intersect(&login.scopes).to_list());
            }
        }
        scopes.into_iter().collect()
    }

    /// Another's server or a service could send a visitor here at any time: that is confirmed once. One's own server is not
    /// asked about.
    pub async fn needs_confirmation(&self, app: &App, login: &Login) -> db::Result<bool> {
        let trusted = match &self.resource {
            Resource::Server(server) => login.user().id == server.user_id,
            Resource::Service(service) => service.oauth_no_confirm,
        };
        if trusted {
            return Ok(false);
        }
        let tokens = app.db.tokens_of(login.user().id).await?;
        let confirmed: BTreeSet<_> = tokens
            .iter()
            .filter(|token| token.client_id.as_ref() == Some(&self.client.client_id))
            .flat_map(|token| &token.scopes)
            .collect();
        let wanted = self.scopes(login);
        Ok(!wanted.iter().all(|scope| confirmed.contains(scope)))
    }

    /// The URL that brings a code for `scopes` to the client.
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
        let uri = &self.client.redirect_uri;
        let joint = if uri.contains('?') { '&' } else { '?' };
        format!("{uri}{joint}{}", query.finish())
    }
}

/// The form that a client posts to `/oauth2/token`.
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
