//! How the program is set up: options of the command line and what the Hub gives its services in the environment.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Args;
use url::Url;

use crate::secret::Secret;

const DEFAULT_LISTEN: &str = "[::]:8082";

/// Options. What the Hub sets for a service that it runs itself is taken from there.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Where to listen; the address of JUPYTERHUB_SERVICE_URL or `[::]:8082`, unless given
    #[arg(long)]
    listen: Option<SocketAddr>,
    /// The path that all pages are below: /services/dashboard/ behind the Hub's proxy, / behind a gateway
    #[arg(long, env = "JUPYTERHUB_SERVICE_PREFIX", default_value = "/")]
    base_url: String,
    /// Where this program reaches the Hub's API
    #[arg(
        long,
        env = "JUPYTERHUB_API_URL",
        default_value = "http://127.0.0.1:8000/hub/api"
    )]
    hub_api: String,
    /// The Hub's own path
    #[arg(long, env = "JUPYTERHUB_BASE_URL", default_value = "/")]
    hub_base: String,
    /// Where browsers reach the Hub, if not where they reach this: https://HOST, or :PORT of the same host
    #[arg(long, env = "JUPYTERHUB_HOST", default_value = "")]
    hub_host: String,
    /// This program among the OAuth clients of the Hub
    #[arg(
        long,
        env = "JUPYTERHUB_CLIENT_ID",
        default_value = "service-dashboard"
    )]
    client_id: String,
    /// Where the Hub leads back to, as its configuration has it; oauth_callback below the base, unless given
    #[arg(long, env = "JUPYTERHUB_OAUTH_CALLBACK_URL", default_value = "")]
    callback: String,
    /// Scopes of which a visitor needs one, as a JSON list
    #[arg(
        long,
        env = "JUPYTERHUB_OAUTH_ACCESS_SCOPES",
        default_value = r#"["access:services","access:services!service=dashboard"]"#
    )]
    access_scopes: String,
    /// Goes before the names of users when Kubernetes is asked what they may
    #[arg(long, env = "CARREL_USER_PREFIX", default_value = "")]
    user_prefix: String,
    /// Goes before the names of the Hub's groups
    #[arg(long, env = "CARREL_GROUP_PREFIX", default_value = "hub:")]
    group_prefix: String,
    /// Address of the Kubernetes dashboard, for a tab that leads there
    #[arg(long, env = "CARREL_K8S_DASHBOARD", default_value = "")]
    k8s_dashboard: String,
    /// Address of the jobs service, for the jobs and models of notebooks; its API is at api/v1 below it
    #[arg(long, env = "CARREL_JOBS_URL", default_value = "")]
    jobs_url: String,
    /// Whether the operator keeps ends of logs (its --keep-logs), and this program may read them
    #[arg(long, env = "CARREL_KEPT_LOGS", default_value_t = false, action = clap::ArgAction::Set)]
    kept_logs: bool,
    /// Address of the usage report, where there is one
    #[arg(long, env = "CARREL_USAGE_REPORT", default_value = "")]
    usage_report: String,
    /// Hours after which a visitor is asked again who they are
    #[arg(long, env = "CARREL_SESSION_HOURS", default_value_t = 12, value_parser = clap::value_parser!(u64).range(1..=720))]
    session_hours: u64,
}

#[derive(Debug)]
pub struct Settings {
    pub listen: SocketAddr,
    /// Begins and ends with a slash.
    pub base: String,
    pub hub_api: String,
    /// The Hub's pages, `/hub/`.
    pub hub_pages: String,
    pub hub_host: HubHost,
    pub client_id: String,
    pub callback: String,
    pub api_token: Secret,
    pub access_scopes: Vec<String>,
    pub user_prefix: String,
    pub group_prefix: String,
    pub k8s_dashboard: Option<String>,
    pub jobs_url: Option<String>,
    pub has_kept_logs: bool,
    pub usage_report: Option<String>,
    pub session_life: Duration,
}

/// Where browsers find the Hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubHost {
    /// Where they find this program.
    Same,
    /// At another port of the same host.
    Port(u16),
    Origin(String),
}

impl HubHost {
    fn parse(text: &str) -> anyhow::Result<Self> {
        if text.is_empty() {
            return Ok(Self::Same);
        }
        if let Some(port) = text.strip_prefix(':') {
            return Ok(Self::Port(port.parse()?));
        }
        let url = Url::parse(text)?;
        anyhow::ensure!(
            matches!(url.scheme(), "http" | "https") && url.has_host(),
            "it is neither :PORT nor http(s)://HOST"
        );
        Ok(Self::Origin(url.origin().ascii_serialization()))
    }

    /// The address of a path of the Hub, for a browser that asked for this program as `host`.
    pub fn address(&self, host: Option<&str>, is_secure: bool, path: &str) -> String {
        match self {
            Self::Same => path.to_owned(),
            Self::Origin(origin) => format!("{origin}{path}"),
            Self::Port(port) => {
                let scheme = if is_secure { "https" } else { "http" };
                let authority = host.and_then(|host| host.parse::<http::uri::Authority>().ok());
                match authority.as_ref().map(http::uri::Authority::host) {
                    Some(host) if !host.is_empty() => format!("{scheme}://{host}:{port}{path}"),
                    _ => path.to_owned(),
                }
            }
        }
    }
}

impl Arguments {
    /// # Errors
    /// When an option makes no sense, or there is no token.
    pub fn settings(self) -> anyhow::Result<Settings> {
        use anyhow::Context as _;
        let token = std::env::var("JUPYTERHUB_API_TOKEN").unwrap_or_default();
        anyhow::ensure!(
            !token.is_empty(),
            "JUPYTERHUB_API_TOKEN is not set: the token of this service at the Hub (hub.services, apiToken)"
        );
        let base = path(&self.base_url).context("--base-url")?;
        let hub_base = path(&self.hub_base).context("--hub-base")?;
        let listen = match self.listen {
            Some(listen) => listen,
            None => self::listen()?,
        };
        let callback = match self.callback.as_str() {
            "" => format!("{base}oauth_callback"),
            callback => callback.to_owned(),
        };
        let k8s_dashboard = Some(self.k8s_dashboard).filter(|url| !url.is_empty());
        if let Some(url) = &k8s_dashboard {
            let web = ["/", "http://", "https://"];
            anyhow::ensure!(
                web.iter().any(|start| url.starts_with(start)),
                "--k8s-dashboard: {url:?} is neither a path nor an http address"
            );
        }
        Ok(Settings {
            listen,
            hub_api: self.hub_api.trim_end_matches('/').to_owned(),
            hub_pages: format!("{hub_base}hub/"),
            hub_host: HubHost::parse(&self.hub_host).context("--hub-host")?,
            client_id: self.client_id,
            callback,
            api_token: Secret(token),
            access_scopes: serde_json::from_str(&self.access_scopes)
                .context("--access-scopes is no JSON list of texts")?,
            user_prefix: self.user_prefix,
            group_prefix: self.group_prefix,
            k8s_dashboard,
            jobs_url: Some(self.jobs_url).filter(|url| !url.is_empty()),
            has_kept_logs: self.kept_logs,
            usage_report: Some(self.usage_report).filter(|url| !url.is_empty()),
            session_life: Duration::from_secs(self.session_hours * 3600),
            base,
        })
    }
}

/// A path with a slash at both ends.
fn path(text: &str) -> anyhow::Result<String> {
    let inner = text.trim_matches('/');
    let fits = |letter: char| letter.is_ascii_alphanumeric() || "-_.~/%@".contains(letter);
    anyhow::ensure!(
        inner.chars().all(fits) && !inner.contains("//"),
        "{text:?} is no path"
    );
    Ok(match inner {
        "" => "/".to_owned(),
        inner => format!("/{inner}/"),
    })
}

/// Where the Hub has led its proxy, if it runs this program itself.
fn listen() -> anyhow::Result<SocketAddr> {
    use anyhow::Context as _;
    let Ok(url) = std::env::var("JUPYTERHUB_SERVICE_URL") else {
        return Ok(DEFAULT_LISTEN.parse()?);
    };
    let url = Url::parse(&url).context("JUPYTERHUB_SERVICE_URL")?;
    let addresses = url.socket_addrs(|| None);
    let first = addresses.context("JUPYTERHUB_SERVICE_URL")?.into_iter();
    first
        .min_by_key(|address| !address.is_ipv4())
        .context("JUPYTERHUB_SERVICE_URL has no address")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_a_slash_at_both_ends() {
        for (given, made) in [
            ("", "/"),
            ("/", "/"),
            ("services/x", "/services/x/"),
            ("/a/", "/a/"),
        ] {
            assert_eq!(path(given).unwrap(), made);
        }
        for wrong in ["/a b/", "/{x}/", "/a//b/", "/?q"] {
            assert!(path(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_hub_is_where_it_is_said_to_be() {
        let at = |text: &str, host: &str| {
            let place = HubHost::parse(text).unwrap();
            place.address(Some(host), false, "/hub/")
        };
        assert_eq!(at("", "node:31421"), "/hub/");
        assert_eq!(at(":31039", "node:31421"), "http://node:31039/hub/");
        assert_eq!(at(":31039", "[::1]:31421"), "http://[::1]:31039/hub/");
        assert_eq!(at(":31039", "a b"), "/hub/");
        assert_eq!(
            at("https://hub.example.org/", "node"),
            "https://hub.example.org/hub/"
        );
        for wrong in [":x", "hub.example.org", "javascript:1"] {
            assert!(HubHost::parse(wrong).is_err(), "{wrong}");
        }
    }
}
