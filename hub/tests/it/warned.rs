//! Users are told before a server of theirs is stopped, and may keep it where use would; by groups, ages and quotas.

use carrel_hub::config::{Config, IdleCuller};
use carrel_hub::db::now;
use carrel_hub::db::servers::{Server, State};
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::token;
use crate::harness::three::{Three, call, post};
use crate::harness::{Behaviour, Browser, FakeSpawner, TestHub, wait_for};

async fn hub(culler: &str) -> TestHub {
    let text = format!("IdleCuller: {{enabled: true, every: 0.1, {culler}}}");
    let culler: IdleCuller = Config::parse("test", &text).unwrap().idle_culler;
    let spawner = FakeSpawner::new(Behaviour::Answers);
    TestHub::configured(spawner, |config| config.idle_culler = culler).await
}

async fn of(hub: &TestHub, user: &str) -> Server {
    hub.app.db.server(user, "").await.unwrap().unwrap()
}

/// What the API says of the default server.
async fn model(browser: &Browser, token: &str, user: &str) -> Value {
    let path = format!("/users/{user}");
    let reply = browser.api(Method::GET, &path, token, None).await;
    reply.expect(200).json()["servers"][""].clone()
}

/// The page, once it says that the server will be stopped.
async fn told(browser: &Browser) -> String {
    wait_for("the page to tell", async || {
        let page = browser.get("/hub/home").await.expect(200).body;
        page.contains("This server will be stopped in 1 minute")
            .then_some(page)
    })
    .await
}

#[tokio::test]
async fn who_is_told_of_the_end_may_put_it_off() {
    let hub = hub("timeout: 6, warn_before: 3").await;
    let browser = hub.admin().await;
    browser.spawn_ready("admin").await;
    let token = token(&browser, &["inherit"]).await;
    assert_eq!(model(&browser, &token, "admin").await.get("stops_at"), None);
    let page = told(&browser).await;
    assert!(page.contains("nothing has happened in it for") && page.contains("Keep it running"));
    let first = of(&hub, "admin").await.announced.unwrap();
    assert!(!first.is_final && first.at > now());
    let said = model(&browser, &token, "admin").await;
    assert!(
        said["stops_at"]
            .as_str()
            .is_some_and(|at| at.ends_with('Z')),
        "{said}"
    );
    assert!(
        said["stop_reason"]
            .as_str()
            .unwrap()
            .contains("IdleCuller.timeout")
    );

    let kept = browser
        .submit("/hub/home", "/hub/keep-running/admin", &[])
        .await;
    assert_eq!(kept.expect(303).location(), "/hub/home");
    assert_eq!(of(&hub, "admin").await.announced, None);
    let page = browser.get("/hub/home").await.expect(200).body;
    assert!(!page.contains("Keep it running"));

    // The end that was put off comes after the first, and is told again, for as long as it was to be.
    told(&browser).await;
    let told_at = now();
    let second = of(&hub, "admin").await.announced.unwrap();
    assert!(second.at > first.at && second.at > told_at + 1500);
    let stopped = wait_for("the end", async || {
        let server = of(&hub, "admin").await;
        (server.state == State::Stopped).then_some(server)
    })
    .await;
    assert!(now() >= second.at);
    assert_eq!(stopped.announced, None);
    assert!(stopped.failure.unwrap().contains("IdleCuller.timeout"));
}

#[tokio::test]
async fn use_withdraws_what_was_told() {
    let hub = hub("timeout: 8, warn_before: 6").await;
    let browser = hub.admin().await;
    browser.spawn_ready("admin").await;
    told(&browser).await;
    hub.spawner.compute(true);
    wait_for("the end of the warning", async || {
        browser.get("/user/admin/lab").await;
        let server = of(&hub, "admin").await;
        server.announced.is_none().then_some(())
    })
    .await;
    assert_eq!(of(&hub, "admin").await.state, State::Ready);
}

#[tokio::test]
async fn nobody_keeps_a_server_for_another_or_unasked() {
    let text = "IdleCuller: {enabled: true, every: 0.1, timeout: 8, warn_before: 6}";
    let culler = Config::parse("test", text).unwrap().idle_culler;
    let three = Three::configured(|config| config.idle_culler = culler).await;
    post(&three.bob, "/users/bob/server", json!({}))
        .await
        .expect(202);
    told(&three.bob).await;
    let before = of(&three.hub, "bob").await;
    // Another site has no token of this one.
    three
        .bob
        .post("/hub/keep-running/bob", &[])
        .await
        .expect(403);
    let of_carol = three
        .carol
        .submit("/hub/home", "/hub/keep-running/bob", &[])
        .await;
    assert!([403, 404].contains(&of_carol.status), "{}", of_carol.status);
    let after = of(&three.hub, "bob").await;
    assert_eq!(after.last_activity, before.last_activity);
    assert!(after.announced.is_some());
}

#[tokio::test]
async fn age_is_told_and_not_put_off() {
    let hub = hub("timeout: 600, max_age: 6, warn_before: 3").await;
    let browser = hub.admin().await;
    browser.spawn_ready("admin").await;
    let page = told(&browser).await;
    assert!(page.contains("IdleCuller.max_age") && !page.contains("Keep it running"));
    let told = of(&hub, "admin").await.announced.unwrap();
    browser
        .submit("/hub/home", "/hub/keep-running/admin", &[])
        .await
        .expect(303);
    assert_eq!(of(&hub, "admin").await.announced, Some(told.clone()));
    wait_for("the end", async || {
        let server = of(&hub, "admin").await;
        (server.state == State::Stopped).then_some(())
    })
    .await;
    assert!(now() >= told.at);
}

#[tokio::test]
async fn groups_have_times_of_their_own() {
    let text = "IdleCuller: {enabled: true, every: 0.1, timeout: 2, warn_before: 0, groups: {teachers: {timeout: 0}}}";
    let culler = Config::parse("test", text).unwrap().idle_culler;
    let three = Three::configured(|config| config.idle_culler = culler).await;
    let members = json!({ "users": ["bob"] });
    post(&three.admin, "/groups/teachers", members)
        .await
        .expect(201);
    for (browser, user) in [(&three.bob, "bob"), (&three.carol, "carol")] {
        let path = format!("/users/{user}/server");
        post(browser, &path, json!({})).await.expect(202);
    }
    wait_for("the end of carol's server", async || {
        let server = of(&three.hub, "carol").await;
        (server.state == State::Stopped && server.failure.is_some()).then_some(())
    })
    .await;
    let of_bob = of(&three.hub, "bob").await;
    assert_eq!(of_bob.state, State::Ready);
    // Bob's began first, and is as idle.
    assert!(now() - of_bob.last_activity.or(of_bob.started).unwrap() > 2000);
    // Who leaves the group has the time of all.
    let members = json!({ "users": ["bob"] });
    let left = call(
        &three.admin,
        Method::DELETE,
        "/groups/teachers/users",
        Some(members),
    );
    left.await.expect(200);
    wait_for("the end of bob's server", async || {
        let server = of(&three.hub, "bob").await;
        (server.state == State::Stopped).then_some(())
    })
    .await;
}

const HOUR: i64 = 3_600_000;

/// A Hub where bob may run servers for an hour, of which he has so many milliseconds left.
async fn with_hours(left: i64, stop: bool) -> Three {
    let text = format!(
        "IdleCuller: {{every: 0.1, warn_before: 2}}\nJupyterHub: {{quotas: [{{name: week, users: [bob], \
         hours_per_week: 1, stop_when_used_up: {stop}}}]}}"
    );
    let file = Config::parse("test", &text).unwrap();
    let three = Three::configured(|config| {
        config.idle_culler = file.idle_culler;
        config.jupyter_hub.quotas = file.jupyter_hub.quotas;
    })
    .await;
    let insert = "INSERT INTO runs (start_id, user_name, server_name, asked, ready, ended) \
                  VALUES ('old', 'bob', '', $1, $1, $2)";
    let begun = now() - 10 * HOUR;
    let insert = sqlx::query(insert).bind(begun).bind(begun + HOUR - left);
    insert
        .execute(&mut three.hub.database().await)
        .await
        .unwrap();
    for (browser, user) in [(&three.bob, "bob"), (&three.carol, "carol")] {
        let path = format!("/users/{user}/server");
        post(browser, &path, json!({})).await.expect(202);
    }
    three
}

#[tokio::test]
async fn used_up_hours_end_what_runs_after_a_warning() {
    let three = with_hours(5000, true).await;
    let page = told(&three.bob).await;
    assert!(
        page.contains("the quota `week` allows 1 hours within seven days"),
        "{page}"
    );
    assert!(!page.contains("Keep it running"));
    let told = of(&three.hub, "bob").await.announced.unwrap();
    let stopped = wait_for("the end", async || {
        let server = of(&three.hub, "bob").await;
        (server.state == State::Stopped).then_some(server)
    })
    .await;
    assert!(now() >= told.at);
    assert!(stopped.failure.unwrap().contains("the quota `week`"));
    assert_eq!(of(&three.hub, "carol").await.state, State::Ready);
    // Nor does another start.
    post(&three.bob, "/users/bob/server", json!({}))
        .await
        .expect(403);
}

#[tokio::test]
async fn used_up_hours_end_nothing_unless_they_are_to() {
    let three = with_hours(1000, false).await;
    wait_for("the hours to be used up", async || {
        let refused = post(&three.bob, "/users/bob/servers/gpu", json!({})).await;
        (refused.status == 403).then_some(())
    })
    .await;
    let server = of(&three.hub, "bob").await;
    assert_eq!((server.state, server.announced), (State::Ready, None));
}

#[test]
fn a_quota_that_stops_bounds_the_hours() {
    let text = "JupyterHub: {quotas: [{name: a, servers: 1, stop_when_used_up: true}]}";
    let errors = Config::parse("test", text).unwrap_err().to_string();
    assert!(
        errors.contains("quotas[0].stop_when_used_up: says nothing without"),
        "{errors}"
    );
    let text = "IdleCuller: {groups: {teachers: {timeouts: 0}}}";
    let errors = Config::parse("test", text).unwrap_err().to_string();
    assert!(
        errors.contains("IdleCuller.groups.teachers.timeouts: unknown key; did you mean `timeout`"),
        "{errors}"
    );
}
