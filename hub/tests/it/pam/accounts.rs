//! Accounts of the machine, made by root for a test: their logins, and the servers that run under them.

use std::fs;
use std::process::{Command, Output};
use std::time::Instant;

use carrel_hub::config::Config;
use carrel_hub::run::{Hub, StartError};
use carrel_skip::{Need, skip};
use nix::unistd::{User, geteuid};
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::Services;
use crate::harness::{Browser, LIMIT, wait_for};

/// An account of the machine that goes with the test.
struct Account {
    name: String,
    password: &'static str,
}

impl Account {
    /// None where the tests do not run as root.
    async fn new(kind: &str) -> Option<Self> {
        if !geteuid().is_root() {
            skip(Need::Root, "only root makes accounts");
            return None;
        }
        let name = format!("carrel-{kind}{}", std::process::id());
        Self::change("useradd", &["--create-home", "--shell", "/bin/sh", &name]).await;
        let account = Self {
            name,
            password: "can we: fix it",
        };
        let line = format!("{}:{}", account.name, account.password);
        // The programs that change accounts read names and passwords from a pipe.
        let script = format!("echo '{line}' | chpasswd --crypt-method SHA512");
        Self::change("sh", &["-c", &script]).await;
        Some(account)
    }

    /// Other tests change accounts too, and whoever comes second is refused.
    async fn change(program: &str, arguments: &[&str]) -> Output {
        wait_for(program, async || {
            let output = Command::new(program).args(arguments).output().unwrap();
            let locked = String::from_utf8_lossy(&output.stderr).contains("lock");
            assert!(locked || output.status.success(), "{output:?}");
            (!locked).then_some(output)
        })
        .await
    }

    /// Processes that are this user's.
    fn processes(&self) -> usize {
        let uid = User::from_name(&self.name).unwrap().unwrap().uid;
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let own = entries.filter(|entry| {
            let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
            status.contains(&format!("Uid:\t{uid}\t")) && !status.contains("State:\tZ")
        });
        own.count()
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let begun = Instant::now();
        while begun.elapsed() < LIMIT {
            let gone = Command::new("userdel")
                .args(["--remove", "--force", &self.name])
                .output();
            if gone.is_ok_and(|gone| !String::from_utf8_lossy(&gone.stderr).contains("lock")) {
                return;
            }
        }
    }
}

const UNIX: &str = "auth required pam_unix.so\naccount required pam_unix.so\n";

#[tokio::test]
async fn an_account_of_the_machine_logs_in_until_it_expires() {
    let (Some(services), Some(account)) = (Services::new(), Account::new("e").await) else {
        return;
    };
    let services = services.login(UNIX);
    let hub = services.hub("allow_all: true").await;
    let name = &*account.name;
    hub.browser()
        .login(name, account.password)
        .await
        .expect(303);
    hub.browser().login(name, "wrong").await.expect(403);
    hub.browser()
        .login("carrel-nobody", account.password)
        .await
        .expect(403);
    // As long as it has not expired, an account may be told by several spellings; they are one user here.
    hub.browser()
        .login(&name.to_uppercase(), account.password)
        .await
        .expect(303);
    Account::change("usermod", &["--expiredate", "1", name]).await;
    let refused = hub
        .browser()
        .login(name, account.password)
        .await
        .expect(403);
    assert!(refused.body.contains("Invalid username or password"));
    let hub = services.hub("allow_all: true, check_account: false").await;
    hub.browser()
        .login(name, account.password)
        .await
        .expect(303);
}

/// A Hub that starts real processes.
struct Serving {
    browser: Browser,
    stop: oneshot::Sender<()>,
    serving: tokio::task::JoinHandle<Result<(), StartError>>,
    _state: TempDir,
}

impl Serving {
    async fn start(services: &Services, cmd: &str) -> Self {
        let keys = services.text("allow_all: true");
        let text = format!(
            "{keys}Spawner: {{cmd: [sh, -c, '{cmd}'], http_timeout: 2, env_keep: [PATH]}}\n"
        );
        let mut config =
            Config::parse("hub.yaml", &text).unwrap_or_else(|errors| panic!("{errors}"));
        config.jupyter_hub.port = 0;
        let state = tempfile::tempdir().unwrap();
        let hub = Hub::open(config, state.path()).await.unwrap();
        let browser = Browser::new(&format!("http://{}", hub.address));
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(hub.serve(async {
            let _ = stopped.await;
        }));
        Self {
            browser,
            stop,
            serving,
            _state: state,
        }
    }

    /// Why the start of a server failed.
    async fn failure(&self, user: &str) -> String {
        wait_for("the failure", async || {
            let page = self
                .browser
                .get(&format!("/hub/spawn-pending/{user}"))
                .await;
            page.body.contains("The start failed").then_some(page.body)
        })
        .await
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn the_server_of_an_account_is_its_own_and_ends_whole() {
    let (Some(services), Some(account)) = (Services::new(), Account::new("s").await) else {
        return;
    };
    // It never answers, so that the Hub ends it.
    let cmd = "{ id -un; pwd; cat /etc/shadow; } > told.new 2>&1; mv told.new told; setsid sleep 600 & sleep 600";
    let services = services.login(UNIX);
    let hub = Serving::start(&services, cmd).await;
    let name = &account.name;
    hub.browser.login(name, account.password).await.expect(303);
    hub.browser.spawn().await.expect(303);
    let told = format!("/home/{name}/told");
    let told = wait_for("the server", async || fs::read_to_string(&told).ok()).await;
    assert!(
        told.starts_with(&format!("{name}\n/home/{name}\n")),
        "{told}"
    );
    assert!(told.contains("Permission denied"), "{told}");
    wait_for("all its processes", async || {
        (account.processes() == 3).then_some(())
    })
    .await;
    let page = hub.failure(name).await;
    assert!(page.contains("did not answer"), "{page}");
    assert_eq!(account.processes(), 0);
    hub.end().await;
}

/// Who logs in as `name`, starts a server and is told why there is none.
async fn starts_nothing(name: &str, why: &str) {
    let Some(services) = Services::new() else {
        return;
    };
    if !geteuid().is_root() {
        return skip(Need::Root, "only root becomes another user");
    }
    let services = services.login("auth required pam_permit.so\naccount required pam_permit.so\n");
    let hub = Serving::start(&services, "sleep 600").await;
    hub.browser.login(name, "x").await.expect(303);
    hub.browser.spawn().await.expect(303);
    let page = hub.failure(name).await;
    assert!(page.contains(why), "{page}");
    hub.end().await;
}

#[tokio::test]
async fn root_may_log_in_and_starts_nothing() {
    starts_nothing("root", "LocalProcessSpawner.allow_root").await;
}

#[tokio::test]
async fn no_server_runs_under_an_account_of_the_system() {
    starts_nothing("daemon", "LocalProcessSpawner.minimum_uid").await;
}
