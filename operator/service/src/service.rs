//! What the handlers of all paths share.

use std::sync::Arc;

use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::sync::Semaphore;

use crate::hub::Hub;
use crate::jobs::Jobs;
use crate::store::Models;
use crate::watch::Seen;

/// How many logs are followed at a time.
const FOLLOWERS: usize = 256;

pub struct Service {
    pub jobs: Arc<Jobs>,
    pub seen: Arc<Seen>,
    pub hub: Hub,
    pub models: Option<Models>,
    pub followers: Arc<Semaphore>,
    /// For logs: what is followed may be silent for long.
    pub logs: Api<Pod>,
}

impl Service {
    pub fn new(
        jobs: Arc<Jobs>,
        seen: Arc<Seen>,
        hub: Hub,
        models: Option<Models>,
        logs: Api<Pod>,
    ) -> Self {
        Self {
            jobs,
            seen,
            hub,
            models,
            followers: Arc::new(Semaphore::new(FOLLOWERS)),
            logs,
        }
    }
}
