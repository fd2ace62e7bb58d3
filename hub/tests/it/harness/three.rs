//! Three people on one Hub who share servers, and calls of the API as the Hub's own pages make them.

use carrel_hub::auth::password;
use carrel_hub::config::Config;
use reqwest::Method;
use serde_json::{Value, json};

use super::{Behaviour, Browser, FakeSpawner, Reply, TestHub};

/// A Hub on which `bob` has a named server, `gpu`, and the browsers of an administrator, of bob, and of carol.
pub struct Three {
    pub hub: TestHub,
    pub admin: Browser,
    pub bob: Browser,
    pub carol: Browser,
}

/// Adds a user and logs them in.
pub async fn user(hub: &TestHub, name: &str) -> Browser {
    let hash = password::hash(format!("of {name}")).await.unwrap();
    let added = hub.app.db.add_user(name, false, Some(&hash), false).await;
    assert!(added.unwrap());
    let browser = hub.browser();
    browser.login(name, &format!("of {name}")).await.expect(303);
    browser
}

impl Three {
    pub async fn meet() -> Self {
        Self::configured(|_| {}).await
    }

    pub async fn configured(configure: impl FnOnce(&mut Config)) -> Self {
        let allow = |config: &mut Config| {
            config.authenticator.allow_all = true;
            configure(config);
        };
        let hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), allow).await;
        let admin = hub.admin().await;
        let (bob, carol) = (user(&hub, "bob").await, user(&hub, "carol").await);
        put(&bob, "/users/bob/servers/gpu", json!({}))
            .await
            .expect(201);
        Self {
            hub,
            admin,
            bob,
            carol,
        }
    }

    /// Shares bob's `gpu` with carol.
    pub async fn share(&self, scopes: &[&str]) -> Value {
        let body = json!({ "user": "carol", "scopes": scopes });
        let path = "/shares/bob/gpu";
        post(&self.admin, path, body).await.expect(200).json()
    }

    /// How many rows the table has.
    pub async fn count(&self, table: &str) -> i64 {
        let select = sqlx::AssertSqlSafe(format!("SELECT COUNT(*) FROM {table}"));
        let mut database = self.hub.database().await;
        let (count,): (i64,) = sqlx::query_as(select)
            .fetch_one(&mut database)
            .await
            .unwrap();
        count
    }

    /// Gives bob a role of the configuration.
    pub async fn give_role(&self, scopes: &str) {
        let mut database = self.hub.database().await;
        sqlx::query(
            "INSERT INTO roles (id, name, description, scopes) VALUES (1, 'sharer', '', $1)",
        )
        .bind(scopes.to_owned())
        .execute(&mut database)
        .await
        .unwrap();
        let bob = self.hub.app.db.user("bob").await.unwrap().unwrap();
        sqlx::query("INSERT INTO user_roles (role_id, user_id) VALUES (1, $1)")
            .bind(bob.id)
            .execute(&mut database)
            .await
            .unwrap();
    }
}

/// A call of the API by a browser, as scripts of the Hub's pages make it.
pub async fn call(browser: &Browser, method: Method, path: &str, body: Option<Value>) -> Reply {
    let xsrf = browser.cookie("/hub/", "_xsrf").unwrap();
    let request = browser.request(method, &format!("/hub/api{path}"));
    let request = request.header("x-xsrftoken", xsrf);
    Reply::of(match body {
        Some(body) => request.json(&body),
        None => request,
    })
    .await
}

pub async fn get(browser: &Browser, path: &str) -> Reply {
    call(browser, Method::GET, path, None).await
}

pub async fn post(browser: &Browser, path: &str, body: Value) -> Reply {
    call(browser, Method::POST, path, Some(body)).await
}

pub async fn put(browser: &Browser, path: &str, body: Value) -> Reply {
    call(browser, Method::PUT, path, Some(body)).await
}

pub async fn patch(browser: &Browser, path: &str, body: Value) -> Reply {
    call(browser, Method::PATCH, path, Some(body)).await
}

pub async fn delete(browser: &Browser, path: &str) -> Reply {
    call(browser, Method::DELETE, path, None).await
}

/// The scopes of somebody that are about servers of `owner`.
pub async fn scopes_of(browser: &Browser, owner: &str) -> Vec<String> {
    let user = get(browser, "/user").await.expect(200).json();
    let scopes = user["scopes"].as_array().unwrap().iter();
    let scopes = scopes.map(|scope| scope.as_str().unwrap().to_owned());
    let filter = format!("!server={owner}/");
    scopes.filter(|scope| scope.contains(&filter)).collect()
}
