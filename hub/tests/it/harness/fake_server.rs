//! `FakeServer`: answers as a single-user server does, so far as the Hub, its culler and its proxy can tell.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use serde_json::{Value, json};

/// A request with a token: its path, and the token.
pub type Asked = (String, String);

#[derive(Clone)]
pub struct FakeServer {
    /// Whether it tells its version.
    pub versioned: bool,
    /// Whether a kernel is busy.
    pub busy: Arc<AtomicBool>,
    /// Whether it leaves the culler without an answer.
    pub starving: Arc<AtomicBool>,
    pub asked: Arc<Mutex<Vec<Asked>>>,
    /// None where the Hub did not ask for it.
    pub environment: Option<BTreeMap<String, String>>,
}

impl FakeServer {
    pub async fn answer(&self, request: Request) -> Response {
        let version = self
            .versioned
            .then_some([("x-jupyterhub-version", "6.1.1")]);
        let path = request.uri().path().to_owned();
        let token = token(&request);
        if let Some(token) = &token {
            self.asked
                .lock()
                .unwrap()
                .push((path.clone(), token.clone()));
            if !self.lets_in(token).await {
                return (StatusCode::FORBIDDEN, version, "").into_response();
            }
        }
        let is_look = request.uri().query() == Some("no_track_activity=1");
        if is_look && self.starving.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
        let body = match path.ends_with("/api/kernels") && token.is_some() {
            true => kernels(self.busy.load(Ordering::Relaxed)).to_string(),
            false => String::from("answer of the server"),
        };
        (version, body).into_response()
    }

    /// jupyterhub/services/auth.py: the Hub says what a token may do, which must be one of the server's access scopes.
    async fn lets_in(&self, token: &str) -> bool {
        let Some(environment) = &self.environment else {
            return true;
        };
        let request = reqwest::Client::new()
            .get(format!("{}/user", environment["JUPYTERHUB_API_URL"]))
            .header(header::AUTHORIZATION, format!("token {token}"));
        let Ok(answer) = request.send().await else {
            return false;
        };
        let user: Value = answer.json().await.unwrap();
        let own: Vec<Value> =
            serde_json::from_str(&environment["JUPYTERHUB_OAUTH_ACCESS_SCOPES"]).unwrap();
        let scopes = user["scopes"].as_array();
        scopes.is_some_and(|scopes| scopes.iter().any(|scope| own.contains(scope)))
    }
}

fn token(request: &Request) -> Option<String> {
    let given = request.headers().get(header::AUTHORIZATION)?;
    let token = given.to_str().unwrap().strip_prefix("token ");
    token.map(str::to_owned)
}

fn kernels(busy: bool) -> Value {
    let state = if busy { "busy" } else { "idle" };
    json!([{ "execution_state": "idle" }, { "execution_state": state }])
}
