//! A browser without scripts: keeps cookies, follows no redirect unless told to.

use std::sync::Arc;

use reqwest::cookie::{CookieStore, Jar};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::{COOKIE, HeaderMap, SET_COOKIE};
use reqwest::{Client, ClientBuilder, Method, RequestBuilder, Url};
use serde_json::Value;

use super::secure::{Certificate, Way};
use super::{LIMIT, wait_for};

#[derive(Clone)]
pub struct Browser {
    client: Client,
    jar: Arc<Jar>,
    origin: String,
    /// By which it speaks HTTPS.
    way: Option<Way>,
}

struct Loopback;

impl Resolve for Loopback {
    fn resolve(&self, _name: Name) -> Resolving {
        let here: Addrs = Box::new(std::iter::once(([127, 0, 0, 1], 0).into()));
        Box::pin(std::future::ready(Ok(here)))
    }
}

/// An answer that was read whole.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: String,
}

impl Browser {
    pub fn new(origin: &str) -> Self {
        Self::with(origin, Client::builder())
    }

    /// One for which all names lead to this machine.
    pub fn on_loopback(origin: &str) -> Self {
        Self::with(origin, Client::builder().dns_resolver(Loopback))
    }

    fn with(origin: &str, builder: ClientBuilder) -> Self {
        let jar = Arc::new(Jar::default());
        let client = builder
            .cookie_provider(jar.clone())
            .redirect(reqwest::redirect::Policy::none())
            .timeout(LIMIT)
            // A Hub that is killed takes its connections with it, which nobody may notice before a request is lost.
            .pool_max_idle_per_host(0)
            .build()
            .unwrap();
        Self {
            client,
            jar,
            origin: origin.to_owned(),
            way: None,
        }
    }

    /// One that speaks HTTP/2 by TLS.
    pub fn secure(origin: &str, certificate: &Certificate) -> Self {
        Self {
            way: Some(certificate.way("h2")),
            ..Self::new(origin)
        }
    }

    /// The same browser at another Hub of the same site.
    pub fn at(&self, origin: &str) -> Self {
        Self {
            origin: origin.to_owned(),
            ..self.clone()
        }
    }

    /// Of a path at the origin, or of a whole address.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = match path.starts_with('/') {
            true => format!("{}{path}", self.origin),
            false => path.to_owned(),
        };
        self.client.request(method, url)
    }

    async fn send(&self, request: RequestBuilder) -> Reply {
        match &self.way {
            Some(way) => way.send(request.build().unwrap(), &self.jar).await,
            None => Reply::of(request).await,
        }
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.send(self.request(Method::GET, path)).await
    }

    /// Goes where the answers lead, until one leads nowhere; its address.
    pub async fn follow(&self, path: &str) -> (String, Reply) {
        let mut url = path.to_owned();
        for _ in 0..15 {
            let reply = self.get(&url).await;
            if !(300..400).contains(&reply.status) {
                return (url, reply);
            }
            let here = match url.starts_with('/') {
                true => format!("{}{url}", self.origin),
                false => url,
            };
            let there = Url::parse(&here).unwrap().join(reply.location());
            url = there.unwrap().to_string();
        }
        panic!("no end at {url}");
    }

    /// Fetches the form at `page`, fills it in and sends it to `action`.
    pub async fn submit(&self, page: &str, action: &str, fields: &[(&str, &str)]) -> Reply {
        let xsrf = self.get(page).await.hidden("_xsrf");
        let mut fields = fields.to_vec();
        fields.push(("_xsrf", &xsrf));
        self.post(action, &fields).await
    }

    pub async fn post(&self, action: &str, fields: &[(&str, &str)]) -> Reply {
        self.send(self.request(Method::POST, action).form(fields))
            .await
    }

    pub async fn login(&self, user: &str, password: &str) -> Reply {
        self.submit(
            "/hub/login",
            "/hub/login",
            &[("username", user), ("password", password)],
        )
        .await
    }

    /// Presses *Start My Server*.
    pub async fn spawn(&self) -> Reply {
        self.submit("/hub/spawn", "/hub/spawn", &[]).await
    }

    /// Starts the user's server and waits until it answers, and until the Hub has written that down.
    pub async fn spawn_ready(&self, user: &str) {
        self.spawn().await.expect(303);
        wait_for("the server", || async {
            (self.get(&format!("/user/{user}/lab")).await.status == 200).then_some(())
        })
        .await;
        wait_for("the Hub to know", || async {
            let page = self.get(&format!("/hub/spawn-pending/{user}")).await;
            (page.status != 200).then_some(())
        })
        .await;
    }

    /// A call of the API with a token instead of cookies.
    pub async fn api(&self, method: Method, path: &str, token: &str, body: Option<Value>) -> Reply {
        let client = Client::builder().timeout(LIMIT).build().unwrap();
        let request = client.request(method, format!("{}/hub/api{path}", self.origin));
        let request = request.header("authorization", format!("token {token}"));
        Reply::of(match body {
            Some(body) => request.json(&body),
            None => request,
        })
        .await
    }

    /// Takes a cookie as an answer from `url` sets it.
    pub fn plant(&self, cookie: &str, url: &Url) {
        self.jar.add_cookie_str(cookie, url);
    }

    /// Value of a cookie as it is sent to `path`.
    pub fn cookie(&self, path: &str, name: &str) -> Option<String> {
        let url: Url = format!("{}{path}", self.origin).parse().unwrap();
        let header = self.jar.cookies(&url)?;
        let header = header.to_str().unwrap();
        header.split("; ").find_map(|pair| {
            pair.split_once('=')
                .filter(|(key, _)| *key == name)
                .map(|(_, value)| value.to_owned())
        })
    }

    /// Sends `cookie` instead of those of this browser.
    pub async fn get_with_cookie(&self, path: &str, cookie: &str) -> Reply {
        let client = Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(LIMIT)
            .build()
            .unwrap();
        Reply::of(
            client
                .get(format!("{}{path}", self.origin))
                .header(COOKIE, cookie),
        )
        .await
    }
}

impl Reply {
    pub async fn of(request: RequestBuilder) -> Self {
        let response = request.send().await.unwrap();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self {
            status,
            headers,
            body: response.text().await.unwrap(),
        }
    }

    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub fn location(&self) -> &str {
        self.header("location")
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {}", self.body))
    }

    /// The `Set-Cookie` line of `name`.
    pub fn set_cookie(&self, name: &str) -> &str {
        let mut lines = self
            .headers
            .get_all(SET_COOKIE)
            .iter()
            .map(|value| value.to_str().unwrap());
        lines
            .find(|line| line.starts_with(&format!("{name}=")))
            .unwrap_or_default()
    }

    /// Value of the hidden field `name`.
    #[track_caller]
    pub fn hidden(&self, name: &str) -> String {
        let input = self
            .body
            .split("<input")
            .find(|input| input.contains(&format!("name=\"{name}\"")));
        let value = input.and_then(|input| input.split_once("value=\""));
        let value = value.and_then(|(_, rest)| rest.split_once('"'));
        value
            .unwrap_or_else(|| panic!("no field {name} in {}: {}", self.status, self.body))
            .0
            .to_owned()
    }
}
