//! What targets see of clients and may say to them, since all share one origin.

use axum::Router;
use axum::response::{AppendHeaders, IntoResponse as _};
use http::header::SET_COOKIE;
use serde_json::json;

use crate::harness::{World, listening, server};

const COOKIES: &str = "a=1; jupyterhub-session-id=s; jupyterhub-hub-login=l; b=2";

#[tokio::test]
async fn only_the_hub_sees_its_cookies() {
    let (hub, of_hub) = listening().await;
    let (dashboard, of_dashboard) = listening().await;
    let (model, of_model) = listening().await;
    let mut world = World::default();
    world.mapped("kubeflow/m", model, "prefix: /m/");
    let (hub, dashboard) = (format!("http://{hub}"), format!("http://{dashboard}"));
    let gateway = world
        .start(&["--hub", &hub, "--dashboard", &dashboard])
        .await;
    for (path, heard, cookies) in [
        ("/hub/", of_hub, COOKIES),
        ("/", of_dashboard, "a=1; b=2"),
        ("/m/", of_model, "a=1; b=2"),
    ] {
        let request = gateway.request("GET", path).header("cookie", COOKIES);
        let request = request.header("authorization", "Bearer x");
        assert_eq!(request.send().await.unwrap().status(), 200);
        let heard = heard.lock().unwrap().clone();
        assert_eq!(heard["cookie"], cookies, "{path}");
        assert_eq!(heard["authorization"], "Bearer x");
    }
}

/// Says all that it can of the origin.
async fn loud() -> String {
    let router = Router::new().fallback(async || {
        let cookies = AppendHeaders([
            (SET_COOKIE, "mine=1; Path=/"),
            (SET_COOKIE, "jupyterhub-hub-login=stolen; Path=/hub/"),
            (SET_COOKIE, "wide=1; Domain=test; Path=/m/"),
        ]);
        let wide = [
            ("clear-site-data", "\"*\""),
            ("strict-transport-security", "max-age=1"),
            ("service-worker-allowed", "/"),
            ("x-kept", "yes"),
        ];
        (cookies, wide).into_response()
    });
    server(router).await.to_string()
}

#[tokio::test]
async fn a_target_does_not_speak_for_the_origin() {
    let loud = loud().await;
    let mut world = World::default();
    let address = loud.parse().unwrap();
    world.mapped("a/m", address, "prefix: /m/");
    world.gateway(
        "kubeflow/public",
        &json!([{ "name": "all", "port": 80, "protocol": "HTTP", "allowedRoutes": { "namespaces": { "from": "All" } } }]),
    );
    world.route("a/sly", &json!({ "rules": [{
        "matches": [{ "path": { "value": "/sly/" } }],
        "filters": [{ "type": "ResponseHeaderModifier", "responseHeaderModifier": {
            "add": [{ "name": "set-cookie", "value": "jupyterhub-session-id=x; Path=/" }, { "name": "clear-site-data", "value": "*" }],
        } }],
        "backendRefs": [{ "name": "m", "port": address.port() }],
    }] }));
    let gateway = world.start(&["--hub", &format!("http://{loud}")]).await;
    for (path, cookies) in [
        ("/m/", ["mine=1; Path=/m/", "wide=1; Path=/m/"]),
        ("/sly/", ["mine=1; Path=/sly/", "wide=1; Path=/sly/"]),
    ] {
        let answer = gateway.get(path).await;
        let headers = answer.headers();
        let set: Vec<_> = headers.get_all("set-cookie").iter().collect();
        assert_eq!(set, cookies, "{path}");
        for name in [
            "clear-site-data",
            "strict-transport-security",
            "service-worker-allowed",
        ] {
            assert!(!headers.contains_key(name), "{path} {name}");
        }
        assert_eq!(headers["x-kept"], "yes");
    }
    let answer = gateway.get("/m").await;
    assert_eq!(answer.headers()["service-worker-allowed"], "/m/");
    // The Hub guards its own.
    let answer = gateway.get("/hub/").await;
    assert_eq!(answer.headers().get_all("set-cookie").iter().count(), 3);
    assert!(answer.headers().contains_key("clear-site-data"));
}

#[tokio::test]
async fn clients_do_not_say_who_they_are_unless_they_are_trusted() {
    for (trusted, chain, host) in [
        ("10.0.0.0/8", "127.0.0.1", "hub.test"),
        ("10.0.0.0/8,127.0.0.1", "9.9.9.9,127.0.0.1", "outer.test"),
    ] {
        let (target, heard) = listening().await;
        let mut world = World::default();
        world.mapped("a/m", target, "prefix: /m/");
        let gateway = world.start(&["--trusted-proxies", trusted]).await;
        let request = gateway.request("GET", "/m/").header("host", "hub.test");
        let request = request
            .header("x-forwarded-for", "9.9.9.9")
            .header("x-forwarded-host", "outer.test")
            .header("forwarded", "for=9.9.9.9");
        assert_eq!(request.send().await.unwrap().status(), 200);
        let heard = heard.lock().unwrap().clone();
        assert_eq!(heard["x-forwarded-for"], chain);
        assert_eq!(heard["x-forwarded-host"], host);
        assert_eq!(heard.contains_key("forwarded"), host == "outer.test");
    }
}
