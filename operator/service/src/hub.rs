//! Whose a token is: the Hub says so, as it does to JupyterHub's own HubAuth (jupyterhub/services/auth.py).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use carrel_service::{HubClient, HubError};
use sha2::{Digest as _, Sha256};

use crate::answer::Refusal;

/// How long an answer counts: a token that was taken back is good for so long.
const KEPT: Duration = Duration::from_secs(10);
/// The same of a refusal, so that a client that goes on asking does not go on asking the Hub.
const KEPT_REFUSAL: Duration = Duration::from_secs(1);
/// How many answers are kept.
const MOST: usize = 4096;
/// The longest token.
const LONGEST: usize = 1024;

type Answer = Result<String, Refusal>;

pub struct Hub {
    client: HubClient,
    /// The scope that leads to this service alone.
    scope: String,
    /// By the digest of the token.
    answers: Mutex<HashMap<[u8; 32], (Instant, Answer)>>,
}

impl Hub {
    /// # Errors
    /// When this machine has no certificates to check the Hub's by.
    pub fn new(api: &str, service: &str) -> std::io::Result<Self> {
        let scope = format!("access:services!service={service}");
        let all = "access:services".to_owned();
        Ok(Self {
            client: HubClient::new(api, vec![scope.clone(), all])?,
            scope,
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
        let answer = match self.client.user(token).await {
            Ok(user) => Ok(user.name),
            Err(error) => Err(self.refusal(&error)),
        };
        let is_news = |refusal: &Refusal| refusal.status != StatusCode::SERVICE_UNAVAILABLE;
        if answer.as_ref().err().is_none_or(is_news) {
            self.remember(digest, answer.clone());
        }
        answer
    }

    fn refusal(&self, error: &HubError) -> Refusal {
        let forbidden = |message: &str| Refusal::new(StatusCode::FORBIDDEN, message);
        match error {
            HubError::Away(_) => {
                tracing::warn!(url = self.client.url("/user"), %error, "The Hub could not be asked");
                Refusal::away("the Hub does not answer now, so nobody knows whose token this is")
            }
            HubError::Refused => forbidden("the Hub does not know this token"),
            HubError::NoUser => forbidden("this token is of no user, and jobs belong to users"),
            HubError::NoAccess(_) => {
                forbidden(&format!("this token lacks the scope {}", self.scope))
            }
        }
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
