//! Servers that are deleted: also after a slow stop, and with all that they kept before anybody else has their name.

use std::sync::atomic::Ordering;

use carrel_hub::db::servers::State;
use carrel_spawner::Spawner as _;
use reqwest::{Method, StatusCode};
use serde_json::json;

use crate::api::token;
use crate::harness::{Browser, TestHub, wait_for};

const PATH: &str = "/users/admin/servers/extra";

/// A Hub with a named server that is ready, and a token for it.
async fn with_server() -> (TestHub, Browser, String) {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let token = token(&browser, &["inherit"]).await;
    start(&hub, &browser, &token).await;
    (hub, browser, token)
}

async fn start(hub: &TestHub, browser: &Browser, token: &str) {
    browser
        .api(Method::POST, PATH, token, None)
        .await
        .expect(202);
    wait_for("the server", || async {
        let server = hub.app.db.server("admin", "extra").await.unwrap()?;
        (server.state == State::Ready).then_some(())
    })
    .await;
}

async fn remove(browser: &Browser, token: &str, status: u16) {
    let body = json!({ "remove": true });
    browser
        .api(Method::DELETE, PATH, token, Some(body))
        .await
        .expect(status);
}

async fn is_gone(hub: &TestHub) {
    wait_for("the end of the row", || async {
        let server = hub.app.db.server("admin", "extra").await.unwrap();
        server.is_none().then_some(())
    })
    .await;
}

/// A stop that takes longer than the answer may is not forgotten, not even by another Hub.
#[tokio::test]
async fn a_server_is_removed_after_a_slow_stop_that_another_hub_ends() {
    let (hub, browser, token) = with_server().await;
    hub.spawner.slow_stop.store(true, Ordering::Relaxed);
    remove(&browser, &token, 202).await;
    let hub = hub.crash_and_restart().await;
    let server = hub.app.db.server("admin", "extra").await.unwrap();
    assert_eq!(server.unwrap().state, State::Stopping);
    hub.spawner.slow_stop.store(false, Ordering::Relaxed);
    is_gone(&hub).await;
    wait_for("the end of what it kept", || async {
        (hub.spawner.forgotten() == ["admin/extra"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_a_server_kept_is_asked_for_until_it_is_gone_and_nobody_has_the_name_before() {
    let (hub, browser, token) = with_server().await;
    hub.spawner.refuses_to_forget.store(true, Ordering::Relaxed);
    remove(&browser, &token, 204).await;
    is_gone(&hub).await;
    wait_for("some tries", || async {
        (hub.spawner.forgotten().len() > 2).then_some(())
    })
    .await;
    let refused = browser.api(Method::POST, PATH, &token, None).await;
    let body = refused.expect(400).body;
    assert!(body.contains("still being removed"), "{body}");

    // Also by the Hub that comes after.
    let hub = hub.crash_and_restart().await;
    hub.spawner
        .refuses_to_forget
        .store(false, Ordering::Relaxed);
    wait_for("the end of what it kept", || async {
        hub.app
            .db
            .leftovers()
            .await
            .unwrap()
            .is_empty()
            .then_some(())
    })
    .await;
    start(&hub, &browser, &token).await;
    let tries = hub.spawner.forgotten().len();
    hub.spawner.forget("nobody", "", None).await.unwrap();
    assert_eq!(hub.spawner.forgotten().len(), tries + 1);
}

/// What a server keeps goes only with its row: another start has followed the one that was to be removed.
#[tokio::test]
async fn a_server_that_was_started_again_keeps_what_it_has() {
    let (hub, browser, token) = with_server().await;
    let old = hub.app.db.server("admin", "extra").await.unwrap().unwrap();
    browser
        .api(Method::DELETE, PATH, &token, None)
        .await
        .expect(204);
    start(&hub, &browser, &token).await;
    assert!(
        !hub.app
            .db
            .request_removal(old.id, &old.start_id)
            .await
            .unwrap()
    );
    assert!(!hub.app.db.remove_server(old.id).await.unwrap());
    assert!(hub.app.db.leftovers().await.unwrap().is_empty());
    let server = browser.api(Method::GET, PATH, &token, None).await;
    assert_eq!(server.status, StatusCode::OK);
}
