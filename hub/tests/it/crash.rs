//! A Hub that is killed at the worst moment, and the one that comes after it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use carrel_hub::config::Config;
use reqwest::Method;
use serde_json::json;

use crate::harness::{Behaviour, Browser, FakeSpawner, TestHub, wait_for};

/// A start under way: there is a process, and it does not answer yet.
async fn starting(configure: impl FnOnce(&mut Config)) -> (TestHub, Browser) {
    let patient = |config: &mut Config| {
        config.spawner.http_timeout = Duration::from_secs(600);
        configure(config);
    };
    let hub = TestHub::configured(FakeSpawner::new(Behaviour::Silent), patient).await;
    let browser = hub.admin().await;
    browser.spawn().await.expect(303);
    wait_for("the process", || async {
        (hub.spawner.running() == 1).then_some(())
    })
    .await;
    (hub, browser)
}

#[tokio::test]
async fn a_ready_server_is_served_again_and_the_login_holds() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    browser.spawn_ready("admin").await;
    let token = hub.spawner.variable("JUPYTERHUB_API_TOKEN");

    let hub = hub.crash_and_restart().await;

    browser.get("/user/admin/lab").await.expect(200);
    browser.get("/hub/home").await.expect(200);
    let activity = json!({ "servers": { "": { "last_activity": "2026-01-01T00:00:00Z" } } });
    browser
        .api(
            Method::POST,
            "/users/admin/activity",
            &token,
            Some(activity),
        )
        .await
        .expect(200);
    assert_eq!(hub.spawner.requests().len(), 1, "nothing was started anew");
}

#[tokio::test]
async fn a_start_that_was_under_way_goes_on() {
    let (hub, browser) = starting(|_| {}).await;

    let hub = hub.crash_and_restart().await;

    let page = browser.get("/hub/spawn-pending/admin").await.expect(200);
    assert!(page.body.contains("Starting your server"), "{}", page.body);
    assert_eq!(hub.spawner.running(), 1);
    browser
        .submit("/hub/home", "/hub/stop/admin", &[])
        .await
        .expect(303);
    wait_for("the end of the process", || async {
        (hub.spawner.running() == 0).then_some(())
    })
    .await;
}

/// The Hub that goes on with a start knows its token no more: it gives a further one, and both count.
#[tokio::test]
async fn a_start_goes_on_with_a_token_that_counts_as_the_first_does() {
    let (hub, browser) = starting(|_| {}).await;
    let hub = hub.crash_and_restart().await;
    wait_for("a Hub that goes on", || async {
        (hub.spawner.resumed().len() == 1).then_some(())
    })
    .await;
    let hub = hub.crash_and_restart().await;
    let resumed = wait_for("two Hubs that go on", || async {
        let resumed = hub.spawner.resumed();
        (resumed.len() == 2).then_some(resumed)
    })
    .await;
    let first = hub.spawner.requests().remove(0);
    for request in [&first, &resumed[0], &resumed[1]] {
        assert_eq!(request.start_id, first.start_id);
        let environment = &request.environment;
        let token = &environment["JUPYTERHUB_API_TOKEN"];
        let activity = json!({ "servers": { "": { "last_activity": "2026-01-01T00:00:00Z" } } });
        browser
            .api(Method::POST, "/users/admin/activity", token, Some(activity))
            .await
            .expect(200);
        let client = &environment["JUPYTERHUB_CLIENT_ID"];
        let exchange = carrel_hub::oauth::Exchange {
            client_id: client,
            client_secret: token,
            grant_type: "authorization_code",
            code: "unknown",
            redirect_uri: "",
            code_verifier: "",
        };
        let refused = carrel_hub::oauth::exchange(&hub.app, &exchange).await;
        assert!(matches!(refused, Err(carrel_hub::oauth::Refused::Code)));
    }
    assert_ne!(first.environment, resumed[0].environment);
}

/// What cannot be looked at is not gone.
#[tokio::test]
async fn a_start_waits_for_a_spawner_that_does_not_answer() {
    let (hub, browser) =
        starting(|config| config.spawner.start_timeout = Duration::from_secs(60)).await;
    hub.spawner.unreachable.store(true, Ordering::Relaxed);
    let hub = hub.crash_and_restart().await;
    let page = browser.get("/hub/spawn-pending/admin").await.expect(200);
    assert!(page.body.contains("Starting your server"), "{}", page.body);
    assert!(hub.spawner.resumed().is_empty());
    hub.spawner.unreachable.store(false, Ordering::Relaxed);
    wait_for("the start to go on", || async {
        (hub.spawner.resumed().len() == 1).then_some(())
    })
    .await;
    assert_eq!(hub.spawner.running(), 1);
}

#[tokio::test]
async fn a_start_without_a_process_begins_anew() {
    let hub = TestHub::with(Behaviour::Hangs).await;
    let browser = hub.admin().await;
    browser.spawn().await.expect(303);
    wait_for("the start", || async {
        (!hub.spawner.requests().is_empty()).then_some(())
    })
    .await;
    hub.spawner.behave(Behaviour::Answers);

    let hub = hub.crash_and_restart().await;

    wait_for("the server", || async {
        let page = browser.get("/user/admin/lab").await;
        (page.status == 200).then_some(())
    })
    .await;
    let starts = hub.spawner.requests();
    assert_eq!(starts.len(), 2);
    assert_ne!(starts[0].start_id, starts[1].start_id);
}

/// A spawner that first reads all that runs can answer for each without a request of its own.
#[tokio::test]
async fn the_spawner_may_settle_before_it_is_asked_about_each_server() {
    let hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), |config| {
        config.spawner.poll_interval = Duration::from_secs(600);
    });
    let hub = hub.await;
    let browser = hub.admin().await;
    browser.spawn_ready("admin").await;
    let before = hub.spawner.looks().len();

    let hub = hub.crash_and_restart().await;

    browser.get("/user/admin/lab").await.expect(200);
    let looks = hub.spawner.looks().split_off(before);
    assert!(looks.len() > 1 && looks[0] == "settle", "{looks:?}");
}

#[tokio::test]
async fn a_server_that_ended_meanwhile_is_told_as_not_running() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    browser.spawn_ready("admin").await;
    hub.spawner.kill_all();

    let _hub = hub.crash_and_restart().await;

    let page = browser.get("/hub/user/admin/lab").await.expect(424);
    assert!(page.body.contains("exited with status 3"), "{}", page.body);
}

#[tokio::test]
async fn a_server_that_runs_although_it_was_stopped_is_ended_and_a_strangers_is_not() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    browser.spawn_ready("admin").await;
    browser
        .submit("/hub/home", "/hub/stop/admin", &[])
        .await
        .expect(303);
    assert_eq!(hub.spawner.running(), 0);

    // What a Hub leaves that is killed between asking for a server and hearing of it.
    let start_id = hub.spawner.requests()[0].start_id.clone();
    hub.spawner.lose("of-another-hub").await;
    hub.spawner.lose(&start_id).await;
    wait_for("the end of the lost server", || async {
        (hub.spawner.running() == 1).then_some(())
    })
    .await;
}
