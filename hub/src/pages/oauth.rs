//! Logging in by way of another service: the way there and the way back.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::{HeaderMap, StatusCode, header};
use tracing::{error, warn};

use super::{argument, login, next_path, see_other};
use crate::app::App;
use crate::auth::cookies::{self, Life};
use crate::auth::flow::{self, Flow};
use crate::auth::secret;
use crate::auth::username::for_log;
use crate::authenticators::oauth::{OAuth, Ties};
use crate::authenticators::{Authenticator, Refusal};
use crate::chain::chain;
use crate::db;
use crate::error::AppError;
use crate::headers::text;
use crate::identities;
use crate::peer::Client;

/// GET /hub/oauth_login
pub async fn begin(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    let oauth = chosen(&app)?;
    let flow = Flow::new(next_path(&app, query.as_deref(), &headers), db::now());
    let ties = ties(&app, oauth, &flow, &client, &headers);
    let there = oauth.begin(&ties).await;
    let there = there.map_err(|refusal| refused(&app, &client, refusal))?;
    let mut response = see_other(there.as_str());
    let sealed = flow.seal(&app.xsrf);
    set_cookie(
        &app,
        &client,
        &sealed,
        Life::Seconds(flow::LONGEST),
        &mut response,
    );
    Ok(response)
}

/// GET /hub/oauth_callback
pub async fn finish(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    client: Client,
    headers: HeaderMap,
) -> Result<Response, AppError> {
    let oauth = chosen(&app)?;
    let query = query.as_deref();
    let given = argument(query, "state").unwrap_or_default();
    let mut flows = cookies::long(&headers, app.cookie(&cookies::OAUTH));
    let flow = flows.find_map(|cookie| Flow::open(cookie, &app.xsrf, db::now()));
    let flow = flow.filter(|flow| secret::equal(&flow.state(&app.xsrf), &given));
    let flow = flow.ok_or_else(|| {
        AppError::bad_request("This login was begun in another window, or too long ago.")
            .advise("Log in once more.")
    })?;
    if let Some(wrong) = argument(query, "error") {
        let told = argument(query, "error_description").unwrap_or_default();
        warn!(client.address = %client.address, error = %for_log(&wrong), description = %for_log(&told), "Failed login: the provider refuses");
        let message = format!(
            "{} did not log you in: {}",
            oauth.service(),
            for_log(&wrong)
        );
        return Err(AppError::forbidden(message).advise("Log in once more."));
    }
    let code = argument(query, "code");
    let code = code.ok_or_else(|| AppError::bad_request("OAuth callback made without a code"))?;
    let ties = ties(&app, oauth, &flow, &client, &headers);
    let identity = oauth.finish(&ties, &code).await;
    let identity = identity.map_err(|refusal| refused(&app, &client, refusal))?;
    let Some(user) = identities::admit(&app, &client, identity).await? else {
        return Err(AppError::forbidden(
            app.config.oauthenticator.custom_403_message.clone(),
        ));
    };
    let mut response = login::enter(&app, &client, &headers, &user, flow.next.as_deref()).await?;
    set_cookie(&app, &client, "", Life::Ended, &mut response);
    Ok(response)
}

fn chosen(app: &App) -> Result<&OAuth, AppError> {
    match &app.authenticator {
        Authenticator::Elsewhere(oauth) => Ok(oauth),
        Authenticator::Form(_) | Authenticator::Header(_) => {
            Err(AppError::not_found("No other service logs people in here."))
        }
    }
}

fn ties(app: &App, oauth: &OAuth, flow: &Flow, client: &Client, headers: &HeaderMap) -> Ties {
    let callback = oauth
        .callback()
        .map(ToString::to_string)
        .unwrap_or_else(|| {
            let path = format!("{}oauth_callback", app.urls.hub);
            // As JupyterHub guesses it: the provider knows which addresses are the Hub's.
            let guessed = || {
                let scheme = if client.https { "https" } else { "http" };
                let host = text(headers, header::HOST).unwrap_or_default();
                format!("{scheme}://{host}{path}")
            };
            app.urls.full(&path).unwrap_or_else(guessed)
        });
    Ties {
        callback,
        state: flow.state(&app.xsrf),
        nonce: flow.nonce(&app.xsrf),
        verifier: flow.verifier(&app.xsrf),
    }
}

fn refused(app: &App, client: &Client, refusal: Refusal) -> AppError {
    match refusal {
        Refusal::Failed(attempted, cause) => {
            error!(error = %chain(cause.as_ref()), "Nobody can log in: could not {attempted}");
            let message = "The service that logs people in could not be asked.";
            AppError::new(StatusCode::BAD_GATEWAY, message)
                .advise("Try again in a moment; if it stays so, tell your administrator.")
        }
        Refusal::Forbidden(reason) => {
            warn!(client.address = %client.address, "Failed login: {reason}");
            AppError::forbidden(reason)
        }
        Refusal::Wrong => AppError::forbidden(app.config.oauthenticator.custom_403_message.clone()),
    }
}

fn set_cookie(app: &App, client: &Client, value: &str, life: Life, response: &mut Response) {
    let path = format!("{}oauth_callback", app.urls.hub);
    let cookie = (app.cookie(&cookies::OAUTH), value, path.as_str(), life);
    cookies::append(response, client.https, None, &[cookie]);
}
