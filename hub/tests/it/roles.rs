//! Roles and services of the configuration: what their holders may do, and that they follow the file.

use carrel_hub::config::Config;
use reqwest::Method;
use serde_json::json;

use super::api::token;
use super::services;
use crate::harness::three::post;
use crate::harness::{Behaviour, FakeSpawner, TestHub};

const SITE: &str = r#"
JupyterHub:
  load_groups: {staff: [bob]}
  services:
    - {name: culler, api_token: a-token-of-the-culler}
  load_roles:
    - {name: helper, scopes: ["servers!group=staff", "list:users!group=staff"], groups: [staff], users: [carol]}
    - {name: cull, scopes: [list:users, read:servers], services: [culler]}
    - {name: user, scopes: [self, read:hub]}
"#;

async fn site(text: &str) -> TestHub {
    TestHub::configured(FakeSpawner::new(Behaviour::Answers), |config| {
        let read = Config::parse("config.yaml", text).unwrap().jupyter_hub;
        config.jupyter_hub.load_groups = read.load_groups;
        config.jupyter_hub.load_roles = read.load_roles;
        config.jupyter_hub.services = read.services;
    })
    .await
}

#[tokio::test]
async fn roles_reach_their_users_groups_and_services() {
    let hub = site(SITE).await;
    let browser = hub.admin().await;
    let admin = token(&browser, &["inherit"]).await;
    let of = async |user: &str| {
        let path = format!("/users/{user}/tokens");
        let made = browser
            .api(Method::POST, &path, &admin, None)
            .await
            .expect(201);
        made.json()["token"].as_str().unwrap().to_owned()
    };
    let (bob, carol) = (of("bob").await, of("carol").await);
    for helper in [&bob, &carol] {
        let ask = |method: Method, path: &'static str| browser.api(method, path, helper, None);
        let seen = ask(Method::GET, "/users").await.expect(200).json();
        assert_eq!(seen[0]["name"], "bob");
        ask(Method::GET, "/users/bob/server").await.expect(200);
        ask(Method::DELETE, "/users/admin/server").await.expect(404);
        ask(Method::GET, "/info").await.expect(200);
    }
    let roles = browser
        .api(Method::GET, "/users/carol", &admin, None)
        .await
        .expect(200)
        .json();
    assert_eq!(roles["roles"], json!(["user", "helper"]));
    let culler = "a-token-of-the-culler";
    browser
        .api(Method::GET, "/users?state=ready", culler, None)
        .await
        .expect(200);
    browser
        .api(Method::DELETE, "/users/bob/server", culler, None)
        .await
        .expect(403);
    let services = browser
        .api(Method::GET, "/services", &admin, None)
        .await
        .expect(200)
        .json();
    assert_eq!(services["culler"]["roles"], json!(["cull"]));
    browser
        .api(Method::DELETE, "/services/culler", &admin, None)
        .await
        .expect(405);
}

#[tokio::test]
async fn what_the_file_names_no_more_is_over_at_the_next_start() {
    let mut hub = site(SITE).await;
    let browser = hub.admin().await;
    let admin = token(&browser, &["inherit"]).await;
    hub.config.jupyter_hub.load_roles = Default::default();
    hub.config.jupyter_hub.services = Default::default();
    let hub = hub.crash_and_restart().await;
    let browser = hub.admin().await;
    browser
        .api(Method::GET, "/user", "a-token-of-the-culler", None)
        .await
        .expect(403);
    let roles = browser
        .api(Method::GET, "/users/carol", &admin, None)
        .await
        .expect(200)
        .json();
    assert_eq!(roles["roles"], json!(["user"]));
    // What it has put into groups stays, as in JupyterHub.
    let bob = browser
        .api(Method::GET, "/users/bob", &admin, None)
        .await
        .expect(200)
        .json();
    assert_eq!(bob["groups"], json!(["staff"]));
}

#[test]
fn mistakes_in_roles_and_services_are_told_with_their_lines() {
    for (text, at, words) in [
        (
            "load_roles: [{name: a, scopes: []}]",
            "load_roles[0].name",
            "3 to 255",
        ),
        (
            "load_roles: [{name: abc, scopes: [fly]}]",
            "load_roles[0].scopes",
            "no scope \"fly\"",
        ),
        (
            "load_roles: [{name: abc}, {name: abc}]",
            "load_roles[1].name",
            "named \"abc\" too",
        ),
        (
            "load_roles: [{name: abc, color: 1}]",
            "load_roles[0].color",
            "unknown key",
        ),
        ("load_roles: {abc: {scopes: []}}", "load_roles", "a list"),
        (
            "services: [{name: x, api_token: short}]",
            "services[0].api_token",
            "8 to 64",
        ),
        (
            "services: [{name: x, command: [true]}]",
            "services[0].command[0]",
            "put it in quotes",
        ),
        (
            "services: [{name: x, command: x, user: www}]",
            "services[0].user",
            "its own user",
        ),
        (
            "services: [{name: x, cwd: /tmp}]",
            "services[0].cwd",
            "there is none",
        ),
        (
            "services: [{name: x, url: \"https://a\"}]",
            "services[0].url",
            "plain http",
        ),
        (
            "services: [{name: x, oauth_no_confirm: true}]",
            "services[0].oauth_redirect_uri",
            "come back to",
        ),
        (
            "services: [{name: x, oauth_redirect_uri: //a/b}]",
            "services[0].oauth_redirect_uri",
            "a path",
        ),
        (
            "services: [{name: x, url: \"http://a\", oauth_client_id: x}]",
            "services[0].oauth_client_id",
            "`service-`",
        ),
        (
            "services: [{name: x, url: \"http://a\", oauth_client_allowed_scopes: [fly]}]",
            "services[0].oauth_client_allowed_scopes",
            "no scope \"fly\"",
        ),
        (
            "services: [{name: x, url: \"http://a\"}, {name: y, url: \"http://a\", oauth_client_id: service-x}]",
            "services[1].oauth_client_id",
            "another service",
        ),
        (
            "services: [{name: \"..\"}]",
            "services[0].name",
            "letters, digits",
        ),
        (
            "services: [{name: a b}]",
            "services[0].name",
            "letters, digits",
        ),
    ] {
        let text = format!("JupyterHub:\n  {text}\n");
        let told = Config::parse("config.yaml", &text).unwrap_err().to_string();
        assert!(told.contains("config.yaml:2"), "{text}: {told}");
        assert!(told.contains(at) && told.contains(words), "{text}: {told}");
    }
}

#[test]
fn the_token_of_a_service_is_in_no_debug_text() {
    let config = Config::parse("config.yaml", SITE).unwrap();
    assert!(!format!("{config:?}").contains("a-token-of"));
}

#[tokio::test]
async fn a_token_of_a_role_has_the_scopes_that_the_file_gives_the_role() {
    let role =
        r#"JupyterHub: {load_roles: [{name: user, scopes: ["read:users!user", "tokens!user"]}]}"#;
    let hub = services::site(role).await;
    let bob = services::user(&hub, "bob").await;
    let made = post(&bob, "/users/bob/tokens", json!({ "roles": ["user"] })).await;
    let scopes = made.expect(201).json()["scopes"].to_string();
    assert!(scopes.contains("read:users!user=bob"), "{scopes}");
    assert!(!scopes.contains("servers"), "{scopes}");
}

/// The scopes of the token that a server of `admin` gets.
async fn scopes_of_a_server(config: &str) -> Vec<String> {
    let read = Config::parse("config.yaml", config).unwrap();
    let hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), |config| {
        config.jupyter_hub.load_roles = read.jupyter_hub.load_roles;
        config.spawner.server_token_scopes = read.spawner.server_token_scopes;
    })
    .await;
    let browser = hub.admin().await;
    browser.spawn_ready("admin").await;
    let own = hub.spawner.variable("JUPYTERHUB_API_TOKEN");
    let asked = browser.api(Method::GET, "/user", &own, None).await;
    serde_json::from_value(asked.expect(200).json()["scopes"].clone()).unwrap()
}

#[tokio::test]
async fn the_token_of_a_server_has_what_the_file_says_and_always_activity() {
    let role = "load_roles: [{name: server, scopes: [\"access:services!service=training\"]}]";
    let own =
        "Spawner: {server_token_scopes: [\"access:servers!server\", \"read:users:name!user\"]}";
    for (config, held, lacked) in [
        (
            format!("JupyterHub: {{{role}}}"),
            "access:services!service=training",
            "access:servers!server=admin/",
        ),
        (
            format!("JupyterHub: {{{role}}}\n{own}"),
            "access:servers!server=admin/",
            "access:services!service=training",
        ),
        (
            String::from("Spawner: {server_token_scopes: [inherit]}"),
            "admin:users",
            "",
        ),
    ] {
        let scopes = scopes_of_a_server(&config).await;
        let has = |scope: &str| scopes.iter().any(|held| held == scope);
        assert!(has(held) && !has(lacked), "{config}: {scopes:?}");
        let activity = has("users:activity!user=admin") || has("users:activity");
        assert!(activity, "{config}: {scopes:?}");
    }
}

#[test]
fn a_scope_of_servers_that_there_is_not_is_told() {
    for (scope, words) in [("fly", "there is no scope"), ("custom:fly", "has no scope")] {
        let text = format!("Spawner:\n  server_token_scopes: [\"{scope}\"]\n");
        let told = Config::parse("config.yaml", &text).unwrap_err().to_string();
        let at = "Spawner.server_token_scopes";
        assert!(
            told.contains(at) && told.contains(words) && told.contains("config.yaml:2"),
            "{told}"
        );
    }
}

#[tokio::test]
async fn a_token_of_which_nothing_is_said_has_the_role_token() {
    let role = r#"JupyterHub: {load_roles: [{name: token, scopes: ["read:users:name!user"]}]}"#;
    let hub = services::site(role).await;
    let bob = services::user(&hub, "bob").await;
    let made = post(&bob, "/users/bob/tokens", json!({})).await.expect(201);
    let scopes = made.json()["scopes"].to_string();
    assert!(
        !scopes.contains("inherit") && !scopes.contains("servers"),
        "{scopes}"
    );
}

#[tokio::test]
async fn extra_scopes_are_those_of_every_user() {
    const EXTRA: &str = "JupyterHub:\n  extra_user_scopes: [read:hub]\n";
    let with_role = format!("{EXTRA}  load_roles: [{{name: user, scopes: [self]}}]\n");
    for (text, status) in [(EXTRA, 200), (&with_role, 403)] {
        let hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), |config| {
            let read = Config::parse("config.yaml", text).unwrap().jupyter_hub;
            config.authenticator.allow_all = true;
            config.jupyter_hub.extra_user_scopes = read.extra_user_scopes;
            config.jupyter_hub.load_roles = read.load_roles;
        })
        .await;
        let bob = crate::harness::three::user(&hub, "bob").await;
        let own = super::api::token_of("bob", &bob, &["inherit"]).await;
        let ask = |path: &'static str| bob.api(Method::GET, path, &own, None);
        ask("/info").await.expect(status);
        ask("/users/bob").await.expect(200);
    }
    let wrong = Config::parse(
        "config.yaml",
        "JupyterHub:\n  extra_user_scopes: [read:planets]\n",
    );
    let told = wrong.unwrap_err().to_string();
    assert!(
        told.contains("there is no scope \"read:planets\""),
        "{told}"
    );
}
