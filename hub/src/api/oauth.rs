//! The OAuth 2 provider for single-user servers: authorization code with PKCE (RFC 6749, RFC 7636).

use axum::Json;
use axum::body::Body;
use axum::extract::{OriginalUri, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::{StatusCode, header};
use serde_json::json;
use tracing::info;

use crate::app::App;
use crate::auth::caller::Login;
use crate::auth::posted;
use crate::auth::secret;
use crate::db;
use crate::db::oauth::{OAuthClient, OAuthCode};
use crate::db::servers::Server;
use crate::db::tokens::NewToken;
use crate::error::AppError;
use crate::pages::argument;
use crate::scopes::{Scopes, Target, identify_scopes};

const CODE_LIFE_MS: i64 = 5 * 60 * 1000;
/// Length of a base64url SHA-256 without padding.
const CHALLENGE_LENGTH: usize = 43;

/// GET /oauth2/authorize: a browser that is logged in gets a code for a server that it may use.
pub async fn authorize(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    login: Login,
) -> Result<Response, AppError> {
    let query = uri.query();
    let get = |name| argument(query, name).unwrap_or_default();
    // Until both are right, nothing may be sent to the redirect URI (RFC 6749, 4.1.2.1).
    let (client, server) = find_client(&app, &get("client_id")).await?;
    if get("redirect_uri") != client.redirect_uri {
        return Err(AppError::bad_request(
            "redirect_uri is not the one that this server has registered.",
        ));
    }
    let answer = |pairs: &[(&str, &str)]| {
        let state = argument(query, "state");
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        query
            .extend_pairs(pairs)
            .extend_pairs(state.as_deref().map(|state| ("state", state)));
        Redirect::to(&format!("{}?{}", client.redirect_uri, query.finish())).into_response()
    };
    if get("response_type") != "code" {
        return Ok(answer(&[("error", "unsupported_response_type")]));
    }
    let challenge = match challenge(
        argument(query, "code_challenge"),
        argument(query, "code_challenge_method"),
    ) {
        Ok(challenge) => challenge,
        Err(description) => {
            return Ok(answer(&[
                ("error", "invalid_request"),
                ("error_description", description),
            ]));
        }
    };
    check_access(&login, &server)?;
    let code = secret::generate();
    app.db
        .add_code(&OAuthCode {
            code_hash: secret::hash(&code),
            client_id: client.client_id.clone(),
            user_id: login.user().id,
            session_id: login.session.session_id.clone(),
            redirect_uri: client.redirect_uri.clone(),
            code_challenge: challenge,
            scopes: grant(&login, &server)?,
            expires: db::now() + CODE_LIFE_MS,
        })
        .await?;
    Ok(answer(&[("code", &code)]))
}

/// POST /oauth2/token: a server exchanges the code for a token of its visitor.
pub async fn token(State(app): State<App>, body: Body) -> Result<Response, AppError> {
    let fields = posted::parse(body).await?;
    match exchange(&app, &fields).await? {
        Ok(response) => Ok(response),
        Err(refused) => Ok(refused.into_response()),
    }
}

async fn exchange(
    app: &App,
    fields: &posted::Fields,
) -> Result<Result<Response, Refused>, AppError> {
    let client = app.db.oauth_client(fields.get("client_id")).await?;
    let given = fields.get("client_secret");
    let client = client.filter(|client| {
        given.len() <= secret::MAX_TOKEN_LENGTH
            && secret::equal(&secret::hash(given), &client.secret_hash)
    });
    let Some(client) = client else {
        return Ok(Err(Refused::client()));
    };
    if fields.get("grant_type") != "authorization_code" {
        return Ok(Err(Refused::new(
            "unsupported_grant_type",
            "Only authorization_code is supported.",
        )));
    }
    // Taken before it is checked: a code that somebody tried in vain is spent.
    let code = app.db.take_code(&secret::hash(fields.get("code"))).await?;
    let code = code.filter(|code| {
        code.client_id == client.client_id && code.redirect_uri == fields.get("redirect_uri")
    });
    let Some(code) = code else {
        return Ok(Err(Refused::grant(
            "The code is unknown, too old, or was used before. Log in again.",
        )));
    };
    if !verifier_fits(code.code_challenge.as_deref(), fields.get("code_verifier")) {
        return Ok(Err(Refused::grant(
            "The code_verifier does not fit the code. Log in again.",
        )));
    }
    let seconds = app
        .config
        .jupyter_hub
        .cookie_max_age_days
        .0
        .as_secs()
        .cast_signed();
    let token = secret::generate();
    app.db
        .add_token(NewToken {
            token_hash: &secret::hash(&token),
            user_id: code.user_id,
            client_id: Some(&client.client_id),
            session_id: Some(&code.session_id),
            scopes: &code.scopes,
            note: &format!("OAuth token of {}", client.client_id),
            expires: Some(db::now() + seconds * 1000),
            ..NewToken::default()
        })
        .await?;
    info!(client.id = %client.client_id, "OAuth token given");
    let body = json!({
        "access_token": token,
        "token_type": "Bearer",
        "expires_in": seconds,
        "scope": code.scopes.join(" "),
    });
    Ok(Ok(
        ([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response()
    ))
}

async fn find_client(app: &App, client_id: &str) -> Result<(OAuthClient, Server), AppError> {
    let unknown = || {
        AppError::bad_request("No running server has this client_id.").advise(
            "The server may have stopped meanwhile: go to the home page and start it again.",
        )
    };
    let client = app.db.oauth_client(client_id).await?.ok_or_else(unknown)?;
    let server = app
        .db
        .server_by_id(client.server_id)
        .await?
        .ok_or_else(unknown)?;
    Ok((client, server))
}

/// Only S256: without a method the RFC means `plain`, which protects nothing here.
fn challenge(
    challenge: Option<String>,
    method: Option<String>,
) -> Result<Option<String>, &'static str> {
    match (challenge, method.as_deref()) {
        (None, None) => Ok(None),
        (Some(challenge), Some("S256")) if challenge.len() == CHALLENGE_LENGTH => {
            Ok(Some(challenge))
        }
        (Some(_), Some("S256")) => Err("code_challenge is not a base64url SHA-256"),
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

fn check_access(login: &Login, server: &Server) -> Result<(), AppError> {
    let target = Target::Server {
        user: &server.user,
        server: &server.name,
    };
    let message = || {
        format!(
            "You do not have permission to access the server at {}",
            server.prefix
        )
    };
    if !login.scopes().holds("access:servers", target) {
        return Err(AppError::forbidden(message()));
    }
    // Another's server could ask for a login at any time: that needs a page on which one confirms it.
    if login.user().id != server.user_id {
        return Err(AppError::forbidden(message())
            .advise("Visiting another user's server is not offered yet."));
    }
    Ok(())
}

/// What the server may do with the visitor's token: know who it is, and let it in.
fn grant(login: &Login, server: &Server) -> Result<Vec<String>, AppError> {
    let mut scopes = identify_scopes(&login.user().name);
    scopes.push(format!(
        "access:servers!server={}/{}",
        server.user, server.name
    ));
    let wanted = Scopes::parse(scopes.iter().map(String::as_str), &Scopes::default())?;
    Ok(wanted.intersect(&login.scopes()).to_list())
}

/// An error of RFC 6749, 5.2; singleuser shows the description to its visitor.
struct Refused {
    status: StatusCode,
    error: &'static str,
    description: &'static str,
}

impl Refused {
    fn new(error: &'static str, description: &'static str) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
            description,
        }
    }

    fn grant(description: &'static str) -> Self {
        Self::new("invalid_grant", description)
    }

    fn client() -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            ..Self::new("invalid_client", "Client id or secret are wrong.")
        }
    }

    fn into_response(self) -> Response {
        (
            self.status,
            Json(json!({ "error": self.error, "error_description": self.description })),
        )
            .into_response()
    }
}
