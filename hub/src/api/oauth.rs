//! `/hub/api/oauth2`: where browsers fetch a code and servers exchange it.

use axum::Json;
use axum::body::Body;
use axum::extract::{OriginalUri, State};
use axum::response::{IntoResponse as _, Redirect, Response};
use http::{StatusCode, header};
use serde_json::json;

use crate::app::App;
use crate::auth::caller::Login;
use crate::auth::posted::{self, Posted};
use crate::error::AppError;
use crate::oauth::{Authorization, Denied, Exchange, Refused, exchange};
use crate::scopes::{describe, identify_scopes};
use crate::templates::{self, OauthPage};

/// GET /oauth2/authorize: a browser that is logged in gets a code for a server that it may use.
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

/// POST /oauth2/token: a server exchanges the code for a token of its visitor.
pub async fn token(State(app): State<App>, body: Body) -> Result<Response, AppError> {
    let fields = posted::parse(body).await?;
    let form = Exchange {
        client_id: fields.get("client_id"),
        client_secret: fields.get("client_secret"),
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
    tracing::warn!(error, "OAuth token refused: {refused}");
    Ok((
        status,
        Json(json!({ "error": error, "error_description": refused.to_string() })),
    )
        .into_response())
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
        let prefix = &authorization.server.prefix;
        return Err(AppError::forbidden(format!(
            "You do not have permission to access the server at {prefix}"
        )));
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
        client: format!("Server {}", authorization.server.full_name()),
        redirect_uri: authorization.client.redirect_uri.clone(),
        authorize_url: format!("{}api/oauth2/authorize?{query}", app.urls.hub),
        scopes: scopes
            .into_iter()
            .map(|scope| (scope.clone(), describe(&scope)))
            .collect(),
    };
    templates::respond(StatusCode::OK, &page)
}
