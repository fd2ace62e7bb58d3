//! What all handlers share.

use std::sync::Arc;
use std::time::Duration;

use carrel_service::{Turns, User};
use tokio::sync::Semaphore;

use crate::access::Access;
use crate::cluster::Cluster;
use crate::config::Settings;
use crate::hub::HubClient;
use crate::jobs::curves::Measured;
use crate::kept::Kept;
use crate::resources::Watched;
use crate::sessions::Sessions;
use crate::training::Training;
use crate::usage::Usage;

/// Logs that are followed at a time, each over a connection to the API server.
const FOLLOWED: usize = 200;
/// Whole logs, each of megabytes, that are sent at a time, and to one user.
const LOGS: usize = 16;
const LOGS_OF_ONE: usize = 4;
/// How long curves hold: they are made of many logs.
const CURVES: Duration = Duration::from_secs(10);
/// How long an API token is believed without asking the Hub.
const TOKENS: Duration = Duration::from_secs(30);

pub type App = Arc<Parts>;

pub struct Parts {
    pub settings: Settings,
    pub hub: HubClient,
    /// Where there is a jobs service.
    pub training: Option<Training>,
    /// Where there is a usage report.
    pub usage: Option<Usage>,
    pub cluster: Cluster,
    pub access: Access,
    pub sessions: Sessions,
    pub resources: Watched,
    /// By the hash of a token.
    pub tokens: Kept<String, Arc<User>>,
    /// By the identity of a job.
    pub curves: Kept<String, Arc<Measured>>,
    pub followers: Arc<Semaphore>,
    /// Whole logs that are sent to programs, of all and of one user.
    pub logs: Arc<Semaphore>,
    pub logs_of_one: Turns,
}

impl Parts {
    /// # Errors
    /// When this machine has no certificates.
    pub fn new(settings: Settings, cluster: Cluster) -> anyhow::Result<App> {
        Ok(Arc::new(Self {
            hub: HubClient::new(&settings)?,
            training: settings
                .jobs_url
                .as_deref()
                .map(Training::new)
                .transpose()?,
            usage: settings
                .usage_report
                .as_deref()
                .map(Usage::new)
                .transpose()?,
            sessions: Sessions::new(settings.session_life),
            settings,
            cluster,
            access: Access::default(),
            resources: Watched::default(),
            tokens: Kept::new(TOKENS, 1000),
            curves: Kept::new(CURVES, 200),
            followers: Arc::new(Semaphore::new(FOLLOWED)),
            logs: Arc::new(Semaphore::new(LOGS)),
            logs_of_one: Turns::new(LOGS_OF_ONE),
        }))
    }
}
