//! `/hub/api/oauth2`: where browsers fetch a code, and servers and services exchange it.

use axum::Json;
use axum::body::Body;
use axum::extract::{OriginalUri, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use percent_encoding::percent_decode_str;
use serde_json::json;

use crate::access::definitions::describe;
use crate::access::scopes::identify_scopes;
use crate::app::App;
use crate::auth::caller::Login;
use crate::auth::posted::{self, Fields, Posted};
use crate::error::AppError;
use crate::headers::text;
use crate::middleware::FormAction;
use crate::oauth::{Authorization, Denied, Exchange, Refused, exchange};
use crate::templates::{self, OauthPage};

/// GET /oauth2/authorize: a browser that is logged in gets a code for a server or a service that it may use.
pub async fn authorize(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    login: Login,
) -> Result<Response, AppError> {
    let authorization = match read(&app, &login, uri.query().unwrap_or_default()).await? {
        Ok(authorization) => authorization,
        Err(location) => return Ok(Redirect::to(&location).into_response()),
    };
    let scopes = authorization.scopes(&login);
    if authorization.needs_confirmation(&app, &login).await? {
        return Ok(confirm(
            &app,
            &login,
            &authorization,
            scopes,
            uri.query().unwrap_or_default(),
        ));
    }
    let location = authorization.grant(&app, &login, scopes).await?;
    Ok(Redirect::to(&location).into_response())
}

/// POST /oauth2/authorize: the visitor has confirmed; field `scopes` once for each that was left checked.
pub async fn confirmed(
    State(app): State<App>,
    OriginalUri(uri): OriginalUri,
    posted: Posted,
) -> Result<Response, AppError> {
    let login = posted.login;
    let authorization = match read(&app, &login, uri.query().unwrap_or_default()).await? {
        Ok(authorization) => authorization,
        Err(location) => return Ok(Redirect::to(&location).into_response()),
    };
    let mut scopes = authorization.scopes(&login);
    let Ok(fields) = posted.fields else {
        return Ok(confirm(
            &app,
            &login,
            &authorization,
            scopes,
            uri.query().unwrap_or_default(),
        ));
    };
    scopes.retain(|scope| {
        fields
            .iter()
            .any(|(name, value)| name == "scopes" && value == scope)
    });
    if scopes.is_empty() {
        // Nothing left checked still says who one is (jupyterhub/apihandlers/auth.py).
        scopes = identify_scopes(&login.user().name);
    }
    let location = authorization.grant(&app, &login, scopes).await?;
    Ok(Redirect::to(&location).into_response())
}

/// POST /oauth2/token: a client exchanges the code for a token of its visitor.
pub async fn token(
    State(app): State<App>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, AppError> {
    let fields = posted::parse(body).await?;
    let credentials = match Credentials::read(&headers, &fields) {
        Ok(credentials) => credentials,
        Err(description) => {
            let refused = refuse(StatusCode::BAD_REQUEST, "invalid_request", description);
            return Ok(refused);
        }
    };
    let form = Exchange {
        client_id: &credentials.id,
        client_secret: &credentials.secret,
        grant_type: fields.get("grant_type"),
        code: fields.get("code"),
        redirect_uri: fields.get("redirect_uri"),
        code_verifier: fields.get("code_verifier"),
    };
    let (status, error, refused) = match exchange(&app, &form).await {
        Ok(granted) => {
            let body = json!({
                "access_token": granted.token,
                "token_type": "Bearer",
                "expires_in": granted.seconds,
                "scope": granted.scopes.join(" "),
            });
            return Ok(([(header::CACHE_CONTROL, "no-store")], Json(body)).into_response());
        }
        Err(Refused::Db(error)) => return Err(error.into()),
        Err(refused @ Refused::Client) => (StatusCode::UNAUTHORIZED, "invalid_client", refused),
        Err(refused @ Refused::GrantType) => {
            (StatusCode::BAD_REQUEST, "unsupported_grant_type", refused)
        }
        Err(refused) => (StatusCode::BAD_REQUEST, "invalid_grant", refused),
    };
    let mut response = refuse(status, error, &refused.to_string());
    if status == StatusCode::UNAUTHORIZED && credentials.basic {
        let challenge = HeaderValue::from_static("Basic realm=\"JupyterHub\"");
        response
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, challenge);
    }
    Ok(response)
}

/// An answer of RFC 6749, 5.2.
fn refuse(status: StatusCode, error: &str, description: &str) -> Response {
    tracing::warn!(error, "OAuth token refused: {description}");
    let body = json!({ "error": error, "error_description": description });
    (status, Json(body)).into_response()
}

/// What a client proves itself by: HTTP Basic, which a server must take, or fields of the form (RFC 6749, 2.3.1).
struct Credentials {
    id: String,
    secret: String,
    basic: bool,
}

impl Credentials {
    fn read(headers: &HeaderMap, fields: &Fields) -> Result<Self, &'static str> {
        let (id, secret) = (fields.get("client_id"), fields.get("client_secret"));
        // Another scheme is passed over: JupyterHub's own client sends its API token here too.
        let header = text(headers, header::AUTHORIZATION)
            .filter(|header| header.split(' ').next().is_some_and(is_basic));
        let Some(header) = header else {
            return Ok(Self {
                id: id.to_owned(),
                secret: secret.to_owned(),
                basic: false,
            });
        };
        let basic =
            basic(&header).ok_or("The Authorization header of scheme Basic does not read.")?;
        if !secret.is_empty() || !(id.is_empty() || id == basic.id) {
            return Err("The client authenticates in two ways at once.");
        }
        Ok(basic)
    }
}

fn is_basic(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("basic")
}

/// Id and secret are form-encoded before they are joined (RFC 6749, 2.3.1), as ids with a percent sign show.
fn basic(header: &str) -> Option<Credentials> {
    let (_, encoded) = header.split_once(' ')?;
    let decoded = BASE64_STANDARD.decode(encoded.trim()).ok()?;
    let (id, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    let plain = |text: &str| {
        let text = text.replace('+', " ");
        percent_decode_str(&text)
            .decode_utf8()
            .ok()
            .map(String::from)
    };
    Some(Credentials {
        id: plain(id)?,
        secret: plain(secret)?,
        basic: true,
    })
}

/// The request, or where to send the browser with an error.
async fn read(
    app: &App,
    login: &Login,
    query: &str,
) -> Result<Result<Authorization, String>, AppError> {
    let authorization = match Authorization::read(app, query).await {
        Ok(authorization) => authorization,
        Err(Denied::There(location)) => return Ok(Err(location)),
        Err(Denied::Here(message)) => {
            return Err(AppError::bad_request(message)
                .advise("Go to the home page and open the server from there."));
        }
        Err(Denied::Db(error)) => return Err(error.into()),
    };
    if !authorization.is_allowed(login) {
        return Err(AppError::forbidden(format!(
            "You do not have permission to access {}",
            authorization.resource.description()
        )));
    }
    if let Some(location) = authorization.too_much(login) {
        return Ok(Err(location));
    }
    Ok(Ok(authorization))
}

fn confirm(
    app: &App,
    login: &Login,
    authorization: &Authorization,
    scopes: Vec<String>,
    query: &str,
) -> Response {
    let page = OauthPage {
        page: login.page(app),
        client: authorization.resource.title(),
        redirect_uri: authorization.client.redirect_uri.clone(),
        authorize_url: format!("{}api/oauth2/authorize?{query}", app.urls.hub),
        scopes: scopes
            .into_iter()
            .map(|scope| (scope.clone(), describe(&scope)))
            .collect(),
    };
    let mut response = templates::respond(StatusCode::OK, &page);
    FormAction::leads_to(&mut response, &authorization.client.redirect_uri);
    response
}
