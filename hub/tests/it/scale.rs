//! What must not grow with the number of servers: the work of a round of the watch, and that of a change.

use std::time::{Duration, Instant};

use carrel_hub::db::servers::State;
use reqwest::{Method, Response};

use crate::api::token;
use crate::harness::{Behaviour, Browser, FakeSpawner, Reply, TestHub, Traced, wait_for};

/// The first statement of every round of the watch.
const ROUND: &str = "DELETE FROM sessions WHERE expires";

/// A Hub and the numbered servers of its administrator.
struct Servers {
    hub: TestHub,
    browser: Browser,
    token: String,
}

impl Servers {
    async fn of(behaviour: Behaviour, concurrent: u32) -> Self {
        let hub = TestHub::configured(FakeSpawner::new(behaviour), |config| {
            config.spawner.start_timeout = Duration::from_secs(600);
            config.jupyter_hub.concurrent_spawn_limit = concurrent;
        })
        .await;
        let browser = hub.admin().await;
        let token = token(&browser, &["inherit"]).await;
        Self {
            hub,
            browser,
            token,
        }
    }

    async fn ask(&self, method: Method, number: usize) -> Reply {
        let path = format!("/users/admin/servers/s{number}");
        self.browser.api(method, &path, &self.token, None).await
    }

    async fn start(&self, number: usize) {
        self.ask(Method::POST, number).await.expect(202);
    }

    /// So many servers are ready.
    async fn ready(&self, count: usize) {
        wait_for("the servers", || async {
            let servers = self.hub.app.db.active_servers().await.unwrap();
            let ready = servers.iter().filter(|server| server.state == State::Ready);
            (ready.count() == count).then_some(())
        })
        .await;
    }

    /// So many starts have reached the spawner.
    async fn begun(&self, count: usize) {
        wait_for("the starts", || async {
            (self.hub.spawner.requests().len() == count).then_some(())
        })
        .await;
    }

    /// Somebody looks at the progress of a start, as long as the answer is kept.
    async fn follow(&self, number: usize) -> Response {
        let path = format!("/hub/api/users/admin/servers/s{number}/progress");
        let request = self.browser.request(Method::GET, &path);
        let request = request.header("authorization", format!("token {}", self.token));
        request.send().await.unwrap()
    }

    async fn follow_all(&self, numbers: impl Iterator<Item = usize>) -> Vec<Response> {
        let all = numbers.map(|number| self.follow(number));
        futures_util::future::join_all(all).await
    }
}

/// The statements of a whole round that begins now.
async fn round(queries: &Traced) -> Vec<String> {
    let begun = queries.count(ROUND);
    wait_for("a round of the watch", || async {
        (queries.count(ROUND) > begun + 1).then_some(())
    })
    .await;
    let mut all = queries.all();
    // A Hub also says that it lives, and looks whether others do, at times of its own; and its pool opens a connection
    // when all are in use.
    all.retain(|query| !query.contains("hubs") && !query.starts_with("PRAGMA"));
    let begin = |all: &[String]| all.iter().rposition(|query| query.contains(ROUND));
    all.truncate(begin(&all).unwrap());
    all.split_off(begin(&all).unwrap())
}

#[tokio::test]
async fn a_round_of_the_watch_asks_as_much_for_many_servers_as_for_one() {
    let queries = Traced::queries();
    let servers = Servers::of(Behaviour::Answers, 0).await;
    servers.start(0).await;
    servers.ready(1).await;
    let one = round(&queries).await;
    for number in 1..20 {
        servers.start(number).await;
    }
    servers.ready(20).await;
    let twenty = round(&queries).await;
    assert_eq!(one, twenty);
    // Those of another Hub are asked about, all in one statement.
    let spawner = &servers.hub.spawner;
    for number in 0..20 {
        spawner.lose(&format!("of-another-hub-{number}")).await;
    }
    let strangers = round(&queries).await;
    assert_eq!(strangers.len(), twenty.len() + 1, "{strangers:#?}");
    assert_eq!(spawner.running(), 40);
}

#[tokio::test]
async fn a_change_of_one_start_lets_no_other_look_at_the_database() {
    const CHANGES: usize = 40;
    const STARTS: usize = 10;
    let queries = Traced::queries();
    let servers = Servers::of(Behaviour::Hangs, 0).await;
    for number in 0..STARTS {
        servers.start(number).await;
    }
    servers.begun(STARTS).await;
    let _followed = servers.follow_all(0..STARTS).await;
    let app = &servers.hub.app;
    let changed = app.db.server("admin", "s0").await.unwrap().unwrap();
    let looks = || queries.count("WHERE servers.id = $1");
    let (before, begun) = (looks(), Instant::now());
    for _ in 0..CHANGES {
        app.wake.server(changed.id);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The start and who looks at it; and both of all starts once a second by themselves.
    let seconds = begun.elapsed().as_secs_f64().ceil() as usize;
    let most = 2 * CHANGES + 2 * STARTS * (seconds + 1);
    let made = looks() - before;
    assert!(made > 10, "the changed one looks: {made}");
    assert!(made <= most, "{made} of {most}");
}

#[tokio::test]
async fn who_waits_looks_at_the_database_only_where_the_place_has_changed() {
    const WAITING: usize = 10;
    let queries = Traced::queries();
    let servers = Servers::of(Behaviour::Hangs, 1).await;
    for number in 0..=WAITING {
        servers.start(number).await;
    }
    servers.begun(1).await;
    let looks = || queries.count("SELECT seq, progress, message");
    let looked = async |count: usize| {
        wait_for("looks", || async { (looks() >= count).then_some(()) }).await;
    };
    let _followed = servers.follow_all(1..=WAITING).await;
    looked(WAITING).await;
    for number in 100..120 {
        servers.start(number).await;
        servers.ask(Method::DELETE, number).await.expect(204);
    }
    assert_eq!(looks(), WAITING);
    // Now all others win one.
    servers.ask(Method::DELETE, 1).await.expect(204);
    looked(2 * WAITING).await;
}
