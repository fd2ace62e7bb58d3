//! The program itself, with a Kubernetes of the test's own: what it watches, and how it ends.

use std::net::SocketAddr;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use carrel_tests::hub::free_port;
use carrel_tests::wait_for;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, broadcast};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::harness::{PATIENCE, World, mapping, named, server};

/// An API server that has Services, and the Gateway API once it is installed.
#[derive(Clone)]
struct Fake {
    events: broadcast::Sender<String>,
    installed: Arc<AtomicBool>,
    objects: Value,
}

impl Fake {
    fn new(objects: Value) -> Self {
        Self {
            events: broadcast::channel(16).0,
            installed: Arc::default(),
            objects,
        }
    }

    async fn start(&self) -> SocketAddr {
        let router = Router::new().fallback(get(answer)).with_state(self.clone());
        server(router).await
    }

    /// To who watches Services.
    fn tell(&self, object: &Value) {
        let event = json!({ "type": "ADDED", "object": object });
        self.events.send(format!("{event}\n")).unwrap();
    }
}

async fn answer(State(fake): State<Fake>, uri: Uri) -> Response {
    let resource = uri.path().rsplit('/').next().unwrap_or_default().to_owned();
    let is_service = uri.path() == "/api/v1/services";
    if !is_service && !fake.installed.load(Ordering::Relaxed) {
        let status = json!({ "kind": "Status", "code": 404, "reason": "NotFound", "message": "404 page not found" });
        return (StatusCode::NOT_FOUND, axum::Json(status)).into_response();
    }
    if uri.query().unwrap_or_default().contains("watch=true") {
        let events = fake.events.subscribe();
        let told = futures_util::stream::unfold(events, move |mut events| async move {
            match is_service {
                true => Some((Ok::<_, std::io::Error>(events.recv().await.ok()?), events)),
                false => std::future::pending().await,
            }
        });
        return Body::from_stream(told).into_response();
    }
    let items = fake.objects.get(&resource).cloned().unwrap_or(json!([]));
    let list = json!({ "kind": "List", "apiVersion": "v1", "metadata": { "resourceVersion": "1" }, "items": items });
    axum::Json(list).into_response()
}

struct Program {
    child: Child,
    public: String,
    admin: String,
    _folder: tempfile::TempDir,
}

impl Program {
    fn start(api: SocketAddr, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "x",
            "clusters": [{ "name": "x", "cluster": { "server": format!("http://{api}") } }],
            "users": [{ "name": "x", "user": {} }],
            "contexts": [{ "name": "x", "context": { "cluster": "x", "user": "x" } }],
        });
        std::fs::write(&file, config.to_string()).unwrap();
        let [public, admin] = [(); 2].map(|()| format!("127.0.0.1:{}", free_port().unwrap()));
        let child = Command::new(env!("CARGO_BIN_EXE_carrel-gateway"))
            .args(["--listen", &public, "--admin", &admin])
            .args(more)
            .env("KUBECONFIG", file)
            .spawn()
            .unwrap();
        Self {
            child,
            public: format!("http://{public}"),
            admin: format!("http://{admin}/ambassador/v0"),
            _folder: folder,
        }
    }

    /// Waits for an answer with this status.
    async fn waits_for(&self, url: &str, status: u16) -> String {
        let what = format!("{status} of {url}");
        let answered = wait_for(&what, PATIENCE, || async {
            let answer = reqwest::get(url).await.ok()?;
            (answer.status() == status).then_some(answer)
        });
        answered.await.unwrap().text().await.unwrap()
    }

    fn asks_to_end(&self) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").arg(&id).status().unwrap().success());
    }

    async fn has_ended(&mut self) -> i32 {
        let mut ended = None;
        while ended.is_none() {
            ended = self.child.try_wait().unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        ended.unwrap().code().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn what_the_cluster_shows_is_in_force_at_once_and_without_a_restart() {
    let (early, late, routed) = (
        named("early").await,
        named("late").await,
        named("routed").await,
    );
    let mut world = World::default();
    let mut service = |place: &str, address: SocketAddr, fields: &str| {
        let name = place.split_once('/').unwrap().1;
        let text = if fields.is_empty() {
            String::new()
        } else {
            mapping(name, address.port(), fields)
        };
        world.object(
            "Service",
            place,
            &json!({
                "metadata": { "annotations": { "getambassador.io/config": text } },
                "spec": { "clusterIP": "127.0.0.1", "ports": [{ "port": address.port() }] },
            }),
        )
    };
    let (first, target) = (
        service("a/early", early, "prefix: /early/"),
        service("a/routed", routed, ""),
    );
    let second = service("a/late", late, "prefix: /late/");
    let class = world.object(
        "GatewayClass",
        "none/carrel",
        &json!({ "spec": { "controllerName": "carrel.dev/gateway" } }),
    );
    let gateway = world.object("Gateway", "a/public", &json!({ "spec": {
        "gatewayClassName": "carrel", "listeners": [{ "name": "web", "port": 80, "protocol": "HTTP" }],
    } }));
    let route = world.object("HTTPRoute", "a/r", &json!({ "spec": {
        "parentRefs": [{ "name": "public" }],
        "rules": [{ "matches": [{ "path": { "value": "/routed" } }], "backendRefs": [{ "name": "routed", "port": routed.port() }] }],
    } }));
    let fake = Fake::new(json!({
        "services": [first, target], "gatewayclasses": [class], "gateways": [gateway], "httproutes": [route],
    }));
    let program = Program::start(fake.start().await, &["--linger", "0"]);
    program
        .waits_for(&format!("{}/check_ready", program.admin), 200)
        .await;
    let early = program
        .waits_for(&format!("{}/early/", program.public), 200)
        .await;
    assert_eq!(early, "early GET /");
    let late = format!("{}/late/", program.public);
    assert_eq!(reqwest::get(&late).await.unwrap().status(), 404);
    // It may not have begun to watch yet.
    let told = wait_for("a watch", PATIENCE, || async {
        (fake.events.receiver_count() > 0).then_some(())
    });
    told.await.unwrap();
    fake.tell(&second);
    assert_eq!(program.waits_for(&late, 200).await, "late GET /");
    fake.installed.store(true, Ordering::Relaxed);
    let routed = format!("{}/routed", program.public);
    assert_eq!(program.waits_for(&routed, 200).await, "routed GET /routed");
}

/// An API server that has one Service in a, keeps those of b to itself, and says nothing of c and, where it is `slow`, of the
/// Gateway API.
async fn moody(service: Value, slow: bool) -> SocketAddr {
    let answer = async move |uri: Uri| {
        let refusal = |code: StatusCode| {
            let status =
                json!({ "kind": "Status", "code": code.as_u16(), "reason": "no", "message": "no" });
            (code, axum::Json(status)).into_response()
        };
        let is_watch = uri.query().unwrap_or_default().contains("watch=true");
        match uri.path() {
            "/api/v1/namespaces/a/services" if !is_watch => {
                let metadata = json!({ "resourceVersion": "1" });
                axum::Json(json!({ "kind": "List", "apiVersion": "v1", "metadata": metadata, "items": [service] })).into_response()
            }
            "/api/v1/namespaces/b/services" => refusal(StatusCode::FORBIDDEN),
            path if path.starts_with("/apis/") && !slow => refusal(StatusCode::NOT_FOUND),
            _ => std::future::pending().await,
        }
    };
    server(Router::new().fallback(get(answer))).await
}

#[tokio::test]
async fn what_cannot_be_read_does_not_keep_the_rest_waiting() {
    for (slow, other, patience, problems) in [
        (false, "b", "3600", &["Services of b"][..]),
        (
            true,
            "c",
            "1",
            &[
                "GatewayClasses",
                "Gateways",
                "HTTPRoutes",
                "ReferenceGrants",
                "Services of c",
            ],
        ),
    ] {
        let target = named("early").await;
        let text = mapping("early", target.port(), "prefix: /early/");
        let service = World::default().object(
            "Service",
            "a/early",
            &json!({
                "metadata": { "annotations": { "getambassador.io/config": text } },
                "spec": { "clusterIP": "127.0.0.1", "ports": [{ "port": target.port() }] },
            }),
        );
        let namespaces = [
            "--namespace",
            "a",
            "--namespace",
            other,
            "--patience",
            patience,
        ];
        let program = Program::start(moody(service, slow).await, &namespaces);
        let ready = format!("{}/check_ready", program.admin);
        program.waits_for(&ready, 200).await;
        let early = format!("{}/early/", program.public);
        assert_eq!(program.waits_for(&early, 200).await, "early GET /");
        let diag = program
            .waits_for(&format!("{}/diag.json", program.admin), 200)
            .await;
        let diag: Value = serde_json::from_str(&diag).unwrap();
        let about = diag["problems"].as_array().unwrap().iter();
        let mut about: Vec<_> = about
            .map(|problem| problem["about"].as_str().unwrap())
            .collect();
        about.sort_unstable();
        assert_eq!(about, problems);
    }
}

#[tokio::test]
async fn it_ends_after_the_requests_under_way() {
    let (asked, go) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let (of_target, gone) = (asked.clone(), go.clone());
    let target = server(Router::new().fallback(async move || {
        of_target.add_permits(1);
        gone.acquire().await.unwrap().forget();
        "whole"
    }));
    let dashboard = format!("http://{}", target.await);
    let api = Fake::new(json!({})).start().await;
    let mut program = Program::start(
        api,
        &["--linger", "2", "--drain", "60", "--dashboard", &dashboard],
    );
    let ready = format!("{}/check_ready", program.admin);
    program.waits_for(&ready, 200).await;
    let answer = tokio::spawn(reqwest::get(format!("{}/", program.public)));
    asked.acquire().await.unwrap().forget();
    program.asks_to_end();
    // Others hear of it while connections are still taken.
    program.waits_for(&ready, 503).await;
    let second = tokio::spawn(reqwest::get(format!("{}/", program.public)));
    asked.acquire().await.unwrap().forget();
    let refused = wait_for("the end of the listener", PATIENCE, || async {
        tokio::net::TcpStream::connect(program.public.trim_start_matches("http://"))
            .await
            .err()
    });
    refused.await.unwrap();
    go.add_permits(2);
    for answer in [answer, second] {
        let answer = tokio::time::timeout(PATIENCE, answer).await;
        let text = answer.unwrap().unwrap().unwrap().text().await.unwrap();
        assert_eq!(text, "whole");
    }
    let ended = tokio::time::timeout(PATIENCE, program.has_ended()).await;
    assert_eq!(ended.unwrap(), 0);
}

#[tokio::test]
async fn browsers_may_speak_https_and_http_2() {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let [key, certificate] = ["key", "certificate"].map(|name| folder.path().join(name));
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    let [key, certificate] = [&key, &certificate].map(|file| file.to_str().unwrap());
    let dashboard = format!("http://{}", named("dashboard").await);
    let api = Fake::new(json!({})).start().await;
    let options = [
        "--tls-key",
        key,
        "--tls-certificate",
        certificate,
        "--dashboard",
        &dashboard,
    ];
    let program = Program::start(api, &options);
    let ready = format!("{}/check_ready", program.admin);
    program.waits_for(&ready, 200).await;
    for protocol in ["h2", "http/1.1"] {
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let config =
            ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = config
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.into()];
        let address = program.public.trim_start_matches("http://");
        let stream = TcpStream::connect(address).await.unwrap();
        let connector = TlsConnector::from(Arc::new(config));
        let mut stream = connector
            .connect("localhost".try_into().unwrap(), stream)
            .await
            .unwrap();
        let chosen = stream.get_ref().1.alpn_protocol().unwrap().to_owned();
        assert_eq!(chosen, protocol.as_bytes());
        if protocol == "http/1.1" {
            let request = b"GET /x HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
            stream.write_all(request).await.unwrap();
            let mut answer = String::new();
            let read = tokio::time::timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
            read.unwrap().unwrap();
            assert!(answer.ends_with("dashboard GET /x"), "{answer}");
        }
    }
}
