//! Logging in and out: what is right, what is wrong, and what others try.

use sqlx::Row as _;

use reqwest::Method;

use crate::harness::{Behaviour, FakeSpawner, Reply, TestHub};

#[tokio::test]
async fn the_empty_password_lets_the_first_administrator_in() {
    let hub = TestHub::start().await;
    let browser = hub.browser();
    assert_eq!(browser.get("/").await.expect(302).location(), "/hub/");
    assert_eq!(
        browser.get("/hub/").await.expect(302).location(),
        "/hub/login?next=%2Fhub%2F"
    );
    let reply = browser.login("Admin", "").await.expect(303);
    assert_eq!(reply.location(), "/hub/home");
    let home = browser.get("/hub/home").await.expect(200);
    assert!(home.body.contains("no password"), "{}", home.body);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_user_read_the_same() {
    let hub = TestHub::start().await;
    let wrong = hub.browser().login("admin", "guess").await.expect(403);
    let unknown = hub.browser().login("nobody", "").await.expect(403);
    for reply in [&wrong, &unknown] {
        assert!(
            reply.body.contains("Invalid username or password"),
            "{}",
            reply.body
        );
    }
    assert!(
        wrong.body.contains("value=\"admin\""),
        "the name stays in the form"
    );
}

#[tokio::test]
async fn names_that_cannot_be_are_refused_with_a_reason() {
    let hub = TestHub::start().await;
    for (name, reason) in [
        ("", "enter a user name"),
        ("a/b", "not allowed"),
        (&"x".repeat(300), "too long"),
    ] {
        let reply = hub.browser().login(name, "").await.expect(400);
        assert!(reply.body.contains(reason), "{}", reply.body);
    }
}

#[tokio::test]
async fn a_form_of_a_megabyte_gets_a_page_and_leaves_the_hub_well() {
    let hub = TestHub::start().await;
    let browser = hub.browser();
    let reply = browser.login(&"x".repeat(1 << 20), "").await.expect(413);
    assert!(
        reply.body.contains("<html") && reply.body.contains("64 KiB"),
        "{}",
        reply.body
    );
    browser.login("admin", "").await.expect(303);
}

#[tokio::test]
async fn a_stale_form_comes_back_with_a_fresh_token_and_the_name() {
    let hub = TestHub::start().await;
    let browser = hub.browser();
    let stale = browser
        .post(
            "/hub/login",
            &[("username", "admin"), ("password", ""), ("_xsrf", "old")],
        )
        .await
        .expect(403);
    assert!(
        stale.body.contains("too old") && stale.body.contains("value=\"admin\""),
        "{}",
        stale.body
    );
    let xsrf = stale.hidden("_xsrf");
    browser
        .post(
            "/hub/login",
            &[("username", "admin"), ("password", ""), ("_xsrf", &xsrf)],
        )
        .await
        .expect(303);
}

#[tokio::test]
async fn a_form_of_another_browser_is_stale() {
    let hub = TestHub::start().await;
    let theirs = hub.browser().get("/hub/login").await.hidden("_xsrf");
    let browser = hub.browser();
    browser.get("/hub/login").await.expect(200);
    browser
        .post(
            "/hub/login",
            &[("username", "admin"), ("password", ""), ("_xsrf", &theirs)],
        )
        .await
        .expect(403);
}

#[tokio::test]
async fn the_form_shows_next_escaped() {
    let hub = TestHub::start().await;
    let page = hub
        .browser()
        .get("/hub/login?next=/%22%3E%3Cscript%3E")
        .await
        .expect(200);
    assert!(!page.body.contains("\"><script>"), "{}", page.body);
}

#[tokio::test]
async fn cookies_are_kept_from_scripts_and_other_sites() {
    let hub = TestHub::start().await;
    let reply = hub.browser().login("admin", "").await.expect(303);
    let login = reply.set_cookie("jupyterhub-hub-login");
    assert!(
        login.contains("; Path=/hub/; Max-Age=1209600; HttpOnly; SameSite=Lax"),
        "{login}"
    );
    assert!(!login.contains("Secure"), "this Hub speaks http: {login}");
    let session = reply.set_cookie("jupyterhub-session-id");
    assert!(session.contains("; Path=/; "), "{session}");
}

#[tokio::test]
async fn the_database_holds_no_secret_of_a_login() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let cookie = browser.cookie("/hub/", "jupyterhub-hub-login").unwrap();
    let mut database = hub.database().await;
    let row = sqlx::query("SELECT token_hash FROM sessions")
        .fetch_one(&mut database)
        .await
        .unwrap();
    let stored: String = row.get(0);
    assert_eq!(stored, carrel_hub::auth::secret::hash(&cookie));
    assert_ne!(stored, cookie);
}

#[tokio::test]
async fn a_forged_login_cookie_is_no_login() {
    let hub = TestHub::start().await;
    hub.admin().await;
    let forged = format!("jupyterhub-hub-login={}", "0".repeat(64));
    hub.browser()
        .get_with_cookie("/hub/home", &forged)
        .await
        .expect(302);
}

#[tokio::test]
async fn the_right_cookie_counts_beside_a_wrong_one_of_the_same_name() {
    let hub = TestHub::start().await;
    let right = hub
        .admin()
        .await
        .cookie("/hub/", "jupyterhub-hub-login")
        .unwrap();
    let both = format!("jupyterhub-hub-login=wrong; jupyterhub-hub-login={right}");
    hub.browser()
        .get_with_cookie("/hub/home", &both)
        .await
        .expect(200);
}

#[tokio::test]
async fn guessing_is_slowed_down_for_who_guesses() {
    let hub = TestHub::start().await;
    let mut last = None;
    for _ in 0..6 {
        last = Some(hub.browser().login("admin", "guess").await);
    }
    let last: Reply = last.unwrap();
    assert_eq!(last.status, 429, "{}", last.body);
    assert!(last.body.contains("Try again in"), "{}", last.body);
    hub.browser()
        .login("someone-else", "guess")
        .await
        .expect(403);
}

#[tokio::test]
async fn guesses_that_come_all_at_once_are_counted_too() {
    let hub = TestHub::start().await;
    let browser = hub.browser();
    let xsrf = browser.get("/hub/login").await.hidden("_xsrf");
    let fields = [
        ("username", "admin"),
        ("password", "guess"),
        ("_xsrf", xsrf.as_str()),
    ];
    let guesses = (0..20).map(|_| browser.post("/hub/login", &fields));
    let replies = futures_util::future::join_all(guesses).await;
    let looked_at = replies.iter().filter(|reply| reply.status == 403).count();
    assert_eq!(looked_at, 5);
    assert!(
        replies
            .iter()
            .all(|reply| reply.status == 403 || reply.status == 429)
    );
}

#[tokio::test]
async fn a_login_tab_that_was_left_open_goes_home() {
    let hub = TestHub::start().await;
    let browser = hub.browser();
    let old = browser.get("/hub/login").await.hidden("_xsrf");
    browser.login("admin", "").await.expect(303);
    let fields = [
        ("username", "admin"),
        ("password", ""),
        ("_xsrf", old.as_str()),
    ];
    assert_eq!(
        browser
            .post("/hub/login", &fields)
            .await
            .expect(303)
            .location(),
        "/hub/home"
    );
}

#[tokio::test]
async fn cookies_are_secure_behind_a_trusted_https_proxy_only() {
    let spawner = FakeSpawner::new(Behaviour::Answers);
    let loopback = "127.0.0.1/32".parse().unwrap();
    let hub = TestHub::configured(spawner.clone(), |config| {
        config.jupyter_hub.trusted_downstream_ips = vec![loopback];
    })
    .await;
    let distrustful = TestHub::configured(spawner, |_| {}).await;
    for (hub, secure) in [(&hub, true), (&distrustful, false)] {
        let request = hub
            .browser()
            .request(Method::GET, "/hub/login")
            .header("x-forwarded-proto", "https");
        let reply = Reply::of(request).await.expect(200);
        assert_eq!(
            reply
                .set_cookie("jupyterhub-hub-form")
                .ends_with("; Secure"),
            secure
        );
    }
}

#[tokio::test]
async fn a_form_sent_after_the_login_ended_leads_to_the_login_page() {
    let hub = TestHub::start().await;
    let reply = hub.browser().post("/hub/stop/admin", &[]).await.expect(302);
    assert_eq!(reply.location(), "/hub/login");
}

#[tokio::test]
async fn after_a_change_the_empty_password_is_of_no_use_and_other_logins_end() {
    let hub = TestHub::start().await;
    let (browser, other) = (hub.admin().await, hub.admin().await);
    let change = async |old: &str, new: &str, again: &str| {
        let fields = [
            ("old_password", old),
            ("new_password", new),
            ("new_password_confirmation", again),
        ];
        browser
            .submit("/hub/change-password", "/hub/change-password", &fields)
            .await
    };
    change("", "short", "short").await.expect(400);
    change("", "long enough", "another one").await.expect(400);
    change("", "long enough", "long enough").await.expect(200);
    assert!(
        !browser
            .get("/hub/home")
            .await
            .expect(200)
            .body
            .contains("no password")
    );
    other.get("/hub/home").await.expect(302);
    hub.browser().login("admin", "").await.expect(403);
    hub.browser()
        .login("admin", "long enough")
        .await
        .expect(303);
    change("wrong", "another one", "another one")
        .await
        .expect(403);
}

#[tokio::test]
async fn logging_out_ends_the_login_everywhere_it_was_copied_to() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let cookie = browser.cookie("/hub/", "jupyterhub-hub-login").unwrap();
    assert!(
        browser
            .get("/hub/logout")
            .await
            .expect(200)
            .body
            .contains("logged out")
    );
    hub.browser()
        .get_with_cookie("/hub/home", &format!("jupyterhub-hub-login={cookie}"))
        .await
        .expect(302);
    browser.get("/hub/home").await.expect(302);
}
