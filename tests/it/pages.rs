//! Every page of the Hub in a real browser: accessible by axe-core and no wider than the screen, on a desktop and on a
//! phone, in light and dark; and a start that is cancelled.

use std::time::Duration;

use anyhow::{Context, ensure};
use carrel_tests::browser::Browser;
use carrel_tests::hub::{Hub, processes_with};
use carrel_tests::installation::{Installation, repository};
use carrel_tests::wait_for;
use reqwest::Method;
use serde_json::{Value, json};

const LOOKS: [(u32, &str); 4] = [
    (1280, "light"),
    (1280, "dark"),
    (360, "light"),
    (360, "dark"),
];
/// Of servers that never answer, to know their processes by.
const MARK: &str = "86399.75";

#[tokio::test]
async fn every_page_is_accessible_and_fits_a_phone() -> anyhow::Result<()> {
    let state = tempfile::tempdir()?;
    let hub = Hub::start(&Installation::find()?, state.path(), &configuration()).await?;
    let browser = Browser::start("pages").await?;
    let axe =
        std::env::var("CARREL_TEST_AXE").context("$CARREL_TEST_AXE is not set: run `make test`")?;
    let visitor = Visitor {
        axe: std::fs::read_to_string(axe)?,
        browser: &browser,
        hub: &hub,
    };
    let walked = async {
        visitor.log_in().await?;
        let token = visitor.account().await?;
        visitor.servers(&token).await?;
        visitor.administration(&token).await?;
        visitor.others(&token).await
    }
    .await;
    if walked.is_err() {
        let _ = browser.screenshot("failure").await;
    }
    browser.quit().await?;
    walked.with_context(|| hub.log())
}

/// Servers that answer at once, or never, or end, by their names.
fn configuration() -> String {
    let server = repository().join("tests/jupyterhub/server.py");
    let server = server.display();
    let script = format!(
        "case $JUPYTERHUB_SERVER_NAME in slow) exec sleep {MARK};; broken) echo the disk is full >&2; exit 3;; esac; \
         exec python3 {server}"
    );
    format!(
        "JupyterHub:\n  allow_named_servers: true\nAuthenticator:\n  allow_all: true\n\
         Spawner:\n  cmd: [sh, -c, '{script}']\n  start_timeout: 300\n  http_timeout: 300\n  options_form:\n    \
         - {{ name: size, label: Size, choices: [small, large], help: How much memory it has. }}\n    \
         - {{ name: project, label: Project }}\n"
    )
}

struct Visitor<'a> {
    browser: &'a Browser,
    hub: &'a Hub,
    axe: String,
}

impl Visitor<'_> {
    async fn goto(&self, path: &str) -> anyhow::Result<()> {
        self.browser.goto(&self.hub.url(path)).await
    }

    /// The page at `path` in all its looks.
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

    async fn log_in(&self) -> anyhow::Result<()> {
        self.look("login-first", "/hub/login").await?;
        self.browser.find_text("#first-account", "admin").await?;
        self.browser.fill("input[name=username]", "admin").await?;
        self.browser.fill("input[name=password]", "wrong").await?;
        self.browser.click("#login_submit").await?;
        self.browser.find_text("[role=alert]", "Invalid").await?;
        self.look_here("login-failed").await?;
        self.browser.fill("input[name=username]", "admin").await?;
        self.browser.click("#login_submit").await?;
        self.browser.at("/hub/home").await?;
        self.look_here("home-first").await
    }

    /// Password and tokens; returns one.
    async fn account(&self) -> anyhow::Result<String> {
        self.look("password", "/hub/change-password").await?;
        self.goto("/hub/token").await?;
        self.browser.fill("#token-note", "for a test").await?;
        self.browser.click("form button[type=submit]").await?;
        let field = self.browser.find("#new-token").await?;
        let token = field.value().await?.context("no token")?;
        self.look_here("token").await?;
        Ok(token)
    }

    async fn api(
        &self,
        token: &str,
        method: Method,
        path: &str,
        body: Value,
    ) -> anyhow::Result<Value> {
        let url = self.hub.url(&format!("/hub/api{path}"));
        let request = reqwest::Client::new()
            .request(method, url)
            .bearer_auth(token);
        let reply = request.json(&body).send().await?;
        let (status, text) = (reply.status(), reply.text().await?);
        ensure!(status.is_success(), "{path}: {status} {text}");
        Ok(serde_json::from_str(&text).unwrap_or_default())
    }

    async fn servers(&self, token: &str) -> anyhow::Result<()> {
        for name in ["gpu", "slow", "broken"] {
            self.goto("/hub/home").await?;
            self.browser.fill("#new-name", name).await?;
            self.browser.click("#add-server").await?;
            self.browser.find_text("h3", name).await?;
        }
        self.look("spawn", "/hub/spawn/admin/gpu").await?;
        self.cancel().await?;
        self.api(
            token,
            Method::POST,
            "/users/admin/servers/broken",
            json!({}),
        )
        .await
        .err();
        self.goto("/hub/spawn-pending/admin/broken").await?;
        self.browser.find_text("main", "the disk is full").await?;
        self.look_here("spawn-failed").await?;
        self.api(token, Method::POST, "/users/admin/server", json!({}))
            .await?;
        self.goto("/hub/home").await?;
        self.browser.click("details summary").await?;
        self.look_here("home").await?;
        self.look("not-running", "/hub/user/admin/gpu/lab").await?;
        self.look("error", "/hub/no-such-page").await
    }

    /// A start that hangs is cancelled, and nothing of it is left.
    async fn cancel(&self) -> anyhow::Result<()> {
        self.goto("/hub/spawn/admin/slow").await?;
        self.browser
            .click("#spawn_form button[type=submit]")
            .await?;
        self.browser.at("/hub/spawn-pending/admin/slow").await?;
        let seconds = Duration::from_secs(30);
        let runs = || async { (!processes_with(MARK).is_empty()).then_some(()) };
        wait_for("the process of the start", seconds, runs).await?;
        self.look_here("spawn-pending").await?;
        self.browser.click("#cancel").await?;
        self.browser.at("/hub/home").await?;
        let gone = || async { processes_with(MARK).is_empty().then_some(()) };
        wait_for("the end of the process", seconds, gone).await
    }

    async fn administration(&self, token: &str) -> anyhow::Result<()> {
        self.goto("/hub/admin").await?;
        let names: Vec<String> = (1..=60)
            .map(|number| format!("student{number:02}"))
            .collect();
        self.browser
            .fill("#usernames", &format!("ada\n{}", names.join("\n")))
            .await?;
        self.browser
            .click("form[action$='admin/users'] button")
            .await?;
        self.browser.find_text("main", "student60").await?;
        self.api(token, Method::POST, "/users/ada/server", json!({}))
            .await?;
        let group = json!({ "users": ["ada", "student01"] });
        self.api(token, Method::POST, "/groups/class", group)
            .await?;
        self.look("admin", "/hub/admin?sort=name").await?;
        self.look("admin-none", "/hub/admin?name_filter=nobody")
            .await?;
        self.look("admin-user", "/hub/admin/users/ada").await?;
        self.look("admin-own", "/hub/admin/users/admin").await?;
        self.look("admin-groups", "/hub/admin/groups").await?;
        self.look("admin-group", "/hub/admin/groups/class").await?;
        self.look("admin-servers", "/hub/admin/servers").await?;
        self.goto("/hub/admin/hub").await?;
        self.browser.click("details summary").await?;
        self.look_here("admin-hub").await
    }

    /// What others share, and clients that ask to act for the user.
    async fn others(&self, token: &str) -> anyhow::Result<()> {
        let code = self
            .api(token, Method::POST, "/share-codes/ada/", json!({}))
            .await?;
        let code = code["code"].as_str().context("no code")?;
        self.look("accept-share", &format!("/hub/accept-share?code={code}"))
            .await?;
        self.browser.click("main form button[type=submit]").await?;
        self.browser.at("/user/ada/").await?;
        self.look("home-shared", "/hub/home").await?;
        let client = "/hub/api/oauth2/authorize?client_id=jupyterhub-user-ada&response_type=code&state=x\
                      &redirect_uri=%2Fuser%2Fada%2Foauth_callback";
        self.look("oauth", client).await?;
        self.look("logged-out", "/hub/logout").await?;
        self.look("login", "/hub/login").await
    }
}
