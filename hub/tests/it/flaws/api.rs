//! Of the flaws, those that need no page: what tokens, services, options and names may do.

use carrel_hub::config::Config;
use carrel_spawner::kube::template::{Fields, SlugScheme};
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::{token, token_of};
use crate::harness::three::Three;
use crate::harness::{Behaviour, FakeSpawner, TestHub};
use crate::users;

#[tokio::test]
async fn ghsa_69wv_m5fw_2fhp_what_is_new_is_in_no_filter() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let boss = token(&browser, &["inherit"]).await;
    let members = Some(json!({ "users": ["admin"] }));
    browser
        .api(Method::POST, "/groups/staff", &boss, members)
        .await
        .expect(201);
    let scopes = [
        "admin:users!group=staff",
        "admin:users!user=eve",
        "admin:groups!group=staff",
        "admin:groups!group=new",
    ];
    let token = token(&browser, &scopes).await;
    for (path, body) in [
        ("/users", Some(json!({ "usernames": ["eve", "mallory"] }))),
        ("/users/eve", None),
        ("/groups", Some(json!({ "groups": ["new"] }))),
        ("/groups/new", None),
    ] {
        browser
            .api(Method::POST, path, &token, body)
            .await
            .expect(403);
    }
    assert!(hub.app.db.user("eve").await.unwrap().is_none());
    assert!(hub.app.db.group("new").await.unwrap().is_none());
}

#[tokio::test]
async fn cve_2024_41942_only_administrators_make_administrators() {
    let (_hub, browser, admin) = users::with_admin().await;
    browser
        .api(Method::POST, "/users/bob", &admin, None)
        .await
        .expect(201);
    let made = browser
        .api(Method::POST, "/users/bob/tokens", &admin, None)
        .await
        .expect(201);
    let bob = made.json()["token"].as_str().unwrap().to_owned();
    let ask = |path: &'static str, body: Value| browser.api(Method::PATCH, path, &bob, Some(body));
    ask("/users/bob", json!({ "admin": true }))
        .await
        .expect(403);
    let body = Some(json!({ "admin": true }));
    let made = browser
        .api(Method::PATCH, "/users/bob", &admin, body)
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&made["admin"], &made["roles"]),
        (&json!(true), &json!(["user", "admin"]))
    );
    ask("/users/bob", json!({ "admin": false }))
        .await
        .expect(200);
    ask("/users/bob", json!({ "admin": true }))
        .await
        .expect(403);
}

#[tokio::test]
async fn hardened_6_1_long_tokens_are_no_tokens() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let good = token(&browser, &["inherit"]).await;
    browser
        .api(Method::GET, "/user", &good, None)
        .await
        .expect(200);
    for long in [
        format!("{good}{}", "0".repeat(65 - good.len())),
        "f".repeat(8000),
    ] {
        browser
            .api(Method::GET, "/user", &long, None)
            .await
            .expect(403);
    }
}

#[tokio::test]
async fn hardened_6_1_options_of_the_hub_are_not_the_users() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let token = token(&browser, &["inherit"]).await;
    let options = json!({ "__jupyterhub_from_form": true });
    for body in [options.clone(), json!({ "user_options": options })] {
        let start = browser
            .api(Method::POST, "/users/admin/server", &token, Some(body))
            .await;
        assert!(start.expect(400).body.contains("__jupyterhub_"));
    }
    assert!(hub.spawner.requests().is_empty());
}

#[tokio::test]
async fn hardened_6_1_no_time_is_not_for_ever() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let boss = token(&browser, &["inherit"]).await;
    let body = Some(json!({ "expires_in": 0 }));
    let refused = browser
        .api(Method::POST, "/users/admin/tokens", &boss, body)
        .await;
    assert!(refused.expect(400).body.contains("expires_in"));
}

#[tokio::test]
async fn hardened_6_1_a_new_name_is_looked_at() {
    let (hub, browser, admin) = users::with_admin().await;
    browser
        .api(Method::POST, "/users/bob", &admin, None)
        .await
        .expect(201);
    for name in ["", "a/b", "a\\b", "..", " bob", "b\u{202e}ob", "admin"] {
        let body = Some(json!({ "name": name }));
        let renamed = browser.api(Method::PATCH, "/users/bob", &admin, body).await;
        assert!(
            [400, 409].contains(&renamed.status),
            "{name:?}: {}",
            renamed.status
        );
        let page = browser
            .submit(
                "/hub/admin/users/bob",
                "/hub/admin/users/bob",
                &[("name", name)],
            )
            .await;
        assert!(
            (400..500).contains(&page.status) || name.trim() == "bob" || name.is_empty(),
            "{name:?}: {}",
            page.status
        );
    }
    assert!(hub.app.db.user("bob").await.unwrap().is_some());
}

#[tokio::test]
async fn hardened_6_1_a_service_is_not_the_user_of_its_name() {
    let text = "JupyterHub: {services: [{name: bob, api_token: 0123456789abcdef}]}";
    let services = Config::parse("test", text).unwrap().jupyter_hub.services;
    let three = Three::configured(|config| config.jupyter_hub.services = services).await;
    token_of("bob", &three.bob, &["self"]).await;
    let service = "0123456789abcdef";
    let who = three
        .bob
        .api(Method::GET, "/user", service, None)
        .await
        .expect(200)
        .json();
    assert_eq!(
        (&who["kind"], &who["name"]),
        (&json!("service"), &json!("bob"))
    );
    for (method, path) in [
        (Method::GET, "/users/bob/tokens"),
        (Method::POST, "/users/bob/tokens"),
        (Method::GET, "/users/bob"),
        (Method::POST, "/users/bob/server"),
    ] {
        let refused = three.bob.api(method.clone(), path, service, None).await;
        assert!(
            [403, 404].contains(&refused.status),
            "{method} {path}: {}",
            refused.status
        );
    }
}

/// By the names alone; what a pod is labelled with is looked at besides (spawner, ownership.rs).
#[test]
fn cve_2020_15110_no_two_servers_share_a_pod() {
    let name = |user: &str, server: &str| {
        Fields::new(SlugScheme::Safe, user, server, "hub").name("jupyter-{user_server}")
    };
    let alike = [
        ("a", "b-c"),
        ("a-b", "c"),
        ("a-b-c", ""),
        ("a--b", "c"),
        ("A", "b-c"),
        ("a", "b--c"),
        ("a_b", "c"),
    ];
    let names: std::collections::BTreeSet<_> =
        alike.map(|(user, server)| name(user, server)).into();
    assert_eq!(names.len(), alike.len(), "{names:?}");
}

#[tokio::test]
async fn cve_2023_48311_the_api_takes_no_option_that_is_not_offered() {
    let text = "Spawner: {options_form: [{name: image, choices: [a, b], default: a}]}";
    let form = Config::parse("test", text)
        .unwrap_or_else(|errors| panic!("{errors}"))
        .spawner;
    let spawner = FakeSpawner::new(Behaviour::Answers);
    let hub = TestHub::configured(spawner, |config| {
        config.spawner.options_form = form.options_form
    })
    .await;
    let browser = hub.admin().await;
    let token = token(&browser, &["inherit"]).await;
    for options in [
        json!({ "image": "example/any" }),
        json!({ "image": ["a"] }),
        json!({ "image": { "b": 1 } }),
    ] {
        let start = browser
            .api(Method::POST, "/users/admin/server", &token, Some(options))
            .await;
        start.expect(400);
    }
    assert!(hub.spawner.requests().is_empty());
}
