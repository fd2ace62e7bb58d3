//! What must not grow with the number of servers: the work of a round of the watch, and that of a change.

use std::time::{Duration, Instant};

use carrel_hub::db::servers::State;
use reqwest::Method;

use crate::api::token;
use crate::harness::{Behaviour, FakeSpawner, Queries, TestHub, wait_for};

/// The first statement of every round of the watch.
const ROUND: &str = "DELETE FROM sessions WHERE expires";

/// A Hub, and what starts named servers of its administrator.
async fn hub(behaviour: Behaviour) -> (TestHub, impl AsyncFn(usize)) {
    let patient = |config: &mut carrel_hub::config::Config| {
        config.spawner.start_timeout = Duration::from_secs(600);
    };
    let hub = TestHub::configured(FakeSpawner::new(behaviour), patient).await;
    let browser = hub.admin().await;
    let token = token(&browser, &["inherit"]).await;
    let start = async move |number: usize| {
        let path = format!("/users/admin/servers/s{number}");
        let started = browser.api(Method::POST, &path, &token, None).await;
        started.expect(202);
    };
    (hub, start)
}

/// The statements of a whole round that begins now.
async fn round(queries: &Queries) -> Vec<String> {
    let begun = queries.count(ROUND);
    wait_for("a round of the watch", || async {
        (queries.count(ROUND) > begun + 1).then_some(())
    })
    .await;
    let mut all = queries.all();
    let begin = |all: &[String]| all.iter().rposition(|query| query.contains(ROUND));
    all.truncate(begin(&all).unwrap());
    all.split_off(begin(&all).unwrap())
}

#[tokio::test]
async fn a_round_of_the_watch_asks_as_much_for_many_servers_as_for_one() {
    let queries = Queries::listen();
    let (hub, start) = hub(Behaviour::Answers).await;
    let ready = async |count: usize| {
        wait_for("the servers", || async {
            let servers = hub.app.db.active_servers().await.unwrap();
            let ready = servers.iter().filter(|server| server.state == State::Ready);
            (ready.count() == count).then_some(())
        })
        .await;
    };
    start(0).await;
    ready(1).await;
    let one = round(&queries).await;
    for number in 1..20 {
        start(number).await;
    }
    ready(20).await;
    let twenty = round(&queries).await;
    assert_eq!(one, twenty);
    // Those of another Hub are asked about, all in one statement.
    for number in 0..20 {
        hub.spawner.lose(&format!("of-another-hub-{number}")).await;
    }
    let strangers = round(&queries).await;
    assert_eq!(strangers.len(), twenty.len() + 1, "{strangers:#?}");
    assert_eq!(hub.spawner.running(), 40);
}

#[tokio::test]
async fn a_change_of_one_start_lets_no_other_look_at_the_database() {
    const CHANGES: usize = 40;
    const OTHERS: usize = 10;
    let queries = Queries::listen();
    let (hub, start) = hub(Behaviour::Hangs).await;
    for number in 0..=OTHERS {
        start(number).await;
    }
    wait_for("the starts", || async {
        (hub.spawner.requests().len() == OTHERS + 1).then_some(())
    })
    .await;
    let changed = hub.app.db.server("admin", "s0").await.unwrap().unwrap();
    let looks = || queries.count("WHERE servers.id = $1");
    let (before, begun) = (looks(), Instant::now());
    for _ in 0..CHANGES {
        hub.app.wake.server(changed.id);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // All look by themselves once a second.
    let by_themselves = (OTHERS + 1) * (begun.elapsed().as_secs() as usize + 1);
    let made = looks() - before;
    assert!(made > 10, "the changed one looks: {made}");
    assert!(made <= CHANGES + by_themselves, "{made}");
}
