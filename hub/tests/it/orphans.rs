//! Starts whose client hangs up, or whose database fails midway: none may be left that nobody carries out.

use std::time::Duration;

use carrel_hub::config::Config;
use carrel_hub::db::servers::State;
use reqwest::{Method, RequestBuilder};
use sqlx::AnyConnection;

use crate::api::token;
use crate::harness::{Behaviour, FakeSpawner, TestHub, wait_for};

/// A Hub whose own looks at servers do not get in the way, and where a lost place in the queue is missed.
async fn hub() -> TestHub {
    TestHub::configured(
        FakeSpawner::new(Behaviour::Answers),
        |config: &mut Config| {
            config.spawner.poll_interval = Duration::from_secs(600);
            config.jupyter_hub.concurrent_spawn_limit = 1;
        },
    )
    .await
}

async fn run(database: &mut AnyConnection, statement: &'static str) {
    sqlx::raw_sql(statement).execute(database).await.unwrap();
}

async fn is_ready(hub: &TestHub) {
    wait_for("the server", || async {
        let server = hub.app.db.server("admin", "").await.unwrap()?;
        (server.state == State::Ready).then_some(())
    })
    .await;
}

/// Sends a request that the database holds up, and hangs up before it goes on.
async fn hang_up(hub: &TestHub, request: RequestBuilder) {
    let mut database = hub.database().await;
    let hold = if hub.db_url().starts_with("sqlite:") {
        "BEGIN IMMEDIATE"
    } else {
        "BEGIN; LOCK TABLE servers IN EXCLUSIVE MODE"
    };
    run(&mut database, hold).await;
    let sent = request.timeout(Duration::from_secs(2)).send().await;
    assert!(sent.unwrap_err().is_timeout());
    // The Hub notices by itself that nobody listens any more, and tells nobody.
    tokio::time::sleep(Duration::from_millis(200)).await;
    run(&mut database, "ROLLBACK").await;
}

#[tokio::test]
async fn a_start_goes_on_where_a_program_hangs_up() {
    let hub = hub().await;
    let browser = hub.admin().await;
    let token = token(&browser, &["inherit"]).await;
    let path = "/hub/api/users/admin/server";
    // So that only the start waits for the database.
    browser
        .api(Method::GET, "/user", &token, None)
        .await
        .expect(200);
    let request = hub.browser().request(Method::POST, path);
    hang_up(
        &hub,
        request.header("authorization", format!("token {token}")),
    )
    .await;
    is_ready(&hub).await;
}

#[tokio::test]
async fn a_start_goes_on_where_a_browser_is_told_to_stop() {
    let hub = hub().await;
    let browser = hub.admin().await;
    let xsrf = browser.get("/hub/spawn").await.hidden("_xsrf");
    let request = browser.request(Method::POST, "/hub/spawn");
    hang_up(&hub, request.form(&[("_xsrf", xsrf)])).await;
    is_ready(&hub).await;
}

#[tokio::test]
async fn a_start_whose_database_fails_midway_has_never_been() {
    let hub = hub().await;
    let browser = hub.admin().await;
    let mut database = hub.database().await;
    // The server's row is written by then, the token not yet.
    run(&mut database, "ALTER TABLE api_tokens RENAME TO gone").await;
    browser.spawn().await.expect(500);
    run(&mut database, "ALTER TABLE gone RENAME TO api_tokens").await;
    assert!(hub.app.db.server("admin", "").await.unwrap().is_none());
    assert!(hub.spawner.requests().is_empty());
    browser.spawn_ready("admin").await;
}

#[tokio::test]
async fn a_start_whose_progress_cannot_be_written_down_goes_on() {
    let hub = hub().await;
    let browser = hub.admin().await;
    let mut database = hub.database().await;
    // The first news of each start is taken, and no other.
    let refuse = "CREATE UNIQUE INDEX progress_once ON progress_events (server_id)";
    run(&mut database, refuse).await;
    browser.spawn().await.expect(303);
    is_ready(&hub).await;
}
