//! The Hub's API, of which a service asks who holds a token.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::client::{HttpClient, client};
use crate::error::in_full;

/// How long the Hub may take to answer.
const LONGEST: Duration = Duration::from_secs(10);
/// The most that it may answer, in bytes.
const MOST: usize = 4 << 20;

#[derive(Debug, thiserror::Error)]
pub enum HubError {
    #[error("the Hub does not answer: {0}")]
    Away(String),
    /// What was sent, a token or a code, is not good, or not any more.
    #[error("the Hub refuses")]
    Refused,
    #[error("this token is of no user")]
    NoUser,
    /// Named is the user.
    #[error("the Hub does not let {0} use this service")]
    NoAccess(String),
}

/// Whose a token is and what for (JupyterHub's model of a user or service at `/hub/api/user`).
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct User {
    pub kind: String,
    pub name: String,
    pub groups: Vec<String>,
    /// By name; the default one has none. Only where the service may read them.
    pub servers: Option<BTreeMap<String, Server>>,
    /// Of the token.
    pub scopes: Vec<String>,
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
    http: HttpClient,
    api: String,
    access: Vec<String>,
}

impl HubClient {
    /// For the API at `api`, as `JUPYTERHUB_API_URL` has it, and tokens with one of the scopes `access`.
    ///
    /// # Errors
    /// When this machine has no certificates to check the Hub's by.
    pub fn new(api: &str, access: Vec<String>) -> std::io::Result<Self> {
        Ok(Self {
            http: client(api)?,
            api: api.trim_end_matches('/').to_owned(),
            access,
        })
    }

    /// The address of `path`, which begins with a slash.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.api)
    }

    /// Who holds a token, if they may use this service with it.
    ///
    /// # Errors
    /// When the token is not good or a service's, its owner may not, or the Hub is away.
    pub async fn user(&self, token: &str) -> Result<User, HubError> {
        let request = Request::get(self.url("/user"))
            .header(header::AUTHORIZATION, format!("token {token}"))
            .body(Full::default());
        // A token with a character that no header holds is none.
        let request = request.map_err(|_| HubError::Refused)?;
        self.judge(self.send(request).await?)
    }

    fn judge(&self, owner: User) -> Result<User, HubError> {
        if owner.kind != "user" || owner.name.is_empty() {
            return Err(HubError::NoUser);
        }
        match owner.scopes.iter().any(|scope| self.access.contains(scope)) {
            true => Ok(owner),
            false => Err(HubError::NoAccess(owner.name)),
        }
    }

    /// The head of an answer, whatever it says, and a body that may take longer.
    ///
    /// # Errors
    /// When nobody answers in time.
    pub async fn ask(&self, request: Request<Full<Bytes>>) -> Result<Response<Body>, HubError> {
        let answer = async { self.http.request(request).await.map_err(|e| away(&e)) };
        Ok(in_time(answer).await?.map(Body::new))
    }

    /// # Errors
    /// When the Hub refuses it, or is away.
    pub async fn send<T: DeserializeOwned>(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<T, HubError> {
        let answer = async {
            let response = self.http.request(request).await.map_err(|e| away(&e))?;
            let (parts, body) = response.into_parts();
            let body = Limited::new(body, MOST).collect().await;
            let body = body.map_err(|error| away(error.as_ref()))?.to_bytes();
            Ok((parts.status, body))
        };
        match in_time(answer).await? {
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

fn away(cause: &dyn std::error::Error) -> HubError {
    HubError::Away(in_full(cause))
}

async fn in_time<T>(answer: impl Future<Output = Result<T, HubError>>) -> Result<T, HubError> {
    let late = |_| HubError::Away(format!("no answer in {} s", LONGEST.as_secs()));
    tokio::time::timeout(LONGEST, answer).await.map_err(late)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_reads_with_and_without_servers() {
        let text = r#"{"kind":"user","name":"ada","groups":["lab"],"scopes":["access:services"],"admin":false,
            "servers":{"":{"name":"","ready":true,"pending":null,"url":"/user/ada/","last_activity":null}}}"#;
        let user: User = serde_json::from_str(text).unwrap();
        assert_eq!((user.name.as_str(), user.groups.len()), ("ada", 1));
        assert_eq!(user.servers.unwrap().len(), 1);
        let user: User = serde_json::from_str(r#"{"kind":"user","name":"ada"}"#).unwrap();
        assert!(user.servers.is_none());
    }

    #[test]
    fn only_users_with_a_scope_of_the_service_come_in() {
        let access = vec!["access:services!service=here".to_owned()];
        let hub = HubClient::new("http://hub/hub/api/", access.clone()).unwrap();
        assert_eq!(hub.url("/user"), "http://hub/hub/api/user");
        let owner = |kind: &str, name: &str, scopes: &[String]| User {
            kind: kind.to_owned(),
            name: name.to_owned(),
            scopes: scopes.to_owned(),
            ..User::default()
        };
        assert!(hub.judge(owner("user", "ada", &access)).is_ok());
        for (owner, error) in [
            (
                owner("service", "culler", &access),
                "this token is of no user",
            ),
            (owner("user", "", &access), "this token is of no user"),
            (
                owner("user", "ada", &[]),
                "the Hub does not let ada use this service",
            ),
        ] {
            assert_eq!(hub.judge(owner).unwrap_err().to_string(), error);
        }
    }
}
