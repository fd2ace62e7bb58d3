//! The Hub and the proxy apart by HTTPS, and the Hub's other address, for servers.

use std::io::Read as _;
use std::process::{Command, Stdio};

use carrel_hub::chain::chain;
use carrel_hub::config::Config;
use carrel_hub::run::Hub;
use reqwest::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::apart::free_port;
use crate::harness::real::RealHub;
use crate::harness::secure::Certificate;
use crate::harness::{Behaviour, Browser, FakeSpawner, TestHub, wait_for};

async fn secure(certificate: &Certificate) -> TestHub {
    let spawner = FakeSpawner::new(Behaviour::Answers);
    TestHub::configured(spawner, |config| certificate.configure(config)).await
}

#[tokio::test]
async fn people_come_by_https_and_servers_by_an_address_of_their_own() {
    let certificate = Certificate::issue("localhost");
    let hub = secure(&certificate).await;
    let browser = Browser::secure(&hub.origin, &certificate);
    let form = browser.get("/hub/login").await.expect(200);
    let login = browser.login("admin", "").await.expect(303);
    for (reply, name) in [
        (&form, "_xsrf"),
        (&login, "jupyterhub-hub-login"),
        (&login, "jupyterhub-session-id"),
    ] {
        let cookie = reply.set_cookie(name);
        assert!(cookie.ends_with("; Secure"), "{name}: {cookie}");
    }
    browser.spawn_ready("admin").await;
    let reply = browser.get("/user/admin/lab").await.expect(200);
    assert_eq!(reply.body, "answer of the server");

    // Plain HTTP leads to nothing there, and nobody logs in at the other address.
    let plain = hub.origin.replace("https", "http");
    reqwest::get(format!("{plain}/hub/login"))
        .await
        .unwrap_err();
    let api = hub.spawner.variable("JUPYTERHUB_API_URL");
    assert_eq!(api, hub.app.urls.api);
    let model = Browser::new("").get(&api).await.expect(200).json();
    assert_eq!(model["version"], "6.1.1");
    let token = hub.spawner.variable("JUPYTERHUB_API_TOKEN");
    let request = Browser::new("").request(Method::GET, &format!("{api}/user"));
    let asked = request.header("authorization", format!("token {token}"));
    let user: serde_json::Value = asked.send().await.unwrap().json().await.unwrap();
    assert_eq!(user["name"], "admin");
    let origin = api.strip_suffix("/hub/api").unwrap();
    for path in ["/hub/login", "/hub/home", "/user/admin/lab", "/"] {
        let browser = Browser::new(origin);
        browser.get(path).await.expect(404);
    }
    Browser::new(origin).get("/hub/health").await.expect(200);
}

#[tokio::test]
async fn plain_http_leads_to_https() {
    let certificate = Certificate::issue("localhost");
    let plain = free_port();
    let spawner = FakeSpawner::new(Behaviour::Answers);
    let hub = TestHub::configured(spawner, |config| {
        certificate.configure(config);
        config.jupyter_hub.redirect_port = Some(plain);
    })
    .await;
    let browser = Browser::new(&format!("http://localhost:{plain}"));
    for path in ["/", "/hub/login?next=%2Fhub%2Ftoken", "/user/a/lab"] {
        let moved = browser.get(path).await.expect(301);
        assert_eq!(moved.location(), format!("{}{path}", hub.origin));
    }
    browser.post("/hub/login", &[]).await.expect(301);
}

#[tokio::test]
async fn a_real_server_logs_its_visitor_in_behind_https() {
    let certificate = Certificate::issue("localhost");
    let Some(hub) = RealHub::start(|config| certificate.configure(config)).await else {
        return;
    };
    let origin = format!("https://localhost:{}", hub.address.port());
    let browser = Browser::secure(&origin, &certificate);
    browser.login("admin", "").await.expect(303);
    let (url, page) = hub.enter(&browser, "admin").await;
    assert!(url.starts_with(&format!("{origin}/user/admin/")), "{url}");
    assert!(
        page.expect(200).body.contains("jupyter-config-data"),
        "{url}"
    );
    let status = browser.get("/user/admin/api/status").await.expect(200);
    assert!(status.json()["kernels"].is_number());
    hub.end().await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_named_at_the_start() {
    let certificate = Certificate::issue("localhost");
    let mut config = Config::default();
    config.jupyter_hub.port = 0;
    certificate.configure(&mut config);
    std::fs::write(certificate.key(), "no key").unwrap();
    let state = tempfile::tempdir().unwrap();
    let error = Hub::open(config, state.path()).await.err().unwrap();
    let told = chain(&error);
    assert!(told.contains("JupyterHub.ssl_key"), "{told}");
    assert!(told.contains("tls.key holds no private key"), "{told}");
}

fn proxy(arguments: &[String]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carrel-hub"));
    command
        .args(["proxy", "--ip=127.0.0.1", "--log-level=warn"])
        .args(arguments)
        .env("CONFIGPROXY_AUTH_TOKEN", "a token");
    command
}

#[tokio::test]
async fn a_proxy_apart_speaks_https_and_sends_plain_requests_there() {
    let certificate = Certificate::issue("localhost");
    let hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), |config| {
        config.jupyter_hub.trusted_downstream_ips = vec!["127.0.0.1/32".parse().unwrap()];
    })
    .await;
    let state = tempfile::tempdir().unwrap();
    let (port, plain) = (free_port(), free_port());
    let arguments = [
        format!("--port={port}"),
        format!("--api-port={}", free_port()),
        format!("--ssl-key={}", certificate.key().display()),
        format!("--ssl-cert={}", certificate.certificate().display()),
        format!("--redirect-port={plain}"),
        format!("--default-target={}", hub.origin),
        format!("--state={}", state.path().display()),
    ];
    let mut child = proxy(&arguments).spawn().unwrap();
    let plain = Browser::new(&format!("http://localhost:{plain}"));
    wait_for("the proxy", || async {
        plain.request(Method::GET, "/").send().await.ok()
    })
    .await;
    let moved = plain.get("/user/a/?b=%20").await.expect(301);
    let origin = format!("https://localhost:{port}");
    assert_eq!(moved.location(), format!("{origin}/user/a/?b=%20"));

    let browser = Browser::secure(&origin, &certificate);
    let login = browser.login("admin", "").await.expect(303);
    assert!(
        login
            .set_cookie("jupyterhub-hub-login")
            .ends_with("; Secure")
    );
    browser.get("/hub/home").await.expect(200);
    // HTTP/1.1 too.
    let way = certificate.way("http/1.1");
    let mut stream = way.connect(&origin.parse().unwrap()).await.unwrap();
    let request = b"GET /_chp_healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with(r#"{"status":"OK"}"#), "{answer}");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn a_proxy_apart_does_not_begin_without_its_certificate() {
    let certificate = Certificate::issue("localhost");
    std::fs::write(certificate.certificate(), "nothing").unwrap();
    let arguments = [
        format!("--ssl-key={}", certificate.key().display()),
        format!("--ssl-cert={}", certificate.certificate().display()),
        String::from("--port=0"),
    ];
    let mut child = proxy(&arguments).stderr(Stdio::piped()).spawn().unwrap();
    let mut told = String::new();
    let mut stderr = child.stderr.take().unwrap();
    stderr.read_to_string(&mut told).unwrap();
    assert!(!child.wait().unwrap().success());
    assert!(told.contains("tls.crt holds no certificate"), "{told}");
}
