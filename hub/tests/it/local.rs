//! The Hub with real processes as servers: what goes wrong with them is told in its pages.

use std::time::Duration;

use carrel_hub::config::{Command, Config};
use carrel_hub::run::Hub;
use tokio::sync::oneshot;

use crate::harness::{Browser, wait_for};

/// Starts a server whose command is `cmd`, and returns the page that says why it failed.
async fn failed_start(cmd: &[&str]) -> String {
    let state = tempfile::tempdir().unwrap();
    let mut config = Config::default();
    config.jupyter_hub.port = 0;
    config.spawner.cmd = Command(cmd.iter().map(|&word| word.to_owned()).collect());
    config.spawner.http_timeout = Duration::from_secs(1);
    let hub = Hub::open(config, state.path()).await.unwrap();
    let browser = Browser::new(&format!("http://{}", hub.address));
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(hub.serve(async {
        let _ = stopped.await;
    }));
    browser.login("admin", "").await.expect(303);
    browser.spawn().await.expect(303);
    let page = wait_for("the failure", || async {
        let page = browser.get("/hub/spawn-pending/admin").await;
        page.body.contains("The start failed").then_some(page.body)
    })
    .await;
    stop.send(()).unwrap();
    serving.await.unwrap().unwrap();
    page
}

#[tokio::test]
async fn a_command_that_is_not_found_is_named() {
    let page = failed_start(&["no-such-singleuser"]).await;
    assert!(
        page.contains("no-such-singleuser") && page.contains("Spawner.cmd"),
        "{page}"
    );
}

#[tokio::test]
async fn a_server_that_exits_at_once_shows_its_status_and_its_last_lines() {
    let page = failed_start(&["sh", "-c", "echo the disk is full >&2; exit 3"]).await;
    assert!(
        page.contains("exited with status 3") && page.contains("the disk is full"),
        "{page}"
    );
}

#[tokio::test]
async fn a_server_that_never_answers_is_ended() {
    let page = failed_start(&["sleep", "600"]).await;
    assert!(page.contains("did not answer"), "{page}");
}
