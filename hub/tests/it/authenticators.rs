//! Authenticators that need nobody else: the dummy, a header of a proxy, and the rules that hold for all.

use reqwest::Method;

use crate::harness::{Browser, Reply, TestHub};

#[tokio::test]
async fn the_dummy_lets_in_whom_the_configuration_names() {
    let hub = TestHub::of_file(
        "JupyterHub: {authenticator_class: dummy}\n\
         DummyAuthenticator: {allowed_users: [ada], admin_users: [root], password: open sesame}\n\
         Authenticator: {allowed_users: [overruled], blocked_users: [eve]}\n",
    )
    .await;
    let login = async |user: &str, password: &str| hub.browser().login(user, password).await;
    login("Ada", "open sesame").await.expect(303);
    login("root", "open sesame").await.expect(303);
    login("ada", "guess").await.expect(403);
    for name in ["overruled", "eve", "admin"] {
        let refused = login(name, "open sesame").await.expect(403);
        assert!(refused.body.contains("Invalid username or password"));
        assert!(hub.app.db.user(name).await.unwrap().is_none(), "{name}");
    }
    let user = async |name: &str| hub.app.db.user(name).await.unwrap().unwrap();
    assert!(user("root").await.admin && !user("ada").await.admin);
    // There is no empty password of a first administrator, and nothing to change.
    login("root", "").await.expect(403);
    let ada = hub.browser();
    ada.login("ada", "open sesame").await.expect(303);
    ada.get("/hub/change-password").await.expect(404);
}

#[tokio::test]
async fn names_are_mapped_before_they_are_let_in() {
    let hub = TestHub::of_file(
        "JupyterHub: {authenticator_class: jupyterhub.auth.DummyAuthenticator}\n\
         Authenticator: {username_map: {A.Lovelace: ada}, allowed_users: [ada]}\n",
    )
    .await;
    let browser = hub.browser();
    browser.login("a.lovelace", "").await.expect(303);
    let home = browser.get("/hub/home").await.expect(200);
    assert!(home.body.contains(">ada<"), "{}", home.body);
    hub.browser().login("b.lovelace", "").await.expect(403);
}

#[tokio::test]
async fn who_has_an_account_is_let_in_where_the_file_says_so() {
    let hub = TestHub::of_file(
        "JupyterHub: {authenticator_class: dummy, load_groups: {staff: [ada]}}\n\
         Authenticator: {allow_existing_users: true}\n",
    )
    .await;
    hub.browser().login("ada", "").await.expect(303);
    hub.browser().login("bob", "").await.expect(403);
}

/// A Hub behind a proxy of this machine.
const PROXIED: &str = "JupyterHub: {authenticator_class: remote-user}\n\
    RemoteUserAuthenticator:\n  {header_name: X-User, groups_header: X-Groups, networks: [127.0.0.1], \
    allow_all: true, blocked_users: [eve], manage_groups: true}\n";

async fn log_in(browser: &Browser, headers: &[(&str, &str)]) -> Reply {
    let mut request = browser.request(Method::GET, "/hub/login?next=/hub/token");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Reply::of(request).await
}

#[tokio::test]
async fn a_proxy_says_who_somebody_is() {
    let hub = TestHub::of_file(PROXIED).await;
    let browser = hub.browser();
    let headers = [("x-user", "Ada"), ("x-groups", "staff, ,lab")];
    let reply = log_in(&browser, &headers).await.expect(303);
    assert_eq!(reply.location(), "/hub/token");
    browser.get("/hub/home").await.expect(200);
    let groups = async || {
        let ada = hub.app.db.user("ada").await.unwrap().unwrap();
        hub.app.db.groups_of(ada.id).await.unwrap()
    };
    assert_eq!(groups().await, ["lab", "staff"]);
    // The next login tells them anew.
    let headers = [("x-user", "ada"), ("x-groups", "lab")];
    log_in(&hub.browser(), &headers).await.expect(303);
    assert_eq!(groups().await, ["lab"]);
    log_in(&hub.browser(), &[("x-user", "eve")])
        .await
        .expect(403);
}

#[tokio::test]
async fn a_header_counts_once_and_at_the_login_alone() {
    let hub = TestHub::of_file(PROXIED).await;
    let browser = hub.browser();
    for headers in [
        &[][..],
        &[("x-user", "")],
        &[("x-user", "ada"), ("x-user", "root")],
    ] {
        log_in(&browser, headers).await.expect(401);
    }
    let request = browser
        .request(Method::GET, "/hub/home")
        .header("x-user", "ada");
    Reply::of(request).await.expect(302);
    let request = browser
        .request(Method::GET, "/hub/api/user")
        .header("x-user", "ada");
    Reply::of(request).await.expect(403);
    browser
        .post("/hub/login", &[("username", "ada")])
        .await
        .expect(403);
}

#[tokio::test]
async fn the_header_of_a_stranger_is_passed_over() {
    let text = PROXIED.replace("127.0.0.1", "192.0.2.0/24");
    // Who is believed about addresses is not believed about names.
    let text = text.replace(
        "remote-user}",
        "remote-user, trusted_downstream_ips: [127.0.0.1]}",
    );
    let hub = TestHub::of_file(&text).await;
    let headers = [("x-user", "ada"), ("x-forwarded-for", "192.0.2.7")];
    log_in(&hub.browser(), &headers).await.expect(401);
    assert!(hub.app.db.user("ada").await.unwrap().is_none());
}

#[tokio::test]
async fn an_account_of_ones_own_is_for_a_name_that_nobody_has() {
    let closed = TestHub::start().await;
    closed.browser().get("/hub/signup").await.expect(404);
    let hub = TestHub::of_file(
        "NativeAuthenticator: {open_signup: true, blocked_users: [eve], allowed_users: [ada]}\n",
    )
    .await;
    let sign_up = async |browser: &Browser, name: &str, password: &str, again: &str| {
        let fields = [
            ("username", name),
            ("signup_password", password),
            ("signup_password_confirmation", again),
        ];
        browser.submit("/hub/signup", "/hub/signup", &fields).await
    };
    let bob = hub.browser();
    let page = bob.get("/hub/login").await.expect(200);
    assert!(page.body.contains("/hub/signup"), "{}", page.body);
    for (name, password, again) in [
        ("bob", "long enough", "another one"),
        ("bob", "short", "short"),
        ("b/b", "long enough", "long enough"),
        ("eve", "long enough", "long enough"),
        ("admin", "long enough", "long enough"),
    ] {
        sign_up(&bob, name, password, again).await.expect(400);
    }
    sign_up(&bob, "Bob", "long enough", "long enough")
        .await
        .expect(303);
    bob.get("/hub/home").await.expect(200);
    hub.browser().login("bob", "long enough").await.expect(303);
    let user = hub.app.db.user("bob").await.unwrap().unwrap();
    assert!(!user.admin);
    sign_up(&hub.browser(), "bob", "of another", "of another")
        .await
        .expect(400);
    // Accounts are not made by the hundred.
    let mut last = 0;
    for count in 0..5 {
        let name = format!("many{count}");
        let reply = sign_up(&hub.browser(), &name, "long enough", "long enough").await;
        last = reply.status;
    }
    assert_eq!(last, 429);
}
