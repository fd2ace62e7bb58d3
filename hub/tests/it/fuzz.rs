//! Requests that make no sense, at every address of the Hub: each is answered, and never by the Hub's own failure.

use std::time::Duration;

use carrel_hub::config::Config;
use carrel_skip::package_folder;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use regex::Regex;
use reqwest::{Client, Method};
use serde_json::{Map, Value, json};

use crate::harness::three::user;
use crate::harness::{Behaviour, FakeSpawner, LIMIT, TestHub};

const REQUESTS: usize = 4000;
/// Names that mean something in a body somewhere.
const KEYS: [&str; 24] = [
    "name",
    "admin",
    "users",
    "usernames",
    "properties",
    "scopes",
    "roles",
    "expires_in",
    "note",
    "user",
    "group",
    "code",
    "servers",
    "last_activity",
    "display_name",
    "user_options",
    "remove",
    "auth",
    "proxy",
    "api_token",
    "url",
    "info",
    "host",
    "username",
];

/// Every address that the route table has, beneath each of the parts that it is made of.
fn addresses() -> Vec<String> {
    let source = std::fs::read_to_string(package_folder().join("src/router.rs")).unwrap();
    let route = Regex::new(r#"\.(?:api_)?route\(\s*"([^"]+)""#).unwrap();
    let found: Vec<String> = route
        .captures_iter(&source)
        .map(|found| found[1].to_owned())
        .collect();
    assert!(found.len() > 60, "{found:?}");
    let beneath = ["/hub", "/hub/api", "/hub/admin"];
    let all = beneath
        .iter()
        .flat_map(|part| found.iter().map(move |path| format!("{part}{path}")));
    // They do as they are told.
    all.filter(|path| !path.contains("shutdown")).collect()
}

struct Nonsense(StdRng);

impl Nonsense {
    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of.choose(&mut self.0).unwrap()
    }

    /// Of a user, a server or a group, as it stands in an address.
    fn name(&mut self) -> String {
        let long = "x".repeat(self.0.random_range(1..600));
        self.one(&[
            "admin",
            "ada",
            "gpu",
            "class",
            "",
            "%00",
            "%ff%fe",
            "..%2f..%2fetc",
            "%2e%2e",
            "a%20b",
            "%C3%A9mile",
            "Ada",
            "0",
            "-1",
            "9999999999999999999999",
            "%F0%9F%90%8D",
            "a:b;c,d",
            "'%22%3C%3E",
            &long,
        ])
        .to_owned()
    }

    fn query(&mut self) -> String {
        let name = self.name();
        let query = self.one(&[
            "",
            "",
            "?",
            "?offset=-1",
            "?limit=0",
            "?limit=x",
            "?offset=99999999999999999999",
            "?state=%ff",
            "?sort=-",
            "?next=",
            "?next=//evil",
            "?code=",
            "?include_stopped_servers",
            "?offset=1&offset=2",
            "?_xsrf=",
            "?since=never",
            "?user=",
        ]);
        format!(
            "{query}{}",
            if query.ends_with('=') {
                name
            } else {
                String::new()
            }
        )
    }

    fn value(&mut self, depth: usize) -> Value {
        match self.0.random_range(0..if depth == 0 { 8 } else { 10 }) {
            0 => Value::Null,
            1 => json!(true),
            2 => json!(self.0.random::<i64>()),
            3 => json!(-1),
            4 => json!(1e300),
            5 => json!("x".repeat(self.0.random_range(0..5000))),
            6 => json!(self.one(&[
                "ada",
                "gpu",
                "admin",
                "",
                "\u{0}",
                "\u{202e}",
                "2026-01-01",
                "inherit",
                "self",
                "servers!user="
            ])),
            7 => json!([self.one(&["ada", "grace", "servers", "nonsense"])]),
            8 => (0..self.0.random_range(0..4))
                .map(|_| self.value(depth - 1))
                .collect(),
            _ => Value::Object(self.object(depth - 1)),
        }
    }

    fn object(&mut self, depth: usize) -> Map<String, Value> {
        (0..self.0.random_range(0..5))
            .map(|_| (self.one(&KEYS).to_owned(), self.value(depth)))
            .collect()
    }

    fn body(&mut self) -> Vec<u8> {
        match self.0.random_range(0..8) {
            0 => Vec::new(),
            1 => (0..self.0.random_range(1..300))
                .map(|_| self.0.random())
                .collect(),
            2 => b"{\"name\": \"\xff\xfe\"}".to_vec(),
            3 => b"{\"name\": ".to_vec(),
            4 => [b"[".repeat(3000), b"]".repeat(3000)].concat(),
            5 => b"username=ada&password=%ff&_xsrf=x&scopes=%00".to_vec(),
            _ => Value::Object(self.object(2)).to_string().into_bytes(),
        }
    }
}

fn allow(config: &mut Config) {
    config.authenticator.allow_all = true;
    config.jupyter_hub.allow_named_servers = true;
    config.jupyter_hub.slow_spawn_timeout = Duration::from_millis(200);
}

#[tokio::test]
async fn nonsense_is_answered_everywhere_and_never_by_a_failure_of_the_hub() {
    let seed: u64 = std::env::var("CARREL_FUZZ_SEED")
        .map_or_else(|_| rand::random(), |seed| seed.parse().unwrap());
    println!("CARREL_FUZZ_SEED={seed}");
    let mut nonsense = Nonsense(StdRng::seed_from_u64(seed));
    let hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), allow).await;
    let admin = hub.admin().await;
    user(&hub, "ada").await;
    let token = crate::api::token(&admin, &["inherit"]).await;
    let client = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(LIMIT)
        .build()
        .unwrap();
    let addresses = addresses();
    let placeholder = Regex::new(r"\{[^}]*\}").unwrap();
    let methods = [
        "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "BREW",
    ];
    for _ in 0..REQUESTS {
        let template = addresses.choose(&mut nonsense.0).unwrap().clone();
        let path = placeholder.replace_all(&template, |_: &regex::Captures<'_>| nonsense.name());
        let method = nonsense.one(&methods);
        let url = format!("{}{path}{}", hub.origin, nonsense.query());
        let body = nonsense.body();
        let kind = nonsense.one(&[
            "application/json",
            "application/x-www-form-urlencoded",
            "text/plain",
            "nonsense",
            "",
        ]);
        let told = format!(
            "{method} {url} {kind:?} {:?}",
            String::from_utf8_lossy(&body)
        );
        let mut request = client
            .request(Method::from_bytes(method.as_bytes()).unwrap(), &url)
            .header("content-type", kind)
            .body(body);
        if nonsense.0.random_bool(0.8) {
            request = request.header("authorization", format!("token {token}"));
        }
        let answer = request
            .send()
            .await
            .unwrap_or_else(|error| panic!("{error:?} for {told}"));
        let status = answer.status();
        // People come to that one by a browser, and see pages.
        let asked = answer.url().path();
        let is_api = asked.starts_with("/hub/api/") && !asked.contains("/oauth2/authorize");
        let text = answer
            .text()
            .await
            .unwrap_or_else(|error| panic!("{error:?} of {told}"));
        // 503 where a server, which nobody asked for by name, is down.
        assert!(
            status.as_u16() < 500 || status == 503 || status == 501,
            "{status} {text:.300} for {told:.2000}"
        );
        if is_api && status.is_client_error() && method != "HEAD" && status != 424 {
            let message = serde_json::from_str::<Value>(&text).ok();
            // Errors of OAuth have names of their own (RFC 6749 5.2).
            let message = message
                .as_ref()
                .map(|body| body["message"].is_string() || body["error"].is_string());
            assert_eq!(message, Some(true), "{status} {text:.300} for {told:.2000}");
        }
    }
    // It works as before.
    admin.get("/hub/health").await.expect(200);
    let users = admin
        .api(Method::GET, "/users", &token, None)
        .await
        .expect(200);
    assert!(users.json().is_array());
}
