//! `carrel-operator`: runs TFJobs, PyTorchJobs and TrainJobs on a Kubernetes cluster, prints their definitions, or shows
//! how many there are.

use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use carrel_jobs::kind::Kind;
use carrel_operator::objects::gang::Gang;
use carrel_operator::objects::logs;
use carrel_operator::run::{self, Options};
use carrel_operator::{crds, runtimes, usage};
use clap::{Args, Parser, Subcommand};

#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the jobs of a cluster
    Run(Box<Run>),
    /// Print the definitions of all kinds, for a cluster that has none yet: `run` keeps them up to date
    Crds,
    /// Print the runtimes that come with it, for TrainJobs
    Runtimes,
    /// Show how many nodes and jobs there are, as a page and as metrics; send it if an address is given
    Usage(Usage),
}

#[derive(Args)]
struct Run {
    /// Kinds of jobs to run
    #[arg(long, value_delimiter = ',', value_parser = kind, default_value = "tfjob,pytorchjob,trainjob")]
    kinds: Vec<Kind>,
    /// Only the jobs of this namespace; all, unless given
    #[arg(long)]
    namespace: Option<String>,
    /// The namespace of this operator
    #[arg(long, env = "POD_NAMESPACE", default_value = "default")]
    own_namespace: String,
    /// The name of the Service in front of the webhook; leases and the certificate's Secret are named after it
    #[arg(long, default_value = "carrel-operator")]
    name: String,
    /// Who this is among the operators of that name; no two may be the same
    #[arg(long, env = "POD_NAME", default_value_t = run::identity())]
    identity: String,
    /// Where the API server finds the webhook, instead of the Service: https://HOST:PORT/convert
    #[arg(long)]
    webhook_url: Option<String>,
    /// The domain of the cluster's DNS, for the names of hosts in TF_CONFIG
    #[arg(long, env = "CUSTOM_CLUSTER_DOMAIN")]
    cluster_domain: Option<String>,
    /// Where the webhook listens
    #[arg(long, default_value = "[::]:8443")]
    webhook_listen: SocketAddr,
    /// Where processes of jobs report, over TLS
    #[arg(long, default_value = "[::]:8444")]
    report_listen: SocketAddr,
    /// How they find it, instead of the Service: https://HOST:PORT; the host is that of --webhook-url
    #[arg(long)]
    report_url: Option<String>,
    /// Make a PodGroup of each job, of TrainJobs where the runtime asks for one: volcano, or the name of a scheduler with the plugin Coscheduling
    #[arg(long, alias = "gang-scheduler-name", value_parser = Gang::from_name)]
    gang_scheduler: Option<Gang>,
    /// Seconds within which pods must start, or their job fails; 0: for ever. A job may say it itself by the annotation
    /// carrel.dev/start-deadline-seconds
    #[arg(long, default_value_t = 0)]
    start_deadline: u32,
    /// Keep the ends of the logs of pods that are deleted, this much for each job, such as 256Ki: in the ConfigMap
    /// <job>-logs beside it
    #[arg(long, value_name = "SIZE", value_parser = logs::size)]
    keep_logs: Option<usize>,
    /// Where /metrics, /healthz and /readyz are
    #[arg(long, default_value = "[::]:8080")]
    listen: SocketAddr,
}

#[derive(Args)]
struct Usage {
    /// What the report calls the cluster; nothing, unless given
    #[arg(long)]
    cluster_id: Option<String>,
    /// Where the report is sent, as JSON by POST: http://.. or https://..; nowhere, unless given
    #[arg(long, value_parser = usage::address)]
    send_to: Option<axum::http::Uri>,
    /// Hours between two sendings; the first is at once
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=8760))]
    every_hours: u32,
    /// Where the page is, with /usage.json, /metrics and /healthz
    #[arg(long, default_value = "[::]:8080")]
    listen: SocketAddr,
}

fn kind(text: &str) -> Result<Kind, String> {
    let known = |kind: &Kind| text.eq_ignore_ascii_case(kind.singular());
    let kind = Kind::ALL.into_iter().find(known);
    kind.ok_or_else(|| {
        format!("there is no kind {text:?}; there are tfjob, pytorchjob and trainjob")
    })
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Crds => {
            let text = crds::yaml(&Kind::ALL)?;
            Ok(std::io::stdout().write_all(text.as_bytes())?)
        }
        Command::Runtimes => {
            let text = runtimes::yaml()?;
            Ok(std::io::stdout().write_all(text.as_bytes())?)
        }
        Command::Run(arguments) => {
            carrel_service::start_log();
            let runtime = tokio::runtime::Runtime::new()?;
            runtime.block_on(run::run((*arguments).into()))
        }
        Command::Usage(arguments) => {
            carrel_service::start_log();
            let options = usage::Options {
                cluster: arguments.cluster_id.filter(|id| !id.is_empty()),
                send_to: arguments.send_to,
                every: Duration::from_secs(3600 * u64::from(arguments.every_hours)),
            };
            let runtime = tokio::runtime::Runtime::new()?;
            runtime.block_on(usage::run(options, arguments.listen))
        }
    }
}

impl From<Run> for Options {
    fn from(mut arguments: Run) -> Self {
        // Two of one kind would lead by one lease.
        arguments.kinds.sort_unstable();
        arguments.kinds.dedup();
        if arguments.identity.is_empty() {
            // A lease that nobody holds says so.
            arguments.identity = run::identity();
        }
        Self {
            kinds: arguments.kinds,
            namespace: arguments.namespace,
            own_namespace: arguments.own_namespace,
            name: arguments.name,
            identity: arguments.identity,
            webhook_url: arguments.webhook_url,
            domain: arguments.cluster_domain.filter(|domain| !domain.is_empty()),
            webhook: arguments.webhook_listen,
            reports: arguments.report_listen,
            report_url: arguments.report_url,
            plain: arguments.listen,
            gang: arguments.gang_scheduler,
            start_deadline: arguments.start_deadline,
            keep_logs: arguments.keep_logs,
        }
    }
}
