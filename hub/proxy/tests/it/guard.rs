//! What a target cannot say for the rest of its origin.

use axum::Router;
use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::harness::{Answer, TestProxy, backend};

/// The answer to `GET path` of a target that sends these fields.
async fn answer(path: &str, fields: &[(&str, &[u8])]) -> Answer {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    let handler = move || async move { (headers, "ok") };
    let proxy = TestProxy::to(backend(Router::new().fallback(handler)).await).await;
    let answer = proxy.get(path).await;
    assert_eq!((answer.status, answer.text().as_str()), (200, "ok"));
    answer
}

#[tokio::test]
async fn a_cookie_stays_below_the_prefix_of_its_target() {
    let table = [
        ("/user/a/lab", "a=1; Path=/user/a/", "a=1; Path=/user/a/"),
        (
            "/user/a/lab",
            "a=1; path=/user/a/x; Secure",
            "a=1; path=/user/a/x; Secure",
        ),
        ("/user/a/lab", "a=1; HttpOnly", "a=1; HttpOnly"),
        (
            "/user/a/lab",
            "_xsrf=1; Path=/user/a",
            "_xsrf=1; Path=/user/a",
        ),
        ("/user/a/lab", "a=1; Path=/", "a=1; Path=/user/a/"),
        (
            "/user/a/lab",
            "a=1; Path=/hub/; Max-Age=9",
            "a=1; Max-Age=9; Path=/user/a/",
        ),
        ("/user/a/lab", "a=1; Path=/user/ab/", "a=1; Path=/user/a/"),
        ("/user/a/lab", "a=1; Path=/user", "a=1; Path=/user/a/"),
        (
            "/user/a/lab",
            "a=1; Path=/user/a/; Path=/hub/",
            "a=1; Path=/user/a/",
        ),
        (
            "/user/a/lab",
            "a=1; PATH =/; Domain=hub.test",
            "a=1; Path=/user/a/",
        ),
        ("/user/a/lab", "a=1; Domain=hub.test", "a=1; Path=/user/a/"),
        ("/user/a", "a=1", "a=1; Path=/user/a/"),
        ("/user/a", "a=1; Path=", "a=1; Path=/user/a/"),
        (
            "/user/a/lab",
            "a=1; Path=/user/%61/",
            "a=1; Path=/user/%61/",
        ),
    ];
    for (path, sent, arrived) in table {
        let answer = answer(path, &[("set-cookie", sent.as_bytes())]).await;
        assert_eq!(
            answer.header("set-cookie").as_deref(),
            Some(arrived),
            "{sent} of {path}"
        );
    }
}

/// Browsers take such a cookie with the path `/` alone, where all of the host would get it.
#[tokio::test]
async fn a_cookie_for_the_whole_host_is_nobody_s_who_shares_it() {
    let cookies: [(&str, &[u8]); 2] = [
        ("set-cookie", b"__Host-a=1; Path=/; Secure"),
        ("set-cookie", b"b=2; Path=/user/a/"),
    ];
    let answer = answer("/user/a/lab", &cookies).await;
    let kept = answer.header("set-cookie");
    assert_eq!(kept.as_deref(), Some("b=2; Path=/user/a/"));
}

#[tokio::test]
async fn cookies_of_the_fallback_are_nobody_else_s_and_the_others_keep_their_order() {
    let cookies: [(&str, &[u8]); 5] = [
        ("set-cookie", b"one=1"),
        ("set-cookie", b"fallback-login=stolen; Path=/"),
        ("set-cookie", b" fallback-login =stolen"),
        ("set-cookie", b"fallback-login2=2"),
        (
            "set-cookie",
            b"three=caf; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        ),
    ];
    let head = answer("/user/a/lab", &cookies).await.head;
    let arrived: Vec<_> = head
        .lines()
        .filter_map(|line| line.strip_prefix("set-cookie: "))
        .collect();
    let three = "three=caf; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
    assert_eq!(arrived, ["one=1", "fallback-login2=2", three]);
}

#[tokio::test]
async fn a_service_worker_is_allowed_below_the_prefix_only() {
    let table = [
        ("/user/a/static/sw.js", "/user/a/", true),
        ("/user/a/static/sw.js", "/user/a/lab", true),
        ("/user/a/static/sw.js", "./", true),
        ("/user/a/static/sw.js", "../", true),
        ("/user/a/static/sw.js", "http://host/user/a/", true),
        ("/user/a/static/sw.js", "/", false),
        ("/user/a/static/sw.js", "/hub/", false),
        // A scope is the beginning of an address: this one is that of `/user/alice/` as well.
        ("/user/a/static/sw.js", "/user/a", false),
        ("/user/a/static/sw.js", "/user/a/../b/", false),
        ("/user/a/static/sw.js", "/user/a/%2e%2e/b/", false),
        ("/user/a/static/sw.js", "/user/a/..\\b/", false),
        ("/user/a/static/sw.js", "../../", false),
        ("/user/a/sw.js", "../", false),
        ("/user/a/sw.js", "http://[", false),
    ];
    for (path, scope, allowed) in table {
        let answer = answer(path, &[("service-worker-allowed", scope.as_bytes())]).await;
        assert_eq!(
            answer.header("service-worker-allowed").is_some(),
            allowed,
            "{scope} of {path}"
        );
    }
}

#[tokio::test]
async fn a_service_worker_at_the_bare_prefix_gets_no_more_than_one_below() {
    let confined = Some("/user/a/");
    let table: [(&str, &[&str], Option<&str>); 8] = [
        // The folder of the script would be `/user/`, where the servers of all others are.
        ("/user/a", &[], confined),
        ("/user/a?x=/user/a/", &[], confined),
        ("/user/%61", &[], confined),
        ("/user/a", &["/"], confined),
        ("/user/a", &["/user/a/lab"], Some("/user/a/lab")),
        ("/user/a/", &[], None),
        ("/user/a/sw.js", &["/"], None),
        // Joined they are `/user/a/, /../../../`, which is `/`.
        ("/user/a/sw.js", &["/user/a/", "/../../../"], None),
    ];
    for (path, scopes, arrived) in table {
        let fields = scopes
            .iter()
            .map(|scope| ("service-worker-allowed", scope.as_bytes()));
        let answer = answer(path, &fields.collect::<Vec<_>>()).await;
        let allowed = answer.header("service-worker-allowed");
        assert_eq!(allowed.as_deref(), arrived, "{scopes:?} of {path}");
    }
}

#[tokio::test]
async fn policies_for_the_whole_origin_end_here() {
    let answer = answer(
        "/user/a/",
        &[
            ("clear-site-data", b"\"cookies\""),
            ("strict-transport-security", b"max-age=31536000"),
            ("alt-svc", b"h3=\":443\""),
            ("alt-svc", b"h2=\":443\""),
            ("nel", b"{\"report_to\":\"a\"}"),
            ("report-to", b"{}"),
            ("content-security-policy", b"default-src 'self'"),
            ("cache-control", b"no-store"),
        ],
    )
    .await;
    for gone in [
        "clear-site-data",
        "strict-transport-security",
        "alt-svc",
        "nel",
        "report-to",
    ] {
        assert_eq!(answer.header(gone), None, "{gone}");
    }
    // What is said of this answer alone stays.
    assert_eq!(
        answer.header("content-security-policy").as_deref(),
        Some("default-src 'self'")
    );
    assert_eq!(answer.header("cache-control").as_deref(), Some("no-store"));
}

#[tokio::test]
async fn a_target_with_a_host_of_its_own_sets_no_cookie_for_others() {
    let handler = async || ([("set-cookie", "a=1; Domain=test; Path=/")], "ok");
    let proxy = TestProxy::by_host().await;
    let target = backend(Router::new().fallback(handler)).await;
    proxy.route("/hub.test/user/a/", target);
    let answer = proxy.get("/user/a/lab").await;
    let cookie = answer.header("set-cookie");
    assert_eq!(cookie.as_deref(), Some("a=1; Path=/user/a/"));
}
