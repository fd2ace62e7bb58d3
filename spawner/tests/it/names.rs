//! Names of users and servers that hold what a file name must not.

use std::fs;

use carrel_spawner::Spawner;

use crate::harness::Place;

/// Starts one server per name and gives the folders and logs that came into being.
async fn files_of(names: &[(&str, &str)]) -> (Vec<String>, Vec<String>) {
    let mut place = Place::script("exec sleep 60");
    for (user, server) in names {
        place.request.user = user.to_string();
        place.request.server = server.to_string();
        let started = place.start().await;
        place.spawner.stop(&started.state).await.unwrap();
    }
    let list = |folder: &str| {
        let entries = fs::read_dir(place.state_dir().join(folder)).unwrap();
        let mut names: Vec<_> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    assert_eq!(
        fs::read_dir(place.state_dir()).unwrap().count(),
        2,
        "something was made outside"
    );
    (list("users"), list("logs"))
}

#[tokio::test]
async fn plain_names_stay_as_they_are() {
    let (users, logs) =
        files_of(&[("alice", ""), ("alice", "gpu"), ("bob.b@example.org", "")]).await;
    assert_eq!(users, ["alice", "bob.b@example.org"]);
    assert_eq!(
        logs,
        ["alice.log", "alice~gpu.log", "bob.b@example.org.log"]
    );
}

#[tokio::test]
async fn no_name_leaves_its_folder() {
    let (users, _) = files_of(&[
        ("..", ""),
        ("../../etc", "../x"),
        ("/etc", ""),
        ("a/b", "/"),
        (".ssh", ""),
    ])
    .await;
    assert_eq!(
        users,
        ["%2E.", "%2E.%2F..%2Fetc", "%2Essh", "%2Fetc", "a%2Fb"]
    );
}

#[tokio::test]
async fn names_that_look_alike_do_not_meet() {
    let (users, logs) = files_of(&[
        ("a~b", ""),
        ("a", "b"),
        ("a%7Eb", ""),
        ("é", ""),
        ("A", ""),
        ("a", ""),
    ])
    .await;
    assert_eq!(users.len(), 5);
    assert_eq!(logs.len(), 6);
}

#[tokio::test]
async fn long_names_are_cut_and_told_apart() {
    let long = "n".repeat(100_000);
    let (users, logs) = files_of(&[(&long, &long), (&long[1..], "")]).await;
    assert_eq!((users.len(), logs.len()), (2, 2));
    assert!(users.iter().all(|name| name.len() < 120), "{users:?}");
}
