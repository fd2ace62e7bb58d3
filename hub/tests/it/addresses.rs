//! Addresses of servers in other spellings, and what is fetched from a server that does not run.

use reqwest::Method;

use crate::api::token;
use crate::harness::{Behaviour, Browser, FakeSpawner, Reply, TestHub, wait_for};

/// Follows redirects as a browser does; the last answer and its address.
async fn follow(browser: &Browser, path: &str) -> (Reply, String) {
    let mut path = path.to_owned();
    for _ in 0..6 {
        let reply = browser.get(&path).await;
        if !(300..400).contains(&reply.status) {
            return (reply, path);
        }
        path = reply.location().to_owned();
    }
    panic!("{path} leads in circles");
}

#[tokio::test]
async fn another_spelling_of_the_name_leads_to_the_running_server() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    browser.spawn_ready("admin").await;
    for (path, want) in [
        ("/user/Admin/lab?x=1", "/user/admin/lab?x=1&redirects=1"),
        ("/hub/user/ADMIN/lab", "/user/admin/lab?redirects=1"),
        ("/user/Admin", "/user/admin/?redirects=1"),
        (
            "/user/%41dmin/files/a%20b",
            "/user/admin/files/a%20b?redirects=1",
        ),
        ("//user/admin/lab", "/user/admin/lab?redirects=1"),
        ("/hub/spawn-pending/Admin", "/user/admin/"),
        ("/hub/spawn/ADMIN", "/user/admin/"),
    ] {
        let (reply, last) = follow(&browser, path).await;
        assert_eq!((reply.status, last.as_str()), (200, want), "{path}");
    }
    follow(&browser, "/user//admin/lab").await.0.expect(404);
}

#[tokio::test]
async fn the_next_address_has_the_usual_spelling_too() {
    let hub = TestHub::start().await;
    let page = hub
        .admin()
        .await
        .get("/hub/user/Admin/lab?x=1")
        .await
        .expect(424);
    let start = "/hub/spawn/admin?next=%2Fuser%2Fadmin%2Flab%3Fx%3D1";
    assert!(page.body.contains(start), "{}", page.body);
}

/// The name that a permit is for is the one that is looked up.
#[tokio::test]
async fn the_api_takes_every_spelling_of_a_name_in_every_method() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let token = token(&browser, &["self"]).await;
    let call = |method: Method, path: &'static str| browser.api(method, path, &token, None);
    call(Method::POST, "/users/Admin/server").await.expect(202);
    wait_for("the server", || async {
        let server = call(Method::GET, "/users/aDMIN/server")
            .await
            .expect(200)
            .json();
        (server["ready"] == true).then_some(())
    })
    .await;
    call(Method::GET, "/users/ADMIN/server/progress")
        .await
        .expect(200);
    for path in ["/users/Admin", "/users/Admin/tokens", "/users/%41dmin"] {
        call(Method::GET, path).await.expect(200);
    }
    let activity = serde_json::json!({ "last_activity": "2026-01-01T00:00:00Z" });
    let path = "/users/Admin/activity";
    browser
        .api(Method::POST, path, &token, Some(activity))
        .await
        .expect(200);
    call(Method::DELETE, "/users/ADMIN/server")
        .await
        .expect(204);
    call(Method::GET, "/users/a%2Fb/server").await.expect(404);
}

#[tokio::test]
async fn a_scope_for_another_spelling_is_one_for_the_user() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let token = token(&browser, &["read:users!user=Admin"]).await;
    browser
        .api(Method::GET, "/users/admin", &token, None)
        .await
        .expect(200);
}

async fn fetch(browser: &Browser, path: &str, mode: &str) -> Reply {
    let request = browser.request(Method::GET, path);
    let request = request
        .header("sec-fetch-mode", mode)
        .header("sec-fetch-site", "same-origin");
    Reply::of(request).await
}

const FETCHED: [(&str, &str); 6] = [
    ("/user/admin/files/data.csv", "cors"),
    ("/user/admin/files/data.csv", "same-origin"),
    ("/user/admin/lab/extensions/x/remoteEntry.js", "no-cors"),
    ("/user/admin/proxy/8501/stream", "websocket"),
    ("/user/admin/api/contents", "cors"),
    ("/hub/user/admin/files/data.csv", "cors"),
];

#[tokio::test]
async fn what_a_page_fetches_from_a_stopped_server_is_told_so() {
    let hub = TestHub::start().await;
    let (known, unknown) = (hub.admin().await, hub.browser());
    for browser in [&known, &unknown] {
        for (path, mode) in FETCHED {
            let reply = fetch(browser, path, mode).await.expect(424);
            assert!(
                reply.json()["message"]
                    .as_str()
                    .unwrap()
                    .contains("not running"),
                "{path}"
            );
        }
    }
    // A person gets a page, and the Hub's own pages are still kept from scripts.
    let (page, _) = follow_navigation(&known, "/user/admin/lab").await;
    assert!(page.expect(424).body.contains("<html"));
    fetch(&known, "/hub/home", "cors").await.expect(403);
}

async fn follow_navigation(browser: &Browser, path: &str) -> (Reply, String) {
    let reply = fetch(browser, path, "navigate").await.expect(302);
    let path = reply.location().to_owned();
    (fetch(browser, &path, "navigate").await, path)
}

#[tokio::test]
async fn what_a_page_fetches_while_its_server_starts_is_told_so_as_well() {
    let hub = TestHub::configured(FakeSpawner::new(Behaviour::Hangs), |config| {
        config.spawner.start_timeout = crate::harness::LIMIT;
    })
    .await;
    let browser = hub.admin().await;
    browser.spawn().await.expect(303);
    for (path, mode) in FETCHED {
        fetch(&browser, path, mode).await.expect(424);
    }
}
