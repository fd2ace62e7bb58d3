//! The jobs service of notebooks (`training/JOBS.md`), which is asked with the visitor's own token.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use bytes::Bytes;
use carrel_report::JobView;
use carrel_service::{HubClient, HubError};
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use serde::Deserialize;
use serde_json::Value;
use tokio::time::timeout;

use crate::secret::Secret;

/// The most that an answer of JSON may be, in bytes, and how long it may take.
const MOST: usize = 16 << 20;
const LONGEST: Duration = Duration::from_secs(10);

/// The path of all jobs.
const LIST: &str = "/jobs";

pub struct Training {
    http: HubClient,
}

#[derive(Debug, thiserror::Error)]
pub enum TrainingError {
    #[error("the jobs service does not answer: {0}")]
    Away(String),
    #[error("The jobs service does not let this dashboard ask for your jobs.")]
    NotAllowed,
    /// In its own words.
    #[error("{1}")]
    Refused(StatusCode, String),
}

impl Training {
    /// For the service at `url`.
    ///
    /// # Errors
    /// When this machine has no certificates to check the service's by.
    pub fn new(url: &str) -> std::io::Result<Self> {
        let api = format!("{}/api/v1", url.trim_end_matches('/'));
        let http = HubClient::new(&api, Vec::new())?;
        Ok(Self { http })
    }

    /// All jobs of who holds the token, the newest first. What is written otherwise than this version knows is left out.
    ///
    /// # Errors
    /// When the service refuses, or is away.
    pub async fn jobs(&self, token: &Secret) -> Result<Vec<JobView>, TrainingError> {
        #[derive(Deserialize)]
        struct List {
            jobs: Vec<Value>,
        }
        let answer = self.ask(token, Method::GET, LIST).await?;
        let list: List = json(answer).await?;
        let jobs = list.jobs.into_iter().rev();
        Ok(jobs
            .filter_map(|job| serde_json::from_value(job).ok())
            .collect())
    }

    /// # Errors
    /// As for all jobs.
    pub async fn job(&self, token: &Secret, id: &str) -> Result<JobView, TrainingError> {
        let answer = self.ask_of(token, Method::GET, id, "").await?;
        json(answer).await
    }

    /// What is at a path of a job, which begins with a slash.
    ///
    /// # Errors
    /// When there is no such job, or the service refuses or is away.
    pub async fn ask_of(
        &self,
        token: &Secret,
        method: Method,
        id: &str,
        path: &str,
    ) -> Result<Response<Body>, TrainingError> {
        // It becomes a part of the path.
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if id.is_empty() || !id.chars().all(fits) {
            let message = "There is no such job.".to_owned();
            return Err(TrainingError::Refused(StatusCode::NOT_FOUND, message));
        }
        self.ask(token, method, &format!("/jobs/{id}{path}")).await
    }

    async fn ask(
        &self,
        token: &Secret,
        method: Method,
        path: &str,
    ) -> Result<Response<Body>, TrainingError> {
        let request = Request::builder()
            .method(method)
            .uri(self.http.url(path))
            .header(header::AUTHORIZATION, format!("Bearer {}", token.0))
            .body(Full::<Bytes>::default());
        let request = request.map_err(|error| TrainingError::Away(error.to_string()))?;
        let answer = match self.http.ask(request).await {
            Ok(answer) => answer,
            Err(HubError::Away(cause)) => return Err(TrainingError::Away(cause)),
            Err(error) => return Err(TrainingError::Away(error.to_string())),
        };
        match answer.status() {
            status if status.is_success() => Ok(answer),
            StatusCode::UNAUTHORIZED => Err(TrainingError::NotAllowed),
            // Who may list jobs is let in: what is refused then, is so for a reason of its own.
            StatusCode::FORBIDDEN if path == LIST => Err(TrainingError::NotAllowed),
            status => Err(refused(status, answer).await),
        }
    }
}

/// With what the service says of it.
async fn refused(status: StatusCode, answer: Response<Body>) -> TrainingError {
    #[derive(Deserialize)]
    struct Refusal {
        message: String,
    }
    match json::<Refusal>(answer).await {
        Ok(refusal) if status.is_client_error() => TrainingError::Refused(status, refusal.message),
        _ => TrainingError::Away(format!("it answers {status}")),
    }
}

async fn json<T: serde::de::DeserializeOwned>(answer: Response<Body>) -> Result<T, TrainingError> {
    let body = timeout(LONGEST, to_bytes(answer.into_body(), MOST)).await;
    let body = body.map_err(|_| TrainingError::Away("its answer breaks off".to_owned()))?;
    let body = body.map_err(|error| TrainingError::Away(error.to_string()))?;
    serde_json::from_slice(&body).map_err(|error| TrainingError::Away(error.to_string()))
}
