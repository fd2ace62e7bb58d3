//! A Hub that is told where people open it, and cookies that belong to its own host alone.

use carrel_hub::config::{Config, PublicHost, PublicUrl};
use reqwest::Method;

use crate::harness::apart::free_port;
use crate::harness::secure::Certificate;
use crate::harness::{Behaviour, Browser, FakeSpawner, TestHub, wait_for};

async fn hub(configure: impl FnOnce(&mut Config)) -> TestHub {
    TestHub::configured(FakeSpawner::new(Behaviour::Answers), configure).await
}

#[tokio::test]
async fn what_is_said_of_the_address_holds_against_what_requests_say() {
    let hub = hub(|config| {
        config.jupyter_hub.public_url = PublicUrl::parse("https://hub.test/");
    })
    .await;
    let browser = hub.browser();
    let login = browser.login("admin", "").await.expect(303);
    let cookie = login.set_cookie("jupyterhub-hub-login");
    assert!(cookie.ends_with("; Secure"), "{cookie}");
    let outside = browser.get("/user/admin/lab").await;
    assert_eq!(outside.location(), "https://hub.test/hub/user/admin/lab");
    // Of the Hub's own address, and of no other, a page is gone on to.
    for (next, want) in [
        ("https://hub.test/hub/token", "/hub/token"),
        ("https://evil.test/hub/token", "/hub/home"),
    ] {
        let form = browser.get(&format!("/hub/login?next={next}")).await;
        let there = match form.status {
            303 => form.location().to_owned(),
            _ => form.hidden("next"),
        };
        assert!(
            there == want || (there.is_empty() && want == "/hub/home"),
            "{next}: {there}"
        );
    }
    // A Hub on a loopback address knows its name too.
    let named = hub.browser().request(Method::GET, "/hub/login");
    let named = named.header("host", "hub.test").send().await.unwrap();
    assert_eq!(named.status(), 200);
}

#[tokio::test]
async fn servers_are_told_by_their_whole_address() {
    let certificate = Certificate::issue("localhost");
    let port = free_port();
    let hub = hub(|config| {
        certificate.configure(config);
        config.jupyter_hub.port = port;
        config.jupyter_hub.public_url = PublicUrl::parse(&format!("https://localhost:{port}"));
    })
    .await;
    let browser = Browser::secure(&hub.origin, &certificate);
    browser.login("admin", "").await.expect(303);
    browser.spawn_ready("admin").await;
    let path = format!(
        "/hub/api/users/admin/server?_xsrf={}",
        browser.get("/hub/token").await.hidden("_xsrf")
    );
    let server = browser.get(&path).await.expect(200).json();
    let whole = |path: &str| format!("{}{path}", hub.origin);
    assert_eq!(server["url"], "/user/admin/");
    assert_eq!(server["full_url"], whole("/user/admin/"));
    let progress = whole("/hub/api/users/admin/server/progress");
    assert_eq!(server["full_progress_url"], progress);
    assert_eq!(hub.spawner.variable("JUPYTERHUB_HOST"), hub.origin);
    let told = hub.spawner.variable("JUPYTERHUB_PUBLIC_URL");
    assert_eq!(told, whole("/user/admin/"));
}

#[tokio::test]
async fn a_login_belongs_to_the_hubs_own_host() {
    let certificate = Certificate::issue("localhost");
    let port = free_port();
    let hub = hub(|config| {
        certificate.configure(config);
        config.jupyter_hub.port = port;
        let host = format!("https://localhost:{port}");
        config.jupyter_hub.subdomain_host = PublicHost::parse(&host);
        config.jupyter_hub.cookie_host_prefix_enabled = true;
    })
    .await;
    let browser = Browser::secure(&hub.origin, &certificate);
    let form = browser.get("/hub/login").await.expect(200);
    let login = browser.login("admin", "").await.expect(303);
    for (reply, name) in [
        (&form, "__Host-jupyterhub-hub-form"),
        (&login, "__Host-jupyterhub-hub-login"),
    ] {
        let cookie = reply.set_cookie(name);
        assert!(cookie.contains("; Path=/; "), "{cookie}");
        assert!(cookie.ends_with("; Secure"), "{cookie}");
        assert!(!cookie.contains("Domain"), "{cookie}");
    }
    browser.get("/hub/home").await.expect(200);
    // One that a host below could have set is nobody's login.
    let value = browser
        .cookie("/hub/", "__Host-jupyterhub-hub-login")
        .unwrap();
    let other = Browser::secure(&hub.origin, &certificate);
    let tossed = other.request(Method::GET, "/hub/home");
    let url = tossed.build().unwrap().url().clone();
    other.plant(&format!("jupyterhub-hub-login={value}; Path=/hub/"), &url);
    other.get("/hub/home").await.expect(302);
    browser.spawn().await.expect(303);
    let server = format!("https://admin.localhost:{port}/user/admin/");
    wait_for("the server", || async {
        let pending = browser.get("/hub/spawn-pending/admin").await;
        (pending.location() == server).then_some(())
    })
    .await;
    assert_eq!(
        hub.spawner
            .variable("JUPYTERHUB_COOKIE_HOST_PREFIX_ENABLED"),
        "1"
    );
    browser.get("/hub/logout").await.expect(200);
    browser.get("/hub/home").await.expect(302);
}
