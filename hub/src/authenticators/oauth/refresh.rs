//! Asking a provider again who somebody is, with the tokens that it gave (oauthenticator, `refresh_user`).

use openidconnect::core::{CoreErrorResponseType, CoreTokenResponse};
use openidconnect::{AccessToken, OAuth2TokenResponse as _, RefreshToken, RequestTokenError};
use serde_json::Value;

use super::claims::Claims;
use super::{Client, OAuth, payload, same_user, state, told};
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
        let user_key = self.config.jupyter_hub.authenticator_class.user_key();
        if let Some(url) = &userdata_url
            && let Some(token) = state::access_token(kept)
            && let Ok(told) = self.ask_if_good(url, &token).await?
        {
            let mut state = kept.as_object().cloned().unwrap_or_default();
            state.remove(user_key);
            let claims = self.known(kept);
            return self.again(claims, Some(told), &token, state).await;
        }
        let Some(old) = state::refresh_token(kept) else {
            return Ok(None);
        };
        let Some(tokens) = self.exchange(&self.client(metadata), &old).await? else {
            return Ok(None);
        };
        let mut state = state::of_tokens(&tokens);
        let claims = match new_claims(&state) {
            Some(new) => {
                same_user(&new, &object(kept, user_key))?;
                new
            }
            None => self.known(kept),
        };
        state::keep(&mut state, kept);
        let token = tokens.access_token();
        let told = match &userdata_url {
            Some(url) => match self.ask_if_good(url, token).await? {
                Ok(told) => Some(told),
                Err(_) => return Ok(None),
            },
            None => None,
        };
        self.again(claims, told, token, state).await
    }

    /// What the ID token of the login says that is not for the userdata address to say: what that leaves out now has ended.
    fn known(&self, kept: &Value) -> Claims {
        if self.provider.issuer.is_none() {
            return Claims::new();
        }
        let user_key = self.config.jupyter_hub.authenticator_class.user_key();
        let told = object(kept, state::USERINFO);
        let claims = state::id_token(kept).and_then(|token| payload(&token));
        let mut claims = claims.unwrap_or_default();
        claims.retain(|name, _| !told.contains_key(name));
        if let Some(sub) = object(kept, user_key).remove("sub") {
            claims.insert("sub".to_owned(), sub);
        }
        claims
    }

    async fn again(
        &self,
        mut claims: Claims,
        told: Option<Claims>,
        token: &AccessToken,
        mut state: Claims,
    ) -> Result<Option<Identity>, Refusal> {
        if let Some(told) = told {
            self.add(&mut claims, told, &mut state)?;
        }
        self.identity(claims, token, state).await.map(Some)
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

/// Those of an ID token that came with further tokens, from the provider itself (OpenID Connect Core, 3.1.3.7, 6).
fn new_claims(state: &Claims) -> Option<Claims> {
    payload(state.get("id_token")?.as_str()?)
}

fn object(state: &Value, name: &str) -> Claims {
    let found = state.get(name).and_then(Value::as_object);
    found.cloned().unwrap_or_default()
}
