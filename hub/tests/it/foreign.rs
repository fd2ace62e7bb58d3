//! What programs beside the Hub, before it and behind it put into headers.

use carrel_hub::config::HostName;
use carrel_hub::proxy::Route;
use reqwest::Method;
use reqwest::header::{COOKIE, HeaderValue};

use crate::harness::{Behaviour, Browser, FakeSpawner, Reply, TestHub};

/// What `path` answers to one who sends these bytes as cookies.
async fn get_with(browser: &Browser, path: &str, cookies: &[u8]) -> Reply {
    let client = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let url = browser
        .request(Method::GET, path)
        .build()
        .unwrap()
        .url()
        .clone();
    let cookies = HeaderValue::from_bytes(cookies).unwrap();
    Reply::of(client.build().unwrap().get(url).header(COOKIE, cookies)).await
}

#[tokio::test]
async fn a_cookie_of_another_program_leaves_the_login_alone() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let ours = browser.cookie("/hub/", "jupyterhub-hub-login").unwrap();
    for (before, after) in [
        (&b""[..], &b"; lang=\xc3\xa9"[..]),
        (b"", b"; lang=\xe9"),
        (b"lang=\xff\xfe; ", b""),
        (
            b";;; ; justaname; prefs={\"a\": \"b,c\"}; ",
            b"; _ga{1}[2]=1",
        ),
    ] {
        let cookies = [before, b"jupyterhub-hub-login=", ours.as_bytes(), after].concat();
        get_with(&browser, "/hub/home", &cookies).await.expect(200);
    }
}

#[tokio::test]
async fn a_cookie_of_another_program_does_not_keep_anybody_from_logging_in() {
    let hub = TestHub::start().await;
    let browser = hub.browser();
    let xsrf = browser.get("/hub/login").await.hidden("_xsrf");
    let form = browser.cookie("/hub/", "jupyterhub-hub-form").unwrap();
    let cookies = [b"lang=\xc3\xa9; jupyterhub-hub-form=", form.as_bytes()].concat();
    let request = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let request = request
        .build()
        .unwrap()
        .post(format!("{}/hub/login", hub.origin));
    let fields = [("username", "admin"), ("password", ""), ("_xsrf", &xsrf)];
    let request = request.header(COOKIE, HeaderValue::from_bytes(&cookies).unwrap());
    Reply::of(request.form(&fields)).await.expect(303);
}

#[tokio::test]
async fn an_accept_header_that_does_not_read_as_ascii_still_asks_for_json() {
    let hub = TestHub::start().await;
    let accept = HeaderValue::from_bytes(b"application/json, text/\xe9").unwrap();
    let request = hub.browser().request(Method::GET, "/hub/nothing");
    let reply = Reply::of(request.header("accept", accept))
        .await
        .expect(404);
    assert_eq!(reply.json()["status"], 404);
}

/// A Hub that trusts these, and the address that it writes into its count of tries for these headers.
async fn seen(trusted: &[&str], forwarded: &[&[u8]]) -> String {
    let hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), |config| {
        let networks = trusted.iter().map(|network| network.parse().unwrap());
        config.jupyter_hub.trusted_downstream_ips = networks.collect();
    })
    .await;
    let browser = hub.browser();
    let xsrf = browser.get("/hub/login").await.hidden("_xsrf");
    let mut request = browser.request(Method::POST, "/hub/login");
    for value in forwarded {
        request = request.header("x-forwarded-for", HeaderValue::from_bytes(value).unwrap());
    }
    let fields = [
        ("username", "admin"),
        ("password", "guess"),
        ("_xsrf", &xsrf),
    ];
    Reply::of(request.form(&fields)).await.expect(403);
    let mut database = hub.database().await;
    let select = "SELECT key FROM login_tries WHERE key LIKE 'address %'";
    let (key,): (String,) = sqlx::query_as(select)
        .fetch_one(&mut database)
        .await
        .unwrap();
    key.strip_prefix("address ").unwrap().to_owned()
}

/// Trusted networks, values of X-Forwarded-For, and the client.
type Forwarded<'a> = (&'a [&'a str], &'a [&'a [u8]], &'a str);

#[tokio::test]
async fn the_client_is_who_stands_before_the_trusted_proxies() {
    let table: [Forwarded; 8] = [
        (&[], &[b"192.0.2.1"], "127.0.0.1"),
        (&["127.0.0.1/32"], &[b"192.0.2.1"], "192.0.2.1"),
        (&["127.0.0.0/8"], &[b"192.0.2.1"], "192.0.2.1"),
        // What the client wrote itself stands before what the proxy adds.
        (&["127.0.0.0/8"], &[b"10.0.0.1, 192.0.2.1"], "192.0.2.1"),
        (&["127.0.0.0/8"], &[b"\xc3\xa9, 192.0.2.1"], "192.0.2.1"),
        (&["127.0.0.0/8"], &[b"\xff", b"192.0.2.1"], "192.0.2.1"),
        (
            &["127.0.0.0/8", "10.0.0.0/8"],
            &[b"192.0.2.1, 10.0.0.7"],
            "192.0.2.1",
        ),
        (
            &["127.0.0.0/8", "10.0.0.0/8"],
            &[b"unknown, 10.0.0.7"],
            "10.0.0.7",
        ),
    ];
    for (trusted, forwarded, want) in table {
        assert_eq!(
            seen(trusted, forwarded).await,
            want,
            "{trusted:?} {forwarded:?}"
        );
    }
}

async fn under_name(hub: &TestHub, path: &str, host: &str) -> Reply {
    let request = hub.browser().request(Method::GET, path);
    Reply::of(request.header("host", host)).await
}

#[tokio::test]
async fn on_loopback_only_names_of_this_machine_are_served() {
    let hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), |config| {
        let allowed =
            ["Hub.Example.org", "bücher.example"].map(|name| HostName::parse(name).unwrap());
        config.jupyter_hub.allowed_hosts = allowed.into();
        config.jupyter_hub.hub_connect_url = Some("http://inner:8000".parse().unwrap());
    })
    .await;
    for host in [
        "localhost",
        "LOCALHOST:8000",
        "127.0.0.1:1",
        "[::1]:8000",
        "localhost.",
        "hub.example.org:443",
        "xn--bcher-kva.example",
        "inner:8000",
    ] {
        under_name(&hub, "/hub/login", host).await.expect(200);
    }
    for host in [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "127.0.0.2",
        "0.0.0.0:8000",
        "sub.hub.example.org",
        "192.0.2.1",
    ] {
        let page = under_name(&hub, "/hub/login", host).await.expect(403);
        assert!(
            page.body.contains("JupyterHub.allowed_hosts"),
            "{}",
            page.body
        );
        assert_eq!(page.header("set-cookie"), "");
        assert_eq!(
            under_name(&hub, "/hub/api", host).await.expect(403).json()["status"],
            403
        );
        under_name(&hub, "/user/admin/lab", host).await.expect(403);
    }
}

#[tokio::test]
async fn an_open_hub_is_served_under_every_name() {
    let hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), |config| {
        config.jupyter_hub.ip = [0, 0, 0, 0].into();
    })
    .await;
    let browser = Browser::new(&hub.origin.replace("0.0.0.0", "127.0.0.1"));
    let request = browser.request(Method::GET, "/hub/login");
    Reply::of(request.header("host", "hub.example.org"))
        .await
        .expect(200);
}

#[tokio::test]
async fn a_server_of_a_user_sets_no_cookie_of_the_hub() {
    let hub = TestHub::start().await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("http://{}", listener.local_addr().unwrap());
    let answer = |uri: axum::http::Uri| async move {
        let name = uri.path().rsplit('/').next().unwrap_or_default().to_owned();
        [
            ("set-cookie", format!("{name}=1; Path=/")),
            ("clear-site-data", "*".to_owned()),
        ]
    };
    let server = axum::Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, server).await });
    let routing = &hub.app.routing;
    // No check takes out what is of no server.
    let _unchecked = routing.checking.lock().await;
    let route = Route {
        prefix: String::from("/user/x/"),
        target: target.parse().unwrap(),
        data: Default::default(),
    };
    routing.proxy.add_route(route).await.unwrap();
    let set = async |name: &str| {
        let reply = hub
            .browser()
            .get(&format!("/user/x/{name}"))
            .await
            .expect(200);
        assert_eq!(reply.header("clear-site-data"), "");
        reply.header("set-cookie").to_owned()
    };
    for name in [
        "jupyterhub-hub-login",
        "jupyterhub-session-id",
        "jupyterhub-hub-form",
    ] {
        assert_eq!(set(name).await, "");
    }
    // Servers have an `_xsrf` of their own, below their path.
    assert_eq!(set("_xsrf").await, "_xsrf=1; Path=/user/x/");
}
