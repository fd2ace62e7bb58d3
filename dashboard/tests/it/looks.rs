//! Every page in a real browser: accessible by axe-core, and no wider than the screen, on a desktop and on a phone, in light
//! and dark; a log that is followed, and a table that renews itself.

use anyhow::{Context, ensure};
use carrel_tests::browser::Browser;

use crate::fake::Fake;
use crate::fixtures;
use crate::site::{BASE, Site};
use crate::training::JobsService;

const LOOKS: [(u32, &str); 4] = [
    (1280, "light"),
    (1280, "dark"),
    (390, "light"),
    (390, "dark"),
];

struct Eyes<'a> {
    browser: &'a Browser,
    site: &'a Site,
    axe: String,
}

impl Eyes<'_> {
    async fn goto(&self, path: &str) -> anyhow::Result<()> {
        self.browser
            .goto(&self.site.hub.url(&format!("{BASE}{path}")))
            .await
    }

    async fn look(&self, name: &str, path: &str) -> anyhow::Result<()> {
        self.goto(path).await?;
        self.look_here(name).await
    }

    async fn look_here(&self, name: &str) -> anyhow::Result<()> {
        let browser = self.browser;
        browser.find("main").await?;
        for (width, scheme) in LOOKS {
            let name = format!("{name}-{width}-{scheme}");
            browser.emulate(width, scheme).await?;
            browser.screenshot_whole(&name, width).await?;
            let wrong = browser.axe(&self.axe).await?;
            ensure!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
            let overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
            let overflow: i64 = browser.driver.execute(overflow, vec![]).await?.convert()?;
            ensure!(
                overflow <= 0,
                "{name} is {overflow} pixels wider than the screen"
            );
        }
        browser.emulate(1280, "light").await
    }
}

#[tokio::test]
async fn every_page_is_accessible_and_fits_a_phone() -> anyhow::Result<()> {
    let fake = Fake::default();
    fixtures::fill(&fake);
    fixtures::allow(&fake, "ada");
    for (verb, resource) in [("list", "nodes"), ("list", "pods")] {
        fake.allow("ada", verb, resource, "");
    }
    let site = Site::with_jobs(&fake, Some(&JobsService::default())).await;
    let browser = Browser::start("screenshots/dashboard").await?;
    let axe =
        std::env::var("CARREL_TEST_AXE").context("$CARREL_TEST_AXE is not set: run `make test`")?;
    let eyes = Eyes {
        axe: std::fs::read_to_string(axe)?,
        browser: &browser,
        site: &site,
    };
    let walked = walk(&eyes, &fake).await;
    if walked.is_err() {
        let _ = browser.screenshot("failure").await;
    }
    browser.quit().await?;
    walked.with_context(|| site.hub.log())
}

async fn walk(eyes: &Eyes<'_>, fake: &Fake) -> anyhow::Result<()> {
    let browser = eyes.browser;
    eyes.goto("").await?;
    browser.fill("input[name=username]", "ada").await?;
    browser.click("#login_submit").await?;
    browser.at(BASE).await?;
    browser.find_text("h1", "Hello, ada").await?;
    browser.click("#nodes summary").await?;
    eyes.look_here("overview").await?;
    eyes.look("jobs", "tfjobs/ui/").await?;
    renewed(eyes, fake).await?;
    eyes.look("jobs-none", "tfjobs/ui/?q=nothing").await?;
    eyes.look("job", "tfjobs/ui/pytorchjob/lab/distributed-mnist/")
        .await?;
    browser.click("details.confirm summary").await?;
    eyes.look_here("job-delete").await?;
    eyes.look("job-failed", "tfjobs/ui/tfjob/lab/too-large/")
        .await?;
    eyes.look("trainjob", "tfjobs/ui/trainjob/lab/fine-tune/")
        .await?;
    eyes.look("training", "training/").await?;
    eyes.look("training-job", "training/digits-running/")
        .await?;
    eyes.look("training-done", "training/digits-done/").await?;
    eyes.look("new", "tfjobs/ui/new?kind=pytorchjob").await?;
    browser.fill("#name", "Wrong").await?;
    browser.click("button[value=create]").await?;
    browser
        .find_text("[role=alert]", "Nothing was made")
        .await?;
    eyes.look_here("new-wrong").await?;
    eyes.look("new-yaml", "tfjobs/ui/new/yaml").await?;
    eyes.look("yaml", "tfjobs/ui/pytorchjob/lab/distributed-mnist/yaml")
        .await?;
    followed(eyes, fake).await?;
    fake.put(fixtures::kept("PyTorchJob"));
    let job = "tfjobs/ui/pytorchjob/lab/distributed-mnist";
    eyes.look("job-kept", &format!("{job}/")).await?;
    eyes.look(
        "log-kept",
        &format!("{job}/logs/distributed-mnist-worker-7"),
    )
    .await?;
    eyes.look("usage", "usage/").await?;
    eyes.look("denied", "tfjobs/ui/tfjob/secret/hidden/")
        .await?;
    eyes.goto("").await?;
    browser.click("#logout").await?;
    browser.find_text("h1", "Logged out").await?;
    eyes.look_here("logged-out").await
}

/// The focus stays where it is while the table changes.
async fn renewed(eyes: &Eyes<'_>, fake: &Fake) -> anyhow::Result<()> {
    eyes.goto("tfjobs/ui/").await?;
    let focus = "document.getElementById('job-pytorchjob/lab/distributed-mnist/').focus()";
    eyes.browser.driver.execute(focus, vec![]).await?;
    fake.put(fixtures::tfjob("brand-new", "lab", "Running", "", 0));
    eyes.browser.find_text("table.jobs", "brand-new").await?;
    let focus = "return document.activeElement.textContent";
    let focus: String = eyes
        .browser
        .driver
        .execute(focus, vec![])
        .await?
        .convert()?;
    ensure!(focus == "distributed-mnist", "the focus is at {focus:?}");
    Ok(())
}

async fn followed(eyes: &Eyes<'_>, fake: &Fake) -> anyhow::Result<()> {
    let pod = "distributed-mnist-master-0";
    eyes.goto(&format!(
        "tfjobs/ui/pytorchjob/lab/distributed-mnist/logs/{pod}"
    ))
    .await?;
    eyes.browser.find_text("#log-state", "Live").await?;
    fake.log(pod, "Rank  0 , epoch  7 :  0.2595\n");
    eyes.browser.find_text("#log", "epoch  7").await?;
    eyes.look_here("log").await?;
    let count = "return document.getElementById('log').textContent.split('epoch  7').length - 1";
    let count: i64 = eyes
        .browser
        .driver
        .execute(count, vec![])
        .await?
        .convert()?;
    ensure!(count == 1, "a line is there {count} times");
    fake.log(pod, "END\n");
    eyes.browser.find_text("#log-state", "ended").await
}
