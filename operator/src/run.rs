//! The process: its servers, and for each kind the lease and, while it is held, the controller.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use carrel_jobs::kind::Kind;
use carrel_service::bind;
use kube::{Api, Client, Config};
use tokio::sync::watch;

use crate::certificate::{Keeper, Loaded};
use crate::controller::{self, Settings};
use crate::crds::{self, Address};
use crate::leader::Candidate;
use crate::metrics::{Metrics, OfKind};
use crate::objects::gang::Gang;
use crate::reports::{self, Reporting};
use crate::server::{self, Tls};

/// The longest that the API server may send nothing. Watches last 290 s.
const SILENCE: Duration = Duration::from_secs(300);

pub struct Options {
    pub kinds: Vec<Kind>,
    /// The only namespace whose jobs are run.
    pub namespace: Option<String>,
    /// The namespace of leases and of the Secret with the certificate.
    pub own_namespace: String,
    /// Begins the names of leases and of that Secret; the name of the webhook's Service.
    pub name: String,
    pub identity: String,
    pub webhook_url: Option<String>,
    pub domain: Option<String>,
    pub webhook: SocketAddr,
    pub reports: SocketAddr,
    /// Where processes of jobs find `reports`, instead of the Service.
    pub report_url: Option<String>,
    pub plain: SocketAddr,
    /// Who starts all pods of a job or none, where it is not the default scheduler.
    pub gang: Option<Gang>,
    /// How long pods may take to start, in seconds, where their job does not say it; 0: for ever.
    pub start_deadline: u32,
    /// How many bytes of the logs of a job's pods are kept when those are deleted; none, unless given.
    pub keep_logs: Option<usize>,
}

/// Runs until it is asked to end.
///
/// # Errors
/// When there is no cluster, or a port is taken.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let mut config = Config::infer().await?;
    // A watch ends by itself before; one whose connection broke without a word would be waited for for ever.
    config.read_timeout = Some(SILENCE);
    let client = Client::try_from(config)?;
    let (webhook, plain) = (bind(options.webhook).await?, bind(options.plain).await?);
    let reports = bind(options.reports).await?;
    let metrics = Arc::new(Metrics::default());
    let (loaded, current) = watch::channel(None);
    let keeper = Keeper {
        secrets: Api::namespaced(client.clone(), &options.own_namespace),
        secret: format!("{}-webhook", options.name),
        names: names(&options),
    };
    let kinds = options.kinds.iter().map(|kind| {
        let settings = settings(&options, &client, &metrics, current.clone());
        of_kind(*kind, &options, settings, current.clone())
    });
    let kinds = futures_util::future::join_all(kinds);
    let conversions = Tls {
        listener: webhook,
        router: server::conversions(Arc::clone(&metrics)),
        keeps: true,
    };
    let reports = Tls {
        listener: reports,
        router: reports::router(client.clone()),
        keeps: false,
    };
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        failed = server::plain(plain, Arc::clone(&metrics), current.clone()) => failed?,
        () = server::tls(conversions, current.clone()) => {}
        // At a port of its own: however many report, the API server is answered.
        () = server::tls(reports, current.clone()) => {}
        () = keeper.keep(&loaded) => {}
        _ = kinds => {}
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    for kind in &options.kinds {
        candidate(*kind, &options, &client).release().await;
    }
    Ok(())
}

fn settings(
    options: &Options,
    client: &Client,
    metrics: &Arc<Metrics>,
    loaded: watch::Receiver<Option<Arc<Loaded>>>,
) -> Settings {
    Settings {
        client: client.clone(),
        namespace: options.namespace.clone(),
        domain: options.domain.clone(),
        metrics: Arc::clone(metrics),
        identity: options.identity.clone(),
        reporting: Reporting {
            url: report_url(options),
            loaded,
        },
        gang: options.gang.clone(),
        start_deadline: options.start_deadline,
        keep_logs: options.keep_logs,
    }
}

/// Of this process alone.
pub fn identity() -> String {
    let host = std::env::var("HOSTNAME").unwrap_or_else(|_| "carrel-operator".to_owned());
    format!("{host}_{}", uuid::Uuid::new_v4())
}

fn report_url(options: &Options) -> String {
    let (name, namespace, port) = (
        &options.name,
        &options.own_namespace,
        options.reports.port(),
    );
    let url = options.report_url.clone();
    url.unwrap_or_else(|| format!("https://{name}.{namespace}.svc:{port}"))
}

/// The names in the certificate.
fn names(options: &Options) -> Vec<String> {
    if let Some(url) = &options.webhook_url {
        let authority = url.split("://").nth(1).unwrap_or(url);
        let host = authority.split('/').next().unwrap_or_default();
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        return vec![host.trim_matches(['[', ']']).to_owned()];
    }
    let (name, namespace) = (&options.name, &options.own_namespace);
    vec![
        format!("{name}.{namespace}.svc"),
        format!("{name}.{namespace}.svc.cluster.local"),
    ]
}

fn candidate(kind: Kind, options: &Options, client: &Client) -> Candidate {
    Candidate {
        leases: Api::namespaced(client.clone(), &options.own_namespace),
        lease: format!("{}-{}", options.name, kind.singular()),
        identity: options.identity.clone(),
    }
}

async fn of_kind(
    kind: Kind,
    options: &Options,
    settings: Settings,
    current: watch::Receiver<Option<Arc<Loaded>>>,
) {
    let (leads, mut leading) = watch::channel(false);
    let address = match &options.webhook_url {
        Some(url) => Address::Url(url.clone()),
        None => Address::Service {
            name: options.name.clone(),
            namespace: options.own_namespace.clone(),
        },
    };
    let gauge = settings
        .metrics
        .leads
        .get_or_create(&OfKind { kind: kind.name() })
        .clone();
    let work = async {
        // The sender lives as long as this.
        while leading.wait_for(|leads| *leads).await.is_ok() {
            gauge.set(1);
            let client = settings.client.clone();
            tokio::select! {
                () = controller::run(kind, settings.clone()) => {}
                () = crds::publish(kind, client, address.clone(), current.clone()) => {}
                _ = leading.wait_for(|leads| !*leads) => {}
            }
            gauge.set(0);
        }
    };
    let stand = candidate(kind, options, &settings.client);
    tokio::select! {
        () = stand.stand(&leads) => {}
        () = work => {}
    }
}
