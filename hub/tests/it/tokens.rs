//! Tokens: what they may do, how long they last, and what ends them.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::api::token;
use crate::harness::three::{self, Three};
use crate::harness::{Behaviour, Browser, FakeSpawner, TestHub};

async fn make(browser: &Browser, by: &str, body: Value) -> crate::harness::Reply {
    browser
        .api(Method::POST, "/users/admin/tokens", by, Some(body))
        .await
}

#[tokio::test]
async fn a_token_with_scope_self_of_an_administrator_is_that_of_a_user() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    hub.app
        .db
        .add_user("bob", false, None, false)
        .await
        .unwrap();
    let own = token(&browser, &["self"]).await;
    let ask = |method: Method, path: &'static str| browser.api(method, path, &own, None);
    ask(Method::GET, "/users/admin").await.expect(200);
    ask(Method::GET, "/users/admin/tokens").await.expect(200);
    for (method, path, status) in [
        (Method::GET, "/users/bob", 404),
        (Method::GET, "/users/bob/tokens", 404),
        (Method::POST, "/users/bob/server", 404),
        (Method::POST, "/users/carol", 403),
    ] {
        ask(method, path).await.expect(status);
    }
    // It makes none that may do more.
    make(&browser, &own, json!({ "scopes": ["inherit"] }))
        .await
        .expect(403);
    make(&browser, &own, json!({ "scopes": ["self"] }))
        .await
        .expect(201);
    let all = token(&browser, &["inherit"]).await;
    browser
        .api(Method::GET, "/users/bob", &all, None)
        .await
        .expect(200);
}

/// Writes down for all tokens what a later version of the Hub might have.
async fn store_scopes(hub: &TestHub, scopes: &str) {
    let mut database = hub.database().await;
    let update = sqlx::query("UPDATE api_tokens SET scopes = $1").bind(scopes.to_owned());
    update.execute(&mut database).await.unwrap();
}

#[tokio::test]
async fn a_stored_scope_of_a_later_version_is_passed_over() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let token = token(&browser, &["self"]).await;
    store_scopes(
        &hub,
        r#"["read:planets", "shares!planet=mars", "read:users:name!user=admin"]"#,
    )
    .await;
    let user = browser
        .api(Method::GET, "/user", &token, None)
        .await
        .expect(200);
    let identify = json!(["read:users:groups!user=admin", "read:users:name!user=admin"]);
    // What every token has.
    assert_eq!(user.json()["scopes"], identify);
    store_scopes(&hub, r#"["admin:everything"]"#).await;
    let user = browser
        .api(Method::GET, "/user", &token, None)
        .await
        .expect(200);
    assert_eq!(
        user.json()["scopes"],
        identify,
        "nothing else is given instead"
    );
    browser
        .api(Method::GET, "/users/admin/tokens", &token, None)
        .await
        .expect(403);
}

#[tokio::test]
async fn the_expiry_that_is_told_is_the_real_one_or_there_is_no_token() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let boss = token(&browser, &["inherit"]).await;
    for seconds in [
        json!(1),
        json!(3600),
        json!(10_000_000_000_i64),
        json!(200_000_000_000_i64),
    ] {
        let made = make(&browser, &boss, json!({ "expires_in": seconds }))
            .await
            .expect(201);
        let told: jiff::Timestamp = made.json()["expires_at"].as_str().unwrap().parse().unwrap();
        let left = told.duration_since(jiff::Timestamp::now()).as_secs();
        let asked = seconds.as_i64().unwrap();
        assert!((asked - 20..=asked).contains(&left), "{seconds}: {told}");
    }
    for seconds in [
        json!(1_000_000_000_000_i64),
        json!(i64::MAX / 1000),
        json!(i64::MAX),
        json!(u64::MAX),
        json!(1e300),
        json!(0),
        json!(-5),
        json!(true),
    ] {
        let refused = make(&browser, &boss, json!({ "expires_in": seconds }))
            .await
            .expect(400);
        let message = refused.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains("expires_in"), "{seconds}: {message}");
    }
    let far = [("note", "far"), ("expires_in", "9223372036854775807")];
    let page = browser
        .submit("/hub/token", "/hub/token", &far)
        .await
        .expect(400);
    assert!(
        page.body.contains("9999") && !page.body.contains("1970-"),
        "{}",
        page.body
    );
}

#[tokio::test]
async fn a_new_password_ends_the_tokens_of_the_old_one() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    browser.spawn_ready("admin").await;
    let own = hub.spawner.variable("JUPYTERHUB_API_TOKEN");
    let old = token(&browser, &["inherit"]).await;
    let fields = [
        ("new_password", "long enough"),
        ("new_password_confirmation", "long enough"),
    ];
    let page = "/hub/change-password";
    browser.submit(page, page, &fields).await.expect(200);
    browser
        .api(Method::GET, "/user", &old, None)
        .await
        .expect(403);
    // The session in which it was done goes on, and so does the running server.
    let new = token(&browser, &["inherit"]).await;
    browser
        .api(Method::GET, "/user", &own, None)
        .await
        .expect(200);
    let words = String::from("other words");
    carrel_hub::accounts::set_password(&hub.config, &hub.app.db, "admin", words)
        .await
        .unwrap();
    browser
        .api(Method::GET, "/user", &new, None)
        .await
        .expect(403);
    browser.get("/hub/home").await.expect(302);
}

#[tokio::test]
async fn the_token_page_takes_scopes_and_shows_what_is_wrong_with_them() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let ask = async |scopes: &str| {
        let fields = [("note", "narrow"), ("expires_in", "60"), ("scopes", scopes)];
        browser.submit("/hub/token", "/hub/token", &fields).await
    };
    let page = ask(" read:users:name!user  ").await.expect(200).body;
    let token = page.split("id=\"new-token\"").nth(1).unwrap();
    let token = token.split("value=\"").nth(1).unwrap();
    let token = token.split('"').next().unwrap();
    let own = browser.api(Method::GET, "/users/admin", token, None).await;
    assert_eq!(own.expect(200).json()["name"], "admin");
    browser
        .api(Method::GET, "/users", token, None)
        .await
        .expect(403);
    let refused = ask("no:such").await.expect(400).body;
    assert!(
        refused.contains("does not exist") && refused.contains("value=\"narrow\""),
        "{refused}"
    );
}

/// `JupyterHub.token_expires_in_max_seconds`, with the cases of JupyterHub's own test.
#[tokio::test]
async fn a_token_lasts_no_longer_than_the_configuration_lets_it() {
    const DAY: u64 = 86400;
    for (most, asked, expected) in [
        (DAY, None, Ok(Some(DAY))),
        (DAY, Some(DAY), Ok(Some(DAY))),
        (DAY, Some(DAY + 1), Err(DAY)),
        (3600, Some(100), Ok(Some(100))),
        (0, None, Ok(None)),
        (0, Some(DAY), Ok(Some(DAY))),
    ] {
        let hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), |config| {
            config.jupyter_hub.token_expires_in_max_seconds = Duration::from_secs(most).into();
        })
        .await;
        let browser = hub.admin().await;
        let path = "/users/admin/tokens";
        let before = carrel_hub::db::now();
        let made = three::post(&browser, path, json!({ "expires_in": asked })).await;
        let page = browser.get("/hub/token").await.expect(200).body;
        assert_eq!(page.contains(">never</option>"), most == 0);
        let longer = page.contains("value=\"604800\"");
        assert_eq!(longer, most == 0, "{page}");
        match expected {
            Err(most) => {
                let told = made.expect(400).json()["message"].clone();
                let expected = format!("token expires_in: {} must not exceed {most}", DAY + 1);
                assert_eq!(told, expected);
            }
            Ok(None) => assert_eq!(made.expect(201).json()["expires_at"], Value::Null),
            Ok(Some(seconds)) => {
                let ends = made.expect(201).json()["expires_at"].clone();
                let ends: jiff::Timestamp = ends.as_str().unwrap().parse().unwrap();
                let lasts = ends.as_millisecond() - before;
                assert!(
                    (0..30_000).contains(&(lasts - seconds.cast_signed() * 1000)),
                    "{lasts}"
                );
            }
        }
        // The page gives no more.
        let sent = [("note", "for long"), ("expires_in", "")];
        let sent = browser.submit("/hub/token", "/hub/token", &sent).await;
        let rows = sent.expect(200).body;
        let never = rows.contains("data-label=\"Expires\">never");
        assert_eq!(never, most == 0, "{rows}");
    }
}

/// As JupyterHub takes it in the body, with no token and no cookie.
#[tokio::test]
async fn a_name_and_a_password_get_a_token() {
    let three = Three::meet().await;
    let ask = async |user: &str, name: &str, password: &str| {
        let path = format!("{}/hub/api/users/{user}/tokens", three.hub.origin);
        let auth = json!({ "auth": { "username": name, "password": password } });
        let request = reqwest::Client::new().post(path).json(&auth);
        crate::harness::Reply::of(request).await
    };
    let made = ask("bob", "bob", "of bob").await.expect(201).json();
    assert_eq!(made["note"], "Requested via api");
    let bob = made["token"].as_str().unwrap();
    let own = three.bob.api(Method::GET, "/user", bob, None).await;
    assert_eq!(own.expect(200).json()["name"], "bob");
    // Nobody else's, and no word of what is wrong.
    for (user, name, password) in [
        ("carol", "bob", "of bob"),
        ("nobody", "bob", "of bob"),
        ("bob", "bob", "of carol"),
        ("bob", "nobody", "of bob"),
        ("bob", "", ""),
        ("bob", "b/b", "x"),
    ] {
        ask(user, name, password).await.expect(403);
    }
    let path = format!("{}/hub/api/users/bob/tokens", three.hub.origin);
    for auth in [
        json!(null),
        json!({}),
        json!({ "auth": null }),
        json!({ "auth": {} }),
    ] {
        let request = reqwest::Client::new().post(&path).json(&auth);
        crate::harness::Reply::of(request).await.expect(403);
    }
    let request = reqwest::Client::new()
        .post(&path)
        .json(&json!({ "auth": "bob" }));
    crate::harness::Reply::of(request).await.expect(400);
    // A browser that is logged in shows that its page is the Hub's, whatever the body says.
    let auth = json!({ "auth": { "username": "bob", "password": "of bob" } });
    let request = three.bob.request(Method::POST, "/hub/api/users/bob/tokens");
    crate::harness::Reply::of(request.json(&auth))
        .await
        .expect(403);
    // The limits of the login page.
    for _ in 0..5 {
        ask("carol", "carol", "guess").await.expect(403);
    }
    let refused = ask("carol", "carol", "of carol").await.expect(429);
    assert!(refused.body.contains("Try again in"), "{}", refused.body);
    three.carol.get("/hub/home").await.expect(200);
}
