//! The Hub's API: tokens for codes, and who holds a token.

use bytes::Bytes;
use carrel_service::{HubError, User};
use http::{Request, header};
use http_body_util::Full;
use serde::Deserialize;

use crate::config::Settings;
use crate::secret::Secret;

pub struct HubClient {
    api: carrel_service::HubClient,
    client_id: String,
    secret: Secret,
    callback: String,
}

impl HubClient {
    /// # Errors
    /// When this machine has no certificates.
    pub fn new(settings: &Settings) -> std::io::Result<Self> {
        let access = settings.access_scopes.clone();
        Ok(Self {
            api: carrel_service::HubClient::new(&settings.hub_api, access)?,
            client_id: settings.client_id.clone(),
            secret: settings.api_token.clone(),
            callback: settings.callback.clone(),
        })
    }

    /// The token that a code stands for (RFC 6749, 4.1.3, with PKCE).
    ///
    /// # Errors
    /// When the code is not good, or the Hub is away.
    pub async fn token(&self, code: &str, verifier: &str) -> Result<Secret, HubError> {
        #[derive(Deserialize)]
        struct Answer {
            access_token: String,
        }
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", &self.client_id)
            .append_pair("client_secret", &self.secret.0)
            .append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("code_verifier", verifier)
            .append_pair("redirect_uri", &self.callback)
            .finish();
        let request = Request::post(self.api.url("/oauth2/token"))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::<Bytes>::from(form))
            .map_err(|error| HubError::Away(error.to_string()))?;
        let answer: Answer = self.api.send(request).await?;
        Ok(Secret(answer.access_token))
    }

    /// Who holds a token, if they may use this service.
    ///
    /// # Errors
    /// When the token is not good, its owner may not, or the Hub is away.
    pub async fn user(&self, token: &Secret) -> Result<User, HubError> {
        self.api.user(&token.0).await
    }
}
