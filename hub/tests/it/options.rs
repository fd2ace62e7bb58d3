//! What may be chosen before a start: the same in the form of the browser and in the API.

use std::sync::Arc;

use carrel_hub::config::Config;
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::token;
use crate::harness::{Behaviour, Browser, FakeSpawner, Reply, TestHub, wait_for};

const PROFILES: &str = r#"
JupyterHub:
  load_groups: {gpu-users: [admin]}
Spawner:
  options_form:
    - {name: note, label: A note}
KubeSpawner:
  profile_list:
    - display_name: Standard
      description: For exercises
      profile_options:
        size:
          display_name: Size
          choices:
            small: {display_name: 'Small <2 GB>'}
            large: {display_name: Large}
          unlisted_choice: {enabled: true, validation_regex: '[0-9]+G', validation_message: 'So many G.'}
    - {display_name: GPU, slug: gpu, groups: [gpu-users]}
    - {display_name: Staff only, slug: staff, groups: [staff]}
"#;

/// A Hub whose (fake) spawner offers these profiles.
async fn hub() -> (TestHub, Browser) {
    let given = Config::parse("carrel.yaml", PROFILES).unwrap_or_else(|errors| panic!("{errors}"));
    let spawner = FakeSpawner::new(Behaviour::Answers);
    spawner.offer(given.kube_spawner.profile_list.clone());
    let hub = TestHub::configured(Arc::clone(&spawner), |config| {
        config.jupyter_hub.load_groups = given.jupyter_hub.load_groups;
        config.spawner.options_form = given.spawner.options_form;
    })
    .await;
    let browser = hub.admin().await;
    (hub, browser)
}

#[tokio::test]
async fn the_form_shows_what_is_for_the_user_and_sends_it() {
    let (hub, browser) = hub().await;
    let page = browser.get("/hub/spawn").await.expect(200).body;
    for shown in [
        "Standard",
        "For exercises",
        "GPU",
        "Small &#60;2 GB&#62;",
        "Other ...",
        "A note",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    assert!(!page.contains("Staff only"), "{page}");
    let fields = [
        ("profile", "standard"),
        ("profile-option-standard--size", "unlisted-choice"),
        ("profile-option-standard--size--unlisted-choice", "16G"),
        ("note", "hello"),
    ];
    browser
        .submit("/hub/spawn", "/hub/spawn", &fields)
        .await
        .expect(303);
    let request = wait_for("the start", || async { hub.spawner.requests().pop() }).await;
    let wanted = json!({ "profile": "standard", "size": "unlisted-choice", "size--unlisted-choice": "16G", "note": "hello" });
    assert_eq!(Value::Object(request.user_options), wanted);
    assert_eq!(request.groups, ["gpu-users"]);
}

#[tokio::test]
async fn a_wrong_choice_is_shown_in_the_form_and_starts_nothing() {
    let (hub, browser) = hub().await;
    let wrong = [
        ("profile", "standard"),
        ("profile-option-standard--size", "unlisted-choice"),
        (
            "profile-option-standard--size--unlisted-choice",
            "16G or more",
        ),
    ];
    let page = browser
        .submit("/hub/spawn", "/hub/spawn", &wrong)
        .await
        .expect(400)
        .body;
    assert!(
        page.contains("So many G.") && page.contains("16G or more"),
        "{page}"
    );
    let page = browser
        .submit("/hub/spawn", "/hub/spawn", &[("profile", "staff")])
        .await
        .expect(400)
        .body;
    assert!(page.contains("There is no such profile for you."), "{page}");
    assert!(hub.spawner.requests().is_empty());
}

#[tokio::test]
async fn the_api_takes_no_more_than_the_form() {
    let (hub, browser) = hub().await;
    let token = token(&browser, &["inherit"]).await;
    for (options, message) in [
        (
            json!({ "profile": "staff" }),
            "profile: There is no such profile for you.",
        ),
        (
            json!({ "profile": "standard", "size": "huge" }),
            "size: This is none of the choices.",
        ),
        (
            json!({ "size": "unlisted-choice", "size--unlisted-choice": "16Gx" }),
            "size: So many G.",
        ),
        (json!({ "note": 5 }), "note: This is not a string."),
    ] {
        let path = "/users/admin/server";
        let reply = browser
            .api(Method::POST, path, &token, Some(options))
            .await
            .expect(400);
        assert_eq!(reply.json()["message"], message);
    }
    assert!(hub.spawner.requests().is_empty());
    let options = Some(json!({ "profile": "gpu" }));
    browser
        .api(Method::POST, "/users/admin/server", &token, options)
        .await
        .expect(202);
}

/// A visit as browsers describe it.
async fn visit(browser: &Browser, path: &str, site: &str) -> Reply {
    let request = browser.request(Method::GET, path);
    let request = request.header("sec-fetch-site", site);
    Reply::of(request.header("sec-fetch-mode", "navigate")).await
}

/// As `SpawnHandler` of JupyterHub does.
#[tokio::test]
async fn options_in_the_query_start_the_server_where_the_visitor_wanted_it() {
    let (hub, browser) = hub().await;
    let link = "/hub/spawn/admin?opt-profile=standard&opt-profile-option-standard--size=large&opt-note=hello&note=old\
                &next=%2Fhub%2Ftoken";
    // By a link of another site they are shown.
    for site in ["cross-site", "same-site"] {
        let page = visit(&browser, link, site).await.expect(200).body;
        assert!(page.contains("value=\"hello\""), "{page}");
    }
    browser.get(link).await.expect(200);
    assert!(hub.spawner.requests().is_empty());
    // What is wrong is shown, too.
    let wrong = "/hub/spawn?opt-profile=staff";
    let page = visit(&browser, wrong, "none").await.expect(400).body;
    assert!(page.contains("There is no such profile for you."), "{page}");
    let nameless = "/hub/spawn?opt-=x";
    visit(&browser, nameless, "none").await.expect(422);
    assert!(hub.spawner.requests().is_empty());
    let begun = visit(&browser, link, "none").await.expect(303);
    assert_eq!(
        begun.location(),
        "/hub/spawn-pending/admin?next=%2Fhub%2Ftoken"
    );
    let request = wait_for("the start", || async { hub.spawner.requests().pop() }).await;
    let wanted = json!({ "profile": "standard", "size": "large", "note": "hello" });
    assert_eq!(Value::Object(request.user_options), wanted);
    let token = token(&browser, &["inherit"]).await;
    let told = browser.api(Method::GET, "/audit", &token, None).await;
    let told = told.expect(200).json();
    let start = told
        .as_array()
        .unwrap()
        .iter()
        .find(|deed| deed["method"] == "GET");
    assert_eq!(start.unwrap()["path"], "/hub/spawn/admin", "{told}");
}

/// From before JupyterHub 6; the same with the name of a server.
#[tokio::test]
async fn options_without_a_prefix_and_a_name_to_show_are_taken() {
    let (hub, browser) = hub().await;
    let link = "/hub/spawn/admin/lab?note=hello&display_name=My%20lab";
    visit(&browser, link, "same-origin").await.expect(303);
    let request = wait_for("the start", || async { hub.spawner.requests().pop() }).await;
    assert_eq!(request.user_options["note"], "hello");
    let token = token(&browser, &["inherit"]).await;
    let user = browser.api(Method::GET, "/users/admin", &token, None).await;
    let servers = user.expect(200).json()["servers"].clone();
    assert_eq!(servers["lab"]["display_name"], "My lab", "{servers}");
}
