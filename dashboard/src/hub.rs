//! The Hub's API: tokens for codes, and who holds a token.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::config::Settings;
use crate::secret::Secret;

/// How long the Hub may take to answer.
const LONGEST: Duration = Duration::from_secs(10);
/// The most that it may answer.
const MOST: usize = 4 << 20;

#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error("the Hub does not answer: {0}")]
    Away(String),
    /// The token or the code is not good, or not any more.
    #[error("the Hub refuses")]
    Refused,
    #[error("the Hub does not let {0} use this service")]
    NoAccess(String),
}

/// A user as the Hub tells one to this service.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct User {
    pub name: String,
    pub groups: Vec<String>,
    /// By name; the default one has none. Only where the service may read them.
    pub servers: Option<std::collections::BTreeMap<String, Server>>,
    pub(crate) scopes: Vec<String>,
    pub(crate) kind: String,
}

impl Default for User {
    fn default() -> Self {
        Self {
            name: String::new(),
            groups: Vec::new(),
            servers: None,
            scopes: Vec::new(),
            kind: "user".to_owned(),
        }
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Server {
    pub ready: bool,
    pub pending: Option<String>,
    pub url: String,
    pub last_activity: Option<String>,
}

pub struct HubClient {
    http: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    api: String,
    client_id: String,
    secret: Secret,
    callback: String,
    access: Vec<String>,
}

impl HubClient {
    /// # Errors
    /// When this machine has no certificates.
    pub fn new(settings: &Settings) -> std::io::Result<Self> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(&settings.hub_api)?)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            http: Client::builder(TokioExecutor::new()).build(connector),
            api: settings.hub_api.clone(),
            client_id: settings.client_id.clone(),
            secret: settings.api_token.clone(),
            callback: settings.callback.clone(),
            access: settings.access_scopes.clone(),
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
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}/oauth2/token", self.api))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::from(form));
        let answer: Answer = self.send(request).await?;
        Ok(Secret(answer.access_token))
    }

    /// Who holds a token, if they may use this service.
    ///
    /// # Errors
    /// When the token is not good, its owner may not, or the Hub is away.
    pub async fn user(&self, token: &Secret) -> Result<User, HubError> {
        let request = Request::builder()
            .uri(format!("{}/user", self.api))
            .header(header::AUTHORIZATION, format!("token {}", token.0))
            .body(Full::default());
        let user: User = self.send(request).await?;
        if user.kind != "user" || user.name.is_empty() {
            return Err(HubError::Refused);
        }
        let may = user.scopes.iter().any(|scope| self.access.contains(scope));
        if may {
            Ok(user)
        } else {
            Err(HubError::NoAccess(user.name))
        }
    }

    async fn send<T: serde::de::DeserializeOwned>(
        &self,
        request: http::Result<Request<Full<Bytes>>>,
    ) -> Result<T, HubError> {
        let away = |cause: &dyn std::error::Error| HubError::Away(in_full(cause));
        // A token with a character that no header holds.
        let request = request.map_err(|_| HubError::Refused)?;
        let answer = async {
            let response = self.http.request(request).await.map_err(|e| away(&e))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MOST).collect().await;
            let body = body.map_err(|error| away(error.as_ref()))?.to_bytes();
            Ok((parts.status, body))
        };
        let answer = tokio::time::timeout(LONGEST, answer).await;
        let late = |_| HubError::Away(format!("no answer in {} s", LONGEST.as_secs()));
        match answer.map_err(late)?? {
            (status, body) if status.is_success() => {
                serde_json::from_slice(&body).map_err(|error| away(&error))
            }
            (
                StatusCode::BAD_REQUEST
                | StatusCode::UNAUTHORIZED
                | StatusCode::FORBIDDEN
                | StatusCode::NOT_FOUND,
                _,
            ) => Err(HubError::Refused),
            (status, _) => Err(HubError::Away(format!("it answers {status}"))),
        }
    }
}

fn in_full(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// What the Hub's certificate is checked by. Our images hold no certificates, and where the Hub is reached by http none are
/// needed.
fn tls(url: &str) -> std::io::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    if url.starts_with("https:") {
        let found = rustls_native_certs::load_native_certs();
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            let why = "this machine has no certificates to check the Hub's by (SSL_CERT_FILE names others)";
            return Err(std::io::Error::other(why));
        }
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(std::io::Error::other)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_reads_with_and_without_servers() {
        let text = r#"{"kind":"user","name":"ada","groups":["lab"],"scopes":["access:services"],"admin":false,
            "servers":{"":{"name":"","ready":true,"pending":null,"url":"/user/ada/","last_activity":null}}}"#;
        let user: User = serde_json::from_str(text).unwrap();
        assert_eq!(
            (
                user.name.as_str(),
                user.groups.len(),
                user.servers.unwrap().len()
            ),
            ("ada", 1, 1)
        );
        let user: User = serde_json::from_str(r#"{"kind":"user","name":"ada"}"#).unwrap();
        assert!(user.servers.is_none());
    }
}
