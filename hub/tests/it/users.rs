//! Users and their servers over the API: lists in pages, several at once, other names, servers that are only created.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use super::api::token;
use crate::harness::three::{Three, call};
use crate::harness::{Behaviour, Browser, FakeSpawner, Reply, TestHub, wait_for};

pub async fn with_admin() -> (TestHub, Browser, String) {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let admin = token(&browser, &["inherit"]).await;
    (hub, browser, admin)
}

fn names(list: &Value) -> Vec<String> {
    let users = list.as_array().unwrap().iter();
    users
        .map(|user| user["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_list_is_told_in_pages_whose_addresses_lead_on() {
    let (_hub, browser, admin) = with_admin().await;
    let usernames: Vec<String> = (0..6).map(|number| format!("user{number}")).collect();
    let body = json!({ "usernames": usernames });
    browser
        .api(Method::POST, "/users", &admin, Some(body))
        .await
        .expect(201);
    let (mut path, mut seen) = (
        String::from("/hub/api/users?sort=-name&limit=3"),
        Vec::new(),
    );
    loop {
        let request = browser
            .request(Method::GET, &path)
            .header("authorization", format!("token {admin}"))
            .header("accept", "application/jupyterhub-pagination+json");
        let page = Reply::of(request).await.expect(200).json();
        assert_eq!(page["_pagination"]["total"], 7);
        seen.extend(names(&page["items"]));
        match page["_pagination"]["next"]["url"].as_str() {
            None => break,
            Some(url) => path = url[url.find("/hub").unwrap()..].to_owned(),
        }
    }
    assert_eq!(
        seen,
        [
            "user5", "user4", "user3", "user2", "user1", "user0", "admin"
        ]
    );
}

/// Lists are kept until somebody writes, each for one token.
#[tokio::test]
async fn a_list_is_that_of_now_and_of_who_asks() {
    let (_hub, browser, admin) = with_admin().await;
    let narrow = token(&browser, &["list:users!user=user1"]).await;
    let list = async |token: &str| {
        let reply = browser.api(Method::GET, "/users", token, None).await;
        reply.expect(200).json()
    };
    for number in 1..4 {
        let path = format!("/users/user{number}");
        let made = browser.api(Method::POST, &path, &admin, None).await;
        made.expect(201);
        for _ in 0..2 {
            let all = list(&admin).await;
            assert_eq!(all.as_array().unwrap().len(), 1 + number);
            assert!(all[0].as_object().unwrap().contains_key("last_activity"));
            assert_eq!(
                list(&narrow).await,
                json!([{ "kind": "user", "name": "user1", "user_info": null, "admin": false }])
            );
        }
    }
    let gone = browser.api(Method::DELETE, "/users/user3", &admin, None);
    gone.await.expect(204);
    assert_eq!(names(&list(&admin).await), ["admin", "user1", "user2"]);
}

#[tokio::test]
async fn a_list_is_narrowed_by_name_and_by_what_servers_do() {
    let (_hub, browser, admin) = with_admin().await;
    let body = json!({ "usernames": ["ann", "a_n", "bob"] });
    browser
        .api(Method::POST, "/users", &admin, Some(body))
        .await
        .expect(201);
    browser.spawn_ready("admin").await;
    for (query, expected) in [
        ("name_filter=AN", vec!["ann"]),
        ("name_filter=_", vec!["a_n"]),
        ("name_filter=%25", vec![]),
        ("state=ready", vec!["admin"]),
        ("state=active", vec!["admin"]),
        ("state=inactive&sort=name", vec!["a_n", "ann", "bob"]),
    ] {
        let list = browser
            .api(Method::GET, &format!("/users?{query}"), &admin, None)
            .await;
        assert_eq!(names(&list.expect(200).json()), expected, "{query}");
    }
    for query in ["state=asleep", "sort=color", "limit=x", "offset=1.5"] {
        browser
            .api(Method::GET, &format!("/users?{query}"), &admin, None)
            .await
            .expect(400);
    }
}

#[tokio::test]
async fn a_user_with_servers_keeps_the_name_and_goes_with_them() {
    let (hub, browser, admin) = with_admin().await;
    let ask = |method: Method, path: &'static str, body: Option<Value>| {
        browser.api(method, path, &admin, body)
    };
    ask(Method::POST, "/users/bob", None).await.expect(201);
    ask(Method::PATCH, "/users/bob", Some(json!({ "name": "Rob" })))
        .await
        .expect(200);
    ask(Method::GET, "/users/bob", None).await.expect(404);
    ask(
        Method::PATCH,
        "/users/rob",
        Some(json!({ "name": "admin" })),
    )
    .await
    .expect(400);
    ask(Method::POST, "/users/rob/server", None)
        .await
        .expect(202);
    wait_for("the server", || async {
        let server = ask(Method::GET, "/users/rob/server", None).await.json();
        (server["ready"] == true).then_some(())
    })
    .await;
    let refused = ask(Method::PATCH, "/users/rob", Some(json!({ "name": "bob" }))).await;
    assert!(
        refused.expect(400).json()["message"]
            .as_str()
            .unwrap()
            .contains("servers")
    );
    ask(Method::DELETE, "/users/rob", None).await.expect(204);
    ask(Method::GET, "/users/rob", None).await.expect(404);
    assert_eq!(hub.spawner.running(), 0);
    assert_eq!(hub.spawner.forgotten(), ["rob/"]);
}

#[tokio::test]
async fn a_named_server_is_created_renamed_and_keeps_what_the_spawner_has_of_it() {
    let (hub, browser, admin) = with_admin().await;
    let ask = |method: Method, path: &'static str, body: Option<Value>| {
        browser.api(method, path, &admin, body)
    };
    let body = json!({ "display_name": "With a GPU", "user_options": {} });
    let made = ask(Method::PUT, "/users/admin/servers/gpu", Some(body))
        .await
        .expect(201)
        .json();
    assert_eq!(
        (&made["display_name"], &made["stopped"], &made["ready"]),
        (&json!("With a GPU"), &json!(true), &json!(false))
    );
    ask(Method::PUT, "/users/admin/servers/gpu", None)
        .await
        .expect(409);
    ask(Method::PUT, "/users/admin/servers/", None)
        .await
        .expect(409);
    let body = json!({ "name": "big" });
    let renamed = ask(Method::PATCH, "/users/admin/servers/gpu", Some(body))
        .await
        .expect(200);
    assert_eq!(renamed.json()["url"], "/user/admin/big/");
    ask(Method::GET, "/users/admin/servers/gpu", None)
        .await
        .expect(404);
    // Its files are kept under the name of its creation, which another server may not have.
    ask(Method::PUT, "/users/admin/servers/gpu", None)
        .await
        .expect(409);
    ask(Method::POST, "/users/admin/servers/gpu", None)
        .await
        .expect(400);
    ask(Method::POST, "/users/admin/servers/big", None)
        .await
        .expect(202);
    wait_for("the server", || async {
        let server = ask(Method::GET, "/users/admin/servers/big", None)
            .await
            .json();
        (server["ready"] == true).then_some(())
    })
    .await;
    let request = hub.spawner.requests().pop().unwrap();
    assert_eq!(
        (&*request.server, &*request.prefix),
        ("gpu", "/user/admin/big/")
    );
    let active = json!({ "name": "bigger" });
    ask(Method::PATCH, "/users/admin/servers/big", Some(active))
        .await
        .expect(400);
    let body = json!({ "remove": true });
    ask(Method::DELETE, "/users/admin/servers/big", Some(body))
        .await
        .expect(204);
    wait_for("what is left", || async {
        (hub.spawner.forgotten() == ["admin/gpu"]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_start_that_says_nothing_of_options_takes_those_of_before() {
    let (hub, browser, admin) = with_admin().await;
    let ask = |method: Method, body: Option<Value>| {
        browser.api(method, "/users/admin/server", &admin, body)
    };
    for body in [Some(json!({ "memory": "2G" })), None] {
        ask(Method::POST, body).await.expect(202);
        wait_for("the server", || async {
            (ask(Method::GET, None).await.json()["ready"] == true).then_some(())
        })
        .await;
        ask(Method::DELETE, None).await.expect(204);
    }
    let options: Vec<_> = hub
        .spawner
        .requests()
        .into_iter()
        .map(|request| request.user_options)
        .collect();
    assert_eq!(options[0]["memory"], "2G");
    assert_eq!(options[1], options[0]);
}

#[tokio::test]
async fn a_request_waits_for_its_start_as_long_as_is_configured() {
    for (behaviour, patience, status) in [
        (Behaviour::Answers, 20, 201),
        (Behaviour::Hangs, 1, 202),
        (Behaviour::Refuses, 20, 500),
    ] {
        let hub = TestHub::configured(FakeSpawner::new(behaviour), |config| {
            config.jupyter_hub.slow_spawn_timeout = Duration::from_secs(patience);
        })
        .await;
        let browser = hub.admin().await;
        let admin = token(&browser, &["inherit"]).await;
        let reply = browser
            .api(Method::POST, "/users/admin/server", &admin, None)
            .await;
        let reply = reply.expect(status);
        assert_eq!(reply.body.is_empty(), status != 500, "{}", reply.body);
    }
}

#[tokio::test]
async fn the_hub_ends_when_it_is_told_to() {
    let (mut hub, browser, admin) = with_admin().await;
    browser.spawn_ready("admin").await;
    let body = json!({ "servers": "maybe" });
    browser
        .api(Method::POST, "/shutdown", &admin, Some(body))
        .await
        .expect(400);
    let body = json!({ "servers": true });
    browser
        .api(Method::POST, "/shutdown", &admin, Some(body))
        .await
        .expect(202);
    hub.ended().await;
    assert_eq!(hub.spawner.running(), 0);
}

#[tokio::test]
async fn the_routes_are_told_with_their_servers() {
    let (_hub, browser, admin) = with_admin().await;
    browser.spawn_ready("admin").await;
    let routes = browser
        .api(Method::GET, "/proxy", &admin, None)
        .await
        .expect(200)
        .json();
    assert_eq!(routes["/user/admin/"]["data"]["user"], "admin");
    assert_eq!(routes["/"]["data"]["hub"], true);
    browser
        .api(Method::POST, "/proxy", &admin, None)
        .await
        .expect(200);
    let own = token(&browser, &["self"]).await;
    browser
        .api(Method::GET, "/proxy", &own, None)
        .await
        .expect(403);
}

#[tokio::test]
async fn a_change_that_is_refused_changes_nothing() {
    let three = Three::meet().await;
    let body = Some(json!({ "name": "robert", "admin": true, "auth_state": { "a": 1 } }));
    let refused = call(&three.admin, Method::PATCH, "/users/carol", body)
        .await
        .expect(400);
    assert!(
        refused.body.contains("JUPYTERHUB_CRYPT_KEY"),
        "{}",
        refused.body
    );
    let carol = three.hub.app.db.user("carol").await.unwrap().unwrap();
    assert!(!carol.admin);
}
