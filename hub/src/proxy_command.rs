//! `carrel-hub proxy`: the proxy as a process of its own, with the arguments of configurable-http-proxy.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use carrel_hub::auth::cookies;
use carrel_proxy::{Apart, ErrorPages, Redirect, ServeOptions, Tls};
use clap::{Args, ValueEnum};
use tokio::net::TcpListener;
use url::Url;

const TOKEN: &str = "CONFIGPROXY_AUTH_TOKEN";

#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Address to serve on; empty or `*` for all.
    #[arg(long, default_value = "127.0.0.1")]
    ip: String,
    /// Address of the REST API.
    #[arg(long, default_value = "localhost")]
    api_ip: String,
    /// Port of the REST API; one above --port, if not given.
    #[arg(long)]
    api_port: Option<u16>,
    /// Where requests without a route go, such as http://127.0.0.1:8081; given again, the next is for when those before
    /// cannot be connected.
    #[arg(long, value_name = "URL")]
    default_target: Vec<Url>,
    /// Where pages for errors are asked for, such as http://127.0.0.1:8081/hub/error.
    #[arg(long, value_name = "URL", conflicts_with = "error_path")]
    error_target: Option<Url>,
    /// Folder with pages for errors: 404.html, 503.html, error.html.
    #[arg(long, value_name = "DIR")]
    error_path: Option<PathBuf>,
    /// Private key for HTTPS, in PEM; key and certificate are read anew when they change.
    #[arg(long, value_name = "FILE", requires = "ssl_cert")]
    ssl_key: Option<PathBuf>,
    /// Certificate for HTTPS, with those that lead to its authority, in PEM.
    #[arg(long, value_name = "FILE", requires = "ssl_key")]
    ssl_cert: Option<PathBuf>,
    /// Port of plain HTTP whose requests are sent on to HTTPS.
    #[arg(long, value_name = "PORT", requires = "ssl_cert")]
    redirect_port: Option<u16>,
    /// Port that they are sent on to, where it is not --port.
    #[arg(long, value_name = "PORT", requires = "redirect_port")]
    redirect_to: Option<u16>,
    /// Look for routes by the host first, for JupyterHub.subdomain_host.
    #[arg(long)]
    host_routing: bool,
    /// How much is told on stderr.
    #[arg(long, value_enum, ignore_case = true, default_value = "info")]
    pub log_level: LogLevel,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum LogLevel {
    Debug,
    Info,
    Warn,
    Error,
}

impl LogLevel {
    pub fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// What the proxy and its Hub know of each other.
pub fn token() -> Option<String> {
    std::env::var(TOKEN).ok().filter(|token| !token.is_empty())
}

/// Serves until `shutdown`; `state` is the file that keeps the routes, or a folder for it.
pub async fn run(
    arguments: Arguments,
    port: u16,
    state: &Path,
    shutdown: impl Future<Output = ()>,
) -> anyhow::Result<()> {
    let targets = arguments.default_target.iter();
    for target in targets.chain(&arguments.error_target) {
        if target.scheme() != "http" {
            bail!("{target} is not of the form http://host:port");
        }
    }
    let api_port = match arguments.api_port {
        Some(port) => port,
        None if port == 0 => 0,
        None => port
            .checked_add(1)
            .context("give the port of the REST API: --api-port")?,
    };
    // Before anything listens: it is what most often goes wrong.
    let tls = match (&arguments.ssl_key, &arguments.ssl_cert) {
        (Some(key), Some(certificate)) => Some(Tls::open(key.clone(), certificate.clone())?),
        _ => None,
    };
    let public = bind("--ip", &arguments.ip, port).await?;
    let api = bind("--api-ip", &arguments.api_ip, api_port).await?;
    let (address, api_address) = (public.local_addr()?, api.local_addr()?);
    let scheme = if tls.is_some() { "https" } else { "http" };
    tracing::info!("Proxying {scheme}://{address}, REST API at http://{api_address}/api/routes");
    let apart = apart(arguments, address.port(), state).await?;
    let options = ServeOptions {
        tls,
        ..ServeOptions::default()
    };
    Ok(apart.run(public, api, shutdown, options).await?)
}

/// Where it serves on `port`.
async fn apart(arguments: Arguments, port: u16, state: &Path) -> anyhow::Result<Apart> {
    let token = token();
    if token.is_none() {
        tracing::warn!(
            "Every program of this machine may change the routes: the REST API has no {TOKEN}"
        );
    }
    let redirect = match arguments.redirect_port {
        Some(from) => Some(Redirect {
            listener: bind("--redirect-port", &arguments.ip, from).await?,
            to: arguments.redirect_to.unwrap_or(port),
        }),
        None => None,
    };
    let error_pages = match (arguments.error_target, arguments.error_path) {
        (Some(target), _) => ErrorPages::Target(target),
        (None, Some(folder)) => ErrorPages::Folder(folder),
        (None, None) => ErrorPages::None,
    };
    Ok(Apart {
        default_targets: arguments.default_target,
        error_pages,
        redirect,
        by_host: arguments.host_routing,
        file: Some(file(state)?),
        token,
        reserved_cookies: &cookies::OF_THE_HUB,
    })
}

async fn bind(argument: &str, ip: &str, port: u16) -> anyhow::Result<TcpListener> {
    let ip = match ip {
        "" | "*" => "::",
        ip => ip,
    };
    let bound = TcpListener::bind((ip, port)).await;
    bound.with_context(|| format!("could not listen on {ip}, port {port} ({argument})"))
}

/// The file itself, or one in a folder, which is made if it is missing.
fn file(state: &Path) -> anyhow::Result<PathBuf> {
    use std::os::unix::fs::DirBuilderExt as _;
    if state.is_file() || state.extension().is_some_and(|end| end == "json") {
        return Ok(state.to_owned());
    }
    let made = std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(state);
    made.with_context(|| format!("could not create the state folder {}", state.display()))?;
    Ok(state.join("routes.json"))
}
