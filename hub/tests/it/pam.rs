//! Passwords of the machine's own users by the real Linux-PAM, with services of the tests' own, and their servers.

mod accounts;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::{Duration, Instant};

use carrel_hub::config::Config;
use carrel_skip::{Need, skip};
use tempfile::TempDir;
use tracing::Level;

use crate::harness::{Log, TestHub, wait_for};

/// An account of every Debian, in a group of its own name.
const USER: &str = "daemon";

/// PAM services in a folder of their own.
struct Services(TempDir);

impl Services {
    /// None where this machine has no PAM.
    fn new() -> Option<Self> {
        // What the dynamic loader knows.
        let known = Command::new("/sbin/ldconfig").arg("-p").output();
        if !known.is_ok_and(|known| String::from_utf8_lossy(&known.stdout).contains("libpam.so.0"))
        {
            skip(
                Need::Pam,
                "there is no libpam.so.0; apt install libpam-modules",
            );
            return None;
        }
        Some(Self(tempfile::tempdir().unwrap()))
    }

    /// `login`, as the rules of this text.
    fn login(self, rules: &str) -> Self {
        fs::write(self.0.path().join("login"), rules).unwrap();
        self
    }

    /// `login` that lets in with the password `analytical`, by a script.
    fn by_script(self) -> Self {
        let script = self.script(
            "password",
            "read -r given; test \"$given\" = 'analytical: \\x'",
        );
        self.login(&format!(
            "auth required pam_exec.so quiet expose_authtok {script}\naccount required pam_permit.so\n"
        ))
    }

    fn script(&self, name: &str, text: &str) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    fn text(&self, keys: &str) -> String {
        format!(
            "JupyterHub: {{authenticator_class: jupyterhub.auth.PAMAuthenticator}}\n\
             PAMAuthenticator: {{confdir: {}, {keys}}}\n",
            self.0.path().display()
        )
    }

    async fn hub(&self, keys: &str) -> TestHub {
        TestHub::of_file(&self.text(keys)).await
    }
}

const PASSWORD: &str = "analytical: \\x";

#[tokio::test]
async fn pam_knows_the_passwords() {
    let Some(services) = Services::new() else {
        return;
    };
    let services = services.by_script();
    let hub = services.hub("allowed_users: [daemon, carrel-nobody]").await;
    let login = async |user: &str, password: &str| hub.browser().login(user, password).await;
    login(USER, PASSWORD).await.expect(303);
    for (user, password) in [
        (USER, "wrong"),
        (USER, ""),
        (USER, "analytical"),
        // PAM lets them in; they have no account, or no leave.
        ("carrel-nobody", PASSWORD),
        ("games", PASSWORD),
    ] {
        let refused = login(user, password).await.expect(403);
        assert!(refused.body.contains("Invalid username or password"));
        assert!(user == USER || hub.app.db.user(user).await.unwrap().is_none());
    }
    // No module sees such a name.
    for name in ["-rf", "a:0", "a,b"] {
        login(name, PASSWORD).await.expect(403);
    }
}

#[tokio::test]
async fn no_password_is_logged() {
    let Some(services) = Services::new() else {
        return;
    };
    let log = Log::of("carrel_hub", Level::TRACE);
    let services = services.by_script();
    let hub = services.hub("allow_all: true").await;
    hub.browser().login(USER, PASSWORD).await.expect(303);
    hub.browser().login(USER, "a guess").await.expect(403);
    let text = log.text();
    assert!(text.contains("PAM does not let daemon in: "), "{text}");
    assert!(
        !text.contains("analytical") && !text.contains("a guess"),
        "{text}"
    );
}

#[tokio::test]
async fn who_guesses_waits() {
    let Some(services) = Services::new() else {
        return;
    };
    let services = services.by_script();
    let hub = services.hub("allow_all: true").await;
    let login = async |password: &str| hub.browser().login(USER, password).await.status;
    let mut seen = Vec::new();
    for _ in 0..7 {
        seen.push(login("guess").await);
    }
    assert_eq!(seen[..5], [403; 5]);
    assert_eq!(seen.last(), Some(&429));
    assert_eq!(login(PASSWORD).await, 429);
}

#[tokio::test]
async fn groups_of_the_machine_let_in_and_make_administrators() {
    let Some(services) = Services::new() else {
        return;
    };
    let services = services.by_script();
    // A group that is not there lets in nobody, and stands in nobody's way.
    let hub = services.hub("allowed_groups: [carrel-none, daemon]").await;
    hub.browser().login(USER, PASSWORD).await.expect(303);
    hub.browser().login("games", PASSWORD).await.expect(403);
    assert!(!hub.app.db.user(USER).await.unwrap().unwrap().admin);

    // Who is an administrator comes in by another rule.
    let hub = services.hub("admin_groups: [daemon]").await;
    hub.browser().login(USER, PASSWORD).await.expect(403);
    let hub = services
        .hub("admin_groups: [daemon], allow_all: true")
        .await;
    hub.browser().login(USER, PASSWORD).await.expect(303);
    hub.browser().login("games", PASSWORD).await.expect(303);
    assert!(hub.app.db.user(USER).await.unwrap().unwrap().admin);
    assert!(!hub.app.db.user("games").await.unwrap().unwrap().admin);

    // And is none any more when the machine says so.
    let games = hub.app.db.user("games").await.unwrap().unwrap();
    hub.app.db.make_admin(games.id, true).await.unwrap();
    hub.browser().login("games", PASSWORD).await.expect(303);
    assert!(!hub.app.db.user("games").await.unwrap().unwrap().admin);

    // A group of administrators that cannot be looked up decides nothing.
    let hub = services
        .hub("admin_groups: [carrel-none], allow_all: true")
        .await;
    hub.browser().login(USER, PASSWORD).await.expect(503);
}

#[tokio::test]
async fn an_account_that_may_not_be_used_is_refused() {
    let Some(services) = Services::new() else {
        return;
    };
    let services = services.login("auth required pam_permit.so\naccount required pam_deny.so\n");
    let hub = services.hub("allow_all: true").await;
    let refused = hub.browser().login(USER, "x").await.expect(403);
    assert!(refused.body.contains("Invalid username or password"));
    let hub = services.hub("allow_all: true, check_account: false").await;
    hub.browser().login(USER, "x").await.expect(303);
}

/// What goes wrong with the modules is told as that, and not as a wrong password.
#[tokio::test]
async fn what_cannot_be_asked_says_nothing_of_the_password() {
    let Some(services) = Services::new() else {
        return;
    };
    // There is no such service.
    let hub = services.hub("allow_all: true").await;
    let failed = hub.browser().login(USER, "x").await.expect(503);
    assert!(failed.body.contains("could not be checked"));
}

#[tokio::test]
async fn a_module_that_is_not_there_lets_nobody_in() {
    let Some(services) = Services::new() else {
        return;
    };
    let rules = "auth required carrel_no_such_module.so\naccount required pam_permit.so\n";
    let services = services.login(rules);
    let hub = services.hub("allow_all: true").await;
    let status = hub.browser().login(USER, "x").await.status;
    assert!([403, 503].contains(&status), "{status}");
}

/// A module that takes long takes a thread of its own, and only those that are set apart for it.
#[tokio::test]
async fn slow_modules_hold_up_nothing_but_logins() {
    let Some(services) = Services::new() else {
        return;
    };
    let go = services.0.path().join("go");
    let script = services.script(
        "slow",
        &format!(
            "read -r given; echo x >> {0}.seen; until [ -e {0} ]; do sleep 0.05; done",
            go.display()
        ),
    );
    let services = services.login(&format!(
        "auth required pam_exec.so quiet expose_authtok {script}\naccount required pam_permit.so\n"
    ));
    let hub = services.hub("allow_all: true, executor_threads: 1").await;
    let login = |user: &'static str| {
        let browser = hub.browser();
        tokio::spawn(async move { browser.login(user, "x").await.status })
    };
    let seen = || fs::read_to_string(go.with_extension("seen")).unwrap_or_default();
    let first = login(USER);
    wait_for("the module to be asked", async || {
        (!seen().is_empty()).then_some(())
    })
    .await;
    let second = login("games");
    // Many more requests than the Hub has threads.
    for _ in 0..50 {
        hub.browser().get("/hub/health").await.expect(200);
    }
    assert!(!first.is_finished() && !second.is_finished());
    assert_eq!(seen(), "x\n");
    fs::write(&go, "").unwrap();
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (303, 303));
}

/// The modules say how long whoever failed is to wait (pam_fail_delay); no thread is taken for that.
#[tokio::test]
async fn who_fails_waits_as_long_as_the_modules_say() {
    let Some(services) = Services::new() else {
        return;
    };
    let services = services.login(
        "auth optional pam_faildelay.so delay=1000000\nauth required pam_deny.so\naccount required pam_permit.so\n",
    );
    let hub = services.hub("allow_all: true, executor_threads: 1").await;
    let begun = Instant::now();
    let logins = ["daemon", "games", "bin", "sys", "man", "lp", "mail", "news"].map(|user| {
        let browser = hub.browser();
        tokio::spawn(async move { browser.login(user, "x").await.status })
    });
    for login in logins {
        assert_eq!(login.await.unwrap(), 403);
    }
    let taken = begun.elapsed();
    // Half of what was asked for, up to one and a half times that; and not one after another.
    assert!(
        taken > Duration::from_millis(450) && taken < Duration::from_secs(4),
        "{taken:?}"
    );
}

#[test]
fn what_the_hub_does_not_do_is_refused() {
    let text = "JupyterHub: {authenticator_class: pam}\n\
                LocalAuthenticator: {create_system_users: true}\n\
                PAMAuthenticator: {open_sessions: true, encoding: latin1, service: ../login, confdir: etc}\n";
    let errors = Config::parse("hub.yaml", text).unwrap_err().to_string();
    for said in [
        "LocalAuthenticator.create_system_users: the Hub makes no accounts",
        "PAMAuthenticator.open_sessions: the Hub opens no sessions",
        "PAMAuthenticator.encoding: expected `utf8`",
        "PAMAuthenticator.service: expected the name of a PAM service",
        "PAMAuthenticator.confdir: expected the absolute path",
    ] {
        assert!(errors.contains(said), "{errors}");
    }
    let text = "JupyterHub: {authenticator_class: pam}\nAuthenticator: {manage_groups: true}\n";
    let errors = Config::parse("hub.yaml", text).unwrap_err().to_string();
    assert!(errors.contains("Authenticator.manage_groups"), "{errors}");
}
