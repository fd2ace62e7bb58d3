//! The queue of starts: their order, their number at a time, and the place that a waiting person sees.

use carrel_hub::config::Config;
use carrel_hub::db::servers::State;
use reqwest::Method;

use crate::api::token;
use crate::harness::{Behaviour, Browser, FakeSpawner, Reply, TestHub, wait_for};

/// A Hub with users `user00`, `user01`, ..., and its administrator's browser and token.
struct Class {
    hub: TestHub,
    users: Vec<String>,
    admin: Browser,
    token: String,
}

impl Class {
    async fn of(size: usize, behaviour: Behaviour, configure: impl FnOnce(&mut Config)) -> Self {
        let hub = TestHub::configured(FakeSpawner::new(behaviour), configure).await;
        let admin = hub.admin().await;
        let token = token(&admin, &["inherit"]).await;
        let users: Vec<String> = (0..size).map(|number| format!("user{number:02}")).collect();
        for user in &users {
            hub.app.db.add_user(user, false, None, false).await.unwrap();
        }
        Self {
            hub,
            users,
            admin,
            token,
        }
    }

    async fn ask(&self, method: Method, user: &str) -> Reply {
        let path = format!("/users/{user}/server");
        self.admin.api(method, &path, &self.token, None).await
    }

    async fn start(&self, user: &str) {
        self.ask(Method::POST, user).await.expect(202);
    }

    /// So many starts have reached the spawner.
    async fn begun(&self, count: usize) {
        wait_for("starts", || async {
            (self.hub.spawner.requests().len() == count).then_some(())
        })
        .await;
    }

    async fn page(&self, user: &str) -> String {
        let page = self.admin.get(&format!("/hub/spawn-pending/{user}")).await;
        page.expect(200).body
    }
}

fn patient(config: &mut Config) {
    config.spawner.start_timeout = std::time::Duration::from_secs(600);
}

#[tokio::test]
async fn fifty_starts_are_carried_out_in_the_order_in_which_they_were_asked_for() {
    let class = Class::of(50, Behaviour::Answers, |_| {}).await;
    for user in &class.users {
        class.start(user).await;
    }
    wait_for("all servers", || async {
        (class.hub.spawner.running() == class.users.len()).then_some(())
    })
    .await;
    assert_eq!(class.hub.spawner.handed_over(), class.users);
}

#[tokio::test]
async fn starts_over_the_limit_wait_and_are_told_their_place() {
    let limit = |config: &mut Config| {
        patient(config);
        config.jupyter_hub.concurrent_spawn_limit = 2;
    };
    let class = Class::of(5, Behaviour::Hangs, limit).await;
    for user in &class.users {
        class.start(user).await;
    }
    class.begun(2).await;
    assert!(class.page("user02").await.contains("yours is the next"));
    let last = class.page("user04").await;
    assert!(last.contains("2 starts before yours"), "{last}");

    // Who waits may give up, as may who is starting.
    class.ask(Method::DELETE, "user02").await.expect(204);
    let last = class.page("user04").await;
    assert!(last.contains("1 start before yours"), "{last}");
    class.hub.spawner.behave(Behaviour::Answers);
    class.ask(Method::DELETE, "user00").await.expect(204);
    let path = "/users/user04/server/progress";
    let events = class.admin.api(Method::GET, path, &class.token, None);
    let events = events.await.expect(200).body;
    assert!(events.contains("\"ready\":true"), "{events}");
    assert_eq!(
        class.hub.spawner.handed_over(),
        ["user00", "user01", "user03", "user04"]
    );
}

#[tokio::test]
async fn the_stream_of_progress_tells_every_place_and_then_the_start() {
    let limit = |config: &mut Config| {
        patient(config);
        config.jupyter_hub.concurrent_spawn_limit = 1;
    };
    let class = Class::of(3, Behaviour::Hangs, limit).await;
    for user in &class.users {
        class.start(user).await;
    }
    class.begun(1).await;
    class.hub.spawner.behave(Behaviour::Answers);
    let follow = "/hub/api/users/user02/server/progress";
    let follow = class.admin.request(Method::GET, follow);
    let follow = follow.header("authorization", format!("token {}", class.token));
    let mut stream = follow.send().await.unwrap();
    let (mut told, mut waits) = (String::new(), true);
    while let Some(part) = stream.chunk().await.unwrap() {
        told.push_str(std::str::from_utf8(&part).unwrap());
        if waits && told.contains("1 start before yours") {
            waits = false;
            class.ask(Method::DELETE, "user00").await.expect(204);
        }
    }
    let at = |text: &str| told.find(text).unwrap_or_else(|| panic!("{text}: {told}"));
    assert!(at("1 start before yours") < at("Server requested"));
    assert!(at("Server requested") < at("\"ready\":true"));
}

#[tokio::test]
async fn who_waits_keeps_the_place_when_the_hub_is_killed() {
    let limit = |config: &mut Config| {
        patient(config);
        config.jupyter_hub.concurrent_spawn_limit = 1;
    };
    let mut class = Class::of(4, Behaviour::Silent, limit).await;
    for user in &class.users {
        class.start(user).await;
    }
    wait_for("the first server", || async {
        (class.hub.spawner.running() == 1).then_some(())
    })
    .await;

    class.hub = class.hub.crash_and_restart().await;

    let last = class.page("user03").await;
    assert!(last.contains("2 starts before yours"), "{last}");
    class.hub.spawner.behave(Behaviour::Answers);
    class.ask(Method::DELETE, "user00").await.expect(204);
    wait_for("the others", || async {
        (class.hub.spawner.running() == 3).then_some(())
    })
    .await;
    assert_eq!(class.hub.spawner.handed_over(), class.users);
}

#[tokio::test]
async fn no_more_servers_than_may_be_active_are_started() {
    let limit = |config: &mut Config| config.jupyter_hub.active_server_limit = 1;
    let class = Class::of(2, Behaviour::Answers, limit).await;
    class.start("user00").await;
    let refused = class.ask(Method::POST, "user01").await.expect(429);
    assert!(refused.body.contains("JupyterHub.active_server_limit"));
    assert_eq!(refused.header("retry-after"), "60");
    let page = class.admin.submit("/hub/spawn", "/hub/spawn", &[]).await;
    let page = page.expect(429).body;
    assert!(page.contains("No more than 1 servers") && page.contains("spawn_form"));
    // One that is active already is joined, not refused.
    wait_for("the server", || async {
        let server = class.hub.app.db.server("user00", "").await.unwrap()?;
        (server.state == State::Ready).then_some(())
    })
    .await;
    class.ask(Method::POST, "user00").await.expect(400);
    class.ask(Method::DELETE, "user00").await.expect(204);
    class.start("user01").await;
}
