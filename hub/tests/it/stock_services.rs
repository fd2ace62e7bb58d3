//! Services of JupyterHub's own making, with nothing changed: a web service with HubOAuth, and jupyterhub-idle-culler.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use carrel_skip::{Need, package_folder, skip};
use reqwest::Method;
use serde_json::json;

use super::api::token_of;
use super::services::{site, user};
use crate::harness::apart::{free_port, prepared};
use crate::harness::{Browser, Reply, TestHub, wait_for};

/// A Python with this module: `CARREL_TEST_PYTHON`, or that of the prepared environment.
pub fn python(module: &str) -> Option<PathBuf> {
    let own = std::env::var_os("CARREL_TEST_PYTHON").map(PathBuf::from);
    let python = match own {
        Some(own) => own,
        None => prepared()?.join("venv/bin/python"),
    };
    let has = Command::new(&python)
        .args(["-c", &format!("import {module}")])
        .output();
    if !has.is_ok_and(|has| has.status.success()) {
        skip(Need::Prepared, format!("{module} is not installed"));
        return None;
    }
    Some(python)
}

/// Goes where the answers lead, until one leads nowhere.
async fn follow(hub: &TestHub, browser: &Browser, path: &str) -> (String, Reply) {
    let mut path = path.to_owned();
    for _ in 0..10 {
        let reply = browser.get(&path).await;
        if !(300..400).contains(&reply.status) {
            return (path, reply);
        }
        let location = reply.location();
        path = location
            .strip_prefix(&hub.origin)
            .unwrap_or(location)
            .to_owned();
    }
    panic!("no end at {path}");
}

async fn with_whoami() -> Option<TestHub> {
    let python = python("jupyterhub.services.auth")?;
    let script = package_folder().join("../tests/jupyterhub/whoami.py");
    let text = format!(
        r#"
JupyterHub:
  services:
    - name: whoami
      url: http://127.0.0.1:{}
      command: ["{}", "{}"]
  load_roles:
    - {{name: visitor, scopes: ["access:services!service=whoami"], users: [bob]}}
"#,
        free_port(),
        python.display(),
        script.display(),
    );
    let hub = site(&text).await;
    let browser = hub.browser();
    wait_for("the service", || async {
        (browser.get("/services/whoami/").await.status == 302).then_some(())
    })
    .await;
    Some(hub)
}

/// Logs in by way of the service, to which the login leads back; the page that asks whether the service may know `user`.
async fn come_from_service(hub: &TestHub, browser: &Browser, user: &str) -> (String, Reply) {
    let (login, page) = follow(hub, browser, "/services/whoami/").await;
    assert!(login.starts_with("/hub/login?next="), "{login}");
    let fields = [
        ("username", user),
        ("password", "a password"),
        ("_xsrf", &page.hidden("_xsrf")),
    ];
    let reply = browser.post(&login, &fields).await.expect(303);
    follow(hub, browser, reply.location()).await
}

#[tokio::test]
async fn a_web_service_with_hub_oauth_logs_people_in() {
    let Some(hub) = with_whoami().await else {
        return;
    };
    let bob = hub.browser();
    let (asks, page) = come_from_service(&hub, &bob, "bob").await;
    assert!(asks.starts_with("/hub/api/oauth2/authorize?"), "{asks}");
    let page = page.expect(200);
    let values = page.body.split("name=\"scopes\" value=\"").skip(1);
    let scopes: Vec<_> = values
        .map(|rest| ("scopes", rest.split('"').next().unwrap()))
        .collect();
    let reply = bob.submit(&asks, &asks, &scopes).await.expect(303);
    let (path, shown) = follow(&hub, &bob, reply.location()).await;
    assert_eq!(path, "/services/whoami/");
    let model = shown.expect(200).json();
    assert_eq!(
        (&model["name"], &model["kind"]),
        (&json!("bob"), &json!("user"))
    );

    // From then on nobody asks.
    let again = user(&hub, "bob").await;
    let (path, shown) = follow(&hub, &again, "/services/whoami/").await;
    assert_eq!(path, "/services/whoami/");
    assert_eq!(shown.expect(200).json()["name"], "bob");

    bob.get("/hub/logout").await.expect(200);
    let (path, _) = follow(&hub, &bob, "/services/whoami/").await;
    assert!(path.starts_with("/hub/login?next="), "{path}");
}

#[tokio::test]
async fn a_web_service_with_hub_oauth_is_closed_to_who_has_not_its_scope() {
    let Some(hub) = with_whoami().await else {
        return;
    };
    let (asks, page) = come_from_service(&hub, &hub.browser(), "carol").await;
    assert!(asks.starts_with("/hub/api/oauth2/authorize?"), "{asks}");
    page.expect(403);
}

#[tokio::test]
async fn idle_culler_ends_an_idle_server_and_spares_one_in_use() {
    let Some(python) = python("jupyterhub_idle_culler") else {
        return;
    };
    let text = format!(
        r#"
JupyterHub:
  services:
    - name: jupyterhub-idle-culler-service
      command: ["{}", -m, jupyterhub_idle_culler, --timeout=3, --cull-every=1]
  load_roles:
    - name: jupyterhub-idle-culler-role
      scopes: ["list:users", "read:users:activity", "read:servers", "delete:servers"]
      services: [jupyterhub-idle-culler-service]
"#,
        python.display()
    );
    let hub = site(&text).await;
    let (bob, carol) = (user(&hub, "bob").await, user(&hub, "carol").await);
    let idle = token_of("carol", &carol, &["inherit"]).await;
    let used = token_of("bob", &bob, &["inherit"]).await;
    carol.spawn_ready("carol").await;
    bob.spawn_ready("bob").await;
    let ready = async |browser: &Browser, user: &str, token: &str| {
        let path = format!("/users/{user}");
        let model = browser.api(Method::GET, &path, token, None).await;
        model.expect(200).json()["servers"][""]["ready"] == true
    };
    assert!(ready(&carol, "carol", &idle).await);
    let begun = std::time::Instant::now();
    wait_for("the culler", || async {
        bob.get("/user/bob/lab").await.expect(200);
        let now = jiff::Timestamp::now().to_string();
        let activity = json!({ "servers": { "": { "last_activity": now } } });
        let path = "/users/bob/activity";
        bob.api(Method::POST, path, &used, Some(activity))
            .await
            .expect(200);
        tokio::time::sleep(Duration::from_millis(100)).await;
        (!ready(&carol, "carol", &idle).await).then_some(())
    })
    .await;
    assert!(begun.elapsed() > Duration::from_secs(1));
    assert!(ready(&bob, "bob", &used).await);
}
