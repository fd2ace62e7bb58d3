//! Headless Chromium through its WebDriver, with the verbs of the tests.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tempfile::TempDir;
use thirtyfour::prelude::*;

use crate::hub::free_port;
use crate::{installation, wait_for};

pub const PATIENCE: Duration = Duration::from_secs(60);

/// A browser with a new profile; [`Browser::quit`] ends it.
pub struct Browser {
    pub driver: WebDriver,
    chromedriver: Child,
    screenshots: PathBuf,
    _profile: TempDir,
}

impl Browser {
    /// `name` becomes the folder of its screenshots.
    pub async fn start(name: &str) -> anyhow::Result<Self> {
        let port = free_port()?;
        let chromedriver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .context("cannot start chromedriver: apt install chromium-driver")?;
        let profile = tempfile::tempdir()?;
        let mut capabilities = DesiredCapabilities::chrome();
        for argument in [
            "--headless=new",
            // Chromium's sandbox does not work for root, which runs continuous integration.
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,860",
        ] {
            capabilities.add_arg(argument)?;
        }
        capabilities.add_arg(&format!("--user-data-dir={}", profile.path().display()))?;
        let server = format!("http://127.0.0.1:{port}");
        let driver = wait_for("chromedriver", Duration::from_secs(20), || async {
            WebDriver::new(&server, capabilities.clone()).await.ok()
        })
        .await?;
        let screenshots = installation::output()?.join(name);
        std::fs::create_dir_all(&screenshots)?;
        Ok(Self {
            driver,
            chromedriver,
            screenshots,
            _profile: profile,
        })
    }

    pub async fn goto(&self, url: &str) -> anyhow::Result<()> {
        Ok(self.driver.goto(url).await?)
    }

    /// The first displayed element of `css`, awaited.
    pub async fn find(&self, css: &str) -> anyhow::Result<WebElement> {
        let what = format!("{css} to be seen");
        // A page that renders anew may drop an element while one looks at it: then look again.
        wait_for(&what, PATIENCE, || async {
            for element in self.driver.find_all(By::Css(css)).await.ok()? {
                if element.is_displayed().await.ok()? {
                    return Some(element);
                }
            }
            None
        })
        .await
    }

    /// Waits until an element of `css` says `text`.
    pub async fn find_text(&self, css: &str, text: &str) -> anyhow::Result<()> {
        let what = format!("{css} to say {text:?}");
        wait_for(&what, PATIENCE, || async {
            for element in self.driver.find_all(By::Css(css)).await.ok()? {
                if element.text().await.ok()?.contains(text) {
                    return Some(());
                }
            }
            None
        })
        .await
    }

    /// Waits until no element of `css` is left.
    pub async fn gone(&self, css: &str) -> anyhow::Result<()> {
        let what = format!("{css} to be gone");
        wait_for(&what, PATIENCE, || async {
            let left = self.driver.find_all(By::Css(css)).await.ok()?;
            left.is_empty().then_some(())
        })
        .await
    }

    /// Clicks the first displayed element of `css` as soon as a click reaches it.
    pub async fn click(&self, css: &str) -> anyhow::Result<()> {
        let what = format!("{css} to be clicked");
        wait_for(&what, PATIENCE, || async {
            self.find(css).await.ok()?.click().await.ok()
        })
        .await
    }

    /// Replaces the content of the field `css` by `text`.
    pub async fn fill(&self, css: &str, text: &str) -> anyhow::Result<()> {
        let field = self.find(css).await?;
        field.clear().await?;
        Ok(field.send_keys(text).await?)
    }

    /// Waits until the address holds `part`.
    pub async fn at(&self, part: &str) -> anyhow::Result<()> {
        wait_for(&format!("the address to hold {part}"), PATIENCE, || async {
            self.driver
                .current_url()
                .await
                .ok()
                .filter(|url| url.as_str().contains(part))
        })
        .await
        .map(drop)
    }

    pub async fn screenshot(&self, name: &str) -> anyhow::Result<()> {
        let file = self.screenshots.join(format!("{name}.png"));
        Ok(self.driver.screenshot(&file).await?)
    }

    /// Has pages believe in a screen this wide, in light or dark.
    pub async fn emulate(&self, width: u32, scheme: &str) -> anyhow::Result<()> {
        self.set_size(width, 860).await?;
        let features = json!([{ "name": "prefers-color-scheme", "value": scheme }]);
        self.devtools(
            "Emulation.setEmulatedMedia",
            json!({ "features": features }),
        )
        .await
    }

    async fn set_size(&self, width: u32, height: u64) -> anyhow::Result<()> {
        let size =
            json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.devtools("Emulation.setDeviceMetricsOverride", size)
            .await
    }

    async fn devtools(&self, command: &str, parameters: Value) -> anyhow::Result<()> {
        self.driver.cdp().send_raw(command, parameters).await?;
        Ok(())
    }

    /// [`Self::screenshot`] of the whole page, however long it is.
    pub async fn screenshot_whole(&self, name: &str, width: u32) -> anyhow::Result<()> {
        let height = "return Math.max(document.documentElement.scrollHeight, 600)";
        let height: u64 = self.driver.execute(height, vec![]).await?.convert()?;
        self.set_size(width, height).await?;
        self.screenshot(name).await?;
        self.set_size(width, 860).await
    }

    /// What axe-core, whose source this is, finds wrong with the page by WCAG 2.1, A and AA: rule and place, one a line.
    pub async fn axe(&self, source: &str) -> anyhow::Result<Vec<String>> {
        self.driver.execute(source, vec![]).await?;
        let run = "const done = arguments[0];
            axe.run({ runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] }).then(
              found => done(found.violations.flatMap(({ id, nodes }) => nodes.map(node => `${id}: ${node.html} ${node.failureSummary}`))),
              error => done([String(error)]));";
        Ok(self.driver.execute_async(run, vec![]).await?.convert()?)
    }

    pub async fn quit(mut self) -> anyhow::Result<()> {
        let quit = self.driver.clone().quit().await;
        self.chromedriver.kill()?;
        self.chromedriver.wait()?;
        Ok(quit?)
    }
}
