//! Logging in by the Hub, and what a session is worth.

use std::time::Duration;

use carrel_tests::wait_for;
use reqwest::redirect::Policy;

use crate::fake::Fake;
use crate::fixtures;
use crate::site::{BASE, Site};

fn no_redirects() -> reqwest::Client {
    reqwest::Client::builder()
        .redirect(Policy::none())
        .build()
        .unwrap()
}

fn location(reply: &reqwest::Response) -> String {
    reply.headers()["location"].to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_visitor_logs_in_at_the_hub_and_comes_back_to_the_page_they_asked_for() {
    let fake = Fake::default();
    fixtures::fill(&fake);
    fixtures::allow(&fake, "ada");
    let site = Site::with(&fake).await;
    let client = no_redirects();
    let page = format!("{}{BASE}tfjobs/ui/?state=Running", site.hub.url(""));
    let reply = client.get(&page).send().await.unwrap();
    let login = location(&reply);
    assert_eq!(
        login,
        format!("{BASE}login?next=%2Fservices%2Fdashboard%2Ftfjobs%2Fui%2F%3Fstate%3DRunning")
    );
    let reply = client.get(site.hub.url(&login)).send().await.unwrap();
    let there = location(&reply);
    for part in [
        "/hub/api/oauth2/authorize?",
        "client_id=service-dashboard",
        "code_challenge=",
        "state=",
    ] {
        assert!(there.contains(part), "{there}");
    }
    let cookie = reply.headers()["set-cookie"].to_str().unwrap();
    assert!(
        cookie.contains("HttpOnly; SameSite=Lax") && cookie.contains(&format!("Path={BASE}")),
        "{cookie}"
    );
    assert!(!cookie.contains("Secure"), "{cookie}");
    let secure = client.get(site.hub.url(&login).replace(
        &site.hub.url(""),
        &format!("http://127.0.0.1:{}", site.port),
    ));
    let secure = secure
        .header("x-forwarded-proto", "https")
        .send()
        .await
        .unwrap();
    assert!(
        secure.headers()["set-cookie"]
            .to_str()
            .unwrap()
            .ends_with("; Secure")
    );

    let ada = site.person("ada").await;
    let seen = ada
        .get("tfjobs/ui/?state=Running")
        .await
        .expect(200)
        .says("distributed-mnist");
    assert!(
        seen.url.ends_with("tfjobs/ui/?state=Running"),
        "{}",
        seen.url
    );
    let cookies = ada.0.cookies(BASE).unwrap();
    assert!(
        cookies.contains("carrel-dashboard=") && !cookies.contains("carrel-dashboard-login"),
        "{cookies}"
    );
}

#[tokio::test]
async fn a_login_that_this_browser_did_not_begin_is_none() {
    let site = Site::with(&Fake::default()).await;
    let client = no_redirects();
    let at = |path: &str| format!("http://127.0.0.1:{}{BASE}{path}", site.port);
    for path in [
        "oauth_callback?code=x&state=y",
        "oauth_callback?code=x",
        "oauth_callback",
    ] {
        let reply = client.get(at(path)).send().await.unwrap();
        assert_eq!(reply.status(), 400, "{path}");
    }
    let begun = client
        .get(at("login?next=https://evil.example.org/"))
        .send()
        .await
        .unwrap();
    let cookie = begun.headers()["set-cookie"].to_str().unwrap();
    let (cookie, _) = cookie.split_once(';').unwrap();
    // Nothing of the other place is kept.
    assert!(cookie.ends_with('.'), "{cookie}");
    let state = cookie
        .split_once('=')
        .unwrap()
        .1
        .split('.')
        .next()
        .unwrap()
        .to_owned();
    let with = async |path: String| {
        let reply = client
            .get(at(&path))
            .header("cookie", cookie)
            .send()
            .await
            .unwrap();
        (reply.status().as_u16(), reply.text().await.unwrap())
    };
    let (status, text) = with(format!("oauth_callback?code=wrong&state={state}")).await;
    assert_eq!(status, 403, "{text}");
    assert!(text.contains("does not know this login"), "{text}");
    let (status, text) = with(format!("oauth_callback?error=access_denied&state={state}")).await;
    assert!(status == 403 && text.contains("access_denied"), "{text}");
    assert_eq!(
        with(format!("oauth_callback?code=x&state={state}x"))
            .await
            .0,
        400
    );
}

#[tokio::test]
async fn who_may_not_use_the_service_is_turned_away() {
    let site = Site::with(&Fake::default()).await;
    let mallory = site.person("mallory").await;
    mallory.get("").await.expect(403);
}

#[tokio::test]
async fn a_logout_ends_the_session_here_and_one_at_the_hub_too() {
    let fake = Fake::default();
    fixtures::fill(&fake);
    fixtures::allow(&fake, "ada");
    let site = Site::with(&fake).await;
    let ada = site.person("ada").await;
    ada.get("").await.expect(200).says("Hello, ada");
    let cookies = ada.0.cookies(BASE).unwrap();
    ada.send("", "logout", &[])
        .await
        .expect(200)
        .says("Logged out");
    let stolen = |cookies: String| async {
        let client = no_redirects();
        let url = format!("http://127.0.0.1:{}{BASE}", site.port);
        client
            .get(url)
            .header("cookie", cookies)
            .send()
            .await
            .unwrap()
            .status()
            .as_u16()
    };
    assert_eq!(stolen(cookies).await, 303);

    ada.get("").await.expect(200);
    let cookies = ada.0.cookies(BASE).unwrap();
    assert_eq!(stolen(cookies.clone()).await, 200);
    ada.0.get("/hub/logout").await.unwrap();
    // The Hub's word holds for ten seconds.
    wait_for(
        "the end of the session",
        Duration::from_secs(30),
        || async { (stolen(cookies.clone()).await == 303).then_some(()) },
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn no_page_and_no_log_shows_a_token_and_every_answer_is_guarded() {
    let fake = Fake::default();
    fixtures::fill(&fake);
    fixtures::allow(&fake, "ada");
    let site = Site::with(&fake).await;
    let ada = site.person("ada").await;
    let page = ada.get("").await.expect(200);
    assert!(!page.text.contains("style=") && !page.text.contains("<script>"));
    let reply = ada.0.get(BASE).await.unwrap();
    let headers = reply.headers().clone();
    let policy = headers["content-security-policy"].to_str().unwrap();
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert_eq!(headers["x-content-type-options"], "nosniff");
    assert_eq!(headers["cache-control"], "no-store");
    let cookies = ada.0.cookies(BASE).unwrap();
    for cookie in cookies
        .split("; ")
        .filter(|cookie| cookie.starts_with("carrel-dashboard"))
    {
        let value = cookie.split_once('=').unwrap().1;
        assert!(!site.hub.log().contains(value));
    }
    let log = site.hub.log();
    assert!(log.contains("ada has logged in"), "{log}");
    for word in ["code=", "access_token", "code_verifier", "client_secret"] {
        assert!(!log.contains(word), "{word}: {log}");
    }
}

/// The walkthrough's addresses, at the dashboard's own port, lead to where its pages are.
#[tokio::test]
async fn addresses_of_the_walkthrough_lead_to_the_base() {
    let site = Site::with(&Fake::default()).await;
    let client = no_redirects();
    for (asked, there) in [
        ("/", ""),
        ("/tfjobs/ui/", "tfjobs/ui/"),
        ("/tfjobs", "tfjobs/ui/"),
        ("/tfjobs/ui/tfjob/lab/x/", "tfjobs/ui/tfjob/lab/x/"),
        ("/services/dashboard", ""),
        ("/services/dashboard/tfjobs", "tfjobs/ui/"),
    ] {
        let url = format!("http://127.0.0.1:{}{asked}", site.port);
        let reply = client.get(url).send().await.unwrap();
        assert_eq!(location(&reply), format!("{BASE}{there}"), "{asked}");
    }
    for nowhere in [
        "/elsewhere",
        "/services/dashboard/elsewhere",
        "/tfjobs/api/tfjob",
    ] {
        let url = format!("http://127.0.0.1:{}{nowhere}", site.port);
        let reply = client.get(url).send().await.unwrap();
        assert_eq!(reply.status(), 404, "{nowhere}");
    }
}

#[tokio::test]
async fn the_overview_shows_a_server_that_starts() {
    let fake = Fake::default();
    fixtures::fill(&fake);
    let site = Site::with(&fake).await;
    let ada = site.person("ada").await;
    ada.get("").await.expect(200).says("None is running");
    // It never answers.
    ada.0.submit("/hub/spawn", "/hub/spawn", &[]).await.unwrap();
    wait_for("the server", Duration::from_secs(30), || async {
        let page = ada.get("").await;
        (page.text.contains("My server") && page.text.contains("Starting")).then_some(())
    })
    .await
    .unwrap();
}
