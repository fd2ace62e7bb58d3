//! Codes of shares: the page on which one is accepted, how long it lasts, and what hostile sites and names do to it.

use reqwest::Method;
use serde_json::json;
use tracing::Level;

use crate::harness::three::{Three, call, get, post, scopes_of, user};
use crate::harness::{Browser, Log, Reply, TestHub};

const SHARED: [&str; 1] = ["access:servers!server=bob/gpu"];

/// A code for bob's `gpu`.
pub async fn code(three: &Three) -> String {
    let made = post(&three.admin, "/share-codes/bob/gpu", json!({})).await;
    let made = made.expect(200).json();
    let code = made["code"].as_str().unwrap().to_owned();
    assert_eq!(made["accept_url"], page(&code));
    code
}

pub fn page(code: &str) -> String {
    format!("/hub/accept-share?code={code}")
}

pub async fn accept(browser: &Browser, code: &str) -> Reply {
    let fields = [("code", code)];
    browser
        .submit(&page(code), "/hub/accept-share", &fields)
        .await
}

/// Moves the end of all codes into the past.
async fn end_codes(hub: &TestHub) {
    let mut database = hub.database().await;
    sqlx::raw_sql("UPDATE share_codes SET expires = 1000")
        .execute(&mut database)
        .await
        .unwrap();
}

#[tokio::test]
async fn the_page_says_what_is_offered_and_accepting_leads_to_the_server() {
    let three = Three::meet().await;
    let carol = &three.carol;
    let code = code(&three).await;
    let shown = carol.get(&page(&code)).await.expect(200);
    for part in [
        "bob",
        "<strong>gpu</strong>",
        "/user/bob/gpu/",
        "Use servers",
        "not running",
    ] {
        assert!(shown.body.contains(part), "{part} in {}", shown.body);
    }
    assert!(shown.body.contains("ask bob to start it"));
    assert_eq!(shown.header("cache-control"), "no-store");
    assert!(
        scopes_of(carol, "bob").await.is_empty(),
        "nothing is accepted by looking"
    );
    let accepted = accept(carol, &code).await.expect(303);
    assert_eq!(accepted.location(), "/user/bob/gpu/");
    assert_eq!(scopes_of(carol, "bob").await, SHARED);
    let shared = get(carol, "/users/carol/shared/bob/gpu").await;
    assert_eq!(shared.expect(200).json()["kind"], "user");
    let more = json!({ "scopes": ["servers", "access:servers"] });
    let made = post(&three.admin, "/share-codes/bob/gpu", more).await;
    let made = made.expect(200).json();
    let more = carol.get(made["accept_url"].as_str().unwrap()).await;
    let more = more.expect(200).body;
    assert!(more.contains("you can start it"), "{more}");
}

#[tokio::test]
async fn a_code_is_told_once_and_serves_until_its_end() {
    let log = Log::of("carrel_hub", Level::TRACE);
    let three = Three::meet().await;
    let code = code(&three).await;
    let dave = user(&three.hub, "dave").await;
    for browser in [&three.carol, &three.carol, &dave] {
        accept(browser, &code).await.expect(303);
    }
    assert_eq!(three.count("shares").await, 2);
    let listed = get(&three.bob, "/share-codes/bob/gpu").await.expect(200);
    let item = &listed.json()["items"][0];
    assert_eq!(item["exchange_count"], 3);
    assert!(item["last_exchanged_at"].is_string() && item.get("code").is_none());
    assert!(!listed.body.contains(&code));
    end_codes(&three.hub).await;
    for browser in [&three.carol, &dave] {
        let page = browser.get(&page(&code)).await.expect(404);
        assert!(page.body.contains("it has ended"), "{}", page.body);
        let xsrf = browser.cookie("/hub/", "_xsrf").unwrap();
        let fields = [("code", code.as_str()), ("_xsrf", &xsrf)];
        browser.post("/hub/accept-share", &fields).await.expect(404);
    }
    let listed = get(&three.bob, "/share-codes/bob/gpu").await.expect(200);
    assert_eq!(listed.json()["items"], json!([]));
    three.hub.app.db.purge_expired().await.unwrap();
    assert_eq!(three.count("share_codes").await, 0);
    // What was accepted by it stays.
    assert_eq!(scopes_of(&dave, "bob").await, SHARED);
    let log = log.text();
    assert!(
        log.contains("accepted") && log.contains("accept-share"),
        "{log}"
    );
    assert!(!log.contains(&code), "{log}");
}

#[tokio::test]
async fn a_code_is_deleted_by_itself_or_by_its_id() {
    let three = Three::meet().await;
    let delete = async |query: &str| {
        let path = format!("/share-codes/bob/gpu?{query}");
        call(&three.admin, Method::DELETE, &path, None).await.status
    };
    let codes = [code(&three).await, code(&three).await, code(&three).await];
    let listed = get(&three.admin, "/share-codes/bob").await.json();
    let id = listed["items"][1]["id"].as_str().unwrap();
    let elsewhere = format!("/share-codes/carol/?id={id}");
    call(&three.admin, Method::DELETE, &elsewhere, None)
        .await
        .expect(404);
    assert_eq!(delete(&format!("code={}", codes[0])).await, 204);
    assert_eq!(delete(&format!("code={}", codes[0])).await, 404);
    assert_eq!(delete(&format!("id={id}")).await, 204);
    for wrong in [
        "id=1",
        "id=sc_x",
        "id=sc_1",
        "code=x",
        &format!("code={}", "x".repeat(5000)),
    ] {
        assert_eq!(delete(wrong).await, 404, "{wrong}");
    }
    assert_eq!(three.count("share_codes").await, 1);
    three.carol.get(&page(&codes[0])).await.expect(404);
    three.carol.get(&page(&codes[1])).await.expect(404);
    accept(&three.carol, &codes[2]).await.expect(303);
    assert_eq!(delete("").await, 204);
    assert_eq!(three.count("share_codes").await, 0);
}

#[tokio::test]
async fn wrong_codes_and_one_s_own_are_refused() {
    let three = Three::meet().await;
    let code = code(&three).await;
    for wrong in ["", "x", &code[1..], &"x".repeat(5000)] {
        three.carol.get(&page(wrong)).await.expect(404);
    }
    three.carol.get("/hub/accept-share").await.expect(404);
    let own = three.bob.get(&page(&code)).await.expect(403);
    assert!(own.body.contains("your own server"), "{}", own.body);
    // Who is not logged in comes back to the offer after the login.
    let login = three.hub.browser().get(&page(&code)).await.expect(302);
    let next = format!("/hub/login?next=%2Fhub%2Faccept-share%3Fcode%3D{code}");
    assert_eq!(login.location(), next);
}

#[tokio::test]
async fn accepting_leads_to_this_host_alone() {
    let three = Three::meet().await;
    let code = code(&three).await;
    for (next, want) in [
        (
            "%2Fuser%2Fbob%2Fgpu%2Flab%2Ftree%2Fa.ipynb",
            "/user/bob/gpu/lab/tree/a.ipynb",
        ),
        ("https%3A%2F%2Fevil.example%2F", "/user/bob/gpu/"),
        ("%2F%2Fevil.example%2F", "/user/bob/gpu/"),
        ("%2F%5Cevil.example%2F", "/user/bob/gpu/"),
        ("javascript%3Aalert%281%29", "/user/bob/gpu/"),
        ("", "/user/bob/gpu/"),
    ] {
        let shown = three
            .carol
            .get(&format!("{}&next={next}", page(&code)))
            .await
            .expect(200);
        assert!(
            shown.body.contains(&format!("<code>{want}</code>")),
            "{}",
            shown.body
        );
        let xsrf = shown.hidden("_xsrf");
        let fields = [("code", code.as_str()), ("_xsrf", &xsrf)];
        let action = format!("/hub/accept-share?next={next}");
        let accepted = three.carol.post(&action, &fields).await.expect(303);
        assert_eq!(accepted.location(), want, "{next}");
    }
}
