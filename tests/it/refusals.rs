//! What goes wrong on the way to a server gets a page and a log line, and nothing is left running.

use std::time::Duration;

use carrel_tests::hub::{Hub, processes_with};
use carrel_tests::installation::Installation;
use carrel_tests::person::Person;
use reqwest::StatusCode;

const PENDING: &str = "/hub/spawn-pending/admin";
const LIMIT: Duration = Duration::from_secs(45);

/// Starts a server whose command is `cmd` and returns the page that tells why it failed, and the hub's log.
async fn failed_start(cmd: &str, reason: &str) -> anyhow::Result<(String, String)> {
    let state = tempfile::tempdir()?;
    let configuration = format!("Spawner:\n  cmd: {cmd}\n  start_timeout: 5\n  http_timeout: 3\n");
    let hub = Hub::start(&Installation::find()?, state.path(), &configuration).await?;
    let person = Person::admin(&hub).await?;
    person.submit("/hub/spawn", "/hub/spawn", &[]).await?;
    let page = person.page_with(PENDING, reason, LIMIT).await?;
    let of_this_hub = processes_with(&state.path().to_string_lossy());
    let servers = processes_with("JUPYTERHUB_API_TOKEN")
        .into_iter()
        .filter(|process| of_this_hub.contains(process))
        .collect::<Vec<_>>();
    assert_eq!(servers, Vec::<String>::new(), "nothing is left running");
    Ok((page, hub.log()))
}

#[tokio::test]
async fn a_command_that_is_not_found_is_named() -> anyhow::Result<()> {
    let (page, log) = failed_start("[no-such-singleuser]", "no-such-singleuser").await?;
    assert!(page.contains("Spawner.cmd"), "{page}");
    assert!(log.contains("no-such-singleuser"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_server_that_exits_at_once_shows_its_status_and_its_last_lines() -> anyhow::Result<()> {
    let (page, log) = failed_start(
        r#"[sh, -c, "echo the disk is full >&2; exit 3"]"#,
        "the disk is full",
    )
    .await?;
    assert!(page.contains("exited with status 3"), "{page}");
    assert!(log.contains("exited with status 3"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_server_that_never_answers_is_ended_after_the_timeout() -> anyhow::Result<()> {
    let (_, log) = failed_start("[sleep, '600']", "did not answer").await?;
    assert!(log.contains("did not answer"), "{log}");
    Ok(())
}

#[tokio::test]
async fn a_wrong_login_says_so_and_never_reaches_the_log_whole() -> anyhow::Result<()> {
    let state = tempfile::tempdir()?;
    let hub = Hub::start(&Installation::find()?, state.path(), "").await?;
    let person = Person::new(&hub)?;

    let wrong = person.log_in("admin", "not-the-password").await?;
    assert_eq!(wrong.status(), StatusCode::FORBIDDEN);
    assert!(wrong.text().await?.contains("Invalid username or password"));

    let empty = person.log_in("", "").await?;
    assert!(empty.status().is_client_error(), "{}", empty.status());

    let huge = person
        .log_in(&"x".repeat(1 << 20), "secret-in-vain")
        .await?;
    assert!(huge.status().is_client_error(), "{}", huge.status());
    assert!(
        huge.text().await?.contains("<html"),
        "a page, not a bare status"
    );

    let log = hub.log();
    assert!(log.len() < 20_000, "the log holds {} bytes", log.len());
    assert!(
        !log.contains("not-the-password") && !log.contains("secret-in-vain"),
        "{log}"
    );
    Ok(())
}

#[tokio::test]
async fn a_stale_form_is_shown_again_and_a_second_tab_joins_the_first() -> anyhow::Result<()> {
    let state = tempfile::tempdir()?;
    let hub = Hub::start(&Installation::find()?, state.path(), "").await?;
    let person = Person::admin(&hub).await?;

    let stale = person
        .client
        .post(person.url("/hub/spawn")?)
        .form(&[("_xsrf", "of yesterday")])
        .send()
        .await?;
    assert_eq!(stale.status(), StatusCode::FORBIDDEN);
    assert!(
        stale.text().await?.contains("_xsrf"),
        "the form again, with a fresh token"
    );

    let login = person.get("/hub/login").await?;
    assert_eq!(
        login.url().path(),
        "/hub/home",
        "a second tab need not log in again"
    );

    let (first, second) = tokio::join!(
        person.submit("/hub/spawn", "/hub/spawn", &[]),
        person.submit("/hub/spawn", "/hub/spawn", &[]),
    );
    assert!(first?.status().is_success() && second?.status().is_success());
    person.start_server("admin").await?;
    assert_eq!(
        hub.log().matches("Starting server").count(),
        1,
        "{}",
        hub.log()
    );
    Ok(())
}
