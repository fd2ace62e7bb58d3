//! What surrounds every page: headers, errors, static files, addresses that lead on.

use reqwest::Method;

use crate::harness::{Reply, TestHub, Traced};

#[tokio::test]
async fn errors_are_pages_for_people_and_json_for_programs() {
    let hub = TestHub::start().await;
    let browser = hub.browser();
    let page = browser.get("/hub/no-such-page").await.expect(404);
    assert!(
        page.body.contains("<html") && page.header("content-type").starts_with("text/html"),
        "{}",
        page.body
    );
    let json = browser.get("/hub/api/no-such-thing").await.expect(404);
    assert_eq!(json.json()["status"], 404);
    browser.post("/hub/home", &[]).await.expect(405);
    assert!(
        browser
            .get("/hub/error/503?url=%2Fx")
            .await
            .expect(503)
            .body
            .contains("does not answer")
    );
    browser.get("/hub/error/99999").await.expect(400);
}

#[tokio::test]
async fn every_answer_has_the_headers_of_the_contract() {
    let hub = TestHub::start().await;
    for path in ["/hub/login", "/hub/api", "/hub/no-such-page", "/hub/health"] {
        let reply = hub.browser().get(path).await;
        assert_eq!(reply.header("x-jupyterhub-version"), "6.1.1", "{path}");
        let policy = reply.header("content-security-policy");
        assert!(
            policy.contains("frame-ancestors 'none'")
                && policy.contains("report-uri /hub/security/csp-report"),
            "{path}: {policy}"
        );
    }
}

#[tokio::test]
async fn paths_outside_the_hub_lead_into_it() {
    let hub = TestHub::start().await;
    let table = [
        ("/", "/hub/"),
        ("/home?x=1", "/hub/home?x=1"),
        ("//evil.example/", "/hub/evil.example/"),
    ];
    for (path, want) in table {
        assert_eq!(hub.browser().get(path).await.expect(302).location(), want);
    }
}

#[tokio::test]
async fn user_redirect_leads_to_ones_own_server() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let reply = browser
        .get("/hub/user-redirect/lab/tree/a.ipynb?x=1")
        .await
        .expect(303);
    assert_eq!(
        reply.location(),
        "/hub/spawn/admin?next=%2Fuser%2Fadmin%2Flab%2Ftree%2Fa.ipynb%3Fx%3D1"
    );
}

#[tokio::test]
async fn the_files_of_the_pages_are_served() {
    let hub = TestHub::start().await;
    let browser = hub.browser();
    let logo = browser.get("/hub/logo").await.expect(303);
    assert_eq!(
        browser
            .get(logo.location())
            .await
            .expect(200)
            .header("content-type"),
        "image/svg+xml"
    );
    browser.get("/hub/static/no-such.css").await.expect(404);
    browser
        .get("/hub/static/..%2f..%2fhub.sqlite")
        .await
        .expect(404);
}

#[tokio::test]
async fn a_second_tab_needs_no_second_login() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    assert_eq!(
        browser.get("/hub/login").await.expect(303).location(),
        "/hub/home"
    );
}

#[tokio::test]
async fn an_address_that_does_not_read_gets_a_page_or_json_too() {
    let hub = TestHub::start().await;
    let page = hub.browser().get("/hub/error/abc").await.expect(400);
    assert!(page.body.contains("<html"), "{}", page.body);
    let json = hub.browser().get("/hub/api/users/%ff").await.expect(400);
    assert_eq!(json.json()["status"], 400);
    assert_eq!(json.header("content-type"), "application/json");
}

#[tokio::test]
async fn a_flood_of_reports_of_browsers_is_not_one_of_the_log() {
    let warnings = Traced::listen("carrel_hub::pages::errors", tracing::Level::WARN);
    let hub = TestHub::start().await;
    let browser = hub.browser();
    for number in 0..30 {
        let request = browser.request(Method::POST, "/hub/security/csp-report");
        let report = format!("report {number}\n{}", "x".repeat(1000));
        Reply::of(request.body(report)).await.expect(204);
    }
    let told = warnings.all();
    assert_eq!(told.len(), 10, "{told:?}");
    let short = |line: &String| line.len() < 400 && !line.contains('\n');
    assert!(told.iter().all(short), "{told:?}");
}
