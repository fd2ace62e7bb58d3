//! What clients are told when there is no answer: which route, why, and no address behind it.

use std::time::Duration;

use axum::Router;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::harness::{TestGateway, World, nobody, read, server};

/// Both forms of an answer.
async fn told(gateway: &TestGateway, path: &str) -> (u16, String, String) {
    let (status, line) = gateway.text(path).await;
    let page = gateway
        .request("GET", path)
        .header("accept", "text/html,*/*;q=0.8");
    let page = page.send().await.unwrap();
    let kind = page.headers()["content-type"].to_str().unwrap().to_owned();
    assert!(kind.starts_with("text/html"), "{kind}");
    let policy = page.headers()["content-security-policy"].to_str().unwrap();
    assert!(policy.contains("default-src 'none'"), "{policy}");
    let (same, page) = read(page).await;
    assert_eq!(status, same);
    for text in [&line, &page] {
        assert!(!text.contains("127.0.0.1"), "{text}");
    }
    (status, line, page)
}

#[tokio::test]
async fn each_failure_has_its_status_and_a_page() {
    let slow = server(Router::new().fallback(async || {
        std::future::pending::<()>().await;
    }));
    let broken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let broken_at = broken.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = broken.accept().await {
            let _ = stream.read(&mut [0; 1024]).await;
            let _ = stream.write_all(b"no HTTP\r\n\r\n").await;
        }
    });
    let mut world = World::default();
    world.mapped("a/slow", slow.await, "prefix: /slow/\ntimeout_ms: 50");
    world.mapped("a/down", nobody().await, "prefix: /down/");
    world.mapped("a/broken", broken_at, "prefix: /broken/");
    world.raw_service("a/lost", &json!({
        "metadata": { "annotations": { "getambassador.io/config": crate::harness::mapping("missing", 80, "prefix: /lost/") } },
        "spec": { "clusterIP": "127.0.0.1", "ports": [{ "port": 80 }] },
    }));
    let gateway = world.start(&[]).await;
    for (path, status, part) in [
        ("/slow/x", 504, "did not answer within 50ms"),
        ("/down/x", 503, "behind /down/ could not be reached"),
        ("/broken/x", 502, "broke off"),
        ("/lost/x", 503, "leads to no service"),
        ("/none/<b>", 404, "Nothing is at"),
    ] {
        let (given, line, page) = told(&gateway, path).await;
        assert_eq!(given, status, "{path}");
        assert!(line.contains(part), "{line}");
        assert!(page.contains(part), "{page}");
        assert!(!page.contains("<b>"), "{page}");
    }
    let down = gateway.get("/down/").await;
    assert_eq!(down.headers()["retry-after"], "5");
}

#[tokio::test]
async fn what_takes_longer_than_2018_allowed_is_asked_for() {
    let slow = Router::new().fallback(async || {
        tokio::time::sleep(Duration::from_millis(3300)).await; // The time itself is what is tested.
        "done"
    });
    let slow = server(slow).await;
    let mut world = World::default();
    world.mapped("a/plain", slow, "prefix: /plain/");
    world.mapped("a/long", slow, "prefix: /long/\ntimeout_ms: 20000");
    let gateway = world.start(&[]).await;
    let (plain, long) = tokio::join!(gateway.text("/plain/"), gateway.text("/long/"));
    assert_eq!(plain.0, 504);
    assert_eq!(long, (200, "done".to_owned()));
}

#[tokio::test]
async fn services_that_lead_out_of_the_cluster_are_not_used() {
    let mut world = World::default();
    let text = crate::harness::mapping("out", 80, "prefix: /out/");
    world.raw_service("a/out", &json!({
        "metadata": { "annotations": { "getambassador.io/config": text } },
        "spec": { "type": "ExternalName", "externalName": "example.org", "ports": [{ "port": 80 }] },
    }));
    let text = crate::harness::mapping("port", 81, "prefix: /port/");
    world.raw_service(
        "a/port",
        &json!({
            "metadata": { "annotations": { "getambassador.io/config": text } },
            "spec": { "clusterIP": "127.0.0.1", "ports": [{ "port": 80 }] },
        }),
    );
    let problems = world.plan(&[]).problems;
    let texts: Vec<_> = problems
        .iter()
        .map(|problem| problem.text.as_str())
        .collect();
    assert_eq!(
        texts,
        [
            "the Service a/out is an ExternalName",
            "the Service a/port has no port 81"
        ]
    );
    let gateway = world.start(&[]).await;
    assert_eq!(gateway.get("/out/").await.status(), 503);
    assert_eq!(gateway.get("/port/").await.status(), 503);
}
