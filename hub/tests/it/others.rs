//! Two users: what one may do with the server of the other.

use carrel_hub::auth::password;
use reqwest::Method;

use crate::harness::{Behaviour, Browser, FakeSpawner, TestHub, wait_for};

/// A Hub on which both `admin` and `bob` have a server, and their browsers.
async fn with_two() -> (TestHub, Browser, Browser) {
    let allow = |config: &mut carrel_hub::config::Config| config.authenticator.allow_all = true;
    let hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), allow).await;
    let hash = password::hash(String::from("of bob")).await.unwrap();
    hub.app
        .db
        .add_user("bob", false, Some(&hash), false)
        .await
        .unwrap();
    let (admin, bob) = (hub.admin().await, hub.browser());
    bob.login("bob", "of bob").await.expect(303);
    for (browser, user) in [(&admin, "admin"), (&bob, "bob")] {
        browser.spawn_ready(user).await;
    }
    (hub, admin, bob)
}

fn authorize(user: &str) -> String {
    let redirect = format!("%2Fuser%2F{user}%2Foauth_callback");
    format!(
        "/hub/api/oauth2/authorize?client_id=jupyterhub-user-{user}&redirect_uri={redirect}&response_type=code&state=s"
    )
}

#[tokio::test]
async fn a_user_can_do_nothing_to_another() {
    let (hub, _admin, bob) = with_two().await;
    bob.get(&authorize("admin")).await.expect(403);
    // Not even whether there is such a user, as in JupyterHub.
    bob.get("/hub/spawn/admin").await.expect(404);
    bob.get("/hub/spawn-pending/admin").await.expect(404);
    bob.get("/hub/user/admin/lab").await.expect(404);
    bob.get("/hub/user/nobody/lab").await.expect(404);
    bob.submit("/hub/home", "/hub/stop/admin", &[])
        .await
        .expect(404);
    let xsrf = bob.cookie("/hub/", "_xsrf").unwrap();
    for path in ["/users/admin", "/users/nobody"] {
        bob.get(&format!("/hub/api{path}")).await.expect(404);
    }
    for (method, path, expected) in [
        (Method::POST, "/users/admin/server", 404),
        (Method::DELETE, "/users/admin/server", 404),
        (Method::GET, "/users/admin/server/progress", 404),
        (Method::GET, "/users/admin/tokens", 404),
        (Method::POST, "/users/admin/tokens", 403),
        (Method::POST, "/users/carol", 403),
        (Method::PATCH, "/users/admin", 403),
        (Method::DELETE, "/users/admin", 403),
        (Method::POST, "/groups/staff", 403),
        (Method::POST, "/services/grader", 403),
        (Method::POST, "/shutdown", 403),
    ] {
        let request = bob
            .request(method, &format!("/hub/api{path}"))
            .header("x-xsrftoken", &xsrf);
        let status = request.send().await.unwrap().status();
        assert_eq!(status, expected, "{path}");
    }
    assert_eq!(hub.spawner.running(), 2);
}

#[tokio::test]
async fn an_administrator_confirms_a_visit_to_another_s_server_once() {
    let (hub, admin, _bob) = with_two().await;
    let path = authorize("bob");
    let page = admin.get(&path).await.expect(200);
    assert!(
        page.body.contains("access:servers!server=bob/"),
        "{}",
        page.body
    );
    admin.post(&path, &[("_xsrf", "old")]).await.expect(200);
    // What was not asked for is not given, and what was left out neither.
    let some = ["access:servers!server=bob/", "admin:users"];
    assert_eq!(
        confirm(&hub, &admin, &some).await,
        "access:servers!server=bob/"
    );
    admin.get(&path).await.expect(200);
    let all = [
        "access:servers!server=bob/",
        "read:users:groups!user=admin",
        "read:users:name!user=admin",
    ];
    assert_eq!(confirm(&hub, &admin, &all).await, all.join(" "));
    admin.get(&path).await.expect(303);
}

/// Confirms the visit to bob with these scopes; returns those that the server gets.
async fn confirm(hub: &TestHub, admin: &Browser, scopes: &[&str]) -> String {
    let path = authorize("bob");
    let fields: Vec<_> = scopes.iter().map(|scope| ("scopes", *scope)).collect();
    let reply = admin.submit(&path, &path, &fields).await.expect(303);
    let code = reply
        .location()
        .strip_prefix("/user/bob/oauth_callback?code=")
        .unwrap();
    let secret = hub.spawner.variable("JUPYTERHUB_API_TOKEN");
    let form = [
        ("client_id", "jupyterhub-user-bob"),
        ("client_secret", &secret),
        ("grant_type", "authorization_code"),
        ("code", code.strip_suffix("&state=s").unwrap()),
        ("redirect_uri", "/user/bob/oauth_callback"),
    ];
    let token = admin
        .post("/hub/api/oauth2/token", &form)
        .await
        .expect(200)
        .json();
    token["scope"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_administrator_starts_and_stops_the_server_of_another() {
    let (hub, admin, bob) = with_two().await;
    admin
        .submit("/hub/home", "/hub/stop/bob", &[])
        .await
        .expect(303);
    assert_eq!(hub.spawner.running(), 1);
    bob.get("/hub/user/bob/lab").await.expect(424);
    assert!(
        admin
            .get("/hub/user/bob/lab")
            .await
            .expect(424)
            .body
            .contains("/hub/spawn/bob?next=")
    );
    admin
        .submit("/hub/spawn/bob", "/hub/spawn/bob", &[])
        .await
        .expect(303);
    wait_for("the server of bob", || async {
        (bob.get("/user/bob/lab").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(hub.spawner.variable("JUPYTERHUB_USER"), "bob");
}
