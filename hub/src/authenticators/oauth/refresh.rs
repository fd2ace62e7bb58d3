//! Asking a provider again who somebody is, with the tokens that it gave (oauthenticator, `refresh_user`).

use openidconnect::core::{CoreErrorResponseType, CoreTokenResponse};
use openidconnect::{AccessToken, OAuth2TokenResponse as _, RefreshToken, RequestTokenError};
use serde_json::Value;

use super::claims::Claims;
use super::{Client, OAuth, state, told};
use crate::authenticators::{Cause, Identity, Refusal};

impl OAuth {
    /// Who has logged in with these tokens; none where the provider takes them no more.
    pub async fn refresh(&self, kept: &Value) -> Result<Option<Identity>, Refusal> {
        let known = self.metadata.read().await.clone();
        let metadata = match known {
            Some(metadata) => metadata,
            None => self.look_up().await?,
        };
        let userdata_url = self.userdata_url(&metadata);
        let user = kept.get(self.config.jupyter_hub.authenticator_class.user_key());
        let claims = user.and_then(Value::as_object).cloned().unwrap_or_default();
        if let Some(url) = &userdata_url
            && let Some(token) = state::access_token(kept)
            && let Ok(told) = self.ask_if_good(url, &token).await?
        {
            let mut tokens = kept.as_object().cloned().unwrap_or_default();
            tokens.remove(self.config.jupyter_hub.authenticator_class.user_key());
            return self.again(claims, told, &token, tokens).await.map(Some);
        }
        let Some(old) = state::refresh_token(kept) else {
            return Ok(None);
        };
        let Some(tokens) = self.exchange(&self.client(metadata), &old).await? else {
            return Ok(None);
        };
        let mut state = state::of_tokens(&tokens);
        state::keep_refresh_token(&mut state, &old);
        let token = tokens.access_token();
        let told = match &userdata_url {
            Some(url) => self.ask_if_good(url, token).await?,
            None => Ok(claims.clone()),
        };
        match told {
            Ok(told) => self.again(claims, told, token, state).await.map(Some),
            Err(_) => Ok(None),
        }
    }

    async fn again(
        &self,
        mut claims: Claims,
        told: Claims,
        token: &AccessToken,
        state: Claims,
    ) -> Result<Identity, Refusal> {
        self.add(&mut claims, told)?;
        self.identity(claims, token, state).await
    }

    /// None where the provider refuses.
    async fn exchange(
        &self,
        client: &Client,
        old: &RefreshToken,
    ) -> Result<Option<CoreTokenResponse>, Refusal> {
        let failed = |cause: Cause| Refusal::failed("get a further token from the provider", cause);
        let request = client.exchange_refresh_token(old);
        let request = request.map_err(|error| failed(error.into()))?;
        match request.request_async(&self.http).await {
            Ok(tokens) => Ok(Some(tokens)),
            // RFC 6749, 5.2: the others are of this Hub's or of the provider's own making.
            Err(RequestTokenError::ServerResponse(refused))
                if *refused.error() == CoreErrorResponseType::InvalidGrant =>
            {
                Ok(None)
            }
            Err(error) => Err(failed(told(&error).into())),
        }
    }
}
