//! Many clients who do whatever comes to their minds, each beside a model of what must then hold.
//!
//! `CARREL_MODEL_SECONDS=300 cargo nextest run -E 'test(model)'` does so for five minutes in place of seconds.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use carrel_hub::app::App;
use carrel_hub::config::Config;
use rand::rngs::StdRng;
use rand::seq::IteratorRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::harness::{Behaviour, Browser, FakeSpawner, LIMIT, Reply, TestHub, wait_for};

const CLIENTS: u64 = 20;
/// The default server, and names that further ones get.
const NAMES: [&str; 4] = ["", "gpu", "big", "old"];

/// What one user has, as the user's own requests have made it.
#[derive(Debug, Default)]
struct Model {
    /// Whether each server that was ever made is ready.
    servers: BTreeMap<&'static str, bool>,
    /// Tokens by their ids.
    tokens: BTreeMap<String, String>,
    /// Servers that are shared with the administrator.
    shared: BTreeSet<&'static str>,
}

struct Person {
    name: String,
    app: App,
    browser: Browser,
    /// Of an administrator: only the user's own things are touched by it.
    token: String,
    model: Model,
    random: StdRng,
    done: usize,
}

impl Person {
    async fn ask(&self, method: Method, path: &str, body: Value) -> Reply {
        let path = format!("/users/{}{path}", self.name);
        let asked = format!("{method} {path}");
        let reply = self.browser.api(method, &path, &self.token, Some(body));
        match timeout(LIMIT - Duration::from_secs(1), reply).await {
            Ok(reply) => reply,
            Err(late) => panic!("{asked}: {late}\n{}", self.known().await),
        }
    }

    /// What the Hub knows of the user's servers, and who waits before them.
    async fn known(&self) -> String {
        let user = self.app.db.user(&self.name).await.unwrap().unwrap();
        let mut known = String::new();
        for server in self.app.db.servers_of_users(&[user.id]).await.unwrap() {
            let place = self.app.queue.place_of(&server).await;
            let _ = writeln!(known, "{server:?}, in the queue {place:?}");
        }
        known + &format!("{:?}", self.app.queue)
    }

    fn path(server: &str) -> String {
        match server {
            "" => "/server".to_owned(),
            name => format!("/servers/{name}"),
        }
    }

    async fn act(&mut self) {
        let server = NAMES[self.random.random_range(0..NAMES.len())];
        match self.random.random_range(0..8) {
            0 | 1 => self.start(server).await,
            2 => self.stop(server).await,
            3 => self.remove(server).await,
            4 => self.make_token().await,
            5 => self.revoke_token().await,
            6 => self.share(server).await,
            _ => self.visit(server).await,
        }
        self.done += 1;
        if self.done.is_multiple_of(5) {
            self.check().await;
        }
    }

    async fn start(&mut self, server: &'static str) {
        let reply = self.ask(Method::POST, &Self::path(server), json!({})).await;
        let ready = self.model.servers.insert(server, true);
        reply.expect(if ready == Some(true) { 400 } else { 201 });
    }

    async fn stop(&mut self, server: &'static str) {
        let reply = self
            .ask(Method::DELETE, &Self::path(server), json!({}))
            .await;
        let known = self.model.servers.get_mut(server);
        reply.expect(if known.is_none() && !server.is_empty() {
            404
        } else {
            204
        });
        if let Some(ready) = known {
            *ready = false;
        }
    }

    async fn remove(&mut self, server: &'static str) {
        let reply = self
            .ask(
                Method::DELETE,
                &Self::path(server),
                json!({ "remove": true }),
            )
            .await;
        if server.is_empty() {
            reply.expect(400);
            return;
        }
        reply.expect(if self.model.servers.remove(server).is_some() {
            204
        } else {
            404
        });
        self.model.shared.remove(server);
    }

    async fn make_token(&mut self) {
        let made = self.ask(
            Method::POST,
            "/tokens",
            json!({ "scopes": [format!("read:users!user={}", self.name)] }),
        );
        let made = made.await.expect(201).json();
        let text = |key: &str| made[key].as_str().unwrap().to_owned();
        self.model.tokens.insert(text("id"), text("token"));
    }

    async fn revoke_token(&mut self) {
        let Some(id) = self.model.tokens.keys().choose(&mut self.random).cloned() else {
            return;
        };
        self.ask(Method::DELETE, &format!("/tokens/{id}"), json!({}))
            .await
            .expect(204);
        let token = self.model.tokens.remove(&id).unwrap();
        // From this moment on.
        self.browser
            .api(Method::GET, "/user", &token, None)
            .await
            .expect(403);
    }

    async fn share(&mut self, server: &'static str) {
        let path = format!("/shares/{}/{server}", self.name);
        let method = if self.random.random_bool(0.7) {
            Method::POST
        } else {
            Method::DELETE
        };
        let body = (method == Method::POST).then(|| json!({ "user": "admin" }));
        let reply = self
            .browser
            .api(method.clone(), &path, &self.token, body)
            .await;
        // The default server is there before it was ever started.
        if !server.is_empty() && !self.model.servers.contains_key(server) {
            reply.expect(404);
        } else if method == Method::POST {
            reply.expect(200);
            self.model.shared.insert(server);
        } else {
            reply.expect(204);
            self.model.shared.remove(server);
        }
    }

    /// Through the proxy, as a program asks.
    async fn visit(&self, server: &'static str) {
        let path = match server {
            "" => format!("/user/{}/api", self.name),
            name => format!("/user/{}/{name}/api", self.name),
        };
        let status = self.browser.get(&path).await.status;
        let default = self.model.servers.get("") == Some(&true);
        let ready = self.model.servers.get(server) == Some(&true);
        // The path of a named server is one of the default server too.
        assert_eq!(
            status,
            if ready || default { 200 } else { 424 },
            "{path}: {:?}",
            self.model
        );
    }

    async fn check(&self) {
        let model = self
            .ask(Method::GET, "?include_stopped_servers=1", json!(null))
            .await;
        let model = model.expect(200).json();
        let told: BTreeMap<&str, bool> = model["servers"]
            .as_object()
            .unwrap()
            .iter()
            .map(|(name, server)| (name.as_str(), server["ready"].as_bool().unwrap()))
            .collect();
        let mut known: BTreeMap<&str, bool> = self
            .model
            .servers
            .iter()
            .map(|(name, ready)| (*name, *ready))
            .collect();
        // A default server that was never started is told as stopped.
        known.entry("").or_insert(false);
        assert_eq!(told, known, "{}", self.name);
        for token in self.model.tokens.values() {
            let whose = self
                .browser
                .api(Method::GET, "/user", token, None)
                .await
                .expect(200);
            assert_eq!(whose.json()["name"], self.name);
        }
        let shares = self
            .browser
            .api(
                Method::GET,
                &format!("/shares/{}", self.name),
                &self.token,
                None,
            )
            .await;
        let shares = shares.expect(200).json();
        let shared: BTreeSet<&str> = shares["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|share| share["server"]["name"].as_str().unwrap())
            .collect();
        assert_eq!(shared, self.model.shared.iter().copied().collect());
    }
}

fn configure(config: &mut Config) {
    config.authenticator.allow_all = true;
    config.jupyter_hub.allow_named_servers = true;
    config.jupyter_hub.slow_spawn_timeout = Duration::from_secs(60);
    config.jupyter_hub.concurrent_spawn_limit = 4;
    config.spawner.start_timeout = Duration::from_secs(60);
    config.spawner.http_timeout = Duration::from_secs(60);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_twenty_clients_do_all_is_as_they_have_made_it() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .map(|text| text.parse::<u64>().unwrap())
    };
    let seconds = number("CARREL_MODEL_SECONDS").unwrap_or(8);
    let seed = number("CARREL_MODEL_SEED").unwrap_or_else(rand::random);
    println!("CARREL_MODEL_SEED={seed}");
    let hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), configure).await;
    let admin = hub.admin().await;
    let token = crate::api::token(&admin, &["inherit"]).await;
    let end = Instant::now() + Duration::from_secs(seconds);
    let mut clients = tokio::task::JoinSet::new();
    for number in 0..CLIENTS {
        let name = format!("u{number}");
        assert!(
            hub.app
                .db
                .add_user(&name, false, None, false)
                .await
                .unwrap()
        );
        let mut person = Person {
            name,
            app: hub.app.clone(),
            browser: hub.browser(),
            token: token.clone(),
            model: Model::default(),
            random: StdRng::seed_from_u64(seed.wrapping_add(number)),
            done: 0,
        };
        clients.spawn(async move {
            while Instant::now() < end {
                person.act().await;
            }
            person.check().await;
            person
        });
    }
    let people = clients.join_all().await;
    let done: usize = people.iter().map(|person| person.done).sum();
    println!("{done} actions");
    assert!(done > 100, "{done}");
    let ready = people
        .iter()
        .flat_map(|person| person.model.servers.values());
    assert_eq!(hub.spawner.running(), ready.filter(|ready| **ready).count());

    // With the users goes all that is theirs.
    for person in &people {
        person.ask(Method::DELETE, "", json!({})).await.expect(204);
    }
    assert_eq!(hub.spawner.running(), 0);
    wait_for("the end of all that was left", || async {
        hub.app
            .db
            .leftovers()
            .await
            .unwrap()
            .is_empty()
            .then_some(())
    })
    .await;
    let mut database = hub.database().await;
    for (table, left) in [
        ("servers", 0),
        ("shares", 0),
        ("oauth_clients", 0),
        ("api_tokens", 1),
        ("users", 1),
    ] {
        let count = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        let (count,): (i64,) = sqlx::query_as(count)
            .fetch_one(&mut database)
            .await
            .unwrap();
        assert_eq!(count, left, "{table}");
    }
}
