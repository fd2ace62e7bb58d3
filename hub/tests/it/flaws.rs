//! The flaws that JupyterHub and its kin have had, each held against this Hub by what is harmless in itself.
//!
//! | flaw | test |
//! |---|---|
//! | GHSA-c4gm-pwx9-9w8j: `next_url` as markup in the page of a share | `ghsa_c4gm_pwx9_9w8j_next_url_is_escaped` |
//! | GHSA-69wv-m5fw-2fhp: a filtered scope creates users and groups | `ghsa_69wv_m5fw_2fhp_what_is_new_is_in_no_filter` |
//! | CVE-2026-54338: a name of any length is logged | `cve_2026_54338_names_are_short_in_logs` |
//! | CVE-2026-40864: `no-cors` counts as this site | `cve_2026_40864_no_cors_of_another_site_accepts_nothing`, `cve_2026_40864_no_cors_of_another_site_starts_nothing` |
//! | CVE-2026-33709: `next` on this host leads to another | `cve_2026_33709_a_path_of_this_host_names_no_other` |
//! | CVE-2024-41942: who changes users becomes administrator | `cve_2024_41942_only_administrators_make_administrators` |
//! | CVE-2024-28233: tossed cookies pass the XSRF check | `cve_2024_28233_a_form_counts_in_its_own_session_alone` |
//! | GHSA-cw7p-q79f-m2v7: a logout leaves tokens | `ghsa_cw7p_q79f_m2v7_logging_out_revokes_all_tokens_of_the_login` |
//! | CVE-2019-10255: `next` leads anywhere | `cve_2019_10255_next_is_followed_on_this_host_only` |
//! | 6.1: tokens of any length are hashed | `hardened_6_1_long_tokens_are_no_tokens` |
//! | 6.1: `__jupyterhub_*` among user_options | `hardened_6_1_options_of_the_hub_are_not_the_users` |
//! | 6.1: `expires_in=0` is for ever | `hardened_6_1_no_time_is_not_for_ever` |
//! | 6.1: groups stay where setgroups fails | `a_server_does_not_run_with_groups_that_are_not_its_users` (spawner) |
//! | 6.1: a new name is not looked at | `hardened_6_1_a_new_name_is_looked_at` |
//! | 6.1: a service counts as the user of its name | `hardened_6_1_a_service_is_not_the_user_of_its_name` |
//! | CVE-2020-15110: names of pods collide | `cve_2020_15110_no_two_servers_share_a_pod`, `names_that_look_alike_stay_apart` (spawner) |
//! | CVE-2020-36191: forms of the admin page without XSRF | `cve_2020_36191_the_admin_page_takes_no_form_of_another_site` |
//! | CVE-2023-48311: the API takes options that no form offers | `cve_2023_48311_the_api_takes_no_option_that_is_not_offered`, `what_is_not_offered_is_refused` (spawner) |
//!
//! Not the Hub's: CVE-2024-28179 and CVE-2026-40934 are of what runs in a server; a websocket goes through to the server, which
//! asks who it is from.

mod api;

use std::path::Path;

use carrel_skip::package_folder;
use reqwest::Method;
use reqwest::header::COOKIE;
use serde_json::json;
use tracing::Level;

use crate::harness::three::{Three, post, scopes_of, user};
use crate::harness::{Log, Reply, TestHub};
use crate::{accept_share, oauth};

#[tokio::test]
async fn ghsa_c4gm_pwx9_9w8j_next_url_is_escaped() {
    let three = Three::meet().await;
    let owner = "<img src=x>\"o'neil&";
    user(&three.hub, owner).await;
    let escaped = "%3Cimg%20src%3Dx%3E%22o%27neil%26";
    let path = format!("/share-codes/{escaped}/");
    let made = post(&three.admin, &path, json!({}))
        .await
        .expect(200)
        .json();
    assert_eq!(made["server"]["user"]["name"], owner);
    let code = made["code"].as_str().unwrap();
    let next = "%2Fx%22%3E%3Cscript%3Ealert%281%29%3C%2Fscript%3E%27";
    let shown = three
        .carol
        .get(&format!("{}&next={next}", accept_share::page(code)))
        .await
        .expect(200);
    for part in ["<img", "<script", "\"o'", "x\">"] {
        assert!(!shown.body.contains(part), "{part} in {}", shown.body);
    }
    assert!(shown.body.contains("&#60;img src=x&#62;"), "{}", shown.body);
    let code_of_page = shown.hidden("code");
    assert_eq!(code_of_page, code);
    accept_share::accept(&three.carol, code).await.expect(303);
    let scopes = scopes_of(&three.carol, owner).await;
    assert_eq!(scopes, [format!("access:servers!server={owner}/")]);
    // A code that is none is not told back.
    let evil = accept_share::page("%3Cscript%3E");
    let refused = three.carol.get(&evil).await.expect(404);
    assert!(!refused.body.contains("<script>"), "{}", refused.body);
}

#[tokio::test]
async fn cve_2026_54338_names_are_short_in_logs() {
    let log = Log::of("carrel_hub", Level::INFO);
    let hub = TestHub::start().await;
    let before = log.text().len();
    hub.browser()
        .login(&"x".repeat(60_000), "wrong")
        .await
        .expect(400);
    hub.browser()
        .login(&"y".repeat(255), "wrong")
        .await
        .expect(403);
    let text = log.text();
    assert!(text.contains("Failed login"), "{text}");
    assert!(
        !text.contains(&"x".repeat(100)) && !text.contains(&"y".repeat(100)),
        "{text}"
    );
    assert!(text.len() - before < 2000, "{text}");
}

#[tokio::test]
async fn cve_2026_40864_no_cors_of_another_site_accepts_nothing() {
    let three = Three::meet().await;
    let carol = &three.carol;
    let code = accept_share::code(&three).await;
    for (mode, site) in [
        ("no-cors", "cross-site"),
        ("no-cors", "same-site"),
        ("no-cors", "same-origin"),
        ("navigate", "cross-site"),
        ("cors", "cross-site"),
    ] {
        for xsrf in ["", "stolen"] {
            let request = carol
                .request(Method::POST, "/hub/accept-share")
                .header("sec-fetch-mode", mode)
                .header("sec-fetch-site", site);
            let fields = [("code", code.as_str()), ("_xsrf", xsrf)];
            Reply::of(request.form(&fields)).await.expect(403);
            // In the address, where a form of another site could put it.
            let path = format!("{}&_xsrf={xsrf}", accept_share::page(&code));
            let request = carol.request(Method::POST, &path);
            let request = request.header("sec-fetch-mode", mode);
            Reply::of(request.form(&[("code", &code)]))
                .await
                .expect(403);
        }
    }
    for (mode, site, status) in [
        ("no-cors", "cross-site", 403),
        ("cors", "cross-site", 403),
        ("no-cors", "same-origin", 200),
        ("navigate", "cross-site", 200),
    ] {
        let request = carol
            .request(Method::GET, &accept_share::page(&code))
            .header("sec-fetch-mode", mode)
            .header("sec-fetch-site", site);
        Reply::of(request).await.expect(status);
    }
    assert_eq!(three.count("shares").await, 0);
    // A form that was stale is shown again, and may be sent then.
    let stale = [("code", code.as_str()), ("_xsrf", "old")];
    let again = carol.post("/hub/accept-share", &stale).await.expect(403);
    let fields = [
        ("code", again.hidden("code")),
        ("_xsrf", again.hidden("_xsrf")),
    ];
    let fields = fields
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    carol.post("/hub/accept-share", &fields).await.expect(303);
}

#[tokio::test]
async fn cve_2026_40864_no_cors_of_another_site_starts_nothing() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    for (mode, site) in [
        ("no-cors", "cross-site"),
        ("no-cors", "same-site"),
        ("navigate", "cross-site"),
    ] {
        for (method, path) in [
            (Method::GET, "/hub/spawn"),
            (Method::GET, "/hub/spawn/admin"),
            (Method::POST, "/hub/spawn/admin"),
        ] {
            let request = browser.request(method, path);
            let request = request
                .header("sec-fetch-mode", mode)
                .header("sec-fetch-site", site);
            Reply::of(request).await;
        }
    }
    assert!(hub.spawner.requests().is_empty());
}

/// Where a login with each `next` leads, and a second tab in which it is found.
async fn leads(hub: &TestHub, table: &[(&str, &str)]) {
    for &(next, want) in table {
        let browser = hub.browser();
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("next", next)
            .finish();
        let action = format!("/hub/login?{query}");
        let reply = browser
            .submit(&action, &action, &[("username", "admin"), ("password", "")])
            .await
            .expect(303);
        assert_eq!(reply.location(), want, "{next}");
        // The same for a second tab, in which the login is found.
        assert_eq!(
            browser.get(&action).await.expect(303).location(),
            want,
            "{next}"
        );
    }
}

#[tokio::test]
async fn cve_2026_33709_a_path_of_this_host_names_no_other() {
    let hub = TestHub::start().await;
    let paths = ["//evil.example/", "///evil.example/", "/\\\\evil.example/"];
    for path in paths {
        let next = format!("{}{path}", hub.origin);
        let browser = hub.browser();
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("next", &next)
            .finish();
        let action = format!("/hub/login?{query}");
        let fields = [("username", "admin"), ("password", "")];
        let reply = browser.submit(&action, &action, &fields).await.expect(303);
        let led = reply.location();
        let on_this_host = led.starts_with('/') && !led.starts_with("//") && !led.contains('\\');
        assert!(on_this_host, "{next} leads to {led}");
    }
    let here = format!("{}/hub/token", hub.origin);
    let doubled = format!("{}//evil.example/", hub.origin);
    leads(&hub, &[(&here, "/hub/token"), (&doubled, "/evil.example/")]).await;
}

#[tokio::test]
async fn cve_2019_10255_next_is_followed_on_this_host_only() {
    let hub = TestHub::start().await;
    let table = [
        ("/hub/token?x=1", "/hub/token?x=1"),
        ("//evil.example/", "/hub/home"),
        ("/\\evil.example/", "/hub/home"),
        ("https://evil.example/", "/hub/home"),
        ("javascript:alert(1)", "/hub/home"),
    ];
    leads(&hub, &table).await;
}

/// Who can set cookies of the Hub's host, as a page of a user's server can, still sends no form that counts.
#[tokio::test]
async fn cve_2024_28233_a_form_counts_in_its_own_session_alone() {
    let hub = TestHub::start().await;
    let (browser, other) = (hub.admin().await, hub.admin().await);
    let cookie = |name| browser.cookie("/hub/", name).unwrap();
    let login = format!("jupyterhub-hub-login={}", cookie("jupyterhub-hub-login"));
    let own = cookie("_xsrf");
    let before_login = hub.browser().get("/hub/login").await.hidden("_xsrf");
    let of_another = other.cookie("/hub/", "_xsrf").unwrap();
    let add = async |tossed: &str| {
        let client = reqwest::Client::new();
        let request = client.post(format!("{}/hub/admin/users", hub.origin));
        let request = request.header(COOKIE, format!("_xsrf={tossed}; {login}"));
        let reply = Reply::of(request.form(&[("users", "eve"), ("_xsrf", tossed)])).await;
        assert!(hub.app.db.user("eve").await.unwrap().is_none(), "{tossed}");
        reply
    };
    for tossed in ["", "tossed", &before_login, &of_another] {
        add(tossed).await.expect(403);
    }
    assert_ne!(own, of_another);
}

#[tokio::test]
async fn ghsa_cw7p_q79f_m2v7_logging_out_revokes_all_tokens_of_the_login() {
    let (hub, browser) = oauth::with_server().await;
    let other = hub.admin().await;
    let mut tokens = Vec::new();
    for browser in [&browser, &other] {
        let reply = oauth::exchange(&hub, &oauth::code(browser).await, &[])
            .await
            .expect(200);
        tokens.push(reply.json()["access_token"].as_str().unwrap().to_owned());
    }
    let unspent = oauth::code(&browser).await;
    browser.get("/hub/logout").await.expect(200);
    other
        .api(Method::GET, "/user", &tokens[0], None)
        .await
        .expect(403);
    other
        .api(Method::GET, "/user", &tokens[1], None)
        .await
        .expect(200);
    oauth::exchange(&hub, &unspent, &[]).await.expect(400);
}

#[tokio::test]
async fn cve_2020_36191_the_admin_page_takes_no_form_of_another_site() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let forms: [(&str, &[(&str, &str)]); 5] = [
        ("/hub/admin/users", &[("users", "eve")]),
        ("/hub/admin/groups", &[("name", "evil")]),
        ("/hub/admin/start/admin", &[]),
        ("/hub/admin/users/admin/delete", &[]),
        ("/hub/admin/shutdown", &[]),
    ];
    for (action, fields) in forms {
        browser.post(action, fields).await.expect(403);
    }
    assert!(hub.app.db.user("eve").await.unwrap().is_none());
    assert!(hub.app.db.user("admin").await.unwrap().is_some());
    assert!(hub.app.db.group("evil").await.unwrap().is_none());
    assert!(hub.spawner.requests().is_empty());
    browser.get("/hub/home").await.expect(200);
}

/// Every test of the table above is there.
#[test]
fn the_table_tells_of_tests_that_there_are() {
    fn read(folder: &Path, code: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => read(&path, code),
                false => code.push_str(&std::fs::read_to_string(&path).unwrap_or_default()),
            }
        }
    }
    let mut code = String::new();
    for folder in ["tests/it", "../spawner/tests/it"] {
        read(&package_folder().join(folder), &mut code);
    }
    let own = std::fs::read_to_string(package_folder().join("tests/it/flaws.rs")).unwrap();
    let tests: Vec<_> = own
        .lines()
        .filter(|line| line.starts_with("//! | "))
        .filter_map(|line| line.trim_end_matches(" |").rsplit_once(" | "))
        .flat_map(|(_, tests)| tests.split('`').skip(1).step_by(2))
        .collect();
    assert!(tests.len() > 18, "{tests:?}");
    for test in tests {
        assert!(code.contains(&format!("fn {test}(")), "{test}");
    }
}
