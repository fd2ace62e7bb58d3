//! Servers under accounts of the machine: who they are, what they may, and what is left of them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use carrel_skip::{Need, skip};
use carrel_spawner::local::LocalConfig;
use carrel_spawner::{Poll, Spawner as _};
use nix::unistd::{Gid, User, geteuid, getgrouplist, setgroups};

use crate::harness::{Place, lives, message, pid, request, until};

/// An account of every Debian that has a home which is there.
const USER: &str = "daemon";

/// Servers that run `script`, each under the account of its user; none where the tests do not run as root.
fn place(script: &str) -> Option<Place> {
    if !geteuid().is_root() {
        skip(Need::Root, "only root becomes another user");
        return None;
    }
    let mut place = Place::with(&["/bin/sh", "-c", script], |config| {
        config.system_users = true;
        config.env_keep = vec!["PATH".to_owned(), "SHELL".to_owned()];
    });
    place.request = request(USER);
    Some(place)
}

#[tokio::test]
async fn a_server_is_its_users_and_nobody_elses() {
    let out = tempfile::tempdir().unwrap();
    fs::set_permissions(out.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let file = out.path().join("told");
    let script = format!(
        "{{ id -ru; id -u; id -rg; id -g; id -G; pwd; echo $HOME $USER $LOGNAME $SHELL; grep -E '^(CapEff|Uid):' /proc/self/status; \
         cat /etc/shadow 2>/dev/null | wc -c; }} > {file}.new; mv {file}.new {file}; sleep 60",
        file = file.display(),
    );
    let Some(mut place) = place(&script) else {
        return;
    };
    // What a Hub may have that its users must not.
    setgroups(&[0, 4, 42].map(Gid::from_raw)).unwrap();
    let started = place.start().await;
    let told = until("the server tells who it is", || {
        fs::read_to_string(&file).ok()
    })
    .await;
    let told: Vec<&str> = told.lines().collect();

    let user = User::from_name(USER).unwrap().unwrap();
    let groups = getgrouplist(&std::ffi::CString::new(USER).unwrap(), user.gid).unwrap();
    let groups: Vec<_> = groups.iter().map(Gid::to_string).collect();
    let (uid, gid) = (user.uid.to_string(), user.gid.to_string());
    assert_eq!(told[..4], [&*uid, &uid, &gid, &gid]);
    let mut own: Vec<_> = told[4].split(' ').collect();
    own.sort_unstable();
    assert_eq!(own, groups);
    let home = user.dir.display().to_string();
    let resolved = fs::canonicalize(&home).unwrap();
    assert!([home.clone(), resolved.display().to_string()].contains(&told[5].to_owned()));
    let shell = user.shell.display();
    assert_eq!(told[6], format!("{home} {USER} {USER} {shell}"));
    // Real, effective, saved and that of the file system.
    assert_eq!(told[7], format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}"));
    assert!(told[8].trim_end_matches('0').ends_with('\t'), "{}", told[8]);
    assert_eq!(told[9], "0");

    // Its log is the Hub's.
    let log = place.state_dir().join(format!("logs/{USER}.log"));
    assert_eq!(
        fs::metadata(log).unwrap().permissions().mode() & 0o777,
        0o600
    );
    assert!(!place.state_dir().join("users").exists());
    assert!(lives(&pid(&started)));
    place.spawner.stop(&started.state).await.unwrap();
    assert!(!lives(&pid(&started)));
}

#[tokio::test]
async fn a_server_of_another_account_is_found_again_and_ended_with_all_that_it_began() {
    let Some(mut place) = place("setsid sleep 70 & sleep 70") else {
        return;
    };
    let started = place.start().await;
    let hub = place.restarted_spawner();
    let found = hub.find(&place.request.start_id).await.unwrap().unwrap();
    assert_eq!(found, started.state);
    assert_eq!(hub.poll(&found).await.unwrap(), Poll::Running);
    let children = format!("/proc/{0}/task/{0}/children", pid(&started));
    let children = until("the server has begun others", || {
        let children = fs::read_to_string(&children).ok()?;
        (children.split_whitespace().count() == 2).then_some(children)
    })
    .await;
    hub.stop(&found).await.unwrap();
    for child in children.split_whitespace() {
        assert!(!lives(child));
    }
}

/// Whoever has an account may start what looks like their server, but for where it writes: only the Hub makes files there.
#[tokio::test]
async fn what_writes_elsewhere_is_not_found() {
    let Some(mut place) = place("exec sleep 60 > /dev/null") else {
        return;
    };
    let started = place.start().await;
    until("the server writes elsewhere", || {
        let out = fs::read_link(format!("/proc/{}/fd/1", pid(&started))).ok()?;
        (out.as_os_str() == "/dev/null").then_some(())
    })
    .await;
    let found = place.spawner.find(&place.request.start_id).await.unwrap();
    assert_eq!(found, None);
}

/// Its port is held for a server until that listens, but for nobody in particular.
#[tokio::test]
async fn a_program_of_another_account_does_not_stand_in_for_a_server() {
    let Some(mut place) = place("sleep 60") else {
        return;
    };
    let started = place.start().await;
    assert_eq!(
        place.spawner.poll(&started.state).await.unwrap(),
        Poll::Running
    );
    let port = started.url.port().unwrap();
    let _root = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    match place.spawner.poll(&started.state).await.unwrap() {
        Poll::Stopped { reason } => assert!(reason.contains("another account"), "{reason}"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn no_server_runs_as_root_unless_it_may() {
    let Some(mut place) = place("sleep 60") else {
        return;
    };
    place.request = request("root");
    let refused = message(place.try_start().await);
    assert!(
        refused.contains("LocalProcessSpawner.allow_root"),
        "{refused}"
    );

    let mut place = Place::with(&["/bin/sh", "-c", "sleep 60"], |config| {
        config.system_users = true;
        config.allow_root = true;
    });
    place.request = request("root");
    place.start().await;
}

#[tokio::test]
async fn no_server_runs_under_an_account_of_the_system() {
    if place("").is_none() {
        return;
    }
    let mut place = Place::with(&["/bin/sh", "-c", "sleep 60"], |config| {
        config.system_users = true;
        config.minimum_uid = LocalConfig::default().minimum_uid;
    });
    place.request = request(USER);
    let refused = message(place.try_start().await);
    assert!(
        refused.contains("LocalProcessSpawner.minimum_uid"),
        "{refused}"
    );
}

#[tokio::test]
async fn who_cannot_be_become_is_told() {
    let Some(mut place) = place("sleep 60") else {
        return;
    };
    place.request = request("carrel-nobody-at-all");
    let refused = message(place.try_start().await);
    assert!(refused.contains("no account"), "{refused}");

    // Its home is not there.
    place.request = request("nobody");
    let refused = message(place.try_start().await);
    let home = User::from_name("nobody").unwrap().unwrap().dir;
    let expected = format!("could not enter the home of nobody, {}: ", home.display());
    assert!(refused.starts_with(&expected), "{refused}");

    // No such program, or none for this user.
    let hidden = tempfile::tempdir().unwrap();
    fs::set_permissions(hidden.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let path = hidden.path().join("program");
    fs::write(&path, "#!/bin/sh").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    for (program, why) in [
        ("/carrel-no-such-program", "there is no such program"),
        (path.to_str().unwrap(), "that daemon may run"),
    ] {
        let mut place = Place::with(&[program], |config| config.system_users = true);
        place.request = request(USER);
        let refused = message(place.try_start().await);
        assert!(refused.contains(why), "{refused}");
    }
}

/// Where root may not choose groups, as in some containers, a server does not keep those of the Hub.
#[tokio::test]
async fn a_server_does_not_run_with_groups_that_are_not_its_users() {
    const WITHOUT: &str = "CARREL_TEST_WITHOUT_SETGID";
    let Some(mut place) = place("sleep 60") else {
        return;
    };
    if std::env::var_os(WITHOUT).is_some() {
        let refused = message(place.try_start().await);
        let expected = "could not take the groups of daemon: ";
        assert!(refused.starts_with(expected), "{refused}");
        return;
    }
    // The same once more, as a root that may do less.
    let name = "account::a_server_does_not_run_with_groups_that_are_not_its_users";
    let again = Command::new("setpriv")
        .args(["--inh-caps=-setgid", "--bounding-set=-setgid"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name])
        .env(WITHOUT, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&again.stdout);
    assert!(
        again.status.success() && said.contains("1 passed"),
        "{said}"
    );
}
