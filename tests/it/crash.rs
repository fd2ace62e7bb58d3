//! A hub that is killed loses nothing: servers are adopted, logins hold, notebooks go on.

use carrel_tests::hub::Hub;
use carrel_tests::installation::Installation;
use carrel_tests::notebook::Notebook;
use carrel_tests::person::Person;

#[tokio::test]
async fn a_killed_hub_adopts_the_server_and_the_notebook_goes_on() -> anyhow::Result<()> {
    let installation = Installation::find()?;
    let state = tempfile::tempdir()?;
    let mut hub = Hub::start(&installation, state.path(), "").await?;
    let person = Person::admin(&hub).await?;
    person.start_server("admin").await?;
    let mut notebook = Notebook::open(&person, "admin").await?;
    assert_eq!(notebook.run("let x = 41;").await?.error, None);

    hub.crash_and_restart().await?;
    notebook.broken().await?;
    notebook.reconnect(&person).await?;

    assert_eq!(notebook.run("x + 1").await?.result.as_deref(), Some("42"));
    let home = person.get("/hub/home").await?;
    assert_eq!(home.url().path(), "/hub/home", "the login still holds");
    assert!(hub.log().contains("adopted"), "{}", hub.log());
    Ok(())
}

#[tokio::test]
async fn an_interrupted_hub_ends_its_servers_and_kernels() -> anyhow::Result<()> {
    let installation = Installation::find()?;
    let state = tempfile::tempdir()?;
    let hub = Hub::start(&installation, state.path(), "").await?;
    let person = Person::admin(&hub).await?;
    person.start_server("admin").await?;
    let mut notebook = Notebook::open(&person, "admin").await?;
    assert_eq!(notebook.run("1 + 1").await?.result.as_deref(), Some("2"));

    let status = hub.interrupt().await?;

    assert!(status.success(), "{status}");
    let left = carrel_tests::hub::processes_with(&state.path().to_string_lossy());
    assert_eq!(left, Vec::<String>::new());
    Ok(())
}
