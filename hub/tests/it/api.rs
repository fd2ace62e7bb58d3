//! The REST API: shapes, scopes, and what browsers of other sites cannot do.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Browser, Reply, TestHub, wait_for};

/// A token of `admin` with these scopes.
pub async fn token(browser: &Browser, scopes: &[&str]) -> String {
    token_of("admin", browser, scopes).await
}

/// A token of the user whose browser this is.
pub async fn token_of(user: &str, browser: &Browser, scopes: &[&str]) -> String {
    let reply = ask_for_token(user, browser, scopes).await.expect(201);
    reply.json()["token"].as_str().unwrap().to_owned()
}

pub async fn ask_for_token(user: &str, browser: &Browser, scopes: &[&str]) -> Reply {
    let xsrf = browser.cookie("/hub/", "_xsrf").unwrap();
    let request = browser
        .request(Method::POST, &format!("/hub/api/users/{user}/tokens"))
        .header("x-xsrftoken", xsrf);
    Reply::of(request.json(&json!({ "scopes": scopes, "note": "test" }))).await
}

#[tokio::test]
async fn the_version_needs_no_authentication() {
    let hub = TestHub::start().await;
    for path in ["/hub/api", "/hub/api/"] {
        let reply = hub.browser().get(path).await.expect(200);
        assert_eq!(reply.json(), json!({ "version": "6.1.1" }), "{path}");
        assert_eq!(reply.header("x-jupyterhub-version"), "6.1.1");
        assert_eq!(reply.header("access-control-allow-origin"), "*");
    }
}

#[tokio::test]
async fn without_credentials_the_answer_is_403_in_json() {
    let hub = TestHub::start().await;
    let browser = hub.browser();
    assert_eq!(
        browser.get("/hub/api/user").await.expect(403).json()["status"],
        403
    );
    for token in ["wrong", "", &"x".repeat(65)] {
        browser
            .api(Method::GET, "/user", token, None)
            .await
            .expect(403);
    }
}

#[tokio::test]
async fn a_token_does_what_its_scopes_say_and_no_more() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let reader = token(&browser, &["read:users:name!user=admin"]).await;
    let user = browser
        .api(Method::GET, "/users/admin", &reader, None)
        .await
        .expect(200)
        .json();
    assert_eq!(
        user,
        json!({ "kind": "user", "name": "admin", "admin": true, "groups": [], "user_info": null })
    );
    browser
        .api(Method::POST, "/users/admin/server", &reader, None)
        .await
        .expect(403);
    browser
        .api(Method::POST, "/users/bob", &reader, None)
        .await
        .expect(403);
    let more = json!({ "scopes": ["inherit"] });
    let maker = token(&browser, &["tokens!user=admin"]).await;
    browser
        .api(Method::POST, "/users/admin/tokens", &maker, Some(more))
        .await
        .expect(403);
}

#[tokio::test]
async fn tokens_are_listed_and_revoked() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let first = token(&browser, &["inherit"]).await;
    let second = token(&browser, &["inherit"]).await;
    let list = browser
        .api(Method::GET, "/users/admin/tokens", &first, None)
        .await
        .expect(200)
        .json();
    let list = list["api_tokens"].as_array().unwrap().clone();
    assert_eq!(list.len(), 2);
    assert!(
        list.iter()
            .all(|token| token.get("token").is_none() && token["kind"] == "api_token"),
        "{list:?}"
    );
    // Those used last come last.
    assert!(list[0]["last_activity"].is_null() && !list[1]["last_activity"].is_null());
    let id = list[0]["id"].as_str().unwrap();
    browser
        .api(
            Method::DELETE,
            &format!("/users/admin/tokens/{id}"),
            &first,
            None,
        )
        .await
        .expect(204);
    browser
        .api(Method::GET, "/user", &second, None)
        .await
        .expect(403);
    browser
        .api(
            Method::DELETE,
            &format!("/users/admin/tokens/{id}"),
            &first,
            None,
        )
        .await
        .expect(404);
}

#[tokio::test]
async fn the_token_page_shows_a_token_once() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let page = browser
        .submit(
            "/hub/token",
            "/hub/token",
            &[("note", "for <me>"), ("expires_in", "3600")],
        )
        .await
        .expect(200);
    let start = page.body.split("id=\"new-token\"").nth(1).unwrap();
    let token = start
        .split("value=\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    browser
        .api(Method::GET, "/user", &token, None)
        .await
        .expect(200);
    let later = browser.get("/hub/token").await.expect(200);
    assert!(!later.body.contains(&token));
    assert!(
        !later.body.contains("for <me>") && later.body.contains("me"),
        "notes are escaped"
    );
    let id = later.hidden("id");
    browser
        .submit("/hub/token", "/hub/token/revoke", &[("id", &id)])
        .await
        .expect(303);
    browser
        .api(Method::GET, "/user", &token, None)
        .await
        .expect(403);
}

#[tokio::test]
async fn a_cookie_alone_changes_nothing() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let post = |name: &'static str, value: String| {
        let request = browser
            .request(Method::POST, "/hub/api/users/admin/server")
            .header(name, value);
        Reply::of(request)
    };
    post("x-nothing", String::new()).await.expect(403);
    post("x-xsrftoken", "wrong".repeat(10)).await.expect(403);
    // A page of this origin that is not the Hub's may read nothing either.
    let fetched = browser
        .request(Method::GET, "/hub/api/user")
        .header("sec-fetch-mode", "cors");
    Reply::of(fetched).await.expect(403);
    let fetched = browser
        .request(Method::GET, "/hub/home")
        .header("sec-fetch-mode", "cors");
    Reply::of(fetched).await.expect(403);
    post("x-xsrftoken", browser.cookie("/hub/", "_xsrf").unwrap())
        .await
        .expect(202);
}

#[tokio::test]
async fn a_server_is_started_and_stopped_by_token() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let token = token(&browser, &["inherit"]).await;
    let call = |method: Method, path: &'static str| browser.api(method, path, &token, None);
    call(Method::POST, "/users/admin/server").await.expect(202);
    let server = wait_for("the server", || async {
        let user = call(Method::GET, "/users/admin").await.json();
        (user["servers"][""]["ready"] == true).then(|| user["servers"][""].clone())
    })
    .await;
    assert_eq!(server["url"], "/user/admin/");
    assert_eq!(server["full_name"], "admin/");
    assert_eq!(
        (&server["pending"], &server["stopped"]),
        (&json!(null), &json!(false))
    );
    let again = call(Method::POST, "/users/admin/server").await.expect(400);
    assert!(
        again.json()["message"]
            .as_str()
            .unwrap()
            .ends_with("is already running")
    );
    call(Method::DELETE, "/users/admin/server")
        .await
        .expect(204);
    assert_eq!(
        call(Method::GET, "/users/admin").await.json()["servers"],
        json!({})
    );
    call(Method::GET, "/users/admin/server/progress")
        .await
        .expect(400);
}

#[tokio::test]
async fn a_named_server_lives_beside_the_default_one() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let token = token(&browser, &["inherit"]).await;
    let call = |method: Method, path: &'static str, body| browser.api(method, path, &token, body);
    call(Method::POST, "/users/admin/servers/Bad--Name", None)
        .await
        .expect(400);
    let options = Some(json!({ "user_options": { "image": "x" }, "display_name": "GPU" }));
    call(Method::POST, "/users/admin/servers/gpu", options)
        .await
        .expect(202);
    wait_for("the named server", || async {
        (browser.get("/user/admin/gpu/lab").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(hub.spawner.requests()[0].user_options["image"], "x");
    assert_eq!(
        hub.spawner.variable("JUPYTERHUB_CLIENT_ID"),
        "jupyterhub-user-admin+gpu"
    );
    browser.get("/user/admin/api").await.expect(424);
    call(
        Method::DELETE,
        "/users/admin/servers/gpu",
        Some(json!({ "remove": true })),
    )
    .await
    .expect(204);
    call(Method::GET, "/users/admin/servers/gpu", None)
        .await
        .expect(404);
}

#[tokio::test]
async fn activity_moves_forward_and_is_checked() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    browser.spawn().await.expect(303);
    let token = wait_for("the start", || async {
        (!hub.spawner.requests().is_empty()).then(|| hub.spawner.variable("JUPYTERHUB_API_TOKEN"))
    })
    .await;
    let post = |body| browser.api(Method::POST, "/users/admin/activity", &token, Some(body));
    let at =
        |time: &str| json!({ "servers": { "": { "last_activity": time } }, "last_activity": time });
    let soon = (jiff::Timestamp::now() + jiff::SignedDuration::from_secs(600)).to_string();
    post(at(&soon)).await.expect(200);
    post(at("2020-01-01T00:00:00Z")).await.expect(200);
    let server = hub.app.db.server("admin", "").await.unwrap().unwrap();
    let soon_ms = soon.parse::<jiff::Timestamp>().unwrap().as_millisecond();
    assert_eq!(
        server.last_activity,
        Some(soon_ms),
        "an older time moves nothing back"
    );
    let table = [
        json!({}),
        json!({ "last_activity": "yesterday" }),
        json!({ "last_activity": "2999-01-01T00:00:00Z" }),
        json!({ "servers": { "gpu": { "last_activity": "2020-01-01T00:00:00Z" } } }),
        json!({ "servers": [] }),
        json!({ "servers": { "": 1 } }),
    ];
    for body in table {
        post(body.clone()).await.expect(400);
    }
    browser
        .api(Method::POST, "/users/bob/activity", &token, Some(at(&soon)))
        .await
        .expect(404);
}

#[tokio::test]
async fn bodies_that_do_not_read_are_refused() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let xsrf = browser.cookie("/hub/", "_xsrf").unwrap();
    for body in ["[]", "{", "\"text\""] {
        let request = browser
            .request(Method::POST, "/hub/api/users/admin/tokens")
            .header("x-xsrftoken", &xsrf);
        Reply::of(
            request
                .header("content-type", "application/json")
                .body(body),
        )
        .await
        .expect(400);
    }
    for body in [
        json!({ "expires_in": 0 }),
        json!({ "scopes": ["no:such"] }),
        json!({ "note": 1 }),
    ] {
        let request = browser
            .request(Method::POST, "/hub/api/users/admin/tokens")
            .header("x-xsrftoken", &xsrf);
        Reply::of(request.json(&body)).await.expect(400);
    }
}
