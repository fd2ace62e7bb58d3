//! Jobs of a jobs service, over HTTP; `training/JOBS.md` says what is asked and answered.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use candle_core::{Device, Tensor};
use carrel_report::ObjectFile;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::list::{self, Entry};
use super::{
    Backend, Description, JobError, JobList, JobStatus, JobView, Log, NewJob, TrainJob, Work, find,
    io_error,
};
use crate::http::{self, variable};

/// The address of the jobs service.
pub const JOBS_URL_VARIABLE: &str = "CARREL_JOBS_URL";
/// The token for it, where it is another than the server's own.
pub const JOBS_TOKEN_VARIABLE: &str = "CARREL_JOBS_TOKEN";
/// What JupyterHub gives a user's server.
const HUB_TOKEN_VARIABLE: &str = "JUPYTERHUB_API_TOKEN";
/// How long the service may take to answer, and to send all of an answer.
const PATIENCE: Duration = Duration::from_secs(30);
const DOWNLOAD: Duration = Duration::from_secs(600);
/// Of one answer; the largest are models.
const MOST: u64 = 16 << 30;

/// A jobs service.
#[derive(Clone)]
pub struct RemoteJobs {
    /// Without a slash at its end.
    url: String,
    token: Option<String>,
    agent: ureq::Agent,
}

/// All jobs of the user, oldest first. One of another version of this crate may read as none.
#[derive(Deserialize)]
struct List {
    jobs: Vec<serde_json::Value>,
}

/// What a refusal says, as in JupyterHub.
#[derive(Deserialize)]
struct Refusal {
    message: String,
}

/// A token is nothing to show.
impl fmt::Debug for RemoteJobs {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "RemoteJobs({:?})", self.url)
    }
}

impl RemoteJobs {
    /// The service at an address, such as `http://hub/services/training`.
    pub fn new(url: &str, token: Option<String>) -> Self {
        Self {
            url: url.trim_end_matches('/').to_owned(),
            token,
            agent: http::agent()
                .timeout_connect(Some(PATIENCE))
                .timeout_recv_response(Some(PATIENCE))
                .timeout_recv_body(Some(DOWNLOAD))
                .http_status_as_error(false)
                .build()
                .into(),
        }
    }

    /// From the process's variables; None where they name no service.
    pub fn from_process() -> Option<Self> {
        let token = variable(JOBS_TOKEN_VARIABLE).or_else(|| variable(HUB_TOKEN_VARIABLE));
        Some(Self::new(&variable(JOBS_URL_VARIABLE)?, token))
    }

    /// Submits a job.
    ///
    /// # Errors
    /// When the description is not whole, or the service refuses it or cannot be reached.
    pub fn submit(&self, new: NewJob) -> Result<TrainJob, JobError> {
        self.submit_described(&new.description()?)
    }

    /// The same of a function, after those of its files that the service does not have yet.
    pub(super) fn submit_work(
        &self,
        new: NewJob,
        work: Work,
        files: &[(ObjectFile, &Path)],
    ) -> Result<TrainJob, JobError> {
        let description = new.description_of(work)?;
        for (object, path) in files {
            self.hand_over(object, path)?;
        }
        self.submit_described(&description)
    }

    fn hand_over(&self, object: &ObjectFile, path: &Path) -> Result<(), JobError> {
        let place = format!("objects/{}", object.sha256);
        match self.call("HEAD", &place, &[]) {
            Err(JobError::Refused { status: 404, .. }) => {}
            there => return there.map(drop),
        }
        let bytes = fs::read(path).map_err(io_error(path))?;
        self.call("PUT", &place, &bytes).map(drop)
    }

    fn submit_described(&self, description: &Description) -> Result<TrainJob, JobError> {
        let path = "jobs";
        let body = serde_json::to_vec(description).map_err(|error| self.answer(path, &error))?;
        self.job(path, self.json("POST", path, &body)?)
    }

    /// All jobs of the user, oldest first.
    ///
    /// # Errors
    /// When the service refuses or cannot be reached.
    pub fn list(&self) -> Result<Vec<TrainJob>, JobError> {
        Ok(self.table()?.into_iter().collect())
    }

    /// The same, with how they stand, as a table.
    ///
    /// # Errors
    /// When the service refuses or cannot be reached.
    pub fn table(&self) -> Result<JobList, JobError> {
        let path = "jobs";
        let list: List = self.json("GET", path, &[])?;
        let all = list.jobs.len();
        let views = list.jobs.into_iter();
        let views = views.filter_map(|view| serde_json::from_value::<JobView>(view).ok());
        let entry = |view: JobView| {
            Ok(Entry {
                status: view.status.clone(),
                started: view.started.map(list::time),
                job: self.job(path, view)?,
            })
        };
        let jobs: JobList = views.map(entry).collect::<Result<_, JobError>>()?;
        let unread = all - jobs.len();
        Ok(jobs.with_unread(unread))
    }

    /// The newest job of this name, or the one of this id.
    ///
    /// # Errors
    /// When there is none.
    pub fn attach(&self, name: &str) -> Result<TrainJob, JobError> {
        find(self.list()?, name, self.url.clone())
    }

    fn job(&self, path: &str, view: JobView) -> Result<TrainJob, JobError> {
        // It becomes a part of paths.
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if view.id.is_empty() || !view.id.chars().all(fits) {
            return Err(self.answer(path, &format!("{:?} is no id of a job", view.id)));
        }
        Ok(TrainJob {
            backend: Arc::new(RemoteJob {
                jobs: self.clone(),
                id: view.id.clone(),
                ranks: view.description.ranks,
            }),
            id: view.id,
            description: view.description,
        })
    }

    fn url(&self, path: &str) -> String {
        format!("{}/api/v1/{path}", self.url)
    }

    fn answer(&self, path: &str, reason: &dyn fmt::Display) -> JobError {
        JobError::Answer {
            url: self.url(path),
            reason: reason.to_string(),
        }
    }

    fn json<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<T, JobError> {
        let bytes = self.call(method, path, body)?;
        serde_json::from_slice(&bytes).map_err(|error| self.answer(path, &error))
    }

    fn call(&self, method: &str, path: &str, body: &[u8]) -> Result<Vec<u8>, JobError> {
        let url = self.url(path);
        let unreachable = |reason: &dyn fmt::Display| JobError::Unreachable {
            url: self.url.clone(),
            reason: reason.to_string(),
        };
        http::check(&url).map_err(|reason| unreachable(&reason))?;
        let request =
            http::request(method, &url, self.token.as_deref()).header("Accept", "application/json");
        let request = request.body(body).map_err(|error| unreachable(&error))?;
        let response = self.agent.run(request);
        let mut response = response.map_err(|error| unreachable(&error))?;
        let status = response.status();
        let body = response.body_mut().with_config().limit(MOST).read_to_vec();
        let body = body.map_err(|error| unreachable(&error))?;
        if status.is_success() {
            return Ok(body);
        }
        let message = match serde_json::from_slice::<Refusal>(&body) {
            Ok(refusal) => refusal.message,
            Err(_) => status.canonical_reason().unwrap_or("no reason").to_owned(),
        };
        Err(JobError::Refused {
            url,
            status: status.as_u16(),
            message,
        })
    }
}

#[derive(Debug)]
struct RemoteJob {
    jobs: RemoteJobs,
    id: String,
    ranks: usize,
}

impl RemoteJob {
    fn path(&self, what: &str) -> String {
        format!("jobs/{}{what}", self.id)
    }
}

impl Backend for RemoteJob {
    fn status(&self) -> Result<JobStatus, JobError> {
        let path = self.path("");
        let view: JobView = self.jobs.json("GET", &path, &[])?;
        let found = view.status.ranks.len();
        if found != self.ranks {
            let reason = format!("{found} ranks for a job of {}", self.ranks);
            return Err(self.jobs.answer(&path, &reason));
        }
        Ok(view.status)
    }

    fn logs(&self, rank: usize) -> Result<Log, JobError> {
        let path = self.path(&format!("/ranks/{rank}/log"));
        self.jobs.call("GET", &path, &[]).map(Log::from)
    }

    fn cancel(&self) -> Result<(), JobError> {
        let path = self.path("/cancel");
        self.jobs.call("POST", &path, &[]).map(|_| ())
    }

    fn resume(&self) -> Result<(), JobError> {
        let path = self.path("/resume");
        self.jobs.call("POST", &path, &[]).map(|_| ())
    }

    fn delete(&self) -> Result<(), JobError> {
        self.jobs.call("DELETE", &self.path(""), &[]).map(|_| ())
    }

    fn result(&self, rank: usize) -> Result<Vec<u8>, JobError> {
        let path = self.path(&format!("/ranks/{rank}/result"));
        self.jobs.call("GET", &path, &[])
    }

    fn weights(&self) -> Result<Option<BTreeMap<String, Tensor>>, JobError> {
        let path = self.path("/model");
        let bytes = self.jobs.call("GET", &path, &[])?;
        if bytes.is_empty() {
            return Ok(None);
        }
        let tensors = candle_core::safetensors::load_buffer(&bytes, &Device::Cpu);
        let tensors = tensors.map_err(|error| self.jobs.answer(&path, &error))?;
        Ok(Some(tensors.into_iter().collect()))
    }

    fn pause(&self) -> Duration {
        Duration::from_secs(1)
    }
}
