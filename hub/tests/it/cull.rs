//! Idle culling: what is stopped or removed, what is not, and what people are told.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use carrel_hub::config::{Config, Days, IdleCuller};
use carrel_hub::db::servers::{Server, State};
use reqwest::Method;

use crate::api::token;
use crate::harness::{Behaviour, Browser, FakeSpawner, Reply, TestHub, wait_for};

/// Seconds are the grain in which the proxy counts.
const TIMEOUT: Duration = Duration::from_secs(2);

async fn hub(configure: impl FnOnce(&mut IdleCuller)) -> TestHub {
    TestHub::configured(
        FakeSpawner::new(Behaviour::Answers),
        |config: &mut Config| {
            let culler = &mut config.idle_culler;
            culler.enabled = true;
            culler.timeout = TIMEOUT.into();
            culler.every = Duration::from_millis(100);
            culler.warn_before = Duration::ZERO;
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
        culler.timeout = Duration::from_secs(600).into();
        culler.max_age = Duration::from_secs(1).into();
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
        culler.users_timeout = Days(TIMEOUT);
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

/// One whose computation takes all there is cannot answer.
#[tokio::test]
async fn a_server_that_does_not_answer_is_not_taken_for_idle() {
    let hub = hub(|culler| culler.every = Duration::from_millis(500)).await;
    let browser = hub.admin().await;
    browser.spawn_ready("admin").await;
    // It can be reached a moment before that is written down.
    wait_for("the end of the start", || async {
        let now = server(&hub, "admin", "").await?;
        (now.state == State::Ready).then_some(())
    })
    .await;
    hub.spawner.starving.store(true, Ordering::Relaxed);
    let begin = Instant::now();
    wait_for("rounds without an answer", || async {
        let now = server(&hub, "admin", "").await?;
        assert_eq!(now.state, State::Ready);
        (begin.elapsed() > TIMEOUT + Duration::from_secs(8)).then_some(())
    })
    .await;
    hub.spawner.starving.store(false, Ordering::Relaxed);
    stopped(&hub, "").await;
}

#[tokio::test]
async fn the_token_of_a_look_lets_into_the_server_that_is_looked_at_alone() {
    let hub = hub(|_| {}).await;
    let browser = hub.admin().await;
    browser.spawn_ready("admin").await;
    start(&hub, &browser, "admin/servers/other").await;
    wait_for("the other server", || async {
        let other = server(&hub, "admin", "other").await?;
        (other.state == State::Ready).then_some(())
    })
    .await;
    // A look lasts as long as the server leaves it without an answer, and so does its token.
    hub.spawner.starving.store(true, Ordering::Relaxed);
    let (looked_at, token) = wait_for("a look at a server", || async {
        let mut asked = hub.spawner.asked();
        (!asked.is_empty()).then(|| asked.remove(0))
    })
    .await;
    let servers = ["/user/admin/api/kernels", "/user/admin/other/api/kernels"];
    assert!(servers.contains(&&*looked_at), "{looked_at}");
    let ask = async |path: &str| {
        let request = browser.request(Method::GET, path);
        Reply::of(request.header("authorization", format!("token {token}"))).await
    };
    for path in servers {
        let status = if path == looked_at { 200 } else { 403 };
        ask(path).await.expect(status);
    }
    // Nor does the Hub do anything for it.
    ask("/hub/api/users/admin/tokens").await.expect(403);
    let stop = browser.api(Method::DELETE, "/users/admin/server", &token, None);
    stop.await.expect(403);
}

#[tokio::test]
async fn users_have_a_time_of_their_own_and_keep_their_files() {
    let hub = hub(|culler| {
        culler.users = true;
        culler.users_timeout = Days(TIMEOUT * 2);
    })
    .await;
    let ada = hub
        .app
        .db
        .add_user("ada", false, None, false)
        .await
        .unwrap();
    assert!(ada);
    let begin = Instant::now();
    wait_for("the end of the user", || async {
        hub.app
            .db
            .user("ada")
            .await
            .unwrap()
            .is_none()
            .then_some(())
    })
    .await;
    assert!(begin.elapsed() >= TIMEOUT, "{:?}", begin.elapsed());
    assert!(hub.spawner.forgotten().is_empty());
}

#[test]
fn users_may_be_away_for_longer_than_a_day() {
    let text = "IdleCuller:\n  users_timeout: 400\n  timeout: 259200\n  max_age: 604800\n";
    let config = Config::parse("carrel.yaml", text).unwrap();
    assert_eq!(config.idle_culler.users_timeout, Days::new(400));
    assert_eq!(config.idle_culler.max_age.0, Duration::from_secs(604_800));
    let too_long = Config::parse("carrel.yaml", "IdleCuller:\n  users_timeout: 4000\n");
    assert!(too_long.unwrap_err().to_string().contains("from 0 to 3650"));
}

#[tokio::test]
async fn nothing_is_culled_unless_it_is_asked_for() {
    assert!(!Config::default().idle_culler.enabled);
    let text = "IdleCuller:\n  enabled: true\n  timeout: 0\n";
    let errors = Config::parse("carrel.yaml", text).unwrap_err().to_string();
    assert!(errors.contains("IdleCuller.timeout"), "{errors}");
}
