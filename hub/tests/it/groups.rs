//! Groups and services over the API: what they are, who may change them, and what their members gain by them.

use reqwest::Method;
use serde_json::{Value, json};

use super::api::token;
use crate::harness::{Behaviour, Browser, FakeSpawner, Reply, TestHub};

struct Site {
    hub: TestHub,
    browser: Browser,
    admin: String,
}

impl Site {
    async fn new() -> Self {
        let hub = TestHub::start().await;
        let browser = hub.admin().await;
        let admin = token(&browser, &["inherit"]).await;
        let site = Self {
            hub,
            browser,
            admin,
        };
        for user in ["alice", "bob"] {
            site.ask(Method::POST, &format!("/users/{user}"), None)
                .await
                .expect(201);
        }
        site
    }

    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        self.browser.api(method, path, &self.admin, body).await
    }

    /// A token of the administrator that may do no more than this.
    async fn with(&self, scope: &str) -> String {
        token(&self.browser, &[scope]).await
    }
}

#[tokio::test]
async fn a_group_has_members_and_properties_and_goes() {
    let site = Site::new().await;
    let made = site
        .ask(
            Method::POST,
            "/groups/staff",
            Some(json!({ "users": ["Bob"] })),
        )
        .await
        .expect(201);
    let expected = json!({
        "kind": "group", "name": "staff", "roles": [], "users": ["bob"], "properties": {},
    });
    assert_eq!(made.json(), expected);
    site.ask(Method::POST, "/groups/staff", None)
        .await
        .expect(409);
    let users = json!({ "users": ["alice", "bob"] });
    let more = site
        .ask(Method::POST, "/groups/staff/users", Some(users))
        .await;
    assert_eq!(more.expect(200).json()["users"], json!(["alice", "bob"]));
    let users = json!({ "users": ["bob"] });
    let fewer = site
        .ask(Method::DELETE, "/groups/staff/users", Some(users))
        .await;
    assert_eq!(fewer.expect(200).json()["users"], json!(["alice"]));
    let properties = json!({ "hours": 3 });
    let path = "/groups/staff/properties";
    let set = site.ask(Method::PUT, path, Some(properties.clone())).await;
    assert_eq!(set.expect(200).json()["properties"], properties);
    let alice = site
        .ask(Method::GET, "/users/alice", None)
        .await
        .expect(200);
    assert_eq!(alice.json()["groups"], json!(["staff"]));

    site.ask(Method::DELETE, "/users/alice", None)
        .await
        .expect(204);
    let left = site
        .ask(Method::GET, "/groups/staff", None)
        .await
        .expect(200);
    assert_eq!(left.json()["users"], json!([]));
    site.ask(Method::DELETE, "/groups/staff", None)
        .await
        .expect(204);
    site.ask(Method::GET, "/groups/staff", None)
        .await
        .expect(404);
}

#[tokio::test]
async fn groups_are_added_all_or_none() {
    let site = Site::new().await;
    site.ask(Method::POST, "/groups/blue", None)
        .await
        .expect(201);
    for (body, status) in [
        (json!({ "groups": ["green", "blue"] }), 409),
        (
            json!({ "groups": ["green"], "users": ["alice", "nobody"] }),
            400,
        ),
        (json!({ "groups": ["green", "a/b"] }), 400),
        (json!({ "groups": ["green", ""] }), 400),
        (json!({ "groups": "green" }), 400),
        (json!({ "groups": [] }), 400),
    ] {
        let reply = site.ask(Method::POST, "/groups", Some(body.clone())).await;
        let message = reply.expect(status).json()["message"].to_string();
        assert!(message.len() > 10, "{body}: {message}");
    }
    let groups = site
        .ask(Method::GET, "/groups", None)
        .await
        .expect(200)
        .json();
    assert_eq!(groups.as_array().unwrap().len(), 1, "{groups}");
}

#[tokio::test]
async fn a_filter_by_group_covers_its_members_while_they_are_members() {
    let site = Site::new().await;
    let body = json!({ "users": ["bob"] });
    site.ask(Method::POST, "/groups/staff", Some(body.clone()))
        .await
        .expect(201);
    let starter = site.with("servers!group=staff").await;
    let ask = |method: Method, path: &'static str| site.browser.api(method, path, &starter, None);
    ask(Method::POST, "/users/bob/server").await.expect(202);
    ask(Method::POST, "/users/alice/server").await.expect(404);
    ask(Method::GET, "/users").await.expect(403);
    site.ask(Method::DELETE, "/groups/staff/users", Some(body))
        .await
        .expect(200);
    ask(Method::DELETE, "/users/bob/server").await.expect(404);

    let lister = site.with("list:users!group=staff").await;
    let body = json!({ "users": ["alice"] });
    site.ask(Method::POST, "/groups/staff/users", Some(body))
        .await
        .expect(200);
    let listed = site
        .browser
        .api(Method::GET, "/users", &lister, None)
        .await
        .expect(200)
        .json();
    assert_eq!(
        listed,
        json!([{ "kind": "user", "name": "alice", "admin": false, "user_info": null }])
    );
}

#[tokio::test]
async fn a_scope_of_one_group_changes_no_other() {
    let site = Site::new().await;
    for group in ["staff", "guests"] {
        site.ask(Method::POST, &format!("/groups/{group}"), None)
            .await
            .expect(201);
    }
    let keeper = site.with("groups!group=staff").await;
    let ask = |method: Method, path: &'static str, body: Option<Value>| {
        site.browser.api(method, path, &keeper, body)
    };
    let users = Some(json!({ "users": ["bob"] }));
    ask(Method::POST, "/groups/staff/users", users.clone())
        .await
        .expect(200);
    ask(Method::POST, "/groups/guests/users", users)
        .await
        .expect(404);
    ask(Method::DELETE, "/groups/staff", None).await.expect(403);
    // What is new is in no filter.
    ask(Method::POST, "/groups/staff2", None).await.expect(403);
    let seen = ask(Method::GET, "/groups", None).await.expect(200).json();
    assert_eq!(seen.as_array().unwrap().len(), 1, "{seen}");
}

#[tokio::test]
async fn groups_of_the_configuration_are_there_at_the_start() {
    let spawner = FakeSpawner::new(Behaviour::Answers);
    let hub = TestHub::configured(spawner, |config| {
        let text = "JupyterHub: {load_groups: {staff: [admin, bob]}}";
        let read = carrel_hub::config::Config::parse("config.yaml", text).unwrap();
        config.jupyter_hub.load_groups = read.jupyter_hub.load_groups;
    })
    .await;
    let browser = hub.admin().await;
    let admin = token(&browser, &["inherit"]).await;
    let group = browser
        .api(Method::GET, "/groups/staff", &admin, None)
        .await
        .expect(200);
    assert_eq!(group.json()["users"], json!(["admin", "bob"]));
    browser.spawn_ready("admin").await;
    assert_eq!(hub.spawner.requests()[0].groups, ["staff"]);
}

#[tokio::test]
async fn a_service_acts_under_its_own_name_and_goes_with_its_token() {
    let site = Site::new().await;
    let secret = "a-token-of-the-grader";
    let body = json!({ "api_token": secret, "admin": true, "info": { "room": 7 } });
    let made = site
        .ask(Method::POST, "/services/grader", Some(body))
        .await
        .expect(201)
        .json();
    assert!(made.get("api_token").is_none(), "{made}");
    assert_eq!(made["info"], json!({ "room": 7 }));
    let ask = |method: Method, path: &'static str| site.browser.api(method, path, secret, None);
    let own = ask(Method::GET, "/user").await.expect(200).json();
    assert_eq!(
        (&own["kind"], &own["name"]),
        (&json!("service"), &json!("grader"))
    );
    ask(Method::POST, "/users/carol").await.expect(201);
    ask(Method::POST, "/users/carol/tokens").await.expect(201);
    site.ask(Method::POST, "/services/grader", Some(json!({})))
        .await
        .expect(409);
    site.ask(Method::DELETE, "/services/grader", None)
        .await
        .expect(200);
    ask(Method::GET, "/user").await.expect(403);
    drop(site.hub);
}

#[tokio::test]
async fn services_that_cannot_be_are_refused() {
    let site = Site::new().await;
    for (name, body) in [
        ("grader", json!({ "api_token": "short" })),
        ("grader", json!({ "api_token": "x".repeat(65) })),
        ("grader", json!({ "command": ["true"] })),
        ("grader", json!({ "color": 1 })),
        ("grader", json!([])),
        ("a%20b", json!({})),
    ] {
        let path = format!("/services/{name}");
        let reply = site.ask(Method::POST, &path, Some(body.clone())).await;
        assert!(reply.expect(400).json()["message"].is_string(), "{body}");
    }
    let maker = site.with("admin:services").await;
    let body = Some(json!({ "admin": true, "api_token": "a-token-of-a-king" }));
    // The token is an administrator's, who may make administrators.
    site.browser
        .api(Method::POST, "/services/king", &maker, body)
        .await
        .expect(201);
    let services = site
        .ask(Method::GET, "/services", None)
        .await
        .expect(200)
        .json();
    assert_eq!(services.as_object().unwrap().len(), 1, "{services}");
}
