//! The Hub ends a server that nobody uses; a cell that computes without a word is use.

use std::time::Duration;

use anyhow::ensure;
use carrel_tests::hub::Hub;
use carrel_tests::installation::Installation;
use carrel_tests::notebook::Notebook;
use carrel_tests::person::Person;

const CULLING: &str = "IdleCuller: {enabled: true, timeout: 6, every: 1}\n";

#[tokio::test]
async fn a_computing_kernel_keeps_its_server_and_an_idle_one_does_not() -> anyhow::Result<()> {
    let installation = Installation::find()?;
    let state = tempfile::tempdir()?;
    let hub = Hub::start(&installation, state.path(), CULLING).await?;
    let person = Person::admin(&hub).await?;
    person.start_server("admin").await?;
    let mut notebook = Notebook::open(&person, "admin").await?;

    // More than twice as long as an idle server may live.
    let long = "std::thread::sleep(std::time::Duration::from_secs(13)); 6 * 7";
    let computed = notebook.run(long).await?;
    ensure!(
        computed.result.as_deref() == Some("42"),
        "{computed:?}\n{}",
        hub.log()
    );

    notebook.broken().await?;
    person
        .page_with("/hub/home", "Stopped", Duration::from_secs(30))
        .await?;
    let page = person.get("/hub/user/admin/lab").await?.text().await?;
    ensure!(page.contains("nothing has happened in it for"), "{page}");
    let line = "Culling server admin: nothing has happened in it for";
    ensure!(hub.log().contains(line), "{}", hub.log());
    Ok(())
}
