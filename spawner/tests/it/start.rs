//! Starting: what a server finds, what is reported, and how a start fails.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;

use carrel_spawner::{Poll, Spawner, StartEvent};

use crate::harness::{HTTP_SERVER, Place, lives, message, pid, until};

#[tokio::test]
async fn a_server_answers_at_its_url() {
    let mut place = Place::running(&["python3", "-c", HTTP_SERVER]);
    let started = place.start().await;
    let address = format!("127.0.0.1:{}", started.url.port().unwrap());
    let mut stream = until("it listens", || std::net::TcpStream::connect(&address).ok()).await;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.contains("200 OK"), "{answer}");
    assert_eq!(place.poll(&started).await, Poll::Running);
    place.spawner.stop(&started.state).await.unwrap();
}

#[tokio::test]
async fn the_state_is_reported_before_the_start_returns() {
    let mut place = Place::script("sleep 60");
    let started = place.start().await;
    let event = place.events.recv().await;
    assert!(matches!(event, Some(StartEvent::State(state)) if state == started.state));
    for key in ["pid", "start_time", "boot_id", "port", "log", "start_id"] {
        assert!(
            started.state.0.get(key).is_some(),
            "no {key} in {:?}",
            started.state
        );
    }
}

#[tokio::test]
async fn a_server_has_a_folder_a_session_and_an_empty_input_of_its_own() {
    let mut place = Place::script(
        "cat > input; pwd > pwd; echo $HOME > home; cut -d' ' -f5,6 /proc/$$/stat > ids; sleep 60",
    );
    let started = place.start().await;
    let folder = place.home().display().to_string();
    assert_eq!(place.written("pwd").await, folder);
    assert_eq!(place.written("home").await, folder);
    assert_eq!(
        place.written("ids").await,
        format!("{0} {0}", pid(&started)),
        "process group and session"
    );
    assert_eq!(fs::read(place.home().join("input")).unwrap(), b"");
    assert_eq!(
        fs::metadata(place.home()).unwrap().permissions().mode() & 0o777,
        0o700
    );
}

#[tokio::test]
async fn a_new_user_gets_the_files_of_skel_once() {
    let mut place = Place::script("sleep 60");
    let skel = place.state_dir().join("skel/more");
    fs::create_dir_all(&skel).unwrap();
    fs::write(skel.join("notebook"), "hello").unwrap();
    let first = place.start().await;
    let notebook = place.home().join("more/notebook");
    assert_eq!(fs::read_to_string(&notebook).unwrap(), "hello");

    place.spawner.stop(&first.state).await.unwrap();
    fs::remove_file(&notebook).unwrap();
    place.start().await;
    assert!(!notebook.exists(), "what the user removed stays removed");
}

#[tokio::test]
async fn the_log_keeps_both_outputs_and_only_its_owner_reads_it() {
    let mut place =
        Place::script("echo first; echo second >&2; echo third; echo done > done; sleep 60");
    let started = place.start().await;
    place.written("done").await;
    assert_eq!(
        place.spawner.log_tail(&started.state, 2).await,
        "second\nthird"
    );
    let log = place.state_dir().join("logs/alice.log");
    assert_eq!(fs::read_to_string(&log).unwrap(), "first\nsecond\nthird\n");
    assert_eq!(
        fs::metadata(&log).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[tokio::test]
async fn a_large_log_is_put_aside_at_the_next_start() {
    let mut place = Place::script("echo new; echo done > done; sleep 60");
    let logs = place.state_dir().join("logs");
    fs::create_dir_all(&logs).unwrap();
    fs::write(logs.join("alice.log"), vec![b'x'; 5 << 20]).unwrap();
    place.start().await;
    place.written("done").await;
    assert_eq!(fs::read_to_string(logs.join("alice.log")).unwrap(), "new\n");
    assert_eq!(
        fs::metadata(logs.join("alice.log.1")).unwrap().len(),
        5 << 20
    );
}

#[tokio::test]
async fn an_unknown_command_is_named_with_its_key() {
    let error = message(Place::running(&["no-such-singleuser"]).try_start().await);
    assert!(
        error.contains("`no-such-singleuser`") && error.contains("`Spawner.cmd`"),
        "{error}"
    );
    assert!(error.contains("no such program"), "{error}");
}

#[tokio::test]
async fn a_command_that_is_not_executable_is_named() {
    let error = message(Place::running(&["/etc/passwd"]).try_start().await);
    assert!(
        error.contains("`/etc/passwd`") && error.contains("not an executable"),
        "{error}"
    );
}

#[tokio::test]
async fn an_empty_command_is_an_error() {
    assert!(
        message(Place::running(&[]).try_start().await).contains("`Spawner.cmd` names no program")
    );
}

#[tokio::test]
async fn a_server_that_exits_at_once_fails_with_its_status_and_log() {
    let error = message(
        Place::watched(&["/bin/sh", "-c", "echo no licence found; exit 3"])
            .try_start()
            .await,
    );
    assert!(
        error.contains("exited with status 3") && error.ends_with("no licence found"),
        "{error}"
    );
}

#[tokio::test]
async fn an_end_is_told_with_status_or_signal_and_the_log() {
    let mut place =
        Place::script("echo $$ > pid; until [ -e go ]; do sleep 0.05; done; echo broken; exit 1");
    let started = place.start().await;
    fs::write(place.home().join("go"), "").unwrap();
    assert_eq!(
        place.end(&started).await,
        "The server exited with status 1; the end of its log:\nbroken"
    );

    let mut place = Place::script("exec sleep 60");
    let started = place.start().await;
    std::process::Command::new("kill")
        .args(["-9", &pid(&started)])
        .status()
        .unwrap();
    assert_eq!(
        place.end(&started).await,
        "The server was killed by signal 9 (SIGKILL)"
    );
}

#[tokio::test]
async fn a_dropped_start_leaves_nothing() {
    let mut place =
        Place::script("setsid sleep 60 & echo $! > grandchild; echo $$ > server; sleep 60");
    let home = place.home();
    let read = |name: &str| {
        fs::read_to_string(home.join(name))
            .ok()
            .filter(|text| text.ends_with('\n'))
    };
    let (server, grandchild) = tokio::select! {
        biased;
        pids = async { (until("server", || read("server")).await, until("grandchild", || read("grandchild")).await) } => pids,
        started = place.try_start() => panic!("started before it was dropped: {started:?}"),
    };
    until("both are gone", || {
        (!lives(server.trim()) && !lives(grandchild.trim())).then_some(())
    })
    .await;
}
