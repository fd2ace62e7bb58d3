//! Services: people log in to them by the Hub, the proxy leads to them, and the Hub runs those that have a command.

use std::time::Duration;

use carrel_hub::auth::password;
use carrel_hub::config::Config;
use carrel_hub::servers;
use reqwest::Method;
use serde_json::{Value, json};

use super::api::{ask_for_token, token, token_of};
use crate::harness::{Behaviour, Browser, FakeSpawner, Reply, TestHub, wait_for};

const SECRET: &str = "a-token-of-whoami";
const CALLBACK: &str = "/services/whoami/oauth_callback";
const SITE: &str = r#"
JupyterHub:
  services:
    - {name: whoami, api_token: a-token-of-whoami, url: "http://127.0.0.1:1",
       oauth_client_allowed_scopes: ["read:servers!user", "read:hub", "access:services!service"]}
    - {name: trusted, api_token: a-token-of-trusted, oauth_no_confirm: true,
       oauth_redirect_uri: "https://trusted.example.org/back?x=1"}
  load_roles:
    - {name: visitor, scopes: ["access:services!service=whoami"], users: [bob]}
"#;

pub(crate) async fn site(text: &str) -> TestHub {
    let read = Config::parse("config.yaml", text).unwrap().jupyter_hub;
    let hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), |config| {
        config.jupyter_hub.load_roles = read.load_roles;
        config.jupyter_hub.services = read.services;
        config.jupyter_hub.custom_scopes = read.custom_scopes;
        config.authenticator.allow_all = true;
    })
    .await;
    for name in ["bob", "carol"] {
        let hash = password::hash(String::from("a password")).await.unwrap();
        let db = &hub.app.db;
        if !db.add_user(name, false, Some(&hash), false).await.unwrap() {
            let user = db.user(name).await.unwrap().unwrap();
            db.set_password(user.id, &hash, None).await.unwrap();
        }
    }
    hub
}

pub(crate) async fn user(hub: &TestHub, name: &str) -> Browser {
    let browser = hub.browser();
    browser.login(name, "a password").await.expect(303);
    browser
}

fn authorize(more: &str) -> String {
    let redirect = CALLBACK.replace('/', "%2F");
    format!(
        "/hub/api/oauth2/authorize?client_id=service-whoami&redirect_uri={redirect}&response_type=code&state=s{more}"
    )
}

fn code(reply: &Reply) -> String {
    let (uri, query) = reply.location().split_once('?').unwrap();
    assert_eq!(uri, CALLBACK);
    let mut pairs = url::form_urlencoded::parse(query.as_bytes());
    let code = pairs.find(|(key, _)| key == "code");
    code.unwrap().1.into_owned()
}

async fn exchange(hub: &TestHub, code: &str, secret: &str) -> Reply {
    let form = [
        ("client_id", "service-whoami"),
        ("client_secret", secret),
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", CALLBACK),
    ];
    hub.browser().post("/hub/api/oauth2/token", &form).await
}

/// Scopes as the page that asks shows them.
fn asked(page: &Reply) -> Vec<String> {
    let values = page.body.split("name=\"scopes\" value=\"").skip(1);
    values
        .map(|rest| rest.split('"').next().unwrap().to_owned())
        .collect()
}

/// Confirms all that is asked for; returns the token of the service.
async fn confirm(hub: &TestHub, browser: &Browser) -> String {
    let path = authorize("");
    let page = browser.get(&path).await.expect(200);
    let scopes = asked(&page);
    let fields: Vec<_> = scopes
        .iter()
        .map(|scope| ("scopes", scope.as_str()))
        .collect();
    let reply = browser.submit(&path, &path, &fields).await.expect(303);
    let reply = exchange(hub, &code(&reply), SECRET).await.expect(200);
    reply.json()["access_token"].as_str().unwrap().to_owned()
}

async fn whoami(hub: &TestHub, token: &str) -> Reply {
    hub.browser().api(Method::GET, "/user", token, None).await
}

#[tokio::test]
async fn a_service_learns_who_visits_once_that_is_confirmed() {
    let hub = site(SITE).await;
    let bob = user(&hub, "bob").await;
    let page = bob.get(&authorize("")).await.expect(200);
    assert!(page.body.contains("JupyterHub service whoami"));
    // What bob does not have is neither asked for nor given.
    let scopes = [
        "access:services!service=whoami",
        "read:servers!user=bob",
        "read:users:groups!user=bob",
        "read:users:name!user=bob",
    ];
    assert_eq!(asked(&page), scopes);
    let token = confirm(&hub, &bob).await;
    let model = whoami(&hub, &token).await.expect(200).json();
    assert_eq!(model["name"], "bob");
    assert_eq!(model["kind"], "user");
    let held = model["scopes"].as_array().unwrap();
    assert!(held.contains(&json!("access:services!service=whoami")));
    assert!(held.contains(&json!("read:servers!user=bob")));
    // It is not asked about again, in a new login neither.
    bob.get(&authorize("")).await.expect(303);
    user(&hub, "bob")
        .await
        .get(&authorize(""))
        .await
        .expect(303);
    // What was taken back is.
    let list = bob.get("/hub/token").await.expect(200);
    assert!(list.body.contains("OAuth token of service-whoami"));
    let id = list.hidden("id");
    bob.submit("/hub/token", "/hub/token/revoke", &[("id", &id)])
        .await
        .expect(303);
    whoami(&hub, &token).await.expect(403);
    bob.get(&authorize("")).await.expect(200);
}

#[tokio::test]
async fn a_logout_ends_what_a_service_was_given() {
    let hub = site(SITE).await;
    let bob = user(&hub, "bob").await;
    let token = confirm(&hub, &bob).await;
    bob.get("/hub/logout").await.expect(200);
    whoami(&hub, &token).await.expect(403);
}

#[tokio::test]
async fn the_home_page_leads_to_the_services_that_somebody_may_use() {
    let hub = site(SITE).await;
    let link = r#"<a href="/services/whoami/">whoami</a>"#;
    let home = user(&hub, "bob").await.get("/hub/home").await.expect(200);
    assert!(home.body.contains(link), "{}", home.body);
    // It has no address at the Hub.
    assert!(!home.body.contains("trusted"), "{}", home.body);
    let home = user(&hub, "carol").await.get("/hub/home").await.expect(200);
    assert!(!home.body.contains("whoami"), "{}", home.body);
}

#[tokio::test]
async fn who_may_not_use_a_service_is_turned_away() {
    let hub = site(SITE).await;
    let carol = user(&hub, "carol").await;
    let page = carol.get(&authorize("")).await.expect(403);
    assert!(
        page.body
            .contains("You do not have permission to access JupyterHub service whoami")
    );
    // Administrators may, without a role of their own.
    hub.admin().await.get(&authorize("")).await.expect(200);
}

#[tokio::test]
async fn a_service_proves_itself_by_its_token() {
    let hub = site(SITE).await;
    let bob = user(&hub, "bob").await;
    let path = authorize("");
    let reply = bob.submit(&path, &path, &[]).await.expect(303);
    for wrong in ["", "a-token-of-trusted"] {
        exchange(&hub, &code(&reply), wrong).await.expect(401);
    }
    exchange(&hub, &code(&reply), SECRET).await.expect(200);
}

#[tokio::test]
async fn a_service_may_ask_for_less_and_not_for_more() {
    let hub = site(SITE).await;
    let bob = user(&hub, "bob").await;
    let page = bob
        .get(&authorize("&scope=access%3Aservices%21service"))
        .await
        .expect(200);
    assert_eq!(asked(&page).len(), 3);
    for more in ["shutdown", "inherit", "no:such", "read:servers!user=carol"] {
        let more = format!("&scope={}", more.replace('!', "%21").replace('=', "%3D"));
        let reply = bob.get(&authorize(&more)).await.expect(303);
        assert!(
            reply.location().contains("error=invalid_scope"),
            "{}",
            reply.location()
        );
    }
}

#[tokio::test]
async fn a_trusted_service_asks_nobody_and_may_be_elsewhere() {
    let hub = site(SITE).await;
    let uri = "https%3A%2F%2Ftrusted.example.org%2Fback%3Fx%3D1";
    let path = format!(
        "/hub/api/oauth2/authorize?client_id=service-trusted&redirect_uri={uri}&response_type=code"
    );
    let reply = hub.admin().await.get(&path).await.expect(303);
    let there = "https://trusted.example.org/back?x=1&code=";
    assert!(reply.location().starts_with(there), "{}", reply.location());
    // A browser lets no form lead where its page does not say so.
    let login = hub.browser().get(&path).await.expect(302);
    let page = hub.browser().get(login.location()).await.expect(200);
    let allowed = "form-action 'self' https://trusted.example.org;";
    assert!(page.header("content-security-policy").contains(allowed));
    let page = hub.browser().get("/hub/login").await.expect(200);
    assert!(
        page.header("content-security-policy")
            .contains("form-action 'self';")
    );
}

#[tokio::test]
async fn what_was_given_to_a_service_outlives_the_hub() {
    let hub = site(SITE).await;
    let token = confirm(&hub, &user(&hub, "bob").await).await;
    let hub = hub.crash_and_restart().await;
    whoami(&hub, &token).await.expect(200);
    user(&hub, "bob")
        .await
        .get(&authorize(""))
        .await
        .expect(303);
}

#[tokio::test]
async fn a_service_of_the_api_is_an_oauth_client_with_a_route() {
    let hub = site(SITE).await;
    let admin = hub.admin().await;
    let token = token(&admin, &["inherit"]).await;
    let api = async |method: Method, name: &str, body: Option<Value>| {
        let path = format!("/services/{name}");
        admin.api(method, &path, &token, body).await
    };
    let other = hub.origin.clone();
    for (wrong, status) in [
        (json!({ "url": "https://127.0.0.1" }), 400),
        (
            json!({ "oauth_client_id": "jupyterhub-user-admin", "url": other }),
            400,
        ),
        (json!({ "oauth_no_confirm": true }), 400),
        (json!({ "oauth_client_allowed_scopes": ["no:such"] }), 400),
        (
            json!({ "oauth_client_id": "service-whoami", "url": other }),
            409,
        ),
    ] {
        let reply = api(Method::POST, "new", Some(wrong.clone())).await;
        assert_eq!(reply.status, status, "{wrong} {}", reply.body);
    }
    let spec = json!({ "url": other, "api_token": "a-token-of-new" });
    let made = api(Method::POST, "new", Some(spec))
        .await
        .expect(201)
        .json();
    assert_eq!(made["prefix"], "/services/new/");
    let routes = hub.app.routing.proxy.get_all_routes().await.unwrap();
    let route = routes
        .iter()
        .find(|found| found.route.prefix == "/services/new/");
    let route = &route.unwrap().route;
    assert_eq!(route.target.origin().ascii_serialization(), other);
    assert_eq!(route.data["service"], "new");
    assert!(
        routes
            .iter()
            .any(|found| found.route.prefix == "/services/whoami/")
    );
    let asks = "/hub/api/oauth2/authorize?client_id=service-new&response_type=code\
                &redirect_uri=%2Fservices%2Fnew%2Foauth_callback";
    admin.get(asks).await.expect(200);
    api(Method::DELETE, "new", None).await.expect(200);
    admin.get(asks).await.expect(400);
    let routes = hub.app.routing.proxy.get_all_routes().await.unwrap();
    assert!(
        !routes
            .iter()
            .any(|found| found.route.prefix == "/services/new/")
    );
}

#[tokio::test]
async fn the_route_of_a_service_is_restored() {
    let hub = site(SITE).await;
    let proxy = &hub.app.routing.proxy;
    servers::check_routes(&hub.app).await.unwrap();
    proxy.delete_route("/services/whoami/").await.unwrap();
    servers::check_routes(&hub.app).await.unwrap();
    let routes = proxy.get_all_routes().await.unwrap();
    assert!(
        routes
            .iter()
            .any(|found| found.route.prefix == "/services/whoami/")
    );
    // Nothing listens there.
    hub.browser().get("/services/whoami/").await.expect(503);
}

/// Writes its environment down, and its process, and waits.
const RUNS: &str = r#"
JupyterHub:
  services:
    - name: runs
      command: [sh, -c, "env > env.tmp; mv env.tmp env.$$; exec sleep 600"]
      cwd: FOLDER
      url: http://127.0.0.1:1
      environment: {MINE: "1", JUPYTERHUB_SERVICE_NAME: other}
"#;

fn processes(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut found: Vec<_> = names
        .filter_map(|name| name.strip_prefix("env.").map(str::to_owned))
        .filter(|pid| pid != "tmp")
        .collect();
    found.sort();
    found
}

fn lives(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

async fn begun(folder: &std::path::Path, count: usize) -> Vec<String> {
    wait_for("the service", || async {
        let found = processes(folder);
        (found.len() == count).then_some(found)
    })
    .await
}

#[tokio::test]
async fn the_hub_runs_a_service_with_a_command() {
    let folder = tempfile::tempdir().unwrap();
    let text = RUNS.replace("FOLDER", &folder.path().display().to_string());
    let mut hub = site(&text).await;
    let first = begun(folder.path(), 1).await.remove(0);
    let file = folder.path().join(format!("env.{first}"));
    let text = std::fs::read_to_string(file).unwrap();
    let variable = |name: &str| {
        let mut lines = text.lines().filter_map(|line| line.split_once('='));
        let found = lines.find(|(key, _)| *key == name);
        found
            .unwrap_or_else(|| panic!("no {name} in {text}"))
            .1
            .to_owned()
    };
    assert_eq!(variable("JUPYTERHUB_SERVICE_NAME"), "runs");
    assert_eq!(variable("JUPYTERHUB_SERVICE_PREFIX"), "/services/runs/");
    assert_eq!(variable("JUPYTERHUB_SERVICE_URL"), "http://127.0.0.1:1");
    assert_eq!(variable("JUPYTERHUB_CLIENT_ID"), "service-runs");
    assert_eq!(variable("JUPYTERHUB_BASE_URL"), "/");
    assert_eq!(variable("MINE"), "1");
    let scopes = r#"["access:services","access:services!service=runs"]"#;
    assert_eq!(variable("JUPYTERHUB_OAUTH_ACCESS_SCOPES"), scopes);
    let callback = "/services/runs/oauth_callback";
    assert_eq!(variable("JUPYTERHUB_OAUTH_CALLBACK_URL"), callback);
    assert!(!text.contains("CARREL_TEST_PREPARED"));
    let token = variable("JUPYTERHUB_API_TOKEN");
    let api = variable("JUPYTERHUB_API_URL");
    assert!(api.ends_with("/hub/api"), "{api}");
    let model = whoami(&hub, &token).await.expect(200).json();
    assert_eq!(
        (&model["kind"], &model["name"]),
        (&json!("service"), &json!("runs"))
    );

    // One that ends is started anew, with a new token.
    let pid = nix::unistd::Pid::from_raw(first.parse().unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
    let all = begun(folder.path(), 2).await;
    let second = all.iter().find(|pid| **pid != first).unwrap();
    assert!(lives(second) && !lives(&first));
    whoami(&hub, &token).await.expect(403);

    hub.end().await;
    assert!(!lives(second));
}

#[tokio::test]
async fn one_hub_of_several_runs_a_service() {
    let folder = tempfile::tempdir().unwrap();
    let text = RUNS.replace("FOLDER", &folder.path().display().to_string());
    let mut first = site(&text).await;
    let pid = begun(folder.path(), 1).await.remove(0);
    let second = first.beside().await;
    // Longer than the second looks for whether it leads.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(processes(folder.path()), [pid.as_str()]);
    first.end().await;
    assert!(!lives(&pid));
    let all = begun(folder.path(), 2).await;
    assert!(all.iter().any(|pid| lives(pid)));
    drop(second);
}

const CUSTOM: &str = r#"
JupyterHub:
  custom_scopes:
    custom:site:write: {description: Write to the site, subscopes: ["custom:site:read"]}
    custom:site:read: {description: Read the site, subscopes: ["custom:site:write"]}
    custom:other: {description: Something else}
  services:
    - {name: whoami, api_token: a-token-of-whoami, url: "http://127.0.0.1:1",
       oauth_client_allowed_scopes: ["custom:site:write", "custom:other"]}
  load_roles:
    - {name: writer, scopes: ["custom:site:write!user", "access:services"], users: [bob]}
"#;

#[tokio::test]
async fn custom_scopes_reach_tokens_and_are_told_to_services() {
    let hub = site(CUSTOM).await;
    let bob = user(&hub, "bob").await;
    let page = bob.get(&authorize("")).await.expect(200);
    assert!(
        page.body.contains("Write to the site (bob)"),
        "{}",
        page.body
    );
    assert!(!page.body.contains("Something else"));
    let given = confirm(&hub, &bob).await;
    let model = whoami(&hub, &given).await.expect(200).json();
    let held = model["scopes"].as_array().unwrap();
    assert!(held.contains(&json!("custom:site:read!user=bob")));
    let own = token_of("bob", &bob, &["custom:site:read!user"]).await;
    let model = whoami(&hub, &own).await.expect(200).json();
    assert!(
        model["scopes"]
            .as_array()
            .unwrap()
            .contains(&json!("custom:site:read!user=bob"))
    );
    // No more than bob has, and nothing that there is not.
    for scope in ["custom:other", "custom:unknown"] {
        ask_for_token("bob", &bob, &[scope]).await.expect(400);
    }
}

#[test]
fn mistakes_in_custom_scopes_are_told() {
    for (text, words) in [
        (
            "custom_scopes: {custom:Site: {description: x}}",
            "small letters",
        ),
        ("custom_scopes: {site: {description: x}}", "small letters"),
        ("custom_scopes: {custom:site: {}}", "say what"),
        (
            "custom_scopes: {custom:site: {description: x, subscopes: [shutdown]}}",
            "no scope \"shutdown\"",
        ),
        (
            "load_roles: [{name: abc, scopes: [\"custom:site!user\"]}]",
            "no scope \"custom:site\"",
        ),
        ("custom_scopes: []", "expected a mapping"),
    ] {
        let text = format!("JupyterHub:\n  {text}\n");
        let told = Config::parse("config.yaml", &text).unwrap_err().to_string();
        assert!(told.contains(words), "{text}: {told}");
    }
}

#[tokio::test]
async fn no_two_have_one_token() {
    let hub = site(SITE).await;
    let admin = hub.admin().await;
    let token = token(&admin, &["inherit"]).await;
    let body = Some(json!({ "api_token": SECRET }));
    let refused = admin
        .api(Method::POST, "/services/second", &token, body)
        .await
        .expect(409);
    assert!(refused.body.contains("api_token"), "{}", refused.body);
    let twice = "JupyterHub: {services: [{name: a, api_token: the-same-token}, {name: b, api_token: the-same-token}]}";
    let refused = Config::parse("config.yaml", twice).unwrap_err().to_string();
    assert!(refused.contains("the token of `a` too"), "{refused}");
}

#[tokio::test]
async fn services_may_change_tokens_with_each_other() {
    let of = |a: &str, b: &str| {
        let text = format!(
            "JupyterHub: {{services: [{{name: a, api_token: {a}}}, {{name: b, api_token: {b}}}]}}"
        );
        Config::parse("config.yaml", &text)
            .unwrap()
            .jupyter_hub
            .services
    };
    let mut hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), |config| {
        config.jupyter_hub.services = of("the-first-token", "the-second-token");
    })
    .await;
    hub.config.jupyter_hub.services = of("the-second-token", "the-first-token");
    let hub = hub.crash_and_restart().await;
    let who = hub
        .browser()
        .api(Method::GET, "/user", "the-first-token", None)
        .await;
    assert_eq!(who.expect(200).json()["name"], "b");
}
