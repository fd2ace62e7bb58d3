//! Who somebody is and what they may do is kept in memory, and still no request is answered by what was true before it: by
//! whichever Hub, or other program, that was changed.

use std::sync::Arc;
use std::time::{Duration, Instant};

use carrel_hub::db::memo::Keep;
use carrel_hub::db::{Db, DbError};
use futures_util::FutureExt as _;
use reqwest::Method;
use serde_json::{Value, json};

use crate::api::token;
use crate::harness::postgres::Postgres;
use crate::harness::{Browser, Reply, TestHub, new_database, wait_for};

/// An administrator at one of the Hubs, with a token.
struct By {
    browser: Browser,
    token: String,
}

impl By {
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        self.browser.api(method, path, &self.token, body).await
    }

    async fn does(&self, method: Method, path: &str, body: Value) -> Value {
        let reply = self.ask(method, path, Some(body)).await;
        assert!((200..300).contains(&reply.status), "{path}: {}", reply.body);
        serde_json::from_str(&reply.body).unwrap_or_default()
    }

    async fn token_of(&self, user: &str, body: Value) -> (String, String) {
        let path = format!("/users/{user}/tokens");
        let made = self.does(Method::POST, &path, body).await;
        let word = |key: &str| made[key].as_str().unwrap().to_owned();
        (word("token"), word("id"))
    }
}

/// Whose requests the first Hub answers.
struct Asker {
    browser: Browser,
    token: String,
}

impl Asker {
    async fn ask(&self) -> Reply {
        let path = "/user";
        self.browser.api(Method::GET, path, &self.token, None).await
    }

    /// What is kept from now on.
    async fn told(&self) -> Value {
        self.ask().await.expect(200).json()
    }

    fn with(self, token: String) -> Self {
        Self { token, ..self }
    }
}

async fn follow(by: &By, first: &TestHub) {
    use Method as M;
    by.does(M::POST, "/users/bob", json!({})).await;
    let (token, id) = by.token_of("bob", json!({})).await;
    let bob = Asker {
        browser: first.browser(),
        token,
    };
    assert_eq!(bob.told().await["admin"], false);
    for admin in [true, false] {
        by.does(M::PATCH, "/users/bob", json!({ "admin": admin }))
            .await;
        let told = bob.told().await;
        assert_eq!(told["admin"], admin);
        let may = told["scopes"].as_array().unwrap();
        assert_eq!(may.contains(&json!("admin:users")), admin);
    }
    by.does(M::POST, "/groups/staff", json!({})).await;
    by.does(M::POST, "/groups/staff/users", json!({ "users": ["bob"] }))
        .await;
    assert_eq!(bob.told().await["groups"], json!(["staff"]));
    by.does(M::DELETE, "/groups/staff", json!({})).await;
    assert_eq!(bob.told().await["groups"], json!([]));
    by.does(M::PATCH, "/users/bob", json!({ "name": "robert" }))
        .await;
    assert_eq!(bob.told().await["name"], "robert");
    by.does(M::DELETE, &format!("/users/robert/tokens/{id}"), json!({}))
        .await;
    bob.ask().await.expect(403);
    let bob = bob.with(by.token_of("robert", json!({})).await.0);
    bob.told().await;
    by.does(M::DELETE, "/users/robert", json!({})).await;
    bob.ask().await.expect(403);
}

#[tokio::test]
async fn what_changes_for_somebody_counts_at_their_next_request() {
    let hub = TestHub::start().await;
    let other = hub.beside().await;
    let admin = hub.admin().await;
    let token = token(&admin, &["inherit"]).await;
    for origin in [&hub.origin, &other.origin] {
        let by = By {
            browser: admin.at(origin),
            token: token.clone(),
        };
        follow(&by, &hub).await;
    }
}

/// The roles of the configuration, which an operator may also change in the database.
#[tokio::test]
async fn a_role_counts_at_the_next_request() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let token = token(&browser, &["inherit"]).await;
    let asker = Asker { browser, token };
    let may = async || {
        let told = asker.told().await;
        let scopes = told["scopes"].as_array().unwrap();
        scopes.contains(&json!("custom:planets"))
    };
    carrel_hub::access::definitions::define("custom:planets", "", &[]);
    let mut database = hub.database().await;
    let role = "INSERT INTO roles (id, name, description, scopes) VALUES (1, 'seer', '', '[\"custom:planets\"]')";
    sqlx::query(role).execute(&mut database).await.unwrap();
    assert!(!may().await);
    let give = "INSERT INTO user_roles (role_id, user_id) SELECT 1, id FROM users";
    for (change, expected) in [
        (give, true),
        ("UPDATE roles SET scopes = '[]'", false),
        ("UPDATE roles SET scopes = '[\"custom:planets\"]'", true),
        ("DELETE FROM user_roles", false),
    ] {
        sqlx::query(change).execute(&mut database).await.unwrap();
        assert_eq!(may().await, expected, "{change}");
    }
}

#[tokio::test]
async fn a_token_that_has_ended_is_refused_although_nobody_has_written() {
    let hub = TestHub::start().await;
    let browser = hub.admin().await;
    let by = By {
        token: token(&browser, &["inherit"]).await,
        browser,
    };
    let begun = Instant::now();
    let (token, _) = by.token_of("admin", json!({ "expires_in": 1 })).await;
    let made = Instant::now();
    let asker = Asker {
        browser: by.browser,
        token,
    };
    wait_for("the end of a token", || async {
        let asked = Instant::now();
        let status = asker.ask().await.status;
        match status {
            200 => assert!(asked < made + Duration::from_secs(1)),
            status => assert_eq!(status, 403),
        }
        (status == 403).then_some(())
    })
    .await;
    assert!(begun.elapsed() >= Duration::from_millis(990));
}

struct Name(String);

impl Keep for Name {}

async fn name(db: &Db, id: i64) -> Option<Arc<Name>> {
    let find = async {
        let user = db.user_by_id(id).await?;
        Ok::<_, DbError>(user.map(|user| Name(user.name)))
    };
    db.memo_if_found(format!("name {id}"), find).await.unwrap()
}

/// The connection of a look whose request has gone is another's no more, and each new one is a first one.
#[tokio::test]
async fn a_look_at_postgresql_that_is_dropped_hides_no_write() {
    let Some(postgres) = Postgres::start().await else {
        return;
    };
    let db = Db::open(&new_database(&postgres.url).await).await.unwrap();
    db.add_user("alice0", false, None, true).await.unwrap();
    let alice = db.user("alice0").await.unwrap().unwrap().id;
    let mut dropped = 0;
    for number in 1..=20 {
        let kept = name(&db, alice).await.unwrap();
        assert!(Arc::ptr_eq(&kept, &name(&db, alice).await.unwrap()));
        let new = format!("alice{number}");
        db.rename_user(alice, &new).await.unwrap();
        dropped += usize::from(name(&db, alice).now_or_never().is_none());
        assert_eq!(name(&db, alice).await.unwrap().0, new);
    }
    assert!(dropped > 0);
}
