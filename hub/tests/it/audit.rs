//! Who did what, and what ran for how long.

use reqwest::Method;
use serde_json::{Value, json};

use crate::api::token;
use crate::harness::three::{Three, get};
use crate::harness::{Browser, Reply, TestHub, wait_for};

async fn csv(browser: &Browser, path: &str, token: &str) -> Reply {
    let request = browser.request(Method::GET, &format!("/hub/api{path}"));
    let request = request.header("authorization", format!("token {token}"));
    Reply::of(request.header("accept", "text/csv")).await
}

#[tokio::test]
async fn it_is_told_who_did_what_and_what_they_were_refused() {
    let three = Three::meet().await;
    let token = token(&three.admin, &["inherit"]).await;
    let ask = async |method: Method, path: &str, body: Option<Value>| {
        three.admin.api(method, path, &token, body).await
    };
    ask(Method::POST, "/users/dora", None).await.expect(201);
    ask(Method::GET, "/users/dora", None).await.expect(200);
    let long = format!("/users/{}", "d".repeat(200));
    ask(Method::POST, &long, None).await.expect(201);
    three
        .carol
        .submit("/hub/home", "/hub/stop/bob", &[])
        .await
        .expect(404);

    let told = ask(Method::GET, "/audit", None).await.expect(200).json();
    let told = told.as_array().unwrap();
    let of =
        |name: &str| -> Vec<&Value> { told.iter().filter(|deed| deed["name"] == name).collect() };
    assert_eq!(of("admin")[0]["path"], format!("/hub/api{long}"));
    let deed = of("admin")[1];
    assert_eq!(
        (&deed["method"], &deed["path"]),
        (&json!("POST"), &json!("/hub/api/users/dora"))
    );
    assert_eq!(
        (&deed["status"], &deed["address"]),
        (&json!(201), &json!("127.0.0.1"))
    );
    assert!(
        deed["token_id"].as_str().unwrap().starts_with('a'),
        "{deed}"
    );
    let came = of("carol")[1];
    assert_eq!(
        (&came["path"], &came["status"]),
        (&json!("/hub/login"), &json!(303))
    );
    let refused = of("carol")[0];
    assert_eq!(
        (&refused["path"], &refused["status"]),
        (&json!("/hub/stop/bob"), &json!(404))
    );
    assert_eq!(refused["token_id"], Value::Null);
    assert!(told.iter().all(|deed| deed["method"] != "GET"), "{told:?}");

    let page = ask(Method::GET, "/audit?user=carol&limit=1", None)
        .await
        .expect(200)
        .json();
    assert_eq!(page.as_array().unwrap().len(), 1);
    let text = csv(&three.admin, "/audit?user=carol", &token)
        .await
        .expect(200)
        .body;
    assert!(text.starts_with("time,kind,name,"), "{text}");
    assert!(
        text.contains(",user,carol,,127.0.0.1,POST,/hub/stop/bob,404"),
        "{text}"
    );
}

#[tokio::test]
async fn what_cannot_be_written_down_is_not_done() {
    let hub = TestHub::start().await;
    let admin = hub.admin().await;
    let token = token(&admin, &["inherit"]).await;
    let mut database = hub.database().await;
    let away = sqlx::raw_sql("ALTER TABLE audit RENAME TO away");
    away.execute(&mut database).await.unwrap();
    let ask = async |method: Method, path: &str| admin.api(method, path, &token, None).await;
    ask(Method::POST, "/users/dora").await.expect(500);
    ask(Method::GET, "/users/dora").await.expect(404);
    ask(Method::POST, "/users/admin/server").await.expect(500);
    let user = ask(Method::GET, "/users/admin").await.expect(200).json();
    assert_eq!(user["pending"], Value::Null);
    let back = sqlx::raw_sql("ALTER TABLE away RENAME TO audit");
    back.execute(&mut database).await.unwrap();
    ask(Method::POST, "/users/dora").await.expect(201);
}

#[tokio::test]
async fn only_administrators_read_what_others_did() {
    let three = Three::meet().await;
    for path in ["/audit", "/audit?user=bob", "/usage"] {
        get(&three.bob, path).await.expect(403);
    }
    get(&three.bob, "/usage?user=carol").await.expect(404);
    get(&three.bob, "/usage?user=bob").await.expect(200);
    let wrong = get(&three.bob, "/usage?user=bob&since=monday").await;
    assert!(wrong.expect(400).body.contains("since"));
}

#[tokio::test]
async fn usage_tells_what_ran_and_for_how_long() {
    let Three {
        hub: _hub,
        admin,
        bob,
        ..
    } = Three::meet().await;
    let token = token(&admin, &["inherit"]).await;
    bob.spawn_ready("bob").await;
    let runs = async || {
        let usage = admin.api(Method::GET, "/usage", &token, None).await;
        usage.expect(200).json().as_array().unwrap().clone()
    };
    let run = runs().await.remove(0);
    assert_eq!((&run["user"], &run["server"]), (&json!("bob"), &json!("")));
    assert!(run["ready"].is_string() && run["ended"].is_null(), "{run}");
    bob.submit("/hub/home", "/hub/stop/bob", &[])
        .await
        .expect(303);
    wait_for("the end", || async {
        runs().await[0]["ended"].is_string().then_some(())
    })
    .await;
    // A run outlives its user.
    admin
        .api(Method::DELETE, "/users/bob", &token, None)
        .await
        .expect(204);
    assert_eq!(runs().await.len(), 1);
    let later = admin
        .api(
            Method::GET,
            "/usage?since=2100-01-01T00:00:00Z",
            &token,
            None,
        )
        .await;
    assert_eq!(later.expect(200).json(), json!([]));
    let text = csv(&admin, "/usage", &token).await.expect(200).body;
    assert!(
        text.starts_with("user,server,asked,ready,ended,hours\nbob,,"),
        "{text}"
    );
}

#[tokio::test]
async fn no_name_hides_what_was_done() {
    let three = Three::meet().await;
    let token = token(&three.admin, &["inherit"]).await;
    for path in ["/users/activity", "/users/bob/servers/activity"] {
        let done = three.admin.api(Method::DELETE, path, &token, None).await;
        done.expect(404);
    }
    let report = json!({ "last_activity": "2026-01-01T00:00:00Z" });
    let path = "/users/bob/activity";
    let reported = three
        .admin
        .api(Method::POST, path, &token, Some(report))
        .await;
    reported.expect(200);
    let told = get(&three.admin, "/audit").await.expect(200).json();
    let paths: Vec<&Value> = told
        .as_array()
        .unwrap()
        .iter()
        .map(|deed| &deed["path"])
        .collect();
    let told_of = |path: &str| paths.contains(&&json!(format!("/hub/api{path}")));
    assert!(
        told_of("/users/activity") && told_of("/users/bob/servers/activity"),
        "{paths:?}"
    );
    assert!(!told_of("/users/bob/activity"), "{paths:?}");
}
