//! The pages in a real browser: accessible by axe-core, and no wider than the screen, on a desktop and on a phone, in light and
//! dark.

use anyhow::{Context as _, ensure};
use carrel_tests::browser::Browser;

use crate::harness::{World, mapping, named, nobody};

const LOOKS: [(u32, &str); 4] = [
    (1280, "light"),
    (1280, "dark"),
    (390, "light"),
    (390, "dark"),
];

#[tokio::test]
async fn every_page_is_accessible_and_fits_a_phone() -> anyhow::Result<()> {
    let (model, down) = (named("model").await, nobody().await);
    let mut world = World::default();
    world.mapped("models/inception", model, "prefix: /models/inception/");
    world.mapped(
        "models/board",
        down,
        "prefix: /tensorboard/digits/\nhost: hub.test\nmethod: GET",
    );
    world.mapped("students/inception", model, "prefix: /models/inception/v1/");
    let module = "apiVersion: ambassador/v0\nkind: Module\nname: tls\n";
    world.service("models/module", model, module);
    let missing = mapping("gone", 80, "prefix: /gone/");
    world.service("models/missing", model, &missing);
    let gateway = world.start(&["--hub", "http://hub.test"]).await;
    gateway.health.set_read();
    for path in ["/models/inception/", "/models/inception/v1"] {
        gateway.get(path).await;
    }
    gateway.text_at("hub.test", "/tensorboard/digits/").await;
    let axe =
        std::env::var("CARREL_TEST_AXE").context("$CARREL_TEST_AXE is not set: run `make test`")?;
    let axe = std::fs::read_to_string(axe)?;
    let browser = Browser::start("screenshots/gateway").await?;
    for (name, url) in [
        (
            "diag",
            format!("http://{}/ambassador/v0/diag/", gateway.admin),
        ),
        (
            "error-404",
            format!("http://{}/nothing/here", gateway.address),
        ),
        ("error-503", format!("http://{}/gone/", gateway.address)),
    ] {
        browser.goto(&url).await?;
        browser.find("main").await?;
        for (width, scheme) in LOOKS {
            let name = format!("{name}-{width}-{scheme}");
            browser.emulate(width, scheme).await?;
            browser.screenshot_whole(&name, width).await?;
            let wrong = browser.axe(&axe).await?;
            ensure!(wrong.is_empty(), "{name}:\n{}", wrong.join("\n"));
            let overflow = "return document.documentElement.scrollWidth - document.documentElement.clientWidth";
            let overflow: i64 = browser.driver.execute(overflow, vec![]).await?.convert()?;
            ensure!(
                overflow <= 0,
                "{name} is {overflow} pixels wider than the screen"
            );
        }
    }
    browser.quit().await
}
