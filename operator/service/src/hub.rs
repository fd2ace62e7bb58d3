//! Whose a token is: the Hub says so, as it does to JupyterHub's own HubAuth (jupyterhub/services/auth.py).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Request, StatusCode};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use tokio::time::timeout;
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};

use crate::answer::Refusal;

/// How long an answer counts: a token that was taken back is good for so long.
const KEPT: Duration = Duration::from_secs(10);
/// The same of a refusal, so that a client that goes on asking does not go on asking the Hub.
const KEPT_REFUSAL: Duration = Duration::from_secs(1);
/// How many answers are kept.
const MOST: usize = 4096;
/// The longest token, and the largest answer.
const LONGEST: usize = 1024;
const LARGEST: usize = 1 << 20;
/// How long the Hub may take.
const PATIENCE: Duration = Duration::from_secs(10);

type Answer = Result<String, Refusal>;

pub struct Hub {
    url: String,
    service: String,
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    /// By the digest of the token.
    answers: Mutex<HashMap<[u8; 32], (Instant, Answer)>>,
}

/// What the Hub says of a token's owner.
#[derive(Deserialize)]
struct Owner {
    kind: Option<String>,
    name: Option<String>,
    #[serde(default)]
    scopes: Vec<String>,
}

impl Hub {
    /// # Errors
    /// When this machine has no certificates to check the Hub's by.
    pub fn new(api: &str, service: &str) -> std::io::Result<Self> {
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls(api)?)
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self {
            url: format!("{}/user", api.trim_end_matches('/')),
            service: service.to_owned(),
            client: Client::builder(TokioExecutor::new()).build(connector),
            answers: Mutex::default(),
        })
    }

    /// The name of the user whose token a request has.
    ///
    /// # Errors
    /// When it has none, the Hub does not know it or is away, or it does not lead to this service.
    pub async fn user(&self, headers: &HeaderMap) -> Answer {
        let token = token(headers)?;
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(answer) = self.remembered(&digest) {
            return answer;
        }
        let answer = self.ask(token).await;
        let is_news = |refusal: &Refusal| refusal.status != StatusCode::SERVICE_UNAVAILABLE;
        if answer.as_ref().err().is_none_or(is_news) {
            self.remember(digest, answer.clone());
        }
        answer
    }

    fn remembered(&self, digest: &[u8; 32]) -> Option<Answer> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, answer) = answers.get(digest)?;
        (*until > Instant::now()).then(|| answer.clone())
    }

    fn remember(&self, digest: [u8; 32], answer: Answer) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if answers.len() >= MOST {
            answers.retain(|_, (until, _)| *until > now);
        }
        if answers.len() >= MOST {
            answers.clear();
        }
        let kept = if answer.is_ok() { KEPT } else { KEPT_REFUSAL };
        answers.insert(digest, (now + kept, answer));
    }

    async fn ask(&self, token: &str) -> Answer {
        let away = |why: &dyn std::fmt::Display| {
            tracing::warn!(url = self.url, error = %why, "The Hub could not be asked");
            Refusal::away("the Hub does not answer now, so nobody knows whose token this is")
        };
        let request = Request::get(&self.url)
            .header(AUTHORIZATION, format!("token {token}"))
            .body(Full::default())
            .map_err(|error| away(&error))?;
        let answered = async {
            let response = self.client.request(request).await?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, LARGEST).collect().await?.to_bytes();
            Ok::<_, Box<dyn std::error::Error + Send + Sync>>((parts.status, body))
        };
        let answered = timeout(PATIENCE, answered).await;
        let (status, body) = answered
            .map_err(|_| away(&"no answer in time"))?
            .map_err(|error| away(&error))?;
        match status {
            StatusCode::OK => self.judge(&body),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => Err(
                Refusal::new(StatusCode::FORBIDDEN, "the Hub does not know this token"),
            ),
            status => Err(away(&format!("it answered {status}"))),
        }
    }

    fn judge(&self, body: &[u8]) -> Answer {
        let forbidden = |message: String| Err(Refusal::new(StatusCode::FORBIDDEN, message));
        let Ok(owner) = serde_json::from_slice::<Owner>(body) else {
            return forbidden("the Hub's answer on this token is no user".to_owned());
        };
        let name = owner.name.filter(|name| !name.is_empty());
        let Some(name) = name.filter(|_| owner.kind.as_deref() == Some("user")) else {
            return forbidden("this token is of no user, and jobs belong to users".to_owned());
        };
        let wanted = format!("access:services!service={}", self.service);
        let leads_here = |scope: &String| *scope == wanted || scope == "access:services";
        if !owner.scopes.iter().any(leads_here) {
            return forbidden(format!("this token lacks the scope {wanted}"));
        }
        Ok(name)
    }
}

/// `Authorization: token ..` or `bearer ..`.
fn token(headers: &HeaderMap) -> Result<&str, Refusal> {
    let missing = || Refusal::new(StatusCode::UNAUTHORIZED, "there is no token of the Hub");
    let header = headers.get(AUTHORIZATION).ok_or_else(missing)?;
    let text = header.to_str().map_err(|_| missing())?;
    let (scheme, token) = text.split_once(' ').ok_or_else(missing)?;
    let token = token.trim();
    let is_scheme = ["token", "bearer"].contains(&scheme.to_lowercase().as_str());
    // What is longer is none, and whatever is none is not sent on.
    let is_token = !token.is_empty() && token.len() <= LONGEST && token.is_ascii();
    match is_scheme && is_token {
        true => Ok(token),
        false => Err(missing()),
    }
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
