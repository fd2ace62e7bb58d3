//! Stopping: by TERM, by KILL, and with all that the server has started.

use std::time::Duration;

use carrel_spawner::{Poll, Spawner, SpawnerState};

use crate::harness::{Place, lives, pid};

#[tokio::test]
async fn a_server_is_asked_to_end_first() {
    let mut place = Place::script(
        "trap 'echo asked > asked; exit 0' TERM; echo ready > ready; while :; do sleep 0.05; done",
    );
    let started = place.start().await;
    place.written("ready").await;
    place.spawner.stop(&started.state).await.unwrap();
    assert_eq!(place.written("asked").await, "asked");
    assert!(!lives(&pid(&started)));
    assert!(matches!(place.poll(&started).await, Poll::Stopped { .. }));
}

#[tokio::test]
async fn a_server_that_ignores_term_is_killed() {
    let script = "trap '' TERM; echo ready > ready; while :; do sleep 0.05; done";
    let mut place = Place::with(&["/bin/sh", "-c", script], |config| {
        config.term_timeout = Duration::from_millis(200)
    });
    let started = place.start().await;
    place.written("ready").await;
    place.spawner.stop(&started.state).await.unwrap();
    assert!(!lives(&pid(&started)));
}

#[tokio::test]
async fn kernels_in_sessions_of_their_own_end_with_the_server() {
    let mut place = Place::script(
        "setsid sh -c 'echo $$ > kernel; trap \"\" TERM; sleep 60; sleep 60' & sleep 60",
    );
    let started = place.start().await;
    let kernel = place.written("kernel").await;
    assert!(lives(&kernel));
    place.spawner.stop(&started.state).await.unwrap();
    assert!(!lives(&kernel));
}

#[tokio::test]
async fn kernels_whose_server_has_died_end_too() {
    let mut place = Place::script("setsid sh -c 'echo $$ > kernel; exec sleep 60' & exec sleep 60");
    let started = place.start().await;
    let kernel = place.written("kernel").await;
    std::process::Command::new("kill")
        .args(["-9", &pid(&started)])
        .status()
        .unwrap();
    place.end(&started).await;
    assert!(lives(&kernel));
    place.spawner.stop(&started.state).await.unwrap();
    assert!(!lives(&kernel));
}

#[tokio::test]
async fn processes_without_the_mark_end_with_the_session() {
    let mut place = Place::script(
        "env -i /bin/sh -c 'echo $$ > bare; trap \"\" TERM; sleep 60; sleep 60' & sleep 60",
    );
    let started = place.start().await;
    let bare = place.written("bare").await;
    place.spawner.stop(&started.state).await.unwrap();
    assert!(!lives(&bare));
}

#[tokio::test]
async fn a_stopped_server_can_be_stopped_again() {
    let mut place = Place::script("exec sleep 60");
    let started = place.start().await;
    place.spawner.stop(&started.state).await.unwrap();
    place.spawner.stop(&started.state).await.unwrap();
}

#[tokio::test]
async fn a_reused_pid_is_left_alone() {
    let mut place = Place::script("exec sleep 60");
    let started = place.start().await;
    let mut other = started.clone();
    other.state.0["start_time"] = 1.into();
    other.state.0["start_id"] = "another".into();
    assert!(matches!(place.poll(&other).await, Poll::Stopped { .. }));
    place.spawner.stop(&other.state).await.unwrap();
    assert_eq!(place.poll(&started).await, Poll::Running);
}

#[tokio::test]
async fn a_state_of_before_the_reboot_is_stopped() {
    let mut place = Place::script("exec sleep 60");
    let started = place.start().await;
    let mut earlier = started.clone();
    earlier.state.0["boot_id"] = "earlier".into();
    assert!(matches!(place.poll(&earlier).await, Poll::Stopped { .. }));
    place.spawner.stop(&earlier.state).await.unwrap();
    assert_eq!(place.poll(&started).await, Poll::Running);
}

#[tokio::test]
async fn a_state_that_does_not_read_is_an_error() {
    let place = Place::script("exec sleep 60");
    for state in [
        serde_json::json!({}),
        serde_json::json!("pod"),
        serde_json::json!({"pid": -1}),
    ] {
        assert!(
            place
                .spawner
                .poll(&SpawnerState(state.clone()))
                .await
                .is_err(),
            "{state}"
        );
        assert!(
            place
                .spawner
                .stop(&SpawnerState(state.clone()))
                .await
                .is_err(),
            "{state}"
        );
        assert_eq!(place.spawner.log_tail(&SpawnerState(state), 5).await, "");
    }
}
