//! `PATCH /hub/api/proxy`: the proxy apart is elsewhere now.

use reqwest::Method;
use serde_json::json;

use crate::apart::{hub_with, logged_in};
use crate::api::token;
use crate::harness::apart::{Apart, Kind, TOKEN, free_port};
use crate::harness::three::Three;
use crate::harness::{Behaviour, FakeSpawner, TestHub};

#[tokio::test]
async fn a_proxy_that_has_moved_is_told_of_and_gets_the_routes() {
    let port = free_port();
    let mut old = Apart::start(Kind::Ours, port).await;
    let spawner = FakeSpawner::new(Behaviour::Answers);
    let hub = hub_with(spawner, port, &[&old]).await;
    let browser = logged_in(&old).await;
    browser.spawn_ready("admin").await;
    let hub_itself = browser.at(&hub.origin);
    let admin = token(&browser, &["inherit"]).await;
    let tell = async |body| {
        let told = hub_itself.api(Method::PATCH, "/proxy", &admin, body);
        told.await
    };

    let new = Apart::start(Kind::Ours, port).await;
    old.kill();
    for wrong in ["http://127.0.0.1:1/path", "https://127.0.0.1:1", "nowhere"] {
        tell(Some(json!({ "api_url": wrong }))).await.expect(400);
    }
    tell(None).await.expect(400);
    let place = format!("http://127.0.0.1:{}", new.api_port);
    tell(Some(json!({ "api_url": place, "auth_token": TOKEN })))
        .await
        .expect(200);
    let routes = new.routes().await;
    assert_eq!(routes["/user/admin"]["user"], "admin", "{routes}");
    let moved = browser.at(&new.origin());
    let reply = moved.get("/user/admin/lab").await.expect(200);
    assert_eq!(reply.body, "answer of the server");
    // What comes later goes there too.
    let stopped = hub_itself.api(Method::DELETE, "/users/admin/server", &admin, None);
    stopped.await.expect(204);
    assert!(new.routes().await.get("/user/admin").is_none());
    // A token that it does not take.
    let wrong = json!({ "auth_token": "another token than that" });
    tell(Some(wrong)).await.expect(500);
    tell(Some(json!({ "auth_token": TOKEN }))).await.expect(200);
}

#[tokio::test]
async fn a_hub_that_is_its_own_proxy_has_none_to_be_replaced() {
    let three = Three::meet().await;
    let move_to = json!({ "api_url": "http://127.0.0.1:1" });
    let tell = async |hub: &TestHub, token: &str, status| {
        let body = Some(move_to.clone());
        let browser = hub.browser();
        let told = browser.api(Method::PATCH, "/proxy", token, body);
        told.await.expect(status)
    };
    let admin = token(&three.admin, &["inherit"]).await;
    let refused = tell(&three.hub, &admin, 400).await;
    let told = "the proxy is a part of this Hub: there is none to be replaced";
    assert_eq!(refused.json()["message"], told);
    let bob = crate::api::token_of("bob", &three.bob, &["inherit"]).await;
    tell(&three.hub, &bob, 403).await;
}
