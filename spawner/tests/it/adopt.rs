//! A Hub that restarts: its servers go on and are found again.

use carrel_spawner::{Poll, Spawner};

use crate::harness::{Place, lives, pid};

#[tokio::test]
async fn another_hub_watches_and_stops_a_server_by_its_state() {
    let mut place = Place::script("echo hello; echo ready > ready; exec sleep 60");
    let started = place.start().await;
    place.written("ready").await;
    let restarted = place.restarted_spawner();
    assert_eq!(restarted.poll(&started.state).await.unwrap(), Poll::Running);
    assert_eq!(restarted.log_tail(&started.state, 1).await, "hello");
    restarted.stop(&started.state).await.unwrap();
    let Poll::Stopped { reason } = restarted.poll(&started.state).await.unwrap() else {
        panic!("it runs")
    };
    assert!(
        reason.starts_with("The server ended while the Hub did not watch it"),
        "{reason}"
    );
}

#[tokio::test]
async fn a_server_whose_state_was_lost_is_found_by_its_start_id() {
    let mut place = Place::script("setsid sh -c 'echo $$ > kernel; exec sleep 60' & sleep 60");
    let started = place.start().await;
    place.written("kernel").await;
    let found = place
        .restarted_spawner()
        .find(&place.request.start_id)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found, started.state);
    let (events, _) = tokio::sync::mpsc::unbounded_channel();
    let spawner = place.restarted_spawner();
    let resumed = spawner.resume(&found, &place.request, events).await;
    assert_eq!(resumed.unwrap().url, started.url);
}

#[tokio::test]
async fn no_server_is_found_by_an_unknown_or_empty_start_id() {
    let mut place = Place::script("exec sleep 60");
    place.start().await;
    assert!(place.spawner.find("unknown").await.unwrap().is_none());
    assert!(place.spawner.find("").await.unwrap().is_none());
}

#[test]
fn servers_outlive_the_runtime_that_started_them() {
    let mut place = Place::script("exec sleep 60");
    let started = tokio::runtime::Runtime::new()
        .unwrap()
        .block_on(place.start());
    assert!(lives(&pid(&started)));
}
