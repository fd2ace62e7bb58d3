//! Accounts: passwords from the command line, users of the API, and what the configuration changes at a restart.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use carrel_hub::accounts;
use reqwest::Method;
use serde_json::json;

use crate::harness::{Behaviour, Browser, FakeSpawner, Reply, TestHub};

/// Runs `carrel-hub set-password USER` beside the Hub, with what is typed on its standard input.
fn set_password(hub: &TestHub, user: &str, typed: &str) -> Output {
    let file = hub.state.path().join("hub.yaml");
    let db_url = hub.config.jupyter_hub.db_url.as_ref();
    let db_url = db_url.map_or_else(String::new, |url| format!("db_url: {:?}", url.0));
    let config = format!("Authenticator: {{allowed_users: [bob]}}\nJupyterHub: {{{db_url}}}");
    std::fs::write(&file, config).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_carrel-hub"));
    program.args(["set-password", user, "--config"]).arg(&file);
    program.arg("--state").arg(hub.state.path());
    program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut running = program.spawn().unwrap();
    let mut input = running.stdin.take().unwrap();
    // A program that refuses the user's name need not read on.
    let _ = input.write_all(typed.as_bytes());
    drop(input);
    running.wait_with_output().unwrap()
}

async fn with_bob() -> TestHub {
    TestHub::configured(FakeSpawner::new(Behaviour::Answers), |config| {
        config.authenticator.allowed_users.0.insert("bob".into());
    })
    .await
}

#[tokio::test]
async fn an_allowed_user_gets_a_password_from_the_command_line() {
    let hub = with_bob().await;
    hub.browser().login("bob", "").await.expect(403);
    let done = set_password(&hub, "Bob", "correct horse\n");
    assert!(done.status.success(), "{done:?}");
    let bob = hub.browser();
    bob.login("bob", "correct horse").await.expect(303);
    // The next one ends what the old password had opened.
    assert!(set_password(&hub, "bob", "battery staple").status.success());
    bob.get("/hub/home").await.expect(302);
    hub.browser()
        .login("bob", "battery staple")
        .await
        .expect(303);
    let text = format!("{done:?}");
    assert!(!text.contains("correct horse"), "{text}");
}

#[tokio::test]
async fn the_command_line_refuses_what_would_be_of_no_use() {
    let hub = with_bob().await;
    for (user, typed, reason) in [
        ("mallory", "long enough\n", "Authenticator.allowed_users"),
        ("bob", "short\n", "at least 8 characters"),
        ("bob", "\n", "at least 8 characters"),
        ("b/b", "long enough\n", "not allowed"),
    ] {
        let refused = set_password(&hub, user, typed);
        let said = String::from_utf8_lossy(&refused.stderr);
        assert!(
            !refused.status.success() && said.contains(reason),
            "{user}: {said}"
        );
    }
    assert!(hub.app.db.user("bob").await.unwrap().is_none());
}

#[tokio::test]
async fn an_administrator_named_later_is_created_without_a_password() {
    let mut hub = TestHub::start().await;
    hub.config
        .authenticator
        .admin_users
        .0
        .insert("later".into());
    let hub = hub.crash_and_restart().await;
    hub.browser().login("later", "").await.expect(403);
    let later = hub.app.db.user("later").await.unwrap().unwrap();
    assert!(later.admin && !later.password_is_empty);
    accounts::set_password(&hub.config, &hub.app.db, "later", "long enough".into())
        .await
        .unwrap();
    hub.browser()
        .login("later", "long enough")
        .await
        .expect(303);
}

async fn token(browser: &Browser) -> String {
    let page = browser.submit("/hub/token", "/hub/token", &[]).await;
    let (_, rest) = page.body.split_once("id=\"new-token\"").unwrap();
    let (_, value) = rest.split_once("value=\"").unwrap();
    value[..64].to_owned()
}

#[tokio::test]
async fn a_user_who_is_blocked_loses_logins_and_tokens() {
    let mut hub = TestHub::start().await;
    let admin = hub.admin().await;
    let token = token(&admin).await;
    let ask = async |hub: &TestHub| hub.browser().api(Method::GET, "/user", &token, None).await;
    ask(&hub).await.expect(200);
    let blocked = &mut hub.config.authenticator.blocked_users;
    blocked.0.insert("admin".into());
    let hub = hub.crash_and_restart().await;
    ask(&hub).await.expect(403);
    admin.get("/hub/home").await.expect(302);
}

#[tokio::test]
async fn the_api_makes_no_user_whose_name_does_not_fit_the_pattern() {
    let text = "Authenticator: {username_pattern: '[a-z]+'}";
    let pattern = carrel_hub::config::Config::parse("hub.yaml", text).unwrap();
    let hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), |config| {
        config.authenticator = pattern.authenticator.clone();
    })
    .await;
    let token = token(&hub.admin().await).await;
    let create = async |name: &str| -> Reply {
        let path = format!("/users/{name}");
        let body = Some(json!({}));
        hub.browser().api(Method::POST, &path, &token, body).await
    };
    let refused = create("bob1").await.expect(400);
    assert!(
        refused.body.contains("username_pattern"),
        "{}",
        refused.body
    );
    create("bob").await.expect(201);
}

#[tokio::test]
async fn a_user_whom_an_administrator_added_may_log_in() {
    let mut hub = TestHub::start().await;
    let token = token(&hub.admin().await).await;
    let create = async |name: &str, body: serde_json::Value| {
        let path = format!("/users/{name}");
        let browser = hub.browser();
        browser.api(Method::POST, &path, &token, Some(body)).await
    };
    create("Bob", json!({})).await.expect(201);
    create("carol", json!({ "admin": true })).await.expect(201);
    create("bob", json!({})).await.expect(409);
    hub.browser().login("bob", "").await.expect(403);
    for name in ["bob", "carol"] {
        let done = set_password(&hub, name, "long enough\n");
        assert!(done.status.success(), "{done:?}");
        hub.browser().login(name, "long enough").await.expect(303);
    }
    // The file still shuts out whom it names.
    let blocked = &mut hub.config.authenticator.blocked_users;
    blocked.0.insert("bob".into());
    let hub = hub.crash_and_restart().await;
    hub.browser().login("bob", "long enough").await.expect(403);
    hub.browser()
        .login("carol", "long enough")
        .await
        .expect(303);
    let carol = hub.app.db.user("carol").await.unwrap().unwrap();
    assert!(carol.admin, "whom an administrator made one stays one");
}

#[tokio::test]
async fn a_name_taken_out_of_the_file_is_no_administrator_any_more() {
    let mut hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), |config| {
        let authenticator = &mut config.authenticator;
        authenticator.admin_users.0.insert("bob".into());
        authenticator.allowed_users.0.insert("bob".into());
    })
    .await;
    let bob = hub.browser();
    bob.login("bob", "").await.expect(303);
    let token = token(&bob).await;
    let create = async |hub: &TestHub, path: &str| {
        let body = Some(json!({}));
        hub.browser().api(Method::POST, path, &token, body).await
    };
    create(&hub, "/users/carol").await.expect(201);
    hub.config.authenticator.admin_users.0.remove("bob");
    let hub = hub.crash_and_restart().await;
    create(&hub, "/users/dave").await.expect(403);
    bob.get("/hub/home").await.expect(200);
    let user = hub.app.db.user("bob").await.unwrap().unwrap();
    assert!(!user.admin);
    let admin = hub.app.db.user("admin").await.unwrap().unwrap();
    assert!(admin.admin, "the file names this one");
}
