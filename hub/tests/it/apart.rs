//! The proxy apart, ours and the stock one in each other's place: with this Hub, and ours with a stock JupyterHub.

use std::sync::Arc;
use std::time::Duration;

use carrel_hub::config::{ProxyClass, Secret, Urls};
use carrel_hub::servers;
use carrel_skip::package_folder;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::apart::{Apart, Kind, TOKEN, free_port, prepared};
use crate::harness::{Behaviour, Browser, FakeSpawner, LIMIT, TestHub, wait_for};

/// A Hub on this port with these proxies, which checks their routes at its start and then never by itself.
pub async fn hub_with(spawner: Arc<FakeSpawner>, port: u16, proxies: &[&Apart]) -> TestHub {
    let urls = proxies.iter().map(|proxy| {
        let url = format!("http://127.0.0.1:{}", proxy.api_port);
        url.parse().unwrap()
    });
    let hub = TestHub::configured(spawner, |config| {
        config.jupyter_hub.port = port;
        config.jupyter_hub.proxy_class = ProxyClass::Chp;
        config.jupyter_hub.proxy_check_interval = Duration::from_secs(3600);
        config.configurable_http_proxy.api_url = Urls(urls.collect());
        config.configurable_http_proxy.auth_token = Some(Secret(TOKEN.to_owned()));
    })
    .await;
    servers::check_routes(&hub.app).await.unwrap();
    hub
}

pub async fn logged_in(proxy: &Apart) -> Browser {
    let browser = proxy.browser();
    browser.login("admin", "").await.expect(303);
    browser
}

/// A server through the proxy, from its start to its end.
async fn a_hub_works_with(kind: Kind) {
    let port = free_port();
    let proxy = Apart::start(kind, port).await;
    let spawner = FakeSpawner::new(Behaviour::Answers);
    let hub = hub_with(spawner, port, &[&proxy]).await;
    let browser = logged_in(&proxy).await;
    browser.spawn_ready("admin").await;
    let reply = browser.get("/user/admin/lab").await.expect(200);
    assert_eq!(reply.body, "answer of the server");
    let routes = proxy.routes().await;
    assert_eq!(routes["/"]["hub"], true, "{routes}");
    assert_eq!(routes["/user/admin"]["user"], "admin");
    assert_eq!(routes["/user/admin"]["jupyterhub"], true);

    // What others have put there is theirs.
    let foreign = json!({ "target": "http://127.0.0.1:1" }).to_string();
    for (path, body) in [
        ("/foreign", foreign),
        (
            "/user/gone",
            json!({ "target": "http://127.0.0.1:1", "jupyterhub": true }).to_string(),
        ),
    ] {
        let path = format!("/api/routes{path}");
        assert_eq!(proxy.api(Method::POST, &path, &body).await.0, 201);
    }
    let without_route = async || {
        let path = "/api/routes/user/admin";
        let (status, _) = proxy.api(Method::DELETE, path, "").await;
        assert_eq!(status, 204);
    };
    // As by a proxy that has begun anew: a program is told to try again, and is led there then.
    without_route().await;
    let told = browser.get("/user/admin/api/status").await.expect(503);
    assert!(told.body.contains("Try again"), "{}", told.body);
    browser.get("/user/admin/api/status").await.expect(200);
    without_route().await;
    servers::check_routes(&hub.app).await.unwrap();
    let routes = proxy.routes().await;
    let mut names: Vec<_> = routes.as_object().unwrap().keys().collect();
    names.sort();
    assert_eq!(names, ["/", "/foreign", "/user/admin"]);

    // Of a use, the Hub hears from the proxy; times count in seconds.
    let used = || hub.app.routing.proxy.last_used("/user/admin/");
    servers::check_routes(&hub.app).await.unwrap();
    assert_eq!(used(), None);
    tokio::time::sleep(Duration::from_millis(1100)).await;
    browser.get("/user/admin/lab").await.expect(200);
    servers::check_routes(&hub.app).await.unwrap();
    assert!(used().is_some());

    browser
        .submit("/hub/home", "/hub/stop/admin", &[])
        .await
        .expect(303);
    wait_for("the end of the route", || async {
        let routes = proxy.routes().await;
        routes.get("/user/admin").is_none().then_some(())
    })
    .await;
    let page = browser.get("/foreign/").await.expect(503);
    assert!(page.body.contains("<html"), "{}", page.body);
}

#[tokio::test]
async fn this_hub_works_with_our_proxy_apart() {
    a_hub_works_with(Kind::Ours).await;
}

#[tokio::test]
async fn this_hub_works_with_configurable_http_proxy() {
    if let Some(stock) = Kind::stock() {
        a_hub_works_with(stock).await;
    }
}

#[tokio::test]
async fn routes_outlive_the_proxy_and_servers_the_hub() {
    let port = free_port();
    let mut proxy = Apart::start(Kind::Ours, port).await;
    let spawner = FakeSpawner::new(Behaviour::Answers);
    let hub = hub_with(spawner.clone(), port, &[&proxy]).await;
    let browser = logged_in(&proxy).await;
    browser.spawn_ready("admin").await;
    let before = proxy.routes().await;
    let file = proxy.state.path().join("routes.json");
    // A route leads before it is written down; the Hub waits for both.
    wait_for("the route in the file", || async {
        let text = std::fs::read_to_string(&file).ok()?;
        text.contains("/user/admin").then_some(())
    })
    .await;

    proxy.kill();
    proxy.restart().await;
    // The Hub has not looked meanwhile.
    browser.get("/user/admin/lab").await.expect(200);
    browser.get("/hub/home").await.expect(200);
    let after = proxy.routes().await;
    for prefix in ["/", "/user/admin"] {
        assert_eq!(before[prefix]["target"], after[prefix]["target"]);
    }

    drop(hub);
    browser.get("/user/admin/lab").await.expect(200);
    wait_for("the end of the Hub", || async {
        (browser.get("/hub/home").await.status == 503).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_proxy_that_is_down_delays_nobody_and_catches_up() {
    let port = free_port();
    let mut proxies = [
        Apart::start(Kind::Ours, port).await,
        Apart::start(Kind::Ours, port).await,
    ];
    let [one, other] = &proxies;
    let spawner = FakeSpawner::new(Behaviour::Answers);
    let hub = hub_with(spawner, port, &[one, other]).await;
    proxies[1].kill();
    let browser = logged_in(&proxies[0]).await;
    browser.spawn_ready("admin").await;
    // It comes back as one that knows nothing.
    std::fs::remove_file(proxies[1].state.path().join("routes.json")).unwrap();
    proxies[1].restart().await;
    servers::check_routes(&hub.app).await.unwrap();
    let browser = proxies[1].browser();
    browser.get("/user/admin/lab").await.expect(200);
    assert_eq!(proxies[0].routes().await["/"]["hub"], true);
    assert_eq!(proxies[1].routes().await["/"]["hub"], true);
}

/// Requests of the API, and what both proxies answer: status, and the body where it is the same.
async fn answers_of(proxy: &Apart) -> Vec<(String, u16, Value)> {
    let route = r#"{"target": "http://127.0.0.1:1", "user": "é", "last_activity": "x"}"#;
    let mut answers = Vec::new();
    for (method, path, body) in [
        ("GET", "/api/routes", ""),
        ("GET", "/api/routes/", ""),
        ("POST", "/api/routes/user/a%20b/", route),
        ("POST", "/api/routes/user/c", route),
        ("GET", "/api/routes/user/a%20b", ""),
        ("GET", "/api/routes/user/a%20b/", ""),
        ("GET", "/api/routes/user/none", ""),
        ("GET", "/api/routes", ""),
        ("GET", "/api/routes?inactive_since=2020-01-01T00:00:00Z", ""),
        ("GET", "/api/routes?inactiveSince=2999-01-01", ""),
        ("GET", "/api/routes?inactive_since=yesterday", ""),
        ("POST", "/api/routes/user/d", "{"),
        ("POST", "/api/routes/user/d", ""),
        ("POST", "/api/routes/user/d", "null"),
        ("POST", "/api/routes/user/d", "[]"),
        ("POST", "/api/routes/user/d", r#"{"target": 5}"#),
        ("PUT", "/api/routes/user/d", route),
        ("GET", "/api/route", ""),
        ("GET", "/", ""),
        ("DELETE", "/api/routes/user/none", ""),
        ("DELETE", "/api/routes/user/c", ""),
        ("POST", "/api/routes", route),
        ("GET", "/api/routes", ""),
        ("DELETE", "/api/routes/", ""),
    ] {
        let (status, text) = proxy.api(method.parse().unwrap(), path, body).await;
        let mut answer = serde_json::from_str(&text).unwrap_or(json!(text));
        strip(&mut answer);
        if text.starts_with("Body not valid JSON: ") {
            answer = json!("Body not valid JSON");
        }
        answers.push((format!("{method} {path} {body}"), status, answer));
    }
    for authorization in ["", "token", "token wrong", "Token token-of-the-proxy"] {
        let (status, text) = proxy
            .api_as(authorization, Method::GET, "/api/routes", "")
            .await;
        answers.push((authorization.to_owned(), status, json!(text)));
    }
    answers
}

/// Times differ.
fn strip(answer: &mut Value) {
    if let Value::Object(fields) = answer {
        if let Some(time) = fields.remove("last_activity") {
            assert!(time.as_str().unwrap().ends_with('Z'), "{time}");
        }
        fields.values_mut().for_each(strip);
    }
}

#[tokio::test]
async fn the_rest_api_answers_as_that_of_configurable_http_proxy() {
    let ours = answers_of(&Apart::start(Kind::Ours, 1).await).await;
    let statuses: Vec<u16> = ours.iter().map(|(_, status, _)| *status).collect();
    let wanted = [
        200, 200, 201, 201, 200, 200, 404, 200, 200, 200, 400, 400, 400, 400, 400, 400, 405, 404,
        404, 404, 204, 201, 200, 204, 403, 403, 403, 403,
    ];
    assert_eq!(statuses, wanted);
    if let Some(stock) = Kind::stock() {
        let stock = answers_of(&Apart::start(stock, 1).await).await;
        for (ours, stock) in ours.iter().zip(&stock) {
            assert_eq!(ours, stock);
        }
    }
}

#[tokio::test]
async fn what_has_no_route_or_no_target_gets_a_page_of_the_hub() {
    let hub = TestHub::start().await;
    let port = hub.origin.rsplit(':').next().unwrap().parse().unwrap();
    let proxy = Apart::start(Kind::Ours, port).await;
    let browser = proxy.browser();
    let page = browser.get("/user/x/?a=b").await.expect(404);
    assert!(page.body.contains("<html"), "{}", page.body);
    let route = format!(r#"{{"target": "http://127.0.0.1:{}"}}"#, free_port());
    proxy.api(Method::POST, "/api/routes/user/x", &route).await;
    let page = browser.get("/user/x/").await.expect(503);
    assert!(page.body.contains("<html"), "{}", page.body);
    let upgrade = [("connection", "upgrade"), ("upgrade", "websocket")];
    for (path, status) in [("/user/x/", 503), ("/user/y/", 404)] {
        let mut request = browser.request(Method::GET, path);
        for (name, value) in upgrade {
            request = request.header(name, value);
        }
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status);
        assert_eq!(answer.text().await.unwrap(), "");
    }
}

#[tokio::test]
async fn websockets_pass_through_the_proxy_apart() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        head(&mut stream).await;
        let agreed =
            "HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
        stream.write_all(agreed.as_bytes()).await.unwrap();
        let (mut read, mut write) = stream.split();
        tokio::io::copy(&mut read, &mut write).await.unwrap();
    });
    let proxy = Apart::start(Kind::Ours, 1).await;
    let route = json!({ "target": target }).to_string();
    proxy.api(Method::POST, "/api/routes/user/x", &route).await;
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
    let request =
        "GET /user/x/ws HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 101 "));
    stream.write_all(b"there and back").await.unwrap();
    let mut back = [0; 14];
    tokio::time::timeout(LIMIT, stream.read_exact(&mut back))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&back, b"there and back");
}

async fn head(stream: &mut TcpStream) -> String {
    let mut read = String::new();
    while !read.ends_with("\r\n\r\n") {
        read.push(stream.read_u8().await.unwrap().into());
    }
    read
}

/// The API is open to its network without a token: such a proxy does not begin.
#[test]
fn an_api_that_others_reach_needs_a_token() {
    let state = tempfile::tempdir().unwrap();
    let run = std::process::Command::new(env!("CARGO_BIN_EXE_carrel-hub"))
        .args(["proxy", "--port=0", "--api-ip=0.0.0.0", "--state"])
        .arg(state.path())
        .env_remove("CONFIGPROXY_AUTH_TOKEN")
        .output()
        .unwrap();
    let error = String::from_utf8_lossy(&run.stderr);
    assert!(!run.status.success());
    assert!(error.contains("CONFIGPROXY_AUTH_TOKEN"), "{error}");
}

const JUPYTERHUB: &str = r#"
import os, sys
c = get_config()
c.JupyterHub.bind_url = os.environ["PUBLIC"]
c.JupyterHub.hub_bind_url = os.environ["HUB"]
c.JupyterHub.authenticator_class = "dummy"
c.JupyterHub.spawner_class = "simple"
c.JupyterHub.services = [{"name": "test", "api_token": "token-of-a-service", "admin": True}]
c.Authenticator.allow_all = True
c.Authenticator.admin_users = {"admin"}
c.Spawner.cmd = [sys.executable, os.environ["SERVER"]]
c.SimpleLocalProcessSpawner.home_dir_template = os.path.join(os.getcwd(), "{username}")
c.ConfigurableHTTPProxy.command = [os.environ["PROXY"], "proxy"]
c.ConfigurableHTTPProxy.api_url = os.environ["API"]
"#;

/// Ends its whole family: JupyterHub has started a proxy and servers.
struct Family(std::process::Child);

impl Drop for Family {
    fn drop(&mut self) {
        let group = nix::unistd::Pid::from_raw(-i32::try_from(self.0.id()).unwrap());
        let _ = nix::sys::signal::kill(group, nix::sys::signal::SIGTERM);
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_stock_jupyterhub_works_with_our_proxy() {
    use std::os::unix::process::CommandExt as _;
    let Some(prepared) = prepared() else { return };
    let folder = tempfile::tempdir().unwrap();
    let origin = format!("http://127.0.0.1:{}", free_port());
    let config = folder.path().join("jupyterhub_config.py");
    std::fs::write(&config, JUPYTERHUB).unwrap();
    let log = std::fs::File::create(folder.path().join("log")).unwrap();
    let jupyterhub = std::process::Command::new(prepared.join("venv/bin/jupyterhub"))
        .arg("-f")
        .arg(config)
        .current_dir(folder.path())
        .process_group(0)
        .env("PUBLIC", &origin)
        .env("HUB", format!("http://127.0.0.1:{}", free_port()))
        .env("API", format!("http://127.0.0.1:{}", free_port()))
        .env("PROXY", env!("CARGO_BIN_EXE_carrel-hub"))
        .env(
            "SERVER",
            package_folder().join("../tests/jupyterhub/server.py"),
        )
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let _jupyterhub = Family(jupyterhub);
    let browser = Browser::new(&origin);
    let up = || async {
        let answer = reqwest::get(format!("{origin}/hub/health")).await.ok()?;
        (answer.status() == 200).then_some(())
    };
    // Long on a machine that has much else to do.
    let waiting = async {
        while up().await.is_none() {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(LIMIT * 2, waiting).await.unwrap();

    let page = browser.login("admin", "any").await;
    assert!(matches!(page.status, 302 | 303), "{page:?}");
    let token = "token-of-a-service";
    let started = browser
        .api(Method::POST, "/users/admin/server", token, None)
        .await;
    assert!(matches!(started.status, 201 | 202), "{started:?}");
    wait_for("the server", || async {
        let answer = browser.get("/user/admin/api").await;
        answer
            .headers
            .contains_key("x-jupyterhub-version")
            .then_some(())
            .filter(|()| answer.status == 200)
    })
    .await;
    let routes = browser.api(Method::GET, "/proxy", token, None).await;
    assert_eq!(routes.json()["/user/admin/"]["data"]["user"], "admin");
    // JupyterHub finds its routes as it has set them, and leaves them alone.
    browser
        .api(Method::POST, "/proxy", token, None)
        .await
        .expect(200);
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    for word in ["Updating route", "Updating Hub route", "Deleting stale"] {
        assert!(!log.contains(word), "{log}");
    }
    browser
        .api(Method::DELETE, "/users/admin/server", token, None)
        .await;
    wait_for("the end of the route", || async {
        let routes = browser.api(Method::GET, "/proxy", token, None).await;
        routes.json().get("/user/admin/").is_none().then_some(())
    })
    .await;
}
