//! Two Hubs on one database: what one was doing when it died, the other goes on with; and what is limited, is limited over
//! both.

use std::time::Duration;

use carrel_hub::config::Config;
use reqwest::Method;

use crate::api::token;
use crate::harness::{Behaviour, Browser, FakeSpawner, TestHub, wait_for};

/// Two Hubs, the browser of an administrator who has logged in at the first, and a token.
struct Two {
    first: TestHub,
    second: TestHub,
    admin: Browser,
    token: String,
}

impl Two {
    async fn with(behaviour: Behaviour, configure: impl FnOnce(&mut Config)) -> Self {
        let patient = |config: &mut Config| {
            config.spawner.start_timeout = Duration::from_secs(600);
            config.spawner.http_timeout = Duration::from_secs(600);
            configure(config);
        };
        let first = TestHub::configured(FakeSpawner::new(behaviour), patient).await;
        let second = first.beside().await;
        let admin = first.admin().await;
        let token = token(&admin, &["inherit"]).await;
        Self {
            first,
            second,
            admin,
            token,
        }
    }

    async fn ask(&self, hub: &TestHub, method: Method, user: &str, status: u16) {
        let path = format!("/users/{user}/server");
        let asked = self.admin.at(&hub.origin);
        let reply = asked.api(method, &path, &self.token, None).await;
        reply.expect(status);
    }

    async fn add(&self, users: &[&str]) {
        for user in users {
            let added = self.first.app.db.add_user(user, false, None, false).await;
            assert!(added.unwrap());
        }
    }

    async fn begun(&self, count: usize) {
        wait_for("starts", || async {
            (self.first.spawner.requests().len() == count).then_some(())
        })
        .await;
    }

    async fn state_of(&self, user: &str) -> String {
        let server = self.second.app.db.server(user, "").await.unwrap();
        server.unwrap().state.to_string()
    }
}

#[tokio::test]
async fn a_start_goes_on_at_the_other_hub_when_its_own_dies() {
    let mut two = Two::with(Behaviour::Silent, |_| {}).await;
    two.ask(&two.first, Method::POST, "admin", 202).await;
    wait_for("the process", || async {
        (two.first.spawner.running() == 1).then_some(())
    })
    .await;
    two.first.kill();
    wait_for("a Hub that goes on", || async {
        (two.second.spawner.resumed().len() == 1).then_some(())
    })
    .await;
    assert_eq!(two.second.spawner.running(), 1);
    // It is the second's to end by now.
    two.ask(&two.second, Method::DELETE, "admin", 204).await;
    assert_eq!(two.second.spawner.running(), 0);
}

#[tokio::test]
async fn a_start_of_which_nothing_was_done_yet_begins_anew_at_the_other_hub() {
    let mut two = Two::with(Behaviour::Hangs, |_| {}).await;
    two.ask(&two.first, Method::POST, "admin", 202).await;
    two.begun(1).await;
    two.first.spawner.behave(Behaviour::Answers);
    two.first.kill();
    let admin = two.admin.at(&two.second.origin);
    wait_for("the server", || async {
        let page = admin.get("/user/admin/lab").await;
        (page.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_start_is_cancelled_by_the_hub_that_did_not_begin_it() {
    let two = Two::with(Behaviour::Silent, |_| {}).await;
    two.ask(&two.first, Method::POST, "admin", 202).await;
    wait_for("the process", || async {
        (two.first.spawner.running() == 1).then_some(())
    })
    .await;
    two.ask(&two.second, Method::DELETE, "admin", 204).await;
    assert_eq!(two.first.spawner.running(), 0);
    assert_eq!(two.state_of("admin").await, "stopped");
}

#[tokio::test]
async fn a_stop_that_a_dead_hub_began_is_finished_by_the_other() {
    let mut two = Two::with(Behaviour::Answers, |_| {}).await;
    two.ask(&two.first, Method::POST, "admin", 202).await;
    wait_for("the server", || async {
        (two.state_of("admin").await == "ready").then_some(())
    })
    .await;
    let slow = &two.first.spawner.slow_stop;
    slow.store(true, std::sync::atomic::Ordering::Relaxed);
    let stop = two.admin.submit("/hub/home", "/hub/stop/admin", &[]);
    let _ = tokio::time::timeout(Duration::from_millis(300), stop).await;
    wait_for("the stop", || async {
        (two.state_of("admin").await == "stopping").then_some(())
    })
    .await;
    two.first.kill();
    two.second
        .spawner
        .slow_stop
        .store(false, std::sync::atomic::Ordering::Relaxed);
    wait_for("the end of the stop", || async {
        (two.state_of("admin").await == "stopped").then_some(())
    })
    .await;
    assert_eq!(two.second.spawner.running(), 0);
}

#[tokio::test]
async fn the_limit_of_starts_and_the_places_of_those_that_wait_are_those_of_both() {
    let limit = |config: &mut Config| config.jupyter_hub.concurrent_spawn_limit = 2;
    let mut two = Two::with(Behaviour::Hangs, limit).await;
    two.add(&["a", "b", "c", "d", "e"]).await;
    for (user, hub) in [
        ("a", &two.first),
        ("b", &two.second),
        ("c", &two.first),
        ("d", &two.second),
        ("e", &two.first),
    ] {
        two.ask(hub, Method::POST, user, 202).await;
    }
    two.begun(2).await;
    // The place of a start of the first Hub, as the second tells it.
    let admin = two.admin.at(&two.second.origin);
    let page = admin.get("/hub/spawn-pending/e").await.expect(200).body;
    assert!(page.contains("2 starts before yours"), "{page}");
    assert_eq!(two.first.spawner.requests().len(), 2);

    // Whose Hub dies keeps the place.
    two.first.kill();
    two.second.spawner.behave(Behaviour::Answers);
    two.ask(&two.second, Method::DELETE, "b", 204).await;
    for user in ["a", "c", "d", "e"] {
        wait_for("the servers", || async {
            (two.state_of(user).await == "ready").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn no_more_servers_are_active_than_may_be_whichever_hub_is_asked() {
    let limit = |config: &mut Config| config.jupyter_hub.active_server_limit = 3;
    let two = Two::with(Behaviour::Answers, limit).await;
    let users: Vec<String> = (0..12).map(|number| format!("user{number}")).collect();
    let names: Vec<&str> = users.iter().map(|user| &**user).collect();
    two.add(&names).await;
    let starts = users
        .iter()
        .zip([&two.first, &two.second].into_iter().cycle());
    let starts = starts.map(|(user, hub)| {
        let (asked, path) = (two.admin.at(&hub.origin), format!("/users/{user}/server"));
        let token = two.token.clone();
        async move { asked.api(Method::POST, &path, &token, None).await.status }
    });
    let mut answers = futures_util::future::join_all(starts).await;
    answers.sort_unstable();
    assert_eq!(answers, [vec![202; 3], vec![429; 9]].concat());
}

#[tokio::test]
async fn servers_outlive_the_end_of_one_hub_and_not_that_of_the_last() {
    let mut two = Two::with(Behaviour::Answers, |config| {
        config.jupyter_hub.cleanup_servers = true;
    })
    .await;
    two.ask(&two.first, Method::POST, "admin", 202).await;
    wait_for("the server", || async {
        (two.state_of("admin").await == "ready").then_some(())
    })
    .await;
    two.first.end().await;
    assert_eq!(two.second.spawner.running(), 1);
    two.second.end().await;
    assert_eq!(two.second.spawner.running(), 0);
}

#[tokio::test]
async fn a_hub_that_is_told_to_end_leaves_the_servers_to_the_other() {
    let mut two = Two::with(Behaviour::Answers, |_| {}).await;
    two.ask(&two.first, Method::POST, "admin", 202).await;
    wait_for("the server", || async {
        (two.state_of("admin").await == "ready").then_some(())
    })
    .await;
    let told = two.admin.api(Method::POST, "/shutdown", &two.token, None);
    told.await.expect(202);
    two.first.ended().await;
    assert_eq!(two.second.spawner.running(), 1);
}

/// Each Hub keeps what it has read of tokens and logins, and neither longer than it is true.
#[tokio::test]
async fn what_one_hub_takes_back_the_other_gives_to_nobody() {
    let two = Two::with(Behaviour::Answers, |_| {}).await;
    two.add(&["ada"]).await;
    let there = two.admin.at(&two.second.origin);
    let whoami = || there.api(Method::GET, "/user", &two.token, None);
    let users = || there.api(Method::GET, "/users", &two.token, None);
    for _ in 0..2 {
        assert_eq!(whoami().await.expect(200).json()["name"], "admin");
        assert_eq!(users().await.json().as_array().unwrap().len(), 2);
    }
    let removed = two
        .admin
        .api(Method::DELETE, "/users/ada", &two.token, None);
    removed.await.expect(204);
    assert_eq!(users().await.json().as_array().unwrap().len(), 1);
    let id = whoami().await.json()["token_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/users/admin/tokens/{id}");
    let revoked = two.admin.api(Method::DELETE, &path, &two.token, None);
    revoked.await.expect(204);
    whoami().await.expect(403);
    there.get("/hub/home").await.expect(200);
    two.admin.get("/hub/logout").await.expect(200);
    there.get("/hub/home").await.expect(302);
}

#[tokio::test]
async fn servers_that_are_deleted_while_they_are_started_keep_what_they_have() {
    let two = Two::with(Behaviour::Answers, |config| {
        config.jupyter_hub.allow_named_servers = true;
    })
    .await;
    let path = "/users/admin/servers/gpu";
    for _ in 0..10 {
        let first = two.admin.at(&two.first.origin);
        let second = two.admin.at(&two.second.origin);
        let create = first.api(Method::PUT, path, &two.token, Some(serde_json::json!({})));
        assert!([201, 409].contains(&create.await.status));
        let body = serde_json::json!({ "remove": true });
        let (started, removed) = tokio::join!(
            first.api(Method::POST, path, &two.token, None),
            second.api(Method::DELETE, path, &two.token, Some(body)),
        );
        // Whoever was first: what runs is known, and nothing of it is to be removed.
        assert!(
            started.status < 500 && removed.status < 500,
            "{started:?} {removed:?}"
        );
        wait_for("an end of both", || async {
            let server = two.first.app.db.server("admin", "gpu").await.unwrap();
            let left = two.first.app.db.leftovers().await.unwrap();
            match server.map(|server| server.state.to_string()).as_deref() {
                None | Some("stopped") => (two.first.spawner.running() == 0).then_some(()),
                Some("ready") => {
                    assert!(left.is_empty(), "{left:?}");
                    (two.first.spawner.running() == 1).then_some(())
                }
                Some(_) => None,
            }
        })
        .await;
    }
}
