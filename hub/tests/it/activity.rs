//! When somebody was last here, and when a server was last used: what moves it, and what does not.

use std::time::Duration;

use carrel_hub::db::now;
use reqwest::Method;
use serde_json::json;

use crate::harness::{Behaviour, Browser, FakeSpawner, TestHub, wait_for};

/// September 2001.
const LONG_AGO: i64 = 1_000_000_000_000;

/// A Hub that does not look by itself how its servers are used.
async fn hub() -> TestHub {
    TestHub::configured(FakeSpawner::new(Behaviour::Answers), |config| {
        config.spawner.poll_interval = Duration::from_secs(600);
    })
    .await
}

/// Writes down when the administrator was last here, and when their servers were last used.
async fn set(hub: &TestHub, at: i64) {
    let mut database = hub.database().await;
    for update in [
        "UPDATE users SET last_activity = $1",
        "UPDATE servers SET last_activity = $1",
    ] {
        let update = sqlx::query(update).bind(at);
        update.execute(&mut database).await.unwrap();
    }
}

async fn of_user(hub: &TestHub) -> i64 {
    let user = hub.app.db.user("admin").await.unwrap().unwrap();
    user.last_activity.unwrap()
}

/// Of the server, and of its user.
async fn both(hub: &TestHub) -> [i64; 2] {
    let server = hub.app.db.server("admin", "").await.unwrap().unwrap();
    [server.last_activity.unwrap(), of_user(hub).await]
}

#[tokio::test]
async fn whatever_is_asked_with_a_login_is_activity_of_its_user() {
    let hub = hub().await;
    let browser = hub.admin().await;
    let visit = async |browser: &Browser, path: &str| {
        let before = now();
        set(&hub, LONG_AGO).await;
        browser.get(path).await;
        of_user(&hub).await >= before
    };
    for path in ["/hub/home", "/hub/", "/hub/user/admin/lab", "/hub/api/user"] {
        assert!(visit(&browser, path).await, "{path}");
    }
    for path in ["/hub/health", "/hub/static/carrel.css", "/hub/api", "/"] {
        assert!(!visit(&browser, path).await, "{path}");
    }
    let stranger = hub.browser();
    assert!(!visit(&stranger, "/hub/home").await);
}

#[tokio::test]
async fn it_is_written_down_once_in_thirty_seconds() {
    let hub = hub().await;
    let browser = hub.admin().await;
    for (ago, is_due) in [(25_000, false), (31_000, true)] {
        let last = now() - ago;
        set(&hub, last).await;
        let visits = (0..4).map(|_| browser.get("/hub/home"));
        for visit in futures_util::future::join_all(visits).await {
            visit.expect(200);
        }
        assert_eq!(of_user(&hub).await > last, is_due, "{ago}");
    }
    let written = of_user(&hub).await;
    browser.get("/hub/api/user").await.expect(200);
    assert_eq!(of_user(&hub).await, written);
}

#[tokio::test]
async fn what_a_server_asks_with_its_own_token_is_nobodys_activity() {
    let hub = hub().await;
    let browser = hub.admin().await;
    browser.spawn_ready("admin").await;
    let token = hub.spawner.variable("JUPYTERHUB_API_TOKEN");
    set(&hub, LONG_AGO).await;
    let asked = browser.api(Method::GET, "/user", &token, None).await;
    assert_eq!(asked.expect(200).json()["name"], json!("admin"));
    assert_eq!(of_user(&hub).await, LONG_AGO);
}

/// The watch looks at the server once more: it follows it, after it has written down how the server was used.
async fn look(hub: &TestHub) {
    let url = async || hub.app.db.server("admin", "").await.unwrap()?.url;
    let before = url().await;
    hub.spawner.move_away().await;
    wait_for("a look of the watch", || async {
        (url().await != before).then_some(())
    })
    .await;
}

#[tokio::test]
async fn neither_a_restart_of_the_hub_nor_a_move_of_the_server_is_activity() {
    let mut hub = hub().await;
    let browser = hub.admin().await;
    browser.spawn_ready("admin").await;
    wait_for("a server that is written down", || async {
        let server = hub.app.db.server("admin", "").await.unwrap()?;
        server.last_activity.map(drop)
    })
    .await;
    set(&hub, LONG_AGO).await;
    hub.config.spawner.poll_interval = Duration::from_millis(100);

    let hub = hub.crash_and_restart().await;

    for time in ["adopted", "moved once", "moved twice"] {
        look(&hub).await;
        assert_eq!(both(&hub).await, [LONG_AGO; 2], "{time}");
    }
    wait_for("a request to count", || async {
        browser.get("/user/admin/lab").await;
        let counted = both(&hub).await.iter().all(|at| *at > LONG_AGO);
        counted.then_some(())
    })
    .await;
}
