//! Servers and services with hosts of their own.

use std::time::Duration;

use carrel_hub::config::{AuthenticatorClass, Config, ProxyClass, PublicHost, Secret, Urls};
use carrel_hub::servers;
use carrel_skip::package_folder;
use reqwest::Method;
use serde_json::json;

use super::api::token;
use super::stock_services::python;
use crate::harness::apart::{Apart, Kind, TOKEN, free_port};
use crate::harness::real::RealHub;
use crate::harness::{Behaviour, Browser, FakeSpawner, TestHub, wait_for};

/// The Hub of a port, and those of the users below it.
fn origin(host: &str, port: u16) -> String {
    format!("http://{host}:{port}")
}

fn configure(config: &mut Config, port: u16) {
    config.jupyter_hub.subdomain_host = PublicHost::parse(&origin("hub.test", port));
}

async fn hub() -> (TestHub, u16, Browser) {
    let port = free_port();
    let hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), |config| {
        config.jupyter_hub.port = port;
        configure(config, port);
    })
    .await;
    let browser = Browser::on_loopback(&origin("hub.test", port));
    (hub, port, browser)
}

#[tokio::test]
async fn a_server_is_at_its_own_host_and_at_no_other() {
    let (hub, port, browser) = hub().await;
    let login = browser.login("admin", "").await.expect(303);
    let session = login.set_cookie("jupyterhub-session-id");
    assert!(session.contains("; Domain=hub.test;"), "{session}");
    let own = login.set_cookie("jupyterhub-hub-login");
    assert!(!own.contains("Domain"), "{own}");
    browser.spawn().await.expect(303);
    let lab = format!("{}/user/admin/lab", origin("admin.hub.test", port));
    wait_for("the server", || async {
        (browser.get(&lab).await.status == 200).then_some(())
    })
    .await;
    for asked in [
        "/user/admin/lab".to_owned(),
        "/hub/user-redirect/lab".to_owned(),
        "/hub/user/admin/lab".to_owned(),
        format!("{}/user/admin/lab", origin("bob.hub.test", port)),
    ] {
        let (url, reply) = browser.follow(&asked).await;
        assert_eq!(reply.expect(200).body, "answer of the server", "{asked}");
        let there = url.split('?').next().unwrap();
        assert_eq!(there, lab, "{asked}");
    }
    let pending = browser.get("/hub/spawn-pending/admin").await.expect(303);
    let home = lab.strip_suffix("lab").unwrap();
    assert_eq!(pending.location(), home);

    let variable = |name: &str| hub.spawner.variable(name);
    assert_eq!(variable("JUPYTERHUB_HOST"), origin("hub.test", port));
    assert_eq!(variable("JUPYTERHUB_PUBLIC_URL"), home);
    let callback = format!("{home}oauth_callback");
    assert_eq!(variable("JUPYTERHUB_OAUTH_CALLBACK_URL"), callback);

    browser
        .submit("/hub/home", "/hub/stop/admin", &[])
        .await
        .expect(303);
    wait_for("the end of the route", || async {
        (browser.get(&lab).await.status == 302).then_some(())
    })
    .await;
    let reply = browser.get(&lab).await;
    let there = format!("{}/hub/user/admin/lab", origin("hub.test", port));
    assert_eq!(reply.location(), there);
    let contents = format!("{home}api/contents");
    browser.get(&contents).await.expect(424);
}

#[tokio::test]
async fn the_api_names_whole_addresses() {
    let (_hub, port, browser) = hub().await;
    browser.login("admin", "").await.expect(303);
    browser.spawn().await.expect(303);
    let server = format!("{}/user/admin/", origin("admin.hub.test", port));
    wait_for("the server", || async {
        (browser.get(&server).await.status == 200).then_some(())
    })
    .await;
    let scopes = ["admin:users", "admin:servers", "proxy"];
    let token = token(&browser, &scopes).await;
    // Programs come by the address that servers know.
    let api = Browser::new(&origin("127.0.0.1", port));
    let get = async |path| {
        let reply = api.api(Method::GET, path, &token, None).await;
        reply.expect(200).json()
    };
    let user = wait_for("the Hub to know", || async {
        let user = get("/users/admin").await;
        (user["server"] != json!(null)).then_some(user)
    })
    .await;
    assert_eq!(user["server"], json!(server));
    let model = &user["servers"][""];
    assert_eq!(model["url"], json!(server));
    assert_eq!(model["full_url"], json!(server));
    let progress = "/hub/api/users/admin/server/progress";
    assert_eq!(model["progress_url"], json!(progress));
    let full = format!("{}{progress}", origin("hub.test", port));
    assert_eq!(model["full_progress_url"], json!(full));
    let routes = get("/proxy").await;
    let routes: Vec<_> = routes.as_object().unwrap().keys().collect();
    assert_eq!(routes, ["/", "admin.hub.test/user/admin/"]);
}

#[tokio::test]
async fn the_hub_is_at_its_own_name_alone() {
    let (_hub, port, browser) = hub().await;
    let form = browser.get("/hub/login").await.expect(200);
    let policy = form.header("content-security-policy");
    let allowed = format!("form-action 'self' {}", origin("*.hub.test", port));
    assert!(policy.contains(&allowed), "{policy}");
    for host in ["evil.test", "alice.hub.test", "evilhub.test", "x.evil.test"] {
        let login = format!("{}/hub/login", origin(host, port));
        let told = browser.get(&login).await.expect(403).body;
        assert!(told.contains(&origin("hub.test", port)), "{told}");
    }
    let elsewhere = format!("{}/user/a/", origin("evil.test", port));
    browser.get(&elsewhere).await.expect(403);
    let reply = browser
        .get(&origin("alice.hub.test", port))
        .await
        .expect(302);
    assert_eq!(
        reply.location(),
        format!("{}/hub/", origin("hub.test", port))
    );
    let next = format!("{}/user/admin/lab", origin("admin.hub.test", port));
    let action = format!("/hub/login?next={}", next.replace('/', "%2F"));
    let fields = [("username", "admin"), ("password", "")];
    let reply = browser
        .submit("/hub/login", &action, &fields)
        .await
        .expect(303);
    assert_eq!(reply.location(), "/user/admin/lab");
}

#[tokio::test]
async fn real_servers_keep_their_cookies_from_each_other() {
    let port = free_port();
    let hub = RealHub::start(|config| {
        config.jupyter_hub.port = port;
        configure(config, port);
        config.jupyter_hub.authenticator_class = AuthenticatorClass::Dummy;
        config.authenticator.allow_all = true;
    })
    .await;
    let Some(hub) = hub else { return };
    let there = |user: &str| origin(&format!("{user}.hub.test"), port);
    let mut browsers = Vec::new();
    for user in ["alice", "bob"] {
        let browser = Browser::on_loopback(&origin("hub.test", port));
        browser.login(user, "").await.expect(303);
        let (url, page) = hub.enter(&browser, user).await;
        let home = format!("{}/user/{user}/", there(user));
        assert!(url.starts_with(&home), "{url}");
        assert!(page.expect(200).body.contains("jupyter-config-data"));
        let status = browser.get(&format!("{home}api/status")).await.expect(200);
        assert!(status.json()["kernels"].is_number());
        browsers.push(browser);
    }
    let alice = &browsers[0];
    let name = "jupyterhub-user-alice";
    let path = "/user/alice/";
    assert!(alice.at(&there("alice")).cookie(path, name).is_some());
    for other in [there("bob"), origin("hub.test", port)] {
        assert_eq!(alice.at(&other).cookie(path, name), None);
    }
    let session = alice
        .at(&there("bob"))
        .cookie("/user/bob/", "jupyterhub-session-id");
    assert!(session.is_some());
    let login = alice
        .at(&there("bob"))
        .cookie("/hub/", "jupyterhub-hub-login");
    assert_eq!(login, None);
    // She has no way into his.
    let (url, page) = alice
        .follow(&format!("{}/user/bob/lab", there("bob")))
        .await;
    assert_eq!(page.status, 403, "{url}");
    hub.end().await;
}

#[tokio::test]
async fn a_service_at_its_own_host_logs_people_in() {
    let Some(python) = python("jupyterhub.services.auth") else {
        return;
    };
    let script = package_folder().join("../tests/jupyterhub/whoami.py");
    let services = json!({ "JupyterHub": { "services": [{
        "name": "whoami",
        "url": origin("127.0.0.1", free_port()),
        "command": [python, script],
        "oauth_no_confirm": true,
    }] } });
    let services = Config::parse("services.yaml", &services.to_string()).unwrap();
    let port = free_port();
    let _hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), |config| {
        config.jupyter_hub.port = port;
        configure(config, port);
        config.jupyter_hub.services = services.jupyter_hub.services;
    })
    .await;
    let browser = Browser::on_loopback(&origin("hub.test", port));
    browser.login("admin", "").await.expect(303);
    let host = origin("whoami--service.hub.test", port);
    let page = format!("{host}/services/whoami/");
    wait_for("the service", || async {
        let reply = browser.get(&page).await;
        let authorize = format!("{}/hub/api/oauth2/", origin("hub.test", port));
        reply.location().starts_with(&authorize).then_some(())
    })
    .await;
    let (url, shown) = browser.follow(&page).await;
    assert_eq!(url, page);
    assert_eq!(shown.expect(200).json()["name"], "admin");
    let home = browser.get("/hub/home").await.expect(200);
    let link = format!("<a href=\"{page}\">whoami</a>");
    assert!(home.body.contains(&link), "{}", home.body);
}

async fn a_proxy_apart_leads_by_host(kind: Kind) {
    let hub_port = free_port();
    let proxy = Apart::start_with(kind, hub_port, &["--host-routing"]).await;
    let port = proxy.port;
    let hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), |config| {
        config.jupyter_hub.port = hub_port;
        config.jupyter_hub.proxy_class = ProxyClass::Chp;
        config.jupyter_hub.proxy_check_interval = Duration::from_secs(3600);
        let api = origin("127.0.0.1", proxy.api_port).parse().unwrap();
        config.configurable_http_proxy.api_url = Urls(vec![api]);
        config.configurable_http_proxy.auth_token = Some(Secret(TOKEN.to_owned()));
        configure(config, port);
    })
    .await;
    servers::check_routes(&hub.app).await.unwrap();
    let browser = Browser::on_loopback(&origin("hub.test", port));
    browser.login("admin", "").await.expect(303);
    browser.spawn().await.expect(303);
    let lab = format!("{}/user/admin/lab", origin("admin.hub.test", port));
    wait_for("the server", || async {
        (browser.get(&lab).await.status == 200).then_some(())
    })
    .await;
    // One of the time before servers had hosts.
    let stale = json!({ "target": "http://127.0.0.1:1", "jupyterhub": true });
    let path = "/api/routes/user/admin";
    proxy.api(Method::POST, path, &stale.to_string()).await;
    servers::check_routes(&hub.app).await.unwrap();
    let routes = proxy.routes().await;
    let mut names: Vec<_> = routes.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["/", "/admin.hub.test/user/admin"]);
    browser.get(&lab).await.expect(200);
}

#[tokio::test]
async fn our_proxy_apart_leads_by_host() {
    a_proxy_apart_leads_by_host(Kind::Ours).await;
}

#[tokio::test]
async fn configurable_http_proxy_leads_by_host() {
    if let Some(stock) = Kind::stock() {
        a_proxy_apart_leads_by_host(stock).await;
    }
}
