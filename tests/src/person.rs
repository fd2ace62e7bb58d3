//! A person with cookies: what a browser without scripts does to the hub.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, ensure};
use reqwest::cookie::{CookieStore, Jar};
use reqwest::{Client, Response, StatusCode, Url};

use crate::hub::Hub;
use crate::wait_for;

/// Follows redirects and keeps cookies.
pub struct Person {
    pub client: Client,
    jar: Arc<Jar>,
    origin: Url,
}

impl Person {
    pub fn new(hub: &Hub) -> anyhow::Result<Self> {
        Self::at(&hub.url("/"))
    }

    /// A person who opens `address`, that of a Hub.
    pub fn at(address: &str) -> anyhow::Result<Self> {
        let jar = Arc::new(Jar::default());
        let client = Client::builder()
            .cookie_provider(jar.clone())
            .timeout(Duration::from_secs(60))
            .build()?;
        Ok(Self {
            client,
            jar,
            origin: Url::parse(address)?,
        })
    }

    /// Logs in as `admin` with the empty password.
    pub async fn admin(hub: &Hub) -> anyhow::Result<Self> {
        let person = Self::new(hub)?;
        let reply = person.log_in("admin", "").await?;
        ensure!(
            reply.status() == StatusCode::OK,
            "login: {}",
            reply.status()
        );
        Ok(person)
    }

    pub async fn log_in(&self, user: &str, password: &str) -> anyhow::Result<Response> {
        self.submit(
            "/hub/login",
            "/hub/login",
            &[("username", user), ("password", password)],
        )
        .await
    }

    pub async fn get(&self, path: &str) -> anyhow::Result<Response> {
        Ok(self.client.get(self.url(path)?).send().await?)
    }

    /// Reads the form at `page`, fills `fields` in and sends it to `action`.
    pub async fn submit(
        &self,
        page: &str,
        action: &str,
        fields: &[(&str, &str)],
    ) -> anyhow::Result<Response> {
        let html = self.get(page).await?.text().await?;
        let xsrf =
            hidden_field(&html, "_xsrf").with_context(|| format!("no _xsrf in {page}:\n{html}"))?;
        let mut fields = fields.to_vec();
        fields.push(("_xsrf", &xsrf));
        Ok(self
            .client
            .post(self.url(action)?)
            .form(&fields)
            .send()
            .await?)
    }

    /// *Start My Server*; returns when the server answers this person.
    pub async fn start_server(&self, user: &str) -> anyhow::Result<()> {
        self.start_server_with(user, &[]).await
    }

    /// [`Self::start_server`] with fields of the form.
    pub async fn start_server_with(
        &self,
        user: &str,
        fields: &[(&str, &str)],
    ) -> anyhow::Result<()> {
        let reply = self.submit("/hub/spawn", "/hub/spawn", fields).await?;
        ensure!(
            reply.status().is_success(),
            "spawn: {} {}",
            reply.status(),
            reply.text().await?
        );
        // A page, not the server's API: only pages go to the Hub and back for the server's cookie.
        let path = format!("/user/{user}/lab");
        wait_for("the server to answer", Duration::from_secs(90), || async {
            let reply = self.get(&path).await.ok()?;
            (reply.status() == StatusCode::OK && reply.url().path() == path).then_some(())
        })
        .await
    }

    /// The page of `path` once it holds `text`.
    pub async fn page_with(
        &self,
        path: &str,
        text: &str,
        limit: Duration,
    ) -> anyhow::Result<String> {
        let last = Mutex::new(String::new());
        wait_for(&format!("{path} to say {text:?}"), limit, || async {
            let page = self.get(path).await.ok()?.text().await.ok()?;
            let found = page.contains(text).then(|| page.clone());
            *last.lock().ok()? = page;
            found
        })
        .await
        .with_context(|| last.lock().map(|page| page.clone()).unwrap_or_default())
    }

    pub fn url(&self, path: &str) -> anyhow::Result<Url> {
        Ok(self.origin.join(path)?)
    }

    /// The `Cookie` header for `path`, for websockets.
    pub fn cookies(&self, path: &str) -> anyhow::Result<String> {
        let header = self.jar.cookies(&self.url(path)?).context("no cookies")?;
        Ok(header.to_str()?.to_owned())
    }

    /// Value of the cookie `name` that is sent to `path`.
    pub fn cookie(&self, path: &str, name: &str) -> anyhow::Result<Option<String>> {
        let cookies = self.cookies(path)?;
        Ok(cookies
            .split("; ")
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value.to_owned()))
    }
}

/// The value of the hidden input `name`.
pub fn hidden_field(html: &str, name: &str) -> Option<String> {
    let input = html
        .split("<input")
        .find(|input| input.contains(&format!("name=\"{name}\"")))?;
    let value = input.split_once("value=\"")?.1;
    Some(value.split_once('"')?.0.to_owned())
}
