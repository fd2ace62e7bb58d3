//! The dance of a single-user server with the Hub, step by step and step by wrong step.

use reqwest::Method;
use serde_json::json;

use crate::harness::{Browser, Reply, TestHub, wait_for};

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const AUTHORIZE: &[(&str, &str)] = &[
    ("client_id", "jupyterhub-user-admin"),
    ("redirect_uri", "/user/admin/oauth_callback"),
    ("response_type", "code"),
    ("state", "a state"),
    ("code_challenge", CHALLENGE),
    ("code_challenge_method", "S256"),
];

/// A Hub with the server of `admin` running, and the browser of `admin`.
pub async fn with_server() -> (TestHub, Browser) {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    browser.spawn().await.expect(303);
    wait_for("the server", || async {
        (browser.get("/hub/spawn-pending/admin").await.location() == "/user/admin/").then_some(())
    })
    .await;
    (hub, browser)
}

fn url(changes: &[(&str, &str)]) -> String {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (name, value) in AUTHORIZE {
        match changes.iter().find(|(changed, _)| changed == name) {
            Some((_, "")) => {}
            Some((_, changed)) => drop(query.append_pair(name, changed)),
            None => drop(query.append_pair(name, value)),
        }
    }
    format!("/hub/api/oauth2/authorize?{}", query.finish())
}

fn argument(location: &str, name: &str) -> Option<String> {
    let (_, query) = location.split_once('?')?;
    url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == name)
        .map(|(_, value)| value.into_owned())
}

pub async fn code(browser: &Browser) -> String {
    let reply = browser.get(&url(&[])).await.expect(303);
    assert!(
        reply.location().starts_with("/user/admin/oauth_callback?"),
        "{}",
        reply.location()
    );
    assert_eq!(
        argument(reply.location(), "state").as_deref(),
        Some("a state")
    );
    argument(reply.location(), "code").unwrap()
}

pub async fn exchange(hub: &TestHub, code: &str, changes: &[(&str, &str)]) -> Reply {
    let secret = hub.spawner.variable("JUPYTERHUB_API_TOKEN");
    let form = [
        ("client_id", "jupyterhub-user-admin"),
        ("client_secret", &secret),
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", "/user/admin/oauth_callback"),
        ("code_verifier", VERIFIER),
    ];
    let form = form.map(|(name, value)| {
        changes
            .iter()
            .find(|(changed, _)| *changed == name)
            .copied()
            .unwrap_or((name, value))
    });
    hub.browser().post("/hub/api/oauth2/token", &form).await
}

#[tokio::test]
async fn a_visitor_becomes_known_to_their_server() {
    let (hub, browser) = with_server().await;
    let reply = exchange(&hub, &code(&browser).await, &[]).await.expect(200);
    assert_eq!(reply.json()["token_type"], "Bearer");
    let token = reply.json()["access_token"].as_str().unwrap().to_owned();
    let user = hub
        .browser()
        .api(Method::GET, "/user", &token, None)
        .await
        .expect(200)
        .json();
    assert_eq!(user["name"], "admin");
    assert_eq!(user["kind"], "user");
    let session = browser.cookie("/", "jupyterhub-session-id").unwrap();
    assert_eq!(user["session_id"], session.as_str());
    let scopes = json!([
        "access:servers!server=admin/",
        "read:users:groups!user=admin",
        "read:users:name!user=admin"
    ]);
    assert_eq!(user["scopes"], scopes);
}

#[tokio::test]
async fn who_is_not_logged_in_comes_back_after_the_login() {
    let (hub, _) = with_server().await;
    let reply = hub.browser().get(&url(&[])).await.expect(302);
    assert_eq!(
        argument(reply.location(), "next").as_deref(),
        Some(url(&[]).as_str())
    );
}

#[tokio::test]
async fn a_code_works_once() {
    let (hub, browser) = with_server().await;
    let code = code(&browser).await;
    let given = exchange(&hub, &code, &[]).await.expect(200);
    let other = exchange(&hub, &self::code(&browser).await, &[])
        .await
        .expect(200);
    let works = async |reply: &Reply| {
        let token = reply.json()["access_token"].as_str().unwrap().to_owned();
        browser.api(Method::GET, "/user", &token, None).await.status == 200
    };
    assert!(works(&given).await);
    let again = exchange(&hub, &code, &[]).await.expect(400);
    assert_eq!(again.json()["error"], "invalid_grant");
    // One of the two has stolen it: what the first was given is of no use now (RFC 9700, 2.1.1).
    assert!(!works(&given).await);
    assert!(works(&other).await);
    exchange(&hub, &code, &[]).await.expect(400);
}

/// Asks for a token with HTTP Basic and these fields beside the usual ones.
async fn exchange_with_basic(
    hub: &TestHub,
    code: &str,
    basic: &str,
    more: &[(&str, &str)],
) -> Reply {
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code),
        ("redirect_uri", "/user/admin/oauth_callback"),
        ("code_verifier", VERIFIER),
    ];
    let form: Vec<_> = form.iter().chain(more).collect();
    let request = hub.browser().request(Method::POST, "/hub/api/oauth2/token");
    Reply::of(request.header("authorization", basic).form(&form)).await
}

#[tokio::test]
async fn a_client_may_authenticate_with_http_basic() {
    let (hub, browser) = with_server().await;
    let secret = hub.spawner.variable("JUPYTERHUB_API_TOKEN");
    let basic = |id: &str, secret: &str| {
        let pair = format!("{id}:{secret}");
        format!(
            "Basic {}",
            base64::Engine::encode(&base64::prelude::BASE64_STANDARD, pair)
        )
    };
    let right = basic("jupyterhub-user-admin", &secret);
    let code = code(&browser).await;
    for wrong in [
        basic("jupyterhub-user-admin", "guess"),
        basic("jupyterhub-user-bob", &secret),
        basic("jupyterhub-user-admin", ""),
    ] {
        let reply = exchange_with_basic(&hub, &code, &wrong, &[])
            .await
            .expect(401);
        assert_eq!(reply.json()["error"], "invalid_client");
        assert!(reply.header("www-authenticate").starts_with("Basic "));
    }
    let twice = [("client_secret", secret.as_str())];
    let other = [("client_id", "jupyterhub-user-bob")];
    for (header, more) in [
        (right.as_str(), &twice[..]),
        (&right, &other),
        ("Basic !", &[]),
        ("Basic", &[]),
    ] {
        let reply = exchange_with_basic(&hub, &code, header, more)
            .await
            .expect(400);
        assert_eq!(
            reply.json()["error"],
            "invalid_request",
            "{header} {more:?}"
        );
    }
    // What is of no scheme that a client authenticates by says nothing: JupyterHub's own client sends its API token.
    for header in ["token x", "Bearer x"] {
        let reply = exchange_with_basic(&hub, &code, header, &[]).await;
        assert_eq!(reply.expect(401).json()["error"], "invalid_client");
    }
    let same = [("client_id", "jupyterhub-user-admin")];
    // Both parts are form-encoded first (RFC 6749, 2.3.1).
    let encoded = basic("jupyterhub%2Duser%2dadmin", &secret);
    exchange_with_basic(&hub, &code, &encoded, &same)
        .await
        .expect(200);
}

#[tokio::test]
async fn an_exchange_with_anything_wrong_spends_the_code() {
    let (hub, browser) = with_server().await;
    let wrong = [
        (
            "code_verifier",
            "A-verifier-that-is-long-enough-and-still-wrong-000",
        ),
        ("code_verifier", ""),
        ("redirect_uri", "/user/bob/oauth_callback"),
    ];
    for change in wrong {
        let code = code(&browser).await;
        let reply = exchange(&hub, &code, &[change]).await.expect(400);
        assert_eq!(reply.json()["error"], "invalid_grant", "{change:?}");
        exchange(&hub, &code, &[]).await.expect(400);
    }
}

#[tokio::test]
async fn only_the_server_itself_may_exchange() {
    let (hub, browser) = with_server().await;
    let code = code(&browser).await;
    for change in [
        ("client_secret", "guess"),
        ("client_secret", ""),
        ("client_id", "jupyterhub-user-bob"),
    ] {
        let reply = exchange(&hub, &code, &[change]).await.expect(401);
        assert_eq!(reply.json()["error"], "invalid_client", "{change:?}");
    }
    let reply = exchange(&hub, &code, &[("grant_type", "password")])
        .await
        .expect(400);
    assert_eq!(reply.json()["error"], "unsupported_grant_type");
    exchange(&hub, &code, &[]).await.expect(200);
}

#[tokio::test]
async fn a_verifier_without_a_challenge_is_refused() {
    let (hub, browser) = with_server().await;
    let get_code = async || {
        let reply = browser
            .get(&url(&[
                ("code_challenge", ""),
                ("code_challenge_method", ""),
            ]))
            .await
            .expect(303);
        argument(reply.location(), "code").unwrap()
    };
    exchange(&hub, &get_code().await, &[]).await.expect(400);
    exchange(&hub, &get_code().await, &[("code_verifier", "")])
        .await
        .expect(200);
}

#[tokio::test]
async fn errors_go_to_the_server_only_if_it_is_the_registered_one() {
    let (_hub, browser) = with_server().await;
    for change in [
        ("redirect_uri", "https://evil.example/"),
        ("redirect_uri", ""),
        ("client_id", "unknown"),
    ] {
        let reply = browser.get(&url(&[change])).await.expect(400);
        assert!(
            reply.body.contains("<html"),
            "a page for a person: {}",
            reply.body
        );
    }
    for change in [
        ("code_challenge_method", "plain"),
        ("code_challenge_method", ""),
        ("code_challenge", "short"),
    ] {
        let reply = browser.get(&url(&[change])).await.expect(303);
        assert_eq!(
            argument(reply.location(), "error").as_deref(),
            Some("invalid_request"),
            "{change:?}"
        );
        assert_eq!(
            argument(reply.location(), "state").as_deref(),
            Some("a state")
        );
    }
    let reply = browser
        .get(&url(&[("response_type", "token")]))
        .await
        .expect(303);
    assert_eq!(
        argument(reply.location(), "error").as_deref(),
        Some("unsupported_response_type")
    );
}

#[tokio::test]
async fn tokens_of_a_server_end_with_it() {
    let (hub, browser) = with_server().await;
    let reply = exchange(&hub, &code(&browser).await, &[]).await.expect(200);
    let token = reply.json()["access_token"].as_str().unwrap().to_owned();
    let own = hub.spawner.variable("JUPYTERHUB_API_TOKEN");
    browser
        .submit("/hub/home", "/hub/stop/admin", &[])
        .await
        .expect(303);
    wait_for("the stop", || async {
        (hub.spawner.running() == 0).then_some(())
    })
    .await;
    wait_for("the tokens to end", || async {
        let (a, b) = (
            browser.api(Method::GET, "/user", &token, None).await,
            browser.api(Method::GET, "/user", &own, None).await,
        );
        (a.status == 403 && b.status == 403).then_some(())
    })
    .await;
}
