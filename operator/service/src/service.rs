//! What the handlers of all paths share.

use std::ops::Deref;
use std::sync::Arc;

use axum::http::HeaderMap;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use tokio::sync::Semaphore;

use crate::answer::Refusal;
use crate::files::Files;
use crate::hub::Hub;
use crate::jobs::Jobs;
use crate::store::Models;
use crate::turns::{Turn, Turns};
use crate::watch::Seen;

/// How many logs are followed at a time.
const FOLLOWERS: usize = 256;
/// By one user.
const OWN_FOLLOWERS: usize = 32;

pub struct Service {
    pub jobs: Arc<Jobs>,
    pub seen: Arc<Seen>,
    pub hub: Hub,
    pub models: Option<Models>,
    pub files: Option<Files>,
    pub followers: Arc<Semaphore>,
    pub following: Turns,
    /// For logs: what is followed may be silent for long.
    pub logs: Api<Pod>,
}

/// Who asks.
pub struct Caller {
    name: String,
    _turn: Turn,
}

impl Deref for Caller {
    type Target = str;

    fn deref(&self) -> &str {
        &self.name
    }
}

impl Service {
    pub fn new(
        jobs: Arc<Jobs>,
        seen: Arc<Seen>,
        hub: Hub,
        models: Option<Models>,
        files: Option<Files>,
        logs: Api<Pod>,
    ) -> Self {
        Self {
            jobs,
            seen,
            hub,
            models,
            files,
            followers: Arc::new(Semaphore::new(FOLLOWERS)),
            following: Turns::new(OWN_FOLLOWERS, "logs that you follow"),
            logs,
        }
    }

    /// The user whose token a request has, one of whose requests it is until that is dropped.
    ///
    /// # Errors
    /// Where it is nobody's, or of somebody who asks for too much at a time.
    pub async fn user(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        let name = self.hub.user(headers).await?;
        let turn = self.jobs.asking.take(&name)?;
        Ok(Caller { name, _turn: turn })
    }

    /// Forgets the files of a job.
    pub async fn forget(&self, id: &str) {
        if let Some(models) = &self.models {
            models.remove(id).await;
        }
        if let Some(files) = &self.files {
            files.keep(|other| other != id).await;
        }
    }

    /// Forgets those of jobs that are not there any more.
    pub async fn keep_files(&self) {
        let is_there = |id: &str| self.jobs.with_job(id, |_| Ok(())).is_ok();
        if let Some(models) = &self.models {
            models.keep(is_there).await;
        }
        if let Some(files) = &self.files {
            files.keep(is_there).await;
        }
    }
}
