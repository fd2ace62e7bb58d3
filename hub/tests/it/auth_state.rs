//! What the Hub keeps of a provider's word on a user, and how it asks again.

use carrel_hub::auth::crypt::KeyError;
use carrel_hub::config::Config;
use carrel_hub::run::{Hub, StartError};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Row as _;

use crate::api::token_of;
use crate::harness::{Browser, TestHub};
use crate::openid::{GROUPS, Provider, log_in};

const KEYS: &str =
    "CryptKeeper: {keys: [6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b6b]}\n";

async fn hub(provider: &Provider, keys: &str) -> TestHub {
    let keys = format!("enable_auth_state: true, {GROUPS}, {keys}");
    provider.configured(&provider.issued(&keys), KEYS).await
}

/// Ada, who is an administrator there, logged in.
async fn ada(provider: &Provider, hub: &TestHub) -> Browser {
    tell(provider, &["staff", "root"]).await;
    let browser = hub.browser();
    log_in(&browser, "1").await.expect(303);
    browser
}

async fn tell(provider: &Provider, groups: &[&str]) {
    let claims = json!({ "preferred_username": "ada", "groups": groups });
    provider.tell("1", claims).await;
}

/// As if the time of `auth_refresh_age` had passed.
async fn pass_time(hub: &TestHub) {
    let ada = hub.app.db.user("ada").await.unwrap().unwrap();
    let set = hub.app.db.set_auth_refreshed(ada.id, ada.auth_refreshed, 1);
    assert!(set.await.unwrap());
}

async fn groups(hub: &TestHub) -> Vec<String> {
    let ada = hub.app.db.user("ada").await.unwrap().unwrap();
    hub.app.db.groups_of(ada.id).await.unwrap()
}

async fn kept(browser: &Browser, token: &str) -> Value {
    let user = browser.api(Method::GET, "/users/ada", token, None).await;
    user.expect(200).json()["auth_state"].clone()
}

#[tokio::test]
async fn what_a_provider_tells_is_kept_encrypted_for_who_may_read_it() {
    let Some(provider) = Provider::start().await else {
        return;
    };
    let hub = hub(&provider, "").await;
    let browser = ada(&provider, &hub).await;
    let all = token_of("ada", &browser, &["inherit"]).await;
    let state = kept(&browser, &all).await;
    let secret = state["access_token"].as_str().unwrap();
    assert!(
        !secret.is_empty() && !state["refresh_token"].is_null(),
        "{state}"
    );
    assert_eq!(state["token_response"]["access_token"], secret);
    assert_eq!(state["oauth_user"]["preferred_username"], "ada");
    let some = token_of("ada", &browser, &["read:users", "list:users"]).await;
    assert_eq!(kept(&browser, &some).await, Value::Null);
    let listed = browser.api(Method::GET, "/users", &all, None).await;
    assert_eq!(listed.expect(200).json()[0]["auth_state"], Value::Null);

    let row = sqlx::query("SELECT auth_state FROM users WHERE name = 'ada'");
    let row = row.fetch_one(&mut hub.database().await).await.unwrap();
    let stored: String = row.get("auth_state");
    assert!(stored.len() > 100 && !stored.contains(secret));

    // An administrator may put another in its place (jupyterhub/apihandlers/users.py).
    let body = Some(json!({ "auth_state": { "a": 1 } }));
    let changed = browser.api(Method::PATCH, "/users/ada", &all, body).await;
    assert_eq!(changed.expect(200).json()["auth_state"], json!({ "a": 1 }));
    assert_eq!(kept(&browser, &all).await, json!({ "a": 1 }));
    let body = Some(json!({ "auth_state": "text" }));
    let changed = browser.api(Method::PATCH, "/users/ada", &all, body);
    changed.await.expect(400);
}

#[tokio::test]
async fn a_provider_is_asked_again_while_its_tokens_are_good() {
    let Some(provider) = Provider::start().await else {
        return;
    };
    // This provider gives further tokens to whom it knows by a header alone.
    let hub = hub(&provider, "basic_auth: true").await;
    let browser = ada(&provider, &hub).await;
    let all = token_of("ada", &browser, &["inherit"]).await;
    tell(&provider, &["staff", "root", "new"]).await;
    browser.get("/hub/home").await.expect(200);
    assert_eq!(groups(&hub).await, ["root", "staff"]);
    pass_time(&hub).await;
    browser.get("/hub/home").await.expect(200);
    assert_eq!(groups(&hub).await, ["new", "root", "staff"]);

    // With a token that has ended, another is asked for.
    let mut state = kept(&browser, &all).await;
    let (old, further) = (json!("ended"), state["refresh_token"].clone());
    state["access_token"] = old.clone();
    let body = Some(json!({ "auth_state": state }));
    browser
        .api(Method::PATCH, "/users/ada", &all, body)
        .await
        .expect(200);
    tell(&provider, &["staff", "root"]).await;
    pass_time(&hub).await;
    browser
        .api(Method::GET, "/user", &all, None)
        .await
        .expect(200);
    assert_eq!(groups(&hub).await, ["root", "staff"]);
    let state = kept(&browser, &all).await;
    assert!(
        state["access_token"]
            .as_str()
            .is_some_and(|token| token != "ended"),
        "{state}"
    );
    assert!(!state["refresh_token"].is_null(), "{state} {further}");
}

#[tokio::test]
async fn who_is_refused_must_log_in_again() {
    let Some(provider) = Provider::start().await else {
        return;
    };
    let hub = hub(&provider, "basic_auth: true").await;
    let browser = ada(&provider, &hub).await;
    let all = token_of("ada", &browser, &["inherit"]).await;
    provider.revoke("1").await;
    browser.get("/hub/home").await.expect(200);
    pass_time(&hub).await;
    let away = browser.get("/hub/home").await.expect(302);
    assert!(
        away.location().starts_with("/hub/login?"),
        "{}",
        away.location()
    );
    // Whoever shows a token cannot log in by it (6.1).
    browser
        .api(Method::GET, "/user", &all, None)
        .await
        .expect(200);
    log_in(&browser, "1").await.expect(303);
    browser.get("/hub/home").await.expect(200);
    // With no more word of the groups that let in, too.
    let claims = json!({ "preferred_username": "ada" });
    provider.tell("1", claims).await;
    pass_time(&hub).await;
    browser.get("/hub/home").await.expect(302);
}

#[tokio::test]
async fn tokens_of_who_is_refused_are_not_taken_where_that_is_strict() {
    let Some(provider) = Provider::start().await else {
        return;
    };
    let hub = hub(&provider, "basic_auth: true, auth_refresh_strict: true").await;
    let browser = ada(&provider, &hub).await;
    let all = token_of("ada", &browser, &["inherit"]).await;
    provider.revoke("1").await;
    pass_time(&hub).await;
    for _ in 0..2 {
        let refused = browser.api(Method::GET, "/user", &all, None).await;
        refused.expect(403);
    }
}

#[tokio::test]
async fn before_a_start_it_is_asked_in_any_case() {
    let Some(provider) = Provider::start().await else {
        return;
    };
    let hub = hub(&provider, "basic_auth: true, refresh_pre_spawn: true").await;
    let browser = ada(&provider, &hub).await;
    let all = token_of("ada", &browser, &["inherit"]).await;
    provider.revoke("1").await;
    let refused = browser.spawn().await.expect(403);
    assert!(
        refused.body.contains("auth has expired for ada"),
        "{}",
        refused.body
    );
    // Who cannot log in for them is not kept from it.
    let path = "/users/ada/servers/other";
    browser
        .api(Method::POST, path, &all, None)
        .await
        .expect(202);
}

#[tokio::test]
async fn a_provider_that_does_not_answer_logs_nobody_out() {
    let Some(provider) = Provider::start().await else {
        return;
    };
    let hub = hub(&provider, "").await;
    let browser = ada(&provider, &hub).await;
    drop(provider);
    pass_time(&hub).await;
    browser.get("/hub/home").await.expect(200);
}

#[tokio::test]
async fn nothing_is_kept_without_a_key() {
    let mut config = Config::default();
    config.jupyter_hub.port = 0;
    config.authenticator.enable_auth_state = true;
    let state = tempfile::tempdir().unwrap();
    let Err(StartError::Key(error @ KeyError::None)) = Hub::open(config, state.path()).await else {
        panic!("the Hub starts without a key");
    };
    assert!(
        error.to_string().contains("JUPYTERHUB_CRYPT_KEY"),
        "{error}"
    );
}
