//! The admin page, and what programs ask there.

use serde_json::Value;

use crate::harness::{World, mapping, named, nobody};

#[tokio::test]
async fn the_page_shows_routes_counts_and_what_to_do() {
    let (model, down) = (named("model").await, nobody().await);
    let mut world = World::default();
    world.mapped("a/model", model, "prefix: /models/m/\ncors: {}");
    world.mapped("a/down", down, "prefix: /down/");
    world.mapped("b/thief", model, "prefix: /models/m/");
    let evil = mapping(
        "evil",
        model.port(),
        "prefix: '/x/<script>alert(1)</script>'",
    );
    world.service("c/evil", model, &evil);
    world.service(
        "c/module",
        model,
        "apiVersion: ambassador/v0\nkind: Module\nname: tls\n",
    );
    let gateway = world.start(&["--hub", "http://hub.test"]).await;
    for path in ["/models/m/1", "/models/m/2", "/down/"] {
        gateway.get(path).await;
    }
    let (status, page) = gateway.of_admin("/ambassador/v0/diag/").await;
    assert_eq!(status, 200);
    let page: Vec<&str> = page.lines().map(str::trim).collect();
    let page = page.join("\n");
    for part in [
        "<code>/models/m/</code>",
        "Mapping model of the Service a/model",
        &format!("model.a:{} as /", model.port()),
        "<span class=\"state good\">answers</span></td>\n<td data-label=\"Requests\">2</td>",
        "<span class=\"state bad\">fails</span></td>\n<td data-label=\"Requests\">1</td>\n<td data-label=\"Errors\"><div>\n<p>1</p>",
        "could not connect to",
        "hub (built in)",
        "<span class=\"state \">not used yet</span>",
        "Timeout: 300s",
        "/models/m/ is held by Mapping model of the Service a/model",
        "Choose another prefix or host",
        "keys that nothing is done with: cors",
        "the kind `Module` is not taken, only Mapping",
        "is not a path that is taken",
        "To look at (4)",
    ] {
        assert!(page.contains(part), "{part} is not in\n{page}");
    }
    assert!(!page.contains("<script"), "{page}");
    let (status, text) = gateway.of_admin("/ambassador/v0/diag.json").await;
    let read: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(status, 200);
    assert_eq!(read["problems"].as_array().unwrap().len(), 4);
    let routes = read["routes"].as_array().unwrap();
    let down = routes
        .iter()
        .find(|route| route["path"] == "/down/")
        .unwrap();
    assert_eq!(
        (&down["requests"], &down["errors"], &down["state"]),
        (&1.into(), &1.into(), &"fails".into())
    );
}

#[tokio::test]
async fn programs_ask_for_health_and_metrics() {
    let mut world = World::default();
    world.mapped("a/model", named("model").await, "prefix: /m/");
    let gateway = world.start(&[]).await;
    for path in ["/healthz", "/ambassador/v0/check_alive"] {
        assert_eq!(gateway.of_admin(path).await.0, 200);
    }
    let ready = "/ambassador/v0/check_ready";
    assert_eq!(gateway.of_admin(ready).await.0, 503);
    gateway.health.set_read();
    assert_eq!(gateway.of_admin(ready).await.0, 200);
    gateway.health.set_ending();
    assert_eq!(gateway.of_admin(ready).await.0, 503);
    gateway.get("/m/").await;
    gateway.get("/none").await;
    let (_, text) = gateway.of_admin("/metrics").await;
    for line in [
        "carrel_gateway_requests_total{route=\"Mapping model of the Service a/model\",code=\"200\"} 1",
        "carrel_gateway_seconds_count{route=\"Mapping model of the Service a/model\"} 1",
        "carrel_gateway_unmatched_total 1",
        "carrel_gateway_routes 1",
        "carrel_gateway_problems 0",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    // A route that is gone is not told of for ever.
    gateway.show(&World::default().seen);
    let (_, text) = gateway.of_admin("/metrics").await;
    assert!(!text.contains("a/model"), "{text}");
    for (path, status) in [
        ("/static/carrel.css", 200),
        ("/static/../Cargo.toml", 404),
        ("/static/x", 404),
    ] {
        assert_eq!(gateway.of_admin(path).await.0, status, "{path}");
    }
}
