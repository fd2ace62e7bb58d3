//! The life of a server: start, progress, failure, cancel, death, stop.

use std::time::Duration;

use carrel_hub::db::servers::{State, Why};
use reqwest::Method;
use serde_json::json;

use crate::harness::three::{Three, call, delete, post};
use crate::harness::{Behaviour, Browser, FakeSpawner, Reply, TestHub, wait_for};

/// The page of a start once it holds `text`.
async fn pending_with(browser: &Browser, text: &str) -> Reply {
    wait_for(text, || async {
        let page = browser.get("/hub/spawn-pending/admin").await;
        page.body.contains(text).then_some(page)
    })
    .await
}

async fn ready(browser: &Browser) {
    wait_for("the server", || async {
        (browser.get("/hub/spawn-pending/admin").await.location() == "/user/admin/").then_some(())
    })
    .await;
}

/// The events of a stream.
fn told(stream: &Reply) -> Vec<serde_json::Value> {
    let events = stream.body.split("\n\n");
    let events = events.filter_map(|event| event.strip_prefix("data: "));
    events
        .map(|json| serde_json::from_str(json).unwrap())
        .collect()
}

async fn progress(browser: &Browser) -> Reply {
    let xsrf = browser.cookie("/hub/", "_xsrf").unwrap();
    browser
        .get(&format!(
            "/hub/api/users/admin/server/progress?_xsrf={xsrf}"
        ))
        .await
}

#[tokio::test]
async fn a_start_leads_to_the_server_through_the_proxy() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    assert_eq!(
        browser.spawn().await.expect(303).location(),
        "/hub/spawn-pending/admin"
    );
    ready(&browser).await;
    assert_eq!(
        browser.get("/user/admin/lab").await.expect(200).body,
        "answer of the server"
    );
    assert_eq!(
        browser.get("/hub/").await.expect(303).location(),
        "/user/admin/"
    );
    assert_eq!(
        browser
            .get("/hub/user/admin/lab?x=1")
            .await
            .expect(303)
            .location(),
        "/user/admin/lab?x=1&redirects=1"
    );
    assert!(
        browser
            .get("/hub/home")
            .await
            .body
            .contains("Stop My Server")
    );
}

#[tokio::test]
async fn progress_ends_with_ready() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    browser.spawn().await.expect(303);
    let events = progress(&browser).await.expect(200);
    assert_eq!(events.header("content-type"), "text/event-stream");
    assert_eq!(events.header("cache-control"), "no-cache");
    let events = told(&events);
    let last = events.last().unwrap();
    assert_eq!(
        (&last["progress"], &last["ready"], &last["url"]),
        (&100.into(), &true.into(), &"/user/admin/".into())
    );
    assert_eq!(
        events
            .iter()
            .filter(|event| event["progress"] == 100)
            .count(),
        1
    );
}

#[tokio::test]
async fn what_a_start_tells_is_told_on_and_who_comes_later_hears_the_end_alone() {
    let hub = TestHub::with(Behaviour::Hangs).await;
    let browser = hub.admin().await;
    browser.spawn().await.expect(303);
    pending_with(&browser, "Fake progress").await;
    let stop = browser.submit("/hub/home", "/hub/stop/admin", &[]);
    let (events, stop) = tokio::join!(progress(&browser), stop);
    stop.expect(303);
    let events = told(&events);
    let fake =
        |event: &serde_json::Value| event["message"] == "Fake progress" && event["progress"] == 40;
    assert!(events.iter().any(fake), "{events:?}");
    assert_eq!(events.last().unwrap()["failed"], true, "{events:?}");

    hub.spawner.behave(Behaviour::Answers);
    browser.spawn_ready("admin").await;
    let events = told(&progress(&browser).await);
    assert_eq!(events.len(), 1, "{events:?}");
    assert_eq!(events[0]["ready"], true);
}

#[tokio::test]
async fn next_is_where_a_start_ends() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let page = browser
        .get("/user/admin/lab/tree/a.ipynb")
        .await
        .expect(302);
    assert_eq!(page.location(), "/hub/user/admin/lab/tree/a.ipynb");
    let page = browser.get(page.location()).await.expect(424);
    assert!(
        page.body.contains("/hub/spawn/admin?next="),
        "{}",
        page.body
    );
    let form = "/hub/spawn/admin?next=%2Fuser%2Fadmin%2Flab%2Ftree%2Fa.ipynb";
    let pending = browser
        .submit(form, form, &[])
        .await
        .expect(303)
        .location()
        .to_owned();
    wait_for("the notebook's page", || async {
        (browser.get(&pending).await.location() == "/user/admin/lab/tree/a.ipynb").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_second_start_joins_the_first() {
    let hub = TestHub::with(Behaviour::Hangs).await;
    let browser = hub.admin().await;
    let xsrf = browser.get("/hub/spawn").await.hidden("_xsrf");
    let fields = [("_xsrf", xsrf.as_str())];
    let (first, second) = tokio::join!(
        browser.post("/hub/spawn", &fields),
        browser.post("/hub/spawn", &fields)
    );
    assert_eq!(first.expect(303).location(), second.expect(303).location());
    wait_for("the start", || async {
        (!hub.spawner.requests().is_empty()).then_some(())
    })
    .await;
    assert_eq!(
        browser.get("/hub/spawn").await.expect(303).location(),
        "/hub/spawn-pending/admin"
    );
    assert_eq!(hub.spawner.requests().len(), 1);
}

#[tokio::test]
async fn failures_say_why_and_leave_nothing_running() {
    let table = [
        (Behaviour::Refuses, "there is no room left"),
        (Behaviour::Hangs, "did not start within 2 seconds"),
        (Behaviour::Dies, "exited with status 3"),
        (Behaviour::Silent, "did not answer"),
        (Behaviour::Stranger, "X-JupyterHub-Version"),
    ];
    for (behaviour, reason) in table {
        let hub = TestHub::with(behaviour).await;
        let browser = hub.admin().await;
        browser.spawn().await.expect(303);
        let events = progress(&browser).await.expect(200).body;
        let last = events.trim_end().rsplit("data: ").next().unwrap();
        assert!(
            last.contains("\"failed\":true") && last.contains(reason),
            "{behaviour:?}: {events}"
        );
        let page = pending_with(&browser, reason).await.expect(200);
        let log = matches!(
            behaviour,
            Behaviour::Dies | Behaviour::Silent | Behaviour::Stranger
        );
        assert_eq!(
            page.body.contains("last line of the log"),
            log,
            "{behaviour:?}"
        );
        assert_eq!(hub.spawner.running(), 0, "{behaviour:?}");
        browser.get("/user/admin/api/status").await.expect(424);
        // The next start is a new one.
        hub.spawner.behave(Behaviour::Answers);
        browser.spawn().await.expect(303);
        ready(&browser).await;
    }
}

#[tokio::test]
async fn a_pending_start_can_be_cancelled() {
    for behaviour in [Behaviour::Hangs, Behaviour::Silent] {
        let long = |config: &mut carrel_hub::config::Config| {
            config.spawner.start_timeout = Duration::from_secs(600);
            config.spawner.http_timeout = Duration::from_secs(600);
        };
        let hub = TestHub::configured(FakeSpawner::new(behaviour), long).await;
        let browser = hub.admin().await;
        browser.spawn().await.expect(303);
        pending_with(&browser, "progress").await;
        browser
            .submit("/hub/home", "/hub/stop/admin", &[])
            .await
            .expect(303);
        pending_with(&browser, "cancelled").await;
        assert_eq!(hub.spawner.running(), 0, "{behaviour:?}");
    }
}

#[tokio::test]
async fn a_server_that_dies_is_noticed_and_its_route_goes() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    browser.spawn().await.expect(303);
    ready(&browser).await;
    hub.spawner.kill_all();
    let page = wait_for("the death to be noticed", || async {
        let page = browser.get("/hub/user/admin/lab").await;
        (page.status == 424).then_some(page)
    })
    .await;
    assert!(
        page.body.contains("The server exited with status 3")
            && !page.body.contains("did not start"),
        "{}",
        page.body
    );
    wait_for("the end of the route", || async {
        let routes = hub.app.routing.proxy.get_all_routes().await.unwrap();
        routes.is_empty().then_some(())
    })
    .await;
    // The route goes first.
    wait_for("the end of the server", || async {
        let server = hub.app.db.server("admin", "").await.unwrap()?;
        (server.state == State::Stopped).then_some(())
    })
    .await;
    browser.spawn().await.expect(303);
    ready(&browser).await;
}

#[tokio::test]
async fn a_dead_server_is_noticed_by_the_request_that_it_does_not_answer() {
    let rarely = |config: &mut carrel_hub::config::Config| {
        config.spawner.poll_interval = Duration::from_secs(600);
    };
    let hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), rarely).await;
    let browser = hub.admin().await;
    browser.spawn().await.expect(303);
    ready(&browser).await;
    hub.spawner.kill_all();
    let page = browser.get("/user/admin/lab").await.expect(503);
    assert!(
        page.body.contains("does not answer") && page.body.contains("<html"),
        "{}",
        page.body
    );
    wait_for("the death to be noticed", || async {
        (browser.get("/hub/user/admin/lab").await.status == 424).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_dead_server_is_noticed_at_once_where_the_spawner_hears_of_it() {
    let rarely = |config: &mut carrel_hub::config::Config| {
        config.spawner.poll_interval = Duration::from_secs(600);
    };
    let hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), rarely).await;
    let browser = hub.admin().await;
    browser.spawn_ready("admin").await;
    hub.spawner.end_all();
    wait_for("the death to be noticed", || async {
        let home = browser.get("/hub/home").await;
        home.body.contains("Stopped").then_some(())
    })
    .await;
}

#[tokio::test]
async fn everything_lies_under_the_base_url() {
    let base = |config: &mut carrel_hub::config::Config| {
        config.jupyter_hub.base_url = carrel_hub::config::BaseUrl::parse("/jupyter/").unwrap();
    };
    let hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), base).await;
    let browser = hub.browser();
    assert_eq!(
        browser.get("/jupyter/").await.expect(302).location(),
        "/jupyter/hub/"
    );
    assert_eq!(
        browser.get("/elsewhere").await.expect(303).location(),
        "/jupyter/hub/"
    );
    let fields = [("username", "admin"), ("password", "")];
    let login = browser
        .submit("/jupyter/hub/login", "/jupyter/hub/login", &fields)
        .await
        .expect(303);
    assert_eq!(login.location(), "/jupyter/hub/home");
    assert!(
        login
            .set_cookie("jupyterhub-hub-login")
            .contains("; Path=/jupyter/hub/;")
    );
    browser
        .submit("/jupyter/hub/spawn", "/jupyter/hub/spawn", &[])
        .await
        .expect(303);
    wait_for("the server", || async {
        (browser.get("/jupyter/user/admin/lab").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(hub.spawner.variable("JUPYTERHUB_BASE_URL"), "/jupyter/");
    assert_eq!(
        hub.spawner.variable("JUPYTERHUB_SERVICE_PREFIX"),
        "/jupyter/user/admin/"
    );
}

#[tokio::test]
async fn programs_learn_in_json_that_a_server_does_not_run() {
    let hub = TestHub::start().await;
    let browser = hub.browser();
    for path in [
        "/user/admin/api/contents",
        "/user/admin/gpu/api/kernels",
        "/hub/user/admin/api/contents",
    ] {
        assert_eq!(
            browser.get(path).await.expect(424).json()["status"],
            424,
            "{path}"
        );
    }
    browser.post("/user/admin/anything", &[]).await.expect(424);
    let websocket = browser
        .request(Method::GET, "/user/admin/lab")
        .header("connection", "upgrade")
        .header("upgrade", "websocket");
    Reply::of(websocket).await.expect(424);
}

#[tokio::test]
async fn a_stale_spawn_form_starts_nothing() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let page = browser
        .post("/hub/spawn", &[("_xsrf", "old")])
        .await
        .expect(403);
    assert!(page.body.contains("too old"), "{}", page.body);
    let xsrf = page.hidden("_xsrf");
    assert!(hub.spawner.requests().is_empty());
    browser
        .post("/hub/spawn", &[("_xsrf", &xsrf)])
        .await
        .expect(303);
}

#[tokio::test]
async fn stopping_twice_is_no_error() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    browser.spawn().await.expect(303);
    ready(&browser).await;
    // One page for both: while the server stops, the next would have no button.
    let xsrf = browser.get("/hub/home").await.hidden("_xsrf");
    let fields = [("_xsrf", xsrf.as_str())];
    let stop = || browser.post("/hub/stop/admin", &fields);
    let (first, second) = tokio::join!(stop(), stop());
    assert_eq!((first.status, second.status), (303, 303));
    assert_eq!(hub.spawner.running(), 0);
}

#[tokio::test]
async fn the_end_of_the_hub_is_the_end_of_its_servers() {
    let mut hub = TestHub::start().await;
    let browser = hub.admin().await;
    browser.spawn().await.expect(303);
    ready(&browser).await;
    hub.end().await;
    assert_eq!(hub.spawner.running(), 0);
}

#[tokio::test]
async fn servers_go_on_without_a_hub_if_they_are_to() {
    let keep = |config: &mut carrel_hub::config::Config| config.jupyter_hub.cleanup_servers = false;
    let mut hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), keep).await;
    let browser = hub.admin().await;
    browser.spawn().await.expect(303);
    ready(&browser).await;
    hub.end().await;
    assert_eq!(hub.spawner.running(), 1);
}

#[tokio::test]
async fn a_server_that_moves_is_followed_over_a_restart_too() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    browser.spawn().await.expect(303);
    ready(&browser).await;
    let answers = || async {
        let page = browser.get("/user/admin/lab").await;
        (page.body == "answer of the server").then_some(())
    };
    hub.spawner.move_away().await;
    wait_for("the moved server", answers).await;
    hub.spawner.move_away().await;
    let _hub = hub.crash_and_restart().await;
    wait_for("the server that moved meanwhile", answers).await;
}

#[tokio::test]
async fn a_start_is_told_where_the_one_before_it_ran() {
    let three = Three::meet().await;
    for _ in 0..2 {
        post(&three.bob, "/users/bob/server", json!({}))
            .await
            .expect(202);
        wait_for("the server", || async {
            (three.bob.get("/user/bob/").await.status == 200).then_some(())
        })
        .await;
        wait_for("the end", || async {
            (delete(&three.bob, "/users/bob/server").await.status == 204).then_some(())
        })
        .await;
    }
    let requests = three.hub.spawner.requests();
    let [first, second] = requests.as_slice() else {
        panic!("{requests:?}")
    };
    assert_eq!(first.before, None);
    let before = second.before.as_ref().unwrap();
    assert_eq!(before.0["start_id"], first.start_id.as_str());
}

#[tokio::test]
async fn the_default_server_keeps_its_name() {
    let three = Three::meet().await;
    post(&three.bob, "/users/bob/server", json!({}))
        .await
        .expect(202);
    wait_for("the end", || async {
        (delete(&three.bob, "/users/bob/server").await.status == 204).then_some(())
    })
    .await;
    let change = Some(json!({ "name": "other" }));
    let refused = call(&three.bob, Method::PATCH, "/users/bob/server", change)
        .await
        .expect(400);
    assert!(refused.body.contains("keeps its name"), "{}", refused.body);
    post(&three.bob, "/users/bob/server", json!({}))
        .await
        .expect(202);
}

#[tokio::test]
async fn a_display_name_is_checked_at_a_start_too() {
    let three = Three::meet().await;
    for name in ["x".repeat(256), String::from("a\u{7}b")] {
        let body = json!({ "display_name": name });
        let refused = post(&three.bob, "/users/bob/servers/new", body)
            .await
            .expect(400);
        assert!(
            refused.body.contains("A display name has up to 255"),
            "{}",
            refused.body
        );
    }
    assert!(three.hub.spawner.requests().is_empty());
}

#[tokio::test]
async fn of_many_named_servers_at_once_only_so_many_are_made() {
    let three = Three::configured(|config| {
        config.jupyter_hub.named_server_limit_per_user = 3;
    })
    .await;
    for method in [Method::PUT, Method::POST] {
        let requests = (0..8).map(|number| {
            let path = format!(
                "/users/carol/servers/{}{number}",
                method.as_str().to_lowercase()
            );
            let (carol, method) = (three.carol.clone(), method.clone());
            async move { call(&carol, method, &path, None).await.status }
        });
        let answers = futures_util::future::join_all(requests).await;
        assert!(answers.contains(&400), "{answers:?}");
    }
    let carol = three.hub.app.db.user("carol").await.unwrap().unwrap();
    let servers = three.hub.app.db.servers_of(carol.id).await.unwrap();
    assert_eq!(servers.len(), 3);
}

#[tokio::test]
async fn a_nul_in_what_a_server_printed_is_shown_as_what_it_is() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    browser.spawn().await.expect(303);
    ready(&browser).await;
    let db = &hub.app.db;
    let server = db.server("admin", "").await.unwrap().unwrap();
    let why = Why::Otherwise(Some("it died\na\0b"));
    assert!(
        db.set_stopping(server.id, &server.start_id, State::Ready, why)
            .await
            .unwrap()
    );
    let server = db.server("admin", "").await.unwrap().unwrap();
    assert_eq!(server.failure.as_deref(), Some("it died\na\u{fffd}b"));
}
