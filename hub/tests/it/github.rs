//! Logging in by GitHub: what its API answers, by a few lines that answer as it does.

use axum::extract::Path;
use axum::routing::{get, post};
use axum::{Form, Json, Router};
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use std::collections::HashMap;

use crate::harness::{Browser, Reply, TestHub};

/// A login whose code is the user's name; `ada` is in `org`, and in its team `team` is `bob`.
async fn github() -> String {
    let token = async |Form(form): Form<HashMap<String, String>>| {
        assert_eq!(form["client_secret"], "hunter2hunter2");
        assert!(form["code_verifier"].len() >= 43);
        let answer = match form["code"].as_str() {
            // GitHub says so with status 200.
            "expired" => {
                json!({ "error": "bad_verification_code", "error_description": "hunter2hunter2" })
            }
            code => json!({ "access_token": code, "token_type": "bearer", "scope": "read:org" }),
        };
        Json(answer)
    };
    let user = async |headers: HeaderMap| -> Result<Json<Value>, StatusCode> {
        if !headers.contains_key("user-agent") {
            return Err(StatusCode::FORBIDDEN);
        }
        let token = headers["authorization"].to_str().unwrap();
        Ok(Json(
            json!({ "login": token.replace("Bearer ", ""), "id": 1 }),
        ))
    };
    let member = async |Path((org, login)): Path<(String, String)>| match (&*org, &*login) {
        ("org", "Ada") => StatusCode::NO_CONTENT,
        _ => StatusCode::NOT_FOUND,
    };
    let in_team = async |Path((org, team, login)): Path<(String, String, String)>| match (
        &*org, &*team, &*login,
    ) {
        ("org", "team", "bob") => StatusCode::NO_CONTENT,
        _ => StatusCode::NOT_FOUND,
    };
    let router = Router::new()
        .route("/login/oauth/access_token", post(token))
        .route("/api/v3/user", get(user))
        .route("/api/v3/orgs/{org}/members/{login}", get(member))
        .route(
            "/api/v3/orgs/{org}/teams/{team}/members/{login}",
            get(in_team),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// Comes back from GitHub with this code.
async fn come_back(browser: &Browser, code: &str) -> Reply {
    let there = browser.get("/hub/oauth_login").await.expect(303);
    let there: url::Url = there.location().parse().unwrap();
    assert_eq!(there.path(), "/login/oauth/authorize");
    let query: HashMap<_, _> = there.query_pairs().into_owned().collect();
    assert_eq!(query["scope"], "read:org");
    let back = format!("/hub/oauth_callback?code={code}&state={}", query["state"]);
    browser.get(&back).await
}

#[tokio::test]
async fn members_of_organizations_and_teams_come_in() {
    let github = github().await;
    let text = format!(
        "JupyterHub: {{authenticator_class: github}}\n\
         GitHubOAuthenticator: {{client_id: hub, client_secret: hunter2hunter2, github_url: '{github}', \
         github_api: '{github}/api/v3', allowed_organizations: [other, org, 'org:team']}}\n"
    );
    let hub = TestHub::of_file(&text).await;
    let page = hub.browser().get("/hub/login").await.expect(200);
    assert!(page.body.contains("Sign in with GitHub"), "{}", page.body);
    for (login, status) in [("Ada", 303), ("bob", 303), ("eve", 403), ("expired", 502)] {
        let reply = come_back(&hub.browser(), login).await.expect(status);
        assert!(!reply.body.contains("hunter2"), "{}", reply.body);
    }
    assert!(hub.app.db.user("ada").await.unwrap().is_some());
    assert!(hub.app.db.user("eve").await.unwrap().is_none());
}
