//! What the gateway is told at its start.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use clap::Args;
use ipnet::IpNet;
use url::Url;

#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where browsers come
    #[arg(long, default_value = "[::]:8080")]
    pub listen: SocketAddr,
    /// Where the admin page, health and metrics are
    #[arg(long, default_value = "[::]:8877")]
    pub admin: SocketAddr,
    /// A key in PEM, for HTTPS and HTTP/2
    #[arg(long, requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// Its certificate in PEM, with those that have signed it
    #[arg(long, requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    #[command(flatten)]
    pub routes: RouteOptions,
    /// Networks of proxies before this, whose X-Forwarded headers are believed
    #[arg(long, value_delimiter = ',', value_parser = network)]
    pub trusted_proxies: Vec<IpNet>,
    /// Certificates in PEM that those of targets may be signed with, beside those of this system
    #[arg(long)]
    pub target_ca: Option<PathBuf>,
    /// How long lists of the cluster are waited for, in seconds, before this is ready without those that are missing
    #[arg(long, default_value_t = 30)]
    pub patience: u64,
    /// How long connections are still taken after the end was asked for, in seconds: others have to hear of it
    #[arg(long, default_value_t = 5)]
    pub linger: u64,
    /// How long requests under way may take after that, in seconds
    #[arg(long, default_value_t = 20)]
    pub drain: u64,
}

#[derive(Args, Clone, Debug)]
pub struct RouteOptions {
    /// The namespace of this gateway: Services there may lead to Services anywhere
    #[arg(long, env = "CARREL_NAMESPACE", default_value = "default")]
    pub home: String,
    /// Only Services of this namespace are looked at; may be given several times
    #[arg(long)]
    pub namespace: Vec<String>,
    /// A host of the routes that are built in, any without; may be given several times
    #[arg(long)]
    pub host: Vec<String>,
    /// The Hub, such as http://tf-hub-lb
    #[arg(long, value_parser = target)]
    pub hub: Option<Url>,
    /// The path that all pages of the Hub are below
    #[arg(long, default_value = "/")]
    pub hub_base: String,
    /// What / leads to; the Hub without
    #[arg(long, value_parser = target)]
    pub dashboard: Option<Url>,
    /// What /tfjobs/ leads to
    #[arg(long, value_parser = target)]
    pub jobs_dashboard: Option<Url>,
    /// What /k8s/ui/ leads to, such as `https://kubernetes-dashboard.kube-system`
    #[arg(long, value_parser = target)]
    pub kubernetes_dashboard: Option<Url>,
    /// A Service NAME.NAMESPACE, or the host of an option above, whose certificate is believed unseen; may be given several
    /// times
    #[arg(long)]
    pub unverified: Vec<String>,
    /// The controllerName of GatewayClasses whose HTTPRoutes are taken
    #[arg(long, default_value = "carrel.dev/gateway")]
    pub controller: String,
    /// How long a target may take to begin its answer, in seconds, where a route says nothing of it
    #[arg(long, default_value_t = 60)]
    pub timeout: u64,
}

fn network(text: &str) -> Result<IpNet, String> {
    let text = text.trim();
    let alone = || text.parse::<IpAddr>().ok().map(IpNet::from);
    let read = text.parse().ok().or_else(alone);
    read.ok_or_else(|| "it is no address and no network".to_owned())
}

fn target(text: &str) -> Result<Url, String> {
    let url: Url = text.parse().map_err(|error| format!("{error}"))?;
    let is_plain = matches!(url.scheme(), "http" | "https")
        && url.host().is_some()
        && url.path() == "/"
        && url.query().is_none();
    is_plain
        .then_some(url)
        .ok_or_else(|| "it is not of the form http://HOST:PORT".to_owned())
}
