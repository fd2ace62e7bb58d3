//! The home page: named servers by forms, what others share, and the hint for the first login.

use reqwest::Method;
use serde_json::json;

use super::api::token;
use crate::harness::{Behaviour, FakeSpawner, TestHub, wait_for};

#[tokio::test]
async fn a_named_server_is_added_renamed_started_stopped_and_deleted() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let submit = async |action: &str, fields: &[(&str, &str)]| {
        browser.submit("/hub/home", action, fields).await
    };
    let new = [("name", "gpu"), ("display_name", "Big one")];
    submit("/hub/home/servers", &new).await.expect(303);
    let page = browser.get("/hub/home").await.expect(200).body;
    assert!(
        page.contains("Big one") && page.contains("Delete Big one"),
        "{page}"
    );
    let again = submit("/hub/home/servers", &new).await.expect(409);
    assert!(
        again.body.contains("already has server gpu"),
        "{}",
        again.body
    );
    for bad in ["", "Bad--Name"] {
        let refused = submit("/hub/home/servers", &[("name", bad)])
            .await
            .expect(400);
        assert!(refused.body.contains("single hyphens"), "{}", refused.body);
    }
    let other = [("name", "tpu"), ("display_name", "")];
    submit("/hub/home/servers/gpu", &other).await.expect(303);
    submit("/hub/spawn/admin/tpu", &[]).await.expect(303);
    wait_for("the server", || async {
        let page = browser.get("/hub/home").await.body;
        page.contains("href=\"/user/admin/tpu/\"").then_some(())
    })
    .await;
    submit("/hub/home/servers/tpu", &other).await.expect(400);
    let stopped = submit("/hub/stop/admin/tpu", &[]).await.expect(303);
    assert_eq!(stopped.location(), "/hub/home");
    submit("/hub/home/servers/tpu/delete", &[])
        .await
        .expect(303);
    let page = browser.get("/hub/home").await.expect(200).body;
    assert!(!page.contains("tpu"), "{page}");
    submit("/hub/home/servers/tpu/delete", &[])
        .await
        .expect(404);
}

#[tokio::test]
async fn forms_of_other_sites_change_no_server() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    for action in [
        "/hub/home/servers",
        "/hub/home/servers/gpu",
        "/hub/home/servers/gpu/delete",
    ] {
        let page = browser.post(action, &[("name", "gpu")]).await.expect(403);
        assert!(page.body.contains("Nothing was done"), "{}", page.body);
    }
    assert!(hub.app.db.server("admin", "gpu").await.unwrap().is_none());
}

#[tokio::test]
async fn named_servers_are_off_unless_enabled_and_no_more_than_the_limit() {
    let spawner = FakeSpawner::new(Behaviour::Answers);
    let hub = TestHub::configured(spawner, |config| {
        config.jupyter_hub.allow_named_servers = false;
    })
    .await;
    let browser = hub.admin().await;
    let page = browser.get("/hub/home").await.expect(200).body;
    assert!(!page.contains("Named servers"), "{page}");
    let new = [("name", "gpu")];
    let refused = browser.submit("/hub/home", "/hub/home/servers", &new).await;
    assert!(
        refused
            .expect(400)
            .body
            .contains("Named servers are not enabled.")
    );
    let admin = token(&browser, &["inherit"]).await;
    for method in [Method::POST, Method::PUT] {
        let path = "/users/admin/servers/gpu";
        let refused = browser.api(method, path, &admin, None).await.expect(400);
        assert_eq!(refused.json()["message"], "Named servers are not enabled.");
    }

    let spawner = FakeSpawner::new(Behaviour::Answers);
    let hub = TestHub::configured(spawner, |config| {
        config.jupyter_hub.named_server_limit_per_user = 1;
    })
    .await;
    let browser = hub.admin().await;
    browser
        .submit("/hub/home", "/hub/home/servers", &new)
        .await
        .expect(303);
    let page = browser.get("/hub/home").await.expect(200).body;
    assert!(!page.contains("Add New Server"), "{page}");
    let more = browser
        .submit("/hub/spawn", "/hub/spawn/admin/tpu", &[])
        .await;
    assert!(more.expect(400).body.contains("maximum of 1 named servers"));
    browser
        .submit("/hub/spawn", "/hub/spawn/admin/gpu", &[])
        .await
        .expect(303);
}

#[tokio::test]
async fn what_others_share_is_listed_with_its_next_step() {
    let hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), |config| {
        config.authenticator.allow_all = true;
    })
    .await;
    let browser = hub.admin().await;
    let admin = token(&browser, &["inherit"]).await;
    let api = async |method, path: &str, body| browser.api(method, path, &admin, Some(body)).await;
    api(Method::POST, "/users/bob", json!({})).await.expect(201);
    api(Method::POST, "/users/bob/servers/gpu", json!({}))
        .await
        .expect(202);
    let share = json!({ "user": "admin", "scopes": ["access:servers"] });
    api(Method::POST, "/shares/bob/gpu", share)
        .await
        .expect(200);
    wait_for("the server that is shared", || async {
        let page = browser.get("/hub/home").await.body;
        let link = "href=\"/user/bob/gpu/\"";
        (page.contains("Shared with me") && page.contains(link)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_login_page_names_the_first_account_while_it_has_no_password() {
    let hub = TestHub::start().await;
    let hint = "id=\"first-account\"";
    let page = hub.browser().get("/hub/login").await.expect(200).body;
    assert!(
        page.contains(hint) && page.contains("<strong>admin</strong>"),
        "{page}"
    );
    let browser = hub.admin().await;
    let new = "correct horse";
    let fields = [("new_password", new), ("new_password_confirmation", new)];
    browser
        .submit("/hub/change-password", "/hub/change-password", &fields)
        .await
        .expect(200);
    let page = hub.browser().get("/hub/login").await.expect(200).body;
    assert!(!page.contains(hint) && !page.contains("admin<"), "{page}");
}

#[tokio::test]
async fn a_cancelled_start_leaves_nothing_behind() {
    let hub = TestHub::with(Behaviour::Silent).await;
    let browser = hub.admin().await;
    browser.spawn().await.expect(303);
    wait_for("the start", || async {
        (hub.spawner.running() == 1).then_some(())
    })
    .await;
    let page = browser.get("/hub/spawn-pending/admin").await.expect(200);
    let xsrf = page.hidden("_xsrf");
    browser
        .post("/hub/stop/admin", &[("_xsrf", &xsrf)])
        .await
        .expect(303);
    wait_for("the end of the server", || async {
        (hub.spawner.running() == 0).then_some(())
    })
    .await;
    let page = browser.get("/hub/home").await.expect(200).body;
    assert!(page.contains("The start was cancelled"), "{page}");
}
