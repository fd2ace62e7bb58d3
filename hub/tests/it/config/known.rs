//! Every key of the JupyterHub beside this Hub is taken, passed over with the reason, or refused with it.

use std::process::Command;

use carrel_hub::config::Config;

use crate::harness::apart::prepared;

/// What its classes can be told.
const KEYS: &str = "
from jupyterhub import app, auth, crypto, proxy, spawner
from jupyterhub.authenticators.shared import SharedPasswordAuthenticator as shared
classes = [app.JupyterHub, spawner.Spawner, spawner.LocalProcessSpawner, spawner.SimpleLocalProcessSpawner]
classes += [auth.Authenticator, auth.LocalAuthenticator, auth.PAMAuthenticator, auth.DummyAuthenticator, shared]
classes += [proxy.Proxy, proxy.ConfigurableHTTPProxy, crypto.CryptKeeper]
for known in classes:
    for name in known.class_own_traits(config=True):
        print(known.__name__, name)
";

#[test]
fn every_key_of_jupyterhub_is_known() {
    let Some(prepared) = prepared() else { return };
    let python = Command::new(prepared.join("venv/bin/python"))
        .args(["-c", KEYS])
        .output()
        .unwrap();
    let keys = String::from_utf8(python.stdout).unwrap();
    assert!(
        keys.lines().count() > 150,
        "{}",
        String::from_utf8_lossy(&python.stderr)
    );
    let unknown = keys.lines().filter(|line| {
        let (section, key) = line.split_once(' ').unwrap();
        let told = match Config::parse("hub.yaml", &format!("{section}:\n  {key}: 1\n")) {
            Ok(_) => String::new(),
            Err(errors) => errors.to_string(),
        };
        told.contains("unknown")
            && !told.contains("belongs under")
            && !told.contains("hooks in Python")
    });
    let unknown: Vec<&str> = unknown.collect();
    assert_eq!(unknown, Vec::<&str>::new());
}
