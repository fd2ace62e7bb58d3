//! Another service logs people in: OpenID Connect, and plain OAuth 2 where the provider signs nothing (GitHub).

mod claims;
mod github;
mod http;
mod refresh;
mod state;

use ::http::{Request, StatusCode, header};
use openidconnect::core::{
    CoreAuthenticationFlow, CoreClient, CoreJsonWebKeySet, CoreProviderMetadata, CoreResponseType,
    CoreTokenResponse,
};
use openidconnect::{
    AccessToken, AuthType, AuthUrl, AuthorizationCode, ClientId, ClientSecret, CsrfToken,
    EmptyAdditionalProviderMetadata, EndpointMaybeSet, EndpointNotSet, EndpointSet, IssuerUrl,
    JsonWebKeySetUrl, Nonce, OAuth2TokenResponse as _, PkceCodeChallenge, PkceCodeVerifier,
    RedirectUrl, Scope, TokenResponse as _, TokenUrl, UserInfoUrl,
};
use serde_json::Value;
use tokio::sync::RwLock;
use url::Url;

use super::{Cause, Identity, Refusal};
use crate::config::{AuthenticatorClass, Config, Provider};
use claims::Claims;
use http::Http;
pub use http::NoCertificates;

type Client = CoreClient<
    EndpointSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointNotSet,
    EndpointMaybeSet,
    EndpointMaybeSet,
>;

pub struct OAuth {
    config: Config,
    provider: Provider,
    http: Http,
    /// What the provider said of itself last, for the way there. The way back asks anew: keys change.
    metadata: RwLock<Option<CoreProviderMetadata>>,
}

/// What ties the end of a login to its beginning.
#[derive(Debug)]
pub struct Ties {
    /// Address to which the provider sends the browser back.
    pub callback: String,
    pub state: String,
    pub nonce: String,
    pub verifier: String,
}

impl OAuth {
    pub fn new(config: &Config) -> Result<Self, NoCertificates> {
        Ok(Self {
            provider: config.provider(),
            config: config.clone(),
            http: Http::new()?,
            metadata: RwLock::new(None),
        })
    }

    /// Name of the service, for people.
    pub fn service(&self) -> &str {
        &self.provider.login_service
    }

    /// `OAuthenticator.oauth_callback_url`
    pub fn callback(&self) -> Option<&Url> {
        self.config.oauthenticator.oauth_callback_url.as_ref()
    }

    /// Address to which the browser goes to log in.
    pub async fn begin(&self, ties: &Ties) -> Result<Url, Refusal> {
        let known = self.metadata.read().await.clone();
        let metadata = match known {
            Some(metadata) => metadata,
            None => self.look_up().await?,
        };
        let client = self.client(metadata);
        let client = client.set_redirect_uri(redirect(ties)?);
        let (state, nonce) = (ties.state.clone(), ties.nonce.clone());
        let mut request = client.authorize_url(
            CoreAuthenticationFlow::AuthorizationCode,
            move || CsrfToken::new(state),
            move || Nonce::new(nonce),
        );
        for scope in &self.provider.scope {
            // The client adds this one by itself.
            if scope != "openid" || self.provider.issuer.is_none() {
                request = request.add_scope(Scope::new(scope.clone()));
            }
        }
        let keys = &self.config.oauthenticator;
        for (name, value) in keys.extra_authorize_params.iter() {
            request = request.add_extra_param(name, value);
        }
        let idps = self.config.cilogon_oauthenticator.allowed_idps.keys();
        if self.config.jupyter_hub.authenticator_class == AuthenticatorClass::CILogon {
            let idps: Vec<_> = idps.map(String::as_str).collect();
            request = request.add_extra_param("selected_idp", idps.join(","));
        }
        if keys.enable_pkce {
            let verifier = PkceCodeVerifier::new(ties.verifier.clone());
            let challenge = PkceCodeChallenge::from_code_verifier_sha256(&verifier);
            request = request.set_pkce_challenge(challenge);
        }
        Ok(request.url().0)
    }

    /// Who comes back with this code.
    pub async fn finish(&self, ties: &Ties, code: &str) -> Result<Identity, Refusal> {
        let metadata = self.look_up().await?;
        let userdata_url = self.userdata_url(&metadata);
        let client = self.client(metadata);
        let client = client.set_redirect_uri(redirect(ties)?);
        let tokens = self.redeem(&client, ties, code).await?;
        let mut claims = match self.provider.issuer {
            Some(_) => verified(&client, &tokens, ties)?,
            None => Claims::new(),
        };
        let mut state = state::of_tokens(&tokens);
        if let Some(url) = userdata_url {
            let told = self.ask(&url, tokens.access_token()).await?;
            self.add(&mut claims, told, &mut state)?;
        }
        self.identity(claims, tokens.access_token(), state).await
    }

    /// Takes over what the provider tells at its userdata address.
    fn add(&self, claims: &mut Claims, told: Claims, state: &mut Claims) -> Result<(), Refusal> {
        if self.provider.issuer.is_some() {
            same_user(&told, claims)?;
            let userinfo = Value::Object(told.clone());
            state.insert(state::USERINFO.to_owned(), userinfo);
        }
        claims.extend(told);
        Ok(())
    }

    /// Who has these claims; `state` is what is kept of the tokens.
    async fn identity(
        &self,
        claims: Claims,
        token: &AccessToken,
        mut state: Claims,
    ) -> Result<Identity, Refusal> {
        let class = self.config.jupyter_hub.authenticator_class;
        let mut identity = claims::identity(&self.config, &self.provider.username_claim, &claims)?;
        if class == AuthenticatorClass::GitHub {
            identity.allowed |= github::is_member(self, &identity.name, token).await?;
        }
        state.insert(class.user_key().to_owned(), Value::Object(claims));
        identity.auth_state = Some(Value::Object(state));
        Ok(identity)
    }

    async fn redeem(
        &self,
        client: &Client,
        ties: &Ties,
        code: &str,
    ) -> Result<CoreTokenResponse, Refusal> {
        let failed = |cause: Cause| Refusal::failed("get a token from the provider", cause);
        let code = AuthorizationCode::new(code.to_owned());
        let request = client.exchange_code(code);
        let mut request = request.map_err(|error| failed(error.into()))?;
        if self.config.oauthenticator.enable_pkce {
            request = request.set_pkce_verifier(PkceCodeVerifier::new(ties.verifier.clone()));
        }
        let tokens = request.request_async(&self.http).await;
        tokens.map_err(|error| failed(told(&error).into()))
    }

    fn client(&self, metadata: CoreProviderMetadata) -> Client {
        let keys = &self.config.oauthenticator;
        let (id, secret) = (keys.client_id.clone(), keys.client_secret.0.clone());
        let secret = Some(ClientSecret::new(secret));
        let client = CoreClient::from_provider_metadata(metadata, ClientId::new(id), secret)
            .set_auth_type(match keys.basic_auth {
                true => AuthType::BasicAuth,
                false => AuthType::RequestBody,
            });
        match self.provider.issuer {
            Some(_) => client,
            None => client.disable_openid_scope(),
        }
    }

    /// Where the provider is: what it says itself, and what the configuration says in its place.
    async fn look_up(&self) -> Result<CoreProviderMetadata, Refusal> {
        let failed = |cause: Cause| Refusal::failed("look up the addresses of the provider", cause);
        let provider = &self.provider;
        let url = |url: &Option<Url>| url.as_ref().map(Url::to_string);
        let mut metadata = match &provider.issuer {
            Some(issuer) => {
                let issuer = IssuerUrl::new(issuer.clone());
                let issuer = issuer.map_err(|error| failed(error.into()))?;
                let found = CoreProviderMetadata::discover_async(issuer, &self.http).await;
                found.map_err(|error| failed(crate::chain::chain(&error).into()))?
            }
            None => without_issuer(url(&provider.authorize_url))
                .map_err(|error| failed(error.into()))?,
        };
        if let Some(authorize) = url(&provider.authorize_url) {
            let authorize = AuthUrl::new(authorize).map_err(|error| failed(error.into()))?;
            metadata = metadata.set_authorization_endpoint(authorize);
        }
        if let Some(token) = url(&provider.token_url) {
            let token = TokenUrl::new(token).map_err(|error| failed(error.into()))?;
            metadata = metadata.set_token_endpoint(Some(token));
        }
        *self.metadata.write().await = Some(metadata.clone());
        Ok(metadata)
    }

    fn userdata_url(&self, metadata: &CoreProviderMetadata) -> Option<Url> {
        let own = metadata
            .userinfo_endpoint()
            .map(|url: &UserInfoUrl| url.url().clone());
        self.provider.userdata_url.clone().or(own)
    }

    /// What the provider tells at `url` to the holder of a token.
    async fn ask(&self, url: &Url, token: &AccessToken) -> Result<Claims, Refusal> {
        let told = self.ask_if_good(url, token).await?;
        told.map_err(|status| {
            let cause = format!("{} answers {status}", url.path());
            Refusal::failed("ask the provider who somebody is", cause)
        })
    }

    /// The same, or with what status the provider does not take the token.
    async fn ask_if_good(
        &self,
        url: &Url,
        token: &AccessToken,
    ) -> Result<Result<Claims, StatusCode>, Refusal> {
        let failed = |cause: Cause| Refusal::failed("ask the provider who somebody is", cause);
        let (status, body) = self.get(url, token).await?;
        // Too many or too late says nothing of the token.
        let is_full = matches!(status.as_u16(), 408 | 429);
        if status.is_client_error() && !is_full {
            return Ok(Err(status));
        }
        if !status.is_success() {
            return Err(failed(format!("{} answers {status}", url.path()).into()));
        }
        let claims = serde_json::from_slice(&body);
        claims.map(Ok).map_err(|error| failed(error.into()))
    }

    async fn get(&self, url: &Url, token: &AccessToken) -> Result<(StatusCode, Vec<u8>), Refusal> {
        let failed = |cause: Cause| Refusal::failed("ask the provider who somebody is", cause);
        let request = Request::get(url.as_str())
            .header(header::AUTHORIZATION, format!("Bearer {}", token.secret()))
            .header(header::ACCEPT, "application/json")
            // GitHub turns away who does not say this.
            .header(header::USER_AGENT, "carrel-hub")
            .body(Vec::new());
        let request = request.map_err(|error| failed(error.into()))?;
        let answer = self.http.send(request).await;
        let answer = answer.map_err(|error| failed(crate::chain::chain(&error).into()))?;
        Ok((answer.status(), answer.into_body()))
    }
}

/// OpenID Connect Core, 5.3.2: otherwise they are somebody else's.
fn same_user(told: &Claims, known: &Claims) -> Result<(), Refusal> {
    match told.get("sub") == known.get("sub") {
        true => Ok(()),
        false => {
            let cause = "they are not of the user of the ID token";
            Err(Refusal::failed("use the claims of the provider", cause))
        }
    }
}

fn redirect(ties: &Ties) -> Result<RedirectUrl, Refusal> {
    let callback = RedirectUrl::new(ties.callback.clone());
    callback.map_err(|error| Refusal::failed("use the callback URL", error))
}

/// A provider that speaks OAuth 2 alone, in the form of one that has described itself.
fn without_issuer(authorize: Option<String>) -> Result<CoreProviderMetadata, url::ParseError> {
    let authorize = authorize.unwrap_or_default();
    let metadata = CoreProviderMetadata::new(
        IssuerUrl::new(authorize.clone())?,
        AuthUrl::new(authorize.clone())?,
        JsonWebKeySetUrl::new(authorize)?,
        vec![openidconnect::ResponseTypes::new(vec![
            CoreResponseType::Code,
        ])],
        Vec::new(),
        Vec::new(),
        EmptyAdditionalProviderMetadata {},
    );
    Ok(metadata.set_jwks(CoreJsonWebKeySet::new(Vec::new())))
}

/// The claims of the ID token, whose signature, issuer, audience, times and nonce are right.
fn verified(client: &Client, tokens: &CoreTokenResponse, ties: &Ties) -> Result<Claims, Refusal> {
    let wrong = |cause: Cause| Refusal::failed("check the ID token of the provider", cause);
    let token = tokens.id_token();
    let token = token.ok_or_else(|| wrong("there is none".into()))?;
    let nonce = Nonce::new(ties.nonce.clone());
    let checked = token.claims(&client.id_token_verifier(), &nonce);
    checked.map_err(|error| wrong(error.into()))?;
    payload(&token.to_string()).ok_or_else(|| wrong("it does not read".into()))
}

/// Why no token was given, without what was sent.
fn told<E, T>(error: &openidconnect::RequestTokenError<E, T>) -> String
where
    E: std::error::Error + 'static,
    T: openidconnect::ErrorResponse + std::fmt::Display + 'static,
{
    use openidconnect::RequestTokenError::{Parse, Request, ServerResponse};
    match error {
        ServerResponse(response) => response.to_string(),
        Request(error) => crate::chain::chain(error),
        Parse(error, _) => format!("the answer does not read: {error}"),
        other => other.to_string(),
    }
}

/// The claims of a token whose signature was checked: also those that no standard names.
fn payload(token: &str) -> Option<Claims> {
    use base64::Engine as _;
    let payload = token.split('.').nth(1)?;
    let payload = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(payload);
    serde_json::from_slice(&payload.ok()?).ok()
}
