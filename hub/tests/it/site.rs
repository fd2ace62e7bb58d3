//! A whole site as its administrator runs it: two Hubs and two proxies, each a process, on one PostgreSQL. Any of the four
//! is killed under load, and no login, no running server and no route is lost.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use carrel_skip::package_folder;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::apart::{Apart, Kind, TOKEN, free_port};
use crate::harness::postgres::Postgres;
use crate::harness::{Browser, wait_for};

const USERS: usize = 6;
/// Of the user by whom the rest are made.
const ADMIN_TOKEN: &str = "0123456789abcdef0123456789abcdef";

/// A Hub as a process; ends with the test, without its servers.
struct Hub {
    port: u16,
    folder: TempDir,
    child: Child,
}

impl Hub {
    async fn start(database: &str, port: u16, proxies: &[&Apart]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let apis: Vec<String> = proxies
            .iter()
            .map(|proxy| format!("http://127.0.0.1:{}", proxy.api_port))
            .collect();
        let server = package_folder().join("../tests/jupyterhub/server.py");
        let config = json!({
            "JupyterHub": {
                "ip": "127.0.0.1",
                "port": port,
                "db_url": database,
                "proxy_class": "configurable-http-proxy",
                "proxy_check_interval": 1,
                "cleanup_servers": false,
                "services": [{ "name": "maker", "api_token": ADMIN_TOKEN, "admin": true }],
                "trusted_downstream_ips": ["127.0.0.1"],
            },
            "ConfigurableHTTPProxy": { "api_url": apis, "auth_token": TOKEN },
            "Authenticator": { "allow_all": true },
            "Spawner": { "cmd": ["python3", server], "poll_interval": 1 },
        });
        // JSON is YAML.
        let file = folder.path().join("carrel.yaml");
        std::fs::write(file, config.to_string()).unwrap();
        let child = launch(folder.path());
        let hub = Self {
            port,
            folder,
            child,
        };
        hub.answers().await;
        hub
    }

    async fn answers(&self) {
        let health = format!("http://127.0.0.1:{}/hub/health", self.port);
        wait_for("a Hub", || async { reqwest::get(&health).await.ok() }).await;
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    async fn restart(&mut self) {
        self.child = launch(self.folder.path());
        self.answers().await;
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn launch(folder: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carrel-hub"));
    command
        .arg("--config")
        .arg(folder.join("carrel.yaml"))
        .arg("--state")
        .arg(folder)
        .env("RUST_LOG", "warn")
        .stdout(Stdio::null())
        .spawn()
        .unwrap()
}

/// Asks without end at both proxies by turns, and counts the answers that are not what they should be.
struct Load {
    asked: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    /// Answers that tell of something lost, where a moment's failure is none.
    wrong: Arc<Mutex<Vec<String>>>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    fn begin(browsers: &[Browser], origins: &[String]) -> Self {
        let load = Self {
            asked: Arc::default(),
            over: Arc::default(),
            wrong: Arc::default(),
            tasks: Vec::new(),
        };
        let tasks = browsers.iter().enumerate().map(|(number, browser)| {
            let (browser, origins) = (browser.clone(), origins.to_vec());
            let (asked, over, wrong) = (load.asked.clone(), load.over.clone(), load.wrong.clone());
            tokio::spawn(async move {
                let paths = ["/hub/home".to_owned(), format!("/user/u{number}/lab")];
                for turn in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    let origin = &origins[turn % origins.len()];
                    let path = &paths[turn / 2 % paths.len()];
                    let answer = browser.at(origin).request(Method::GET, path).send().await;
                    asked.fetch_add(1, Ordering::Relaxed);
                    match answer.map(|answer| answer.status().as_u16()) {
                        // One of the four is down, and nobody has noticed yet.
                        Ok(200 | 500..) | Err(_) => {}
                        // Sent to the login, or told that the server does not run.
                        Ok(status) => wrong.lock().unwrap().push(format!("{status} for {path}")),
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            })
        });
        let tasks = tasks.collect();
        Self { tasks, ..load }
    }

    async fn end(self) {
        self.over.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        let wrong = self.wrong.lock().unwrap();
        assert!(wrong.is_empty(), "of {:?}: {wrong:?}", self.asked);
    }
}

async fn api(origin: &str, method: Method, path: &str, body: Value) -> Option<Value> {
    let request = Client::new().request(method, format!("{origin}/hub/api{path}"));
    let request = request.header("authorization", format!("token {ADMIN_TOKEN}"));
    let answer = request.json(&body).send().await.ok()?;
    answer.status().is_success().then_some(())?;
    answer.json().await.ok()
}

/// When each server was started: one that is started anew has another time.
async fn starts(origin: &str) -> Option<BTreeMap<String, String>> {
    let users = api(origin, Method::GET, "/users?state=ready", json!({})).await?;
    let users = users.as_array()?.iter();
    users
        .map(|user| {
            let started = user["servers"][""]["started"].as_str()?;
            Some((user["name"].as_str()?.to_owned(), started.to_owned()))
        })
        .collect()
}

/// All who are logged in reach the Hub and their servers by both proxies.
async fn all_is_well(browsers: &[Browser], origins: &[String]) {
    for origin in origins {
        for (number, browser) in browsers.iter().enumerate() {
            for path in ["/hub/home".to_owned(), format!("/user/u{number}/lab")] {
                wait_for(&format!("{path} at {origin}"), || async {
                    let asked = browser.at(origin).request(Method::GET, &path).send();
                    (asked.await.ok()?.status() == 200).then_some(())
                })
                .await;
            }
        }
    }
}

async fn logged_in(origin: &str, number: usize) -> Browser {
    let browser = Browser::new(origin);
    let user = format!("u{number}");
    browser
        .login(&user, &format!("of {user}"))
        .await
        .expect(303);
    browser
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn any_hub_and_any_proxy_is_killed_under_load_and_nothing_is_lost() {
    let Some(postgres) = Postgres::start().await else {
        return;
    };
    let database = crate::harness::new_database(&postgres.url).await;
    let ports = [free_port(), free_port()];
    let mut first = Apart::start(Kind::Ours, ports[0]).await;
    let mut second = Apart::start(Kind::Ours, ports[1]).await;
    let proxies = [&first, &second];
    let mut hubs = [
        Hub::start(&database, ports[0], &proxies).await,
        Hub::start(&database, ports[1], &proxies).await,
    ];
    let origins = [first.origin(), second.origin()];
    wait_for("the Hub behind a proxy", || async {
        starts(&origins[1]).await
    })
    .await;
    let db = carrel_hub::db::Db::open(&database).await.unwrap();
    let mut browsers = Vec::new();
    for number in 0..USERS {
        let user = format!("u{number}");
        let hash = carrel_hub::auth::password::hash(format!("of {user}"))
            .await
            .unwrap();
        assert!(db.add_user(&user, false, Some(&hash), false).await.unwrap());
        let browser = logged_in(&origins[number % 2], number).await;
        browser.spawn_ready(&user).await;
        browsers.push(browser);
    }
    all_is_well(&browsers, &origins).await;
    let before = starts(&origins[0]).await.unwrap();
    assert_eq!(before.len(), USERS);

    let load = Load::begin(&browsers, &origins);
    for round in 0..2 {
        hubs[round].kill();
        all_is_well(&browsers, &origins).await;
        // A login and a start go on with the other Hub alone.
        let late = USERS + round;
        let user = format!("u{late}");
        let hash = carrel_hub::auth::password::hash(format!("of {user}"))
            .await
            .unwrap();
        assert!(db.add_user(&user, false, Some(&hash), false).await.unwrap());
        logged_in(&origins[round], late)
            .await
            .spawn_ready(&user)
            .await;
        hubs[round].restart().await;
        let proxy = if round == 0 { &mut first } else { &mut second };
        proxy.kill();
        let other = [origins[1 - round].clone()];
        all_is_well(&browsers, &other).await;
        proxy.restart().await;
        all_is_well(&browsers, &origins).await;
    }
    load.end().await;

    let after = starts(&origins[0]).await.unwrap();
    assert_eq!(after.len(), USERS + 2);
    for (user, started) in &before {
        assert_eq!(
            after.get(user),
            Some(started),
            "the server of {user} is the same"
        );
    }
    for user in after.keys() {
        let path = format!("/users/{user}/server");
        let url = format!("{}/hub/api{path}", origins[1]);
        let stop = Client::new()
            .delete(url)
            .header("authorization", format!("token {ADMIN_TOKEN}"));
        let status = stop.send().await.unwrap().status();
        assert!(status.is_success(), "{status} for {user}");
    }
    wait_for("the end of all servers", || async {
        starts(&origins[1]).await?.is_empty().then_some(())
    })
    .await;
}
