//! What the service is told at its start.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

#[derive(Args, Clone, Debug)]
pub struct Options {
    /// Where the service listens
    #[arg(long, default_value = "[::]:8080")]
    pub listen: SocketAddr,
    /// The path of the service at the Hub
    #[arg(
        long,
        env = "JUPYTERHUB_SERVICE_PREFIX",
        default_value = "/services/training/"
    )]
    pub prefix: String,
    /// The name of the service at the Hub, by which scopes name it
    #[arg(long, env = "JUPYTERHUB_SERVICE_NAME", default_value = "training")]
    pub service: String,
    /// The Hub's API, such as http://hub:8081/hub/api
    #[arg(long, env = "JUPYTERHUB_API_URL")]
    pub hub: String,
    /// Where ranks reach the service, its path included: http://HOST:PORT/services/training
    #[arg(long, env = "CARREL_SERVICE_URL")]
    pub url: String,
    /// The namespace of all jobs
    #[arg(long, env = "CARREL_JOBS_NAMESPACE")]
    pub namespace: String,
    /// What secrets of jobs are made of, at least 32 characters; another key is the end of all reports of jobs that run
    #[arg(long, env = "CARREL_JOBS_KEY", hide_env_values = true)]
    pub key: String,
    /// The image of ranks, in which carrel-train is on the path
    #[arg(
        long,
        env = "CARREL_JOBS_IMAGE",
        default_value = "localhost/carrel-training"
    )]
    pub image: String,
    /// The image of ranks that call a function of a notebook: that of the notebook. Without it functions are refused
    #[arg(long, env = "CARREL_JOBS_FUNCTION_IMAGE")]
    pub function_image: Option<String>,
    /// The program in it that calls functions
    #[arg(long, default_value = "/opt/carrel/prelude/carrel-worker")]
    pub function_program: String,
    /// YAML with what each pod and its container are to have beside: pod (a pod's spec) and container
    #[arg(long)]
    pub pod: Option<PathBuf>,
    /// The claim that keeps checkpoints, such as claim-{username}; without it they go with the pod of rank 0
    #[arg(long)]
    pub claim: Option<String>,
    /// A folder that keeps the newest model of each job, and what functions need and give back
    #[arg(long)]
    pub models: Option<PathBuf>,
    #[command(flatten)]
    pub quotas: Quotas,
}

/// Of each user, but for all models together.
#[derive(Args, Clone, Copy, Debug)]
pub struct Quotas {
    /// Jobs of one user that run at a time
    #[arg(long, default_value_t = 4)]
    pub running_jobs: usize,
    /// Ranks of one job
    #[arg(long, default_value_t = 16)]
    pub ranks: usize,
    /// Ranks of all jobs of one user that run
    #[arg(long, default_value_t = 32)]
    pub running_ranks: usize,
    /// Jobs of one user that are kept, with those that have ended
    #[arg(long, default_value_t = 100)]
    pub jobs: usize,
    /// The largest model that is kept, in bytes
    #[arg(long, default_value_t = 1 << 30)]
    pub model_bytes: u64,
    /// All models together, in bytes; all results of functions together may take as much
    #[arg(long, default_value_t = 8 << 30)]
    pub models_bytes: u64,
    /// Those of one user, in bytes; results of functions of one user may take as much
    #[arg(long, default_value_t = 2 << 30)]
    pub user_models_bytes: u64,
    /// The compiled cells of functions of one user, in bytes
    #[arg(long, default_value_t = 1 << 30)]
    pub object_bytes: u64,
}

impl Options {
    /// The path of the service without a slash at its end.
    pub fn path(&self) -> &str {
        self.prefix.trim_end_matches('/')
    }
}
