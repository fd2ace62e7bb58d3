//! The environment of a server, whole.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use carrel_spawner::local::{LocalConfig, environment};

use crate::harness::{Place, request};

fn map(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables
        .iter()
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

#[test]
fn layers_win_in_their_order() {
    let config = LocalConfig {
        environment: map(&[
            ("JUPYTER_PATH", "/kernels"),
            ("TZ", "UTC"),
            ("JUPYTERHUB_USER", "mallory"),
        ]),
        notebook_dir: Some("/home/{username}/notebooks".to_owned()),
        ..LocalConfig::default()
    };
    let inherited = map(&[
        ("PATH", "/usr/bin"),
        ("TZ", "Europe/Berlin"),
        ("HOME", "/root"),
        ("SECRET", "x"),
    ]);
    let mut request = request("alice");
    request.start_id = "start-1".to_owned();
    let variables = environment(
        &config,
        &request,
        (Path::new("/state/users/alice"), None),
        41231,
        &inherited,
    );
    let expected = map(&[
        ("CARREL_START_ID", "start-1"),
        ("HOME", "/state/users/alice"),
        ("JUPYTERHUB_ROOT_DIR", "/home/alice/notebooks"),
        (
            "JUPYTERHUB_SERVICE_URL",
            "http://127.0.0.1:41231/user/alice/",
        ),
        ("JUPYTERHUB_USER", "alice"),
        ("JUPYTER_PATH", "/kernels"),
        ("LOGNAME", "alice"),
        ("PATH", "/usr/bin"),
        ("SHELL", "/bin/sh"),
        ("TZ", "UTC"),
        ("USER", "alice"),
    ]);
    assert_eq!(variables, expected);
}

#[tokio::test]
async fn a_server_sees_nothing_else() {
    let mut place = Place::with(&["/usr/bin/env"], |config| {
        config.env_keep = Vec::new();
        config.exit_watch = Duration::from_secs(20);
    });
    let error = crate::harness::message(place.try_start().await);
    let (_, log) = error.split_once("log:\n").unwrap();
    let mut names: Vec<_> = log
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, _)| name)
        .collect();
    names.sort();
    let expected = [
        "CARREL_START_ID",
        "HOME",
        "JUPYTERHUB_SERVICE_URL",
        "JUPYTERHUB_USER",
        "LOGNAME",
        "SHELL",
        "USER",
    ];
    assert_eq!(names, expected);
}
