//! Idle culling: what is stopped or removed, what is not, and what people are told.

use std::time::Duration;

use carrel_hub::config::{Config, IdleCuller};
use carrel_hub::db::servers::{Server, State};
use reqwest::Method;

use crate::api::token;
use crate::harness::{Behaviour, Browser, FakeSpawner, TestHub, wait_for};

/// Seconds are the grain in which the proxy counts.
const TIMEOUT: Duration = Duration::from_secs(2);

async fn hub(configure: impl FnOnce(&mut IdleCuller)) -> TestHub {
    TestHub::configured(
        FakeSpawner::new(Behaviour::Answers),
        |config: &mut Config| {
            let culler = &mut config.idle_culler;
            culler.enabled = true;
            culler.timeout = TIMEOUT;
            culler.every = Duration::from_millis(100);
            configure(culler);
        },
    )
    .await
}

async fn server(hub: &TestHub, user: &str, name: &str) -> Option<Server> {
    hub.app.db.server(user, name).await.unwrap()
}

async fn start(hub: &TestHub, browser: &Browser, path: &str) {
    let token = token(browser, &["inherit"]).await;
    let path = format!("/users/{path}");
    browser
        .api(Method::POST, &path, &token, None)
        .await
        .expect(202);
    wait_for("the server", || async {
        (hub.spawner.running() > 0).then_some(())
    })
    .await;
}

async fn stopped(hub: &TestHub, name: &str) -> Server {
    wait_for("the end of the server", || async {
        let server = server(hub, "admin", name).await?;
        (server.state == State::Stopped).then_some(server)
    })
    .await
}

#[tokio::test]
async fn an_idle_server_is_stopped_and_one_in_use_is_not() {
    let hub = hub(|_| {}).await;
    let browser = hub.admin().await;
    browser.spawn_ready("admin").await;
    start(&hub, &browser, "admin/servers/other").await;
    // The default server is idle, the other one is asked something all the time.
    wait_for("the end of the idle server", || async {
        browser.get("/user/admin/other/lab").await;
        let server = server(&hub, "admin", "").await?;
        (server.state == State::Stopped).then_some(())
    })
    .await;
    let other = server(&hub, "admin", "other").await.unwrap();
    assert_eq!(other.state, State::Ready);
    let page = browser.get("/hub/user/admin/lab").await.expect(424).body;
    assert!(
        page.contains("nothing has happened in it for") && page.contains("IdleCuller.timeout"),
        "{page}"
    );
    stopped(&hub, "other").await;
}

#[tokio::test]
async fn a_server_whose_kernel_computes_is_not_idle() {
    let hub = hub(|_| {}).await;
    hub.spawner.compute(true);
    let browser = hub.admin().await;
    browser.spawn_ready("admin").await;
    let begin = wait_for("the server", || async {
        let server = server(&hub, "admin", "").await?;
        (server.state == State::Ready).then_some(server.last_activity)
    })
    .await;
    // Only a look at the kernels moves it, and does so when the server would be idle.
    wait_for("two looks at the kernels", || async {
        let now = server(&hub, "admin", "").await?;
        assert_eq!(now.state, State::Ready);
        let later = Duration::from_millis((now.last_activity? - begin?).try_into().unwrap());
        (later > TIMEOUT * 3 / 2).then_some(())
    })
    .await;

    hub.spawner.compute(false);
    stopped(&hub, "").await;
    let admin = hub.app.db.user("admin").await.unwrap().unwrap();
    let left = hub.app.db.tokens_of(admin.id).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn an_old_server_is_stopped_whatever_happens_in_it() {
    let hub = hub(|culler| {
        culler.timeout = Duration::from_secs(600);
        culler.max_age = Duration::from_secs(1);
    })
    .await;
    hub.spawner.compute(true);
    let browser = hub.admin().await;
    browser.spawn_ready("admin").await;
    let server = stopped(&hub, "").await;
    let failure = server.failure.unwrap();
    assert!(failure.contains("IdleCuller.max_age"), "{failure}");
}

#[tokio::test]
async fn named_servers_and_users_are_removed_if_they_are_to_be() {
    let hub = hub(|culler| {
        culler.remove_named_servers = true;
        culler.users = true;
    })
    .await;
    let browser = hub.admin().await;
    start(&hub, &browser, "admin/servers/extra").await;
    for name in ["ada", "root"] {
        let admin = name == "root";
        hub.app.db.add_user(name, admin, None, false).await.unwrap();
    }
    wait_for(
        "the end of all but the configured administrator",
        || async {
            let extra = server(&hub, "admin", "extra").await;
            let ada = hub.app.db.user("ada").await.unwrap();
            let root = hub.app.db.user("root").await.unwrap();
            (extra.is_none() && ada.is_none() && root.is_none()).then_some(())
        },
    )
    .await;
    assert!(hub.app.db.user("admin").await.unwrap().is_some());
}

#[tokio::test]
async fn nothing_is_culled_unless_it_is_asked_for() {
    assert!(!Config::default().idle_culler.enabled);
    let text = "IdleCuller:\n  enabled: true\n  timeout: 0\n";
    let errors = Config::parse("carrel.yaml", text).unwrap_err().to_string();
    assert!(errors.contains("IdleCuller.timeout"), "{errors}");
}
