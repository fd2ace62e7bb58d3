//! `JupyterHub.services`: programs that use the API, and web services that log people in by the Hub.

use url::Url;

use super::load::{Item, Secret};
use super::process::{Command, Environment};
use super::report::{Report, join};
use super::scope_list::ScopeList;
use super::section::{self, Key, SectionKeys, section};
use super::value;
use super::yaml::Node;
use crate::auth::username::is_service_name;

section! {
    /// One service: a program that uses the API under a name of its own. The Hub runs it where it has a `command`; people
    /// log in to it by the Hub where it has a `url` or an `oauth_redirect_uri`.
    Service {
        /// Name of letters, digits and characters of `-_.~`.
        name: String = String::new();
        /// Its token, of 8 to 64 characters; what it may do is said by roles. One with a `command` gets a new one at each
        /// start where it has none here.
        api_token: Option<Secret> = None;
        /// Whether it may do all that administrators may.
        admin: bool = false;
        /// Where it is, as `http://host:port`; people reach it under `/services/<name>/`.
        url: String = String::new();
        /// Whether pages name it.
        display: bool = true;
        /// Program that the Hub runs, on its own machine and as its own user, and starts anew when it ends.
        command: Option<Command> = None;
        /// Folder in which `command` runs.
        cwd: Option<String> = None;
        /// Environment variables of `command`.
        environment: Environment = Environment::default();
        /// Name of its OAuth client; `service-<name>`, if not given. It begins with `service-`.
        oauth_client_id: Option<String> = None;
        /// Where people who have logged in come back to; `/services/<name>/oauth_callback`, if not given. A service that is
        /// not reached through the Hub names a URL.
        oauth_redirect_uri: Option<String> = None;
        /// What it may do for people who log in, as scopes; at most what they may themselves. Without any it learns who they
        /// are.
        oauth_client_allowed_scopes: ScopeList = ScopeList::default();
        /// Ask nobody whether it may know them.
        oauth_no_confirm: bool = false;
    }
}

impl Service {
    /// Id and redirect URI of its OAuth client, where it is one (jupyterhub/services/service.py, `oauth_available`).
    /// `place` is where people reach it through the Hub.
    pub fn oauth_client(&self, place: &str) -> Option<(String, String)> {
        let told = self.oauth_client_id.is_some()
            || self.oauth_redirect_uri.is_some()
            || self.oauth_no_confirm;
        (told || !self.url.is_empty()).then(|| {
            let id = self.oauth_client_id.clone();
            let uri = self.oauth_redirect_uri.clone();
            (
                id.unwrap_or_else(|| client_id(&self.name)),
                uri.unwrap_or_else(|| redirect_uri(place)),
            )
        })
    }
}

/// The OAuth client of a service that names none.
pub fn client_id(service: &str) -> String {
    format!("service-{service}")
}

/// Where people come back to a service that does not say.
pub fn redirect_uri(place: &str) -> String {
    format!("{place}oauth_callback")
}

/// Where people reach a service through the Hub.
pub fn prefix(base_url: &str, service: &str) -> String {
    format!("{base_url}services/{service}/")
}

/// What is wrong with where a service says that it is.
pub fn url_error(url: &str) -> Option<&'static str> {
    let fits = |url: Url| {
        url.scheme() == "http"
            && url.has_host()
            && url.username().is_empty()
            && url.password().is_none()
    };
    let fits = url.is_empty() || Url::parse(url).is_ok_and(fits);
    (!fits).then_some("expected http://host:port: the Hub leads requests on by plain http")
}

/// What is wrong with what a service says of its OAuth client.
pub fn oauth_error(client_id: Option<&str>, redirect_uri: Option<&str>) -> Option<&'static str> {
    if client_id.is_some_and(|id| !id.starts_with("service-") || id.len() > 255) {
        return Some("the oauth_client_id of a service begins with `service-`");
    }
    let redirects = |uri: &str| {
        let local = uri.starts_with('/') && !uri.starts_with("//") && !uri.contains('\\');
        let there = Url::parse(uri)
            .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.fragment().is_none());
        (local || there)
            && !uri.contains(|letter: char| letter.is_whitespace() || letter.is_control())
    };
    let fits = redirect_uri.is_none_or(redirects);
    (!fits).then_some("oauth_redirect_uri is a path such as /services/name/oauth_callback, or an http or https URL")
}

impl Item for Service {
    const WHAT: &'static str = "a service";

    fn name(&self) -> &str {
        &self.name
    }

    fn keys() -> SectionKeys {
        Self::keys()
    }

    fn check(&self, node: &Node, path: &str, report: &mut Report) {
        let mut wrong = |key: &str, message: String| {
            let path = join(path, key);
            let at = report.given(&path).unwrap_or(node.at);
            report.wrong(at, &path, message);
        };
        if !is_service_name(&self.name) {
            let message = "a service needs a name of letters, digits and characters of `-_.~`";
            wrong("name", message.to_owned());
        }
        if let Some(error) = url_error(&self.url) {
            wrong("url", error.to_owned());
        }
        let (id, uri) = (
            self.oauth_client_id.as_deref(),
            self.oauth_redirect_uri.as_deref(),
        );
        if let Some(error) = oauth_error(id, None) {
            wrong("oauth_client_id", error.to_owned());
        }
        if let Some(error) = oauth_error(None, uri) {
            wrong("oauth_redirect_uri", error.to_owned());
        }
        if self.url.is_empty() && uri.is_none() && self.oauth_client("").is_some() {
            wrong(
                "oauth_redirect_uri",
                "people who log in to a service without a `url` need one to come back to"
                    .to_owned(),
            );
        }
        if self.command.is_none() && (self.cwd.is_some() || !self.environment.is_empty()) {
            let key = if self.cwd.is_some() {
                "cwd"
            } else {
                "environment"
            };
            wrong(
                key,
                "says how `command` runs, of which there is none".to_owned(),
            );
        }
    }
}
