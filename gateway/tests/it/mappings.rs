//! Routes by the annotations of Services.

use carrel_gateway::rule::Action;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;

use crate::harness::{PATIENCE, World, listening, mapping, named};

#[tokio::test]
async fn a_service_declares_its_own_route_by_annotation() {
    let mut world = World::default();
    world.mapped(
        "kubeflow/inception",
        named("inception").await,
        "prefix: /models/inception/",
    );
    let gateway = world.start(&[]).await;
    for (path, text) in [
        (
            "/models/inception/v1/models?x=1",
            "inception GET /v1/models?x=1",
        ),
        ("/models/inception/", "inception GET /"),
        ("/models/inception", "inception GET /"),
        ("/models/%69nception/a", "inception GET /a"),
    ] {
        assert_eq!(gateway.text(path).await, (200, text.to_owned()));
    }
    for path in ["/models/inception2", "/models/", "/"] {
        assert_eq!(gateway.get(path).await.status(), 404, "{path}");
    }
}

#[tokio::test]
async fn methods_headers_and_hosts_choose_and_rewrites_differ() {
    let target = named("m").await;
    let port = target.port();
    let text = [
        mapping("m", port, "prefix: /m/\nmethod: GET\nrewrite: /get/"),
        mapping(
            "m",
            port,
            "prefix: /m/\nmethod: POST\nrewrite: /model:predict",
        ),
        mapping(
            "m",
            port,
            "prefix: /m/\nheaders: {x-version: '2'}\nrewrite: /two/",
        ),
        mapping("m", port, "prefix: /m/\nhost: m.test\nrewrite: ''"),
    ];
    let mut world = World::default();
    world.service("kubeflow/m", target, &text.concat());
    let gateway = world.start(&[]).await;
    assert_eq!(gateway.text("/m/a").await.1, "m GET /get/a");
    let post = gateway.request("POST", "/m/").send().await.unwrap();
    assert_eq!(post.text().await.unwrap(), "m POST /model:predict");
    let put = gateway.request("PUT", "/m/x").send().await.unwrap();
    assert_eq!(put.status(), 404);
    let two = gateway.request("PUT", "/m/x").header("x-version", "2");
    assert_eq!(
        two.send().await.unwrap().text().await.unwrap(),
        "m PUT /two/x"
    );
    assert_eq!(gateway.text_at("M.test:80", "/m/a").await.1, "m GET /m/a");
}

#[tokio::test]
async fn hosts_and_headers_of_requests_change_as_asked() {
    let (target, heard) = listening().await;
    let mut world = World::default();
    let fields = "prefix: /m/\nhost_rewrite: inner.test\nadd_request_headers: {x-added: 'yes'}";
    world.mapped("kubeflow/m", target, fields);
    let gateway = world.start(&[]).await;
    assert_eq!(gateway.text_at("outer.test", "/m/").await.0, 200);
    let heard = heard.lock().unwrap().clone();
    assert_eq!(heard["host"], "inner.test");
    assert_eq!(heard["x-added"], "yes");
}

#[tokio::test]
async fn no_path_leads_out_of_what_stands_for_the_prefix() {
    let mut world = World::default();
    world.mapped(
        "a/app",
        named("app").await,
        "prefix: /app/\nrewrite: /public/",
    );
    let gateway = world.start(&[]).await;
    for (path, status) in [
        ("/app/../private", 400),
        ("/app/x/%2e%2E/%2e./private", 400),
        ("/app/..", 400),
        ("/app/..%2fprivate", 400),
        ("/app/x%2F..%2F..%5Cprivate", 400),
        ("/app/..x", 200),
    ] {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let read = timeout(PATIENCE, stream.read_to_string(&mut answer)).await;
        read.unwrap().unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{path}: {answer}"
        );
    }
}

#[test]
fn what_a_mapping_says_is_one_line() {
    let mut world = World::default();
    let text = "apiVersion: ambassador/v1\nkind: Mapping\nprefix: /a/\nservice: a\nname: ";
    world.service(
        "a/quoted",
        "127.0.0.1:80".parse().unwrap(),
        &format!("{text}'a\"}} b'\n"),
    );
    world.service(
        "a/lines",
        "127.0.0.1:80".parse().unwrap(),
        &format!("{text}a\n\"b\\nc\": 1\n"),
    );
    let plan = world.plan(&[]);
    assert!(plan.rules.iter().all(|rule| rule.origin.part == "a"));
    assert!(
        plan.problems
            .iter()
            .any(|problem| problem.text.contains("its name"))
    );
    for problem in plan.problems {
        assert!(
            !format!("{}{}", problem.about, problem.text).contains('\n'),
            "{problem:?}"
        );
    }
}

#[test]
fn a_service_without_an_address_is_at_the_ports_of_its_pods() {
    for (target, address) in [
        (json!(8000), Ok("m.a.svc:8000")),
        (json!(null), Ok("m.a.svc:80")),
        (json!("http"), Err("targetPort `http`")),
    ] {
        let mut world = World::default();
        let text = mapping("m", 80, "prefix: /m/");
        world.raw_service(
            "a/m",
            &json!({
                "metadata": { "annotations": { "getambassador.io/config": text } },
                "spec": { "clusterIP": "None", "ports": [{ "port": 80, "targetPort": target }] },
            }),
        );
        let plan = world.plan(&[]);
        let Action::Forward(backends) = &plan.rules[0].action else {
            panic!("{:?}", plan.rules);
        };
        match (&backends[0].at, address) {
            (Ok(at), Ok(address)) => assert_eq!(at.address, address),
            (Err(missing), Err(part)) => assert!(missing.text().contains(part), "{missing:?}"),
            (at, _) => panic!("{at:?} of {target}"),
        }
    }
}

#[tokio::test]
async fn websockets_pass() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut socket = tokio_tungstenite::accept_async(stream).await.unwrap();
        let message = socket.next().await.unwrap().unwrap();
        socket.send(message).await.unwrap();
    });
    let mut world = World::default();
    world.mapped("kubeflow/w", address, "prefix: /w/\nuse_websocket: true");
    assert!(world.plan(&[]).problems.is_empty());
    let gateway = world.start(&[]).await;
    let url = format!("ws://{}/w/channels", gateway.address);
    let (mut socket, _) = timeout(PATIENCE, tokio_tungstenite::connect_async(url))
        .await
        .unwrap()
        .unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    let echoed = timeout(PATIENCE, socket.next()).await.unwrap();
    assert_eq!(echoed.unwrap().unwrap(), Message::text("hello"));
}

#[tokio::test]
async fn routes_come_and_go_with_their_services() {
    let mut world = World::default();
    let gateway = world.start(&[]).await;
    assert_eq!(gateway.get("/a/").await.status(), 404);
    world.mapped("kubeflow/a", named("a").await, "prefix: /a/");
    gateway.show(&world.seen);
    assert_eq!(gateway.text("/a/").await.1, "a GET /");
    gateway.show(&World::default().seen);
    assert_eq!(gateway.get("/a/").await.status(), 404);
}

#[tokio::test]
async fn a_service_elsewhere_is_for_the_administrators_namespace() {
    let target = named("far").await;
    let mut world = World::default();
    world.service("far/target", target, "");
    let port = target.port();
    let far = |prefix: &str| {
        format!(
            "apiVersion: ambassador/v1\nkind: Mapping\nname: m\nprefix: {prefix}\nservice: target.far:{port}\n"
        )
    };
    world.service("kubeflow/a", target, &far("/of-kubeflow/"));
    world.service("students/b", target, &far("/of-students/"));
    let gateway = world.start(&[]).await;
    assert_eq!(gateway.text("/of-kubeflow/").await.1, "far GET /");
    assert_eq!(gateway.get("/of-students/").await.status(), 503);
    let problems = world.plan(&[]).problems;
    assert_eq!(problems.len(), 1);
    assert!(
        problems[0]
            .text
            .contains("students may not lead to one of far"),
        "{problems:?}"
    );
}
