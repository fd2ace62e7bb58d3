//! Logging in by OpenID Connect and plain OAuth 2, at a real provider (oidc-provider-mock, made of Authlib).

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use carrel_skip::{Need, skip};
use serde_json::{Value, json};

use crate::harness::{Browser, Reply, TestHub, wait_for};

pub struct Provider {
    process: Child,
    origin: String,
}

impl Provider {
    /// None where there is no Python for it.
    pub async fn start() -> Option<Self> {
        let Ok(prepared) = std::env::var("CARREL_TEST_PREPARED") else {
            skip(Need::Prepared, "CARREL_TEST_PREPARED is not set");
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let process = Command::new(format!("{prepared}/venv/bin/python"))
            .args([
                "-m",
                "oidc_provider_mock",
                "--require-nonce",
                "true",
                "--port",
            ])
            .arg(port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let origin = format!("http://127.0.0.1:{port}");
        let provider = Self { process, origin };
        let described = format!("{}/.well-known/openid-configuration", provider.origin);
        wait_for("the provider", async || {
            let answer = reqwest::get(&described).await.ok()?;
            answer.status().is_success().then_some(())
        })
        .await;
        Some(provider)
    }

    /// What the provider will tell of a user.
    pub async fn tell(&self, sub: &str, claims: Value) {
        let url = format!("{}/users/{sub}", self.origin);
        let request = reqwest::Client::new().put(url).json(&claims);
        assert!(request.send().await.unwrap().status().is_success());
    }

    /// Ends all tokens of a user.
    pub async fn revoke(&self, sub: &str) {
        let url = format!("{}/users/{sub}/revoke-tokens", self.origin);
        let request = reqwest::Client::new().post(url);
        assert!(request.send().await.unwrap().status().is_success());
    }

    async fn hub(&self, keys: &str) -> TestHub {
        self.configured(keys, "").await
    }

    /// A Hub with these keys of the provider's section, and further sections.
    pub async fn configured(&self, keys: &str, further: &str) -> TestHub {
        let text = format!(
            "JupyterHub: {{authenticator_class: generic-oauth, allow_named_servers: true}}\n\
             GenericOAuthenticator: {{client_id: hub, client_secret: hunter2hunter2, login_service: Campus, {keys}}}\n{further}"
        );
        TestHub::of_file(&text).await
    }

    /// Keys with which the provider is the issuer.
    pub fn issued(&self, keys: &str) -> String {
        format!("issuer: \"{}\", {keys}", self.origin)
    }

    /// A Hub of which the provider is the issuer.
    async fn openid(&self, keys: &str) -> TestHub {
        self.hub(&self.issued(keys)).await
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where the Hub sends a browser, and where the provider sends it back once `sub` has logged in there: path and query.
async fn way_back(browser: &Browser, begin: &str, form: &[(&str, &str)]) -> (String, String) {
    let there = browser.get(begin).await.expect(303).location().to_owned();
    let provider = reqwest::Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .unwrap();
    let back = Reply::of(provider.post(&there).form(form))
        .await
        .expect(302);
    let back: url::Url = back.location().parse().unwrap();
    (there, back[url::Position::BeforePath..].to_owned())
}

/// Logs in as `sub`, from the link of the login page on.
pub async fn log_in(browser: &Browser, sub: &str) -> Reply {
    let page = browser
        .get("/hub/login?next=%2Fhub%2Ftoken")
        .await
        .expect(200);
    assert!(page.body.contains("Sign in with Campus"), "{}", page.body);
    let (_, link) = page
        .body
        .split_once("id=\"login_elsewhere\" href=\"")
        .unwrap();
    let link = link.split('"').next().unwrap().replace("&#38;", "&");
    let (_, back) = way_back(browser, &link, &[("sub", sub)]).await;
    browser.get(&back).await
}

pub const GROUPS: &str = "allowed_groups: [staff], admin_groups: [root], auth_state_groups_key: oauth_user.groups, \
                      manage_groups: true, admin_users: [chief]";

#[tokio::test]
async fn claims_name_the_user_and_say_what_they_may() {
    let Some(provider) = Provider::start().await else {
        return;
    };
    let hub = provider.openid(GROUPS).await;
    let claims =
        |name: &str, groups: &[&str]| json!({ "preferred_username": name, "groups": groups });
    provider
        .tell("1", claims("Ada", &["staff", "root", "a/b"]))
        .await;
    let browser = hub.browser();
    let reply = log_in(&browser, "1").await.expect(303);
    assert_eq!(reply.location(), "/hub/token");
    assert!(
        reply
            .set_cookie("jupyterhub-hub-oauth")
            .contains("Max-Age=0")
    );
    browser.get("/hub/home").await.expect(200);
    let user = async |name: &str| hub.app.db.user(name).await.unwrap();
    let ada = user("ada").await.unwrap();
    assert!(ada.admin);
    assert_eq!(
        hub.app.db.groups_of(ada.id).await.unwrap(),
        ["root", "staff"]
    );
    // What the provider tells later holds from the next login on.
    provider.tell("1", claims("Ada", &["staff"])).await;
    log_in(&hub.browser(), "1").await.expect(303);
    assert!(!user("ada").await.unwrap().admin);
    assert_eq!(hub.app.db.groups_of(ada.id).await.unwrap(), ["staff"]);
    // The administrator of the configuration stays one; who is in no group stays out.
    provider.tell("2", claims("chief", &[])).await;
    log_in(&hub.browser(), "2").await.expect(303);
    assert!(user("chief").await.unwrap().admin);
    provider.tell("3", claims("admin", &["students"])).await;
    let refused = log_in(&hub.browser(), "3").await.expect(403);
    assert!(
        refused.body.contains("not currently authorized"),
        "{}",
        refused.body
    );
    assert!(user("admin").await.is_none());
    browser
        .post("/hub/login", &[("username", "ada"), ("password", "")])
        .await
        .expect(403);
}

#[tokio::test]
async fn a_code_is_good_for_the_login_that_asked_for_it() {
    let Some(provider) = Provider::start().await else {
        return;
    };
    let hub = provider.openid("allow_all: true").await;
    provider
        .tell("1", json!({ "preferred_username": "ada" }))
        .await;
    let (browser, other) = (hub.browser(), hub.browser());
    let form = [("sub", "1")];
    let (there, back) = way_back(&browser, "/hub/oauth_login", &form).await;
    for part in [
        "code_challenge=",
        "code_challenge_method=S256",
        "nonce=",
        "state=",
    ] {
        assert!(there.contains(part), "{part}: {there}");
    }
    assert!(!there.contains("hunter2"), "{there}");
    // Another browser has no part in it, nor has one whose state is of its own.
    other.get(&back).await.expect(400);
    let (_, theirs) = way_back(&other, "/hub/oauth_login", &form).await;
    other.get(&back).await.expect(400);
    let argument = |path: &str, name: &str| {
        let url: url::Url = format!("http://hub{path}").parse().unwrap();
        let mut pairs = url.query_pairs();
        pairs.find(|(key, _)| key == name).unwrap().1.into_owned()
    };
    // A code of another login, by its nonce.
    let (state, code) = (argument(&theirs, "state"), argument(&back, "code"));
    let mixed = format!("/hub/oauth_callback?state={state}&code={code}");
    let failed = other.get(&mixed).await.expect(502);
    assert!(
        failed.body.contains("could not be asked"),
        "{}",
        failed.body
    );
    other.get("/hub/home").await.expect(302);
    // The way back ends the login that was begun: it leads here once.
    let (_, back) = way_back(&browser, "/hub/oauth_login", &form).await;
    browser.get(&back).await.expect(303);
    browser.get(&back).await.expect(400);
}

#[tokio::test]
async fn another_hub_finishes_what_one_began() {
    let Some(provider) = Provider::start().await else {
        return;
    };
    let hub = provider.openid("allow_all: true").await;
    provider
        .tell("1", json!({ "preferred_username": "ada" }))
        .await;
    let browser = hub.browser();
    let (_, back) = way_back(
        &browser,
        "/hub/oauth_login?next=/hub/token",
        &[("sub", "1")],
    )
    .await;
    let _hub = hub.crash_and_restart().await;
    assert_eq!(
        browser.get(&back).await.expect(303).location(),
        "/hub/token"
    );
}

#[tokio::test]
async fn whom_the_provider_turns_away_reads_so_here() {
    let Some(provider) = Provider::start().await else {
        return;
    };
    let hub = provider
        .openid("allow_all: true, username_claim: email")
        .await;
    let browser = hub.browser();
    let (_, back) = way_back(&browser, "/hub/oauth_login", &[("action", "deny")]).await;
    let state = browser
        .get("/hub/oauth_login")
        .await
        .expect(303)
        .location()
        .to_owned();
    let state: url::Url = state.parse().unwrap();
    let (_, state) = state
        .query_pairs()
        .find(|(name, _)| name == "state")
        .unwrap();
    // This provider forgets the state when it refuses, against RFC 6749, 4.1.2.1.
    let separator = if back.contains('?') { '&' } else { '?' };
    let refused = browser
        .get(&format!("{back}{separator}state={state}"))
        .await
        .expect(403);
    assert!(refused.body.contains("access_denied"), "{}", refused.body);
    provider
        .tell("1", json!({ "email": "ada@example.org" }))
        .await;
    let refused = log_in(&browser, "1").await.expect(403);
    assert!(refused.body.contains("not verified"), "{}", refused.body);
    let verified = json!({ "email": "ada@example.org", "email_verified": true });
    provider.tell("1", verified).await;
    log_in(&browser, "1").await.expect(303);
}

#[tokio::test]
async fn plain_oauth_asks_who_somebody_is() {
    let Some(provider) = Provider::start().await else {
        return;
    };
    let at = &provider.origin;
    let keys = format!(
        "authorize_url: \"{at}/oauth2/authorize\", token_url: \"{at}/oauth2/token\", userdata_url: \"{at}/userinfo\", \
         scope: [profile, openid], username_claim: nickname, allowed_users: [ada], basic_auth: true"
    );
    let hub = provider.hub(&keys).await;
    provider.tell("1", json!({ "nickname": "Ada" })).await;
    log_in(&hub.browser(), "1").await.expect(303);
    provider.tell("2", json!({ "nickname": "bob" })).await;
    log_in(&hub.browser(), "2").await.expect(403);
    provider.tell("3", json!({})).await;
    log_in(&hub.browser(), "3").await.expect(403);
}

#[tokio::test]
async fn a_provider_that_is_not_there_is_an_error_of_the_gateway() {
    let text = "JupyterHub: {authenticator_class: generic-oauth}\n\
                GenericOAuthenticator: {client_id: hub, client_secret: x, issuer: 'http://127.0.0.1:9', auto_login: true}\n";
    let hub = TestHub::of_file(text).await;
    let browser = hub.browser();
    let login = browser.get("/hub/login?next=/hub/token").await.expect(303);
    assert_eq!(login.location(), "/hub/oauth_login?next=%2Fhub%2Ftoken");
    let failed = browser.get(login.location()).await.expect(502);
    assert!(!failed.body.contains("127.0.0.1:9"), "{}", failed.body);
}
