//! Requests to the API server: each bounded in time, tried again where that can help, and failures in words.

use std::time::Duration;

use k8s_openapi::api::core::v1::{PersistentVolumeClaim, Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, ListParams, LogParams, PostParams, Preconditions};
use kube::core::Status;
use kube::{Api, Client};
use tokio::time::{Instant, sleep, timeout};

use super::objects::{CONTAINER, START_ID};
use super::options::KubeOptions;
use crate::Error;

/// First and longest pause before a request is tried again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Longest log that is read of a server.
const LOG_BYTES: i64 = 64 << 10;

/// The objects of one namespace.
#[derive(Clone)]
pub(super) struct Cluster {
    pub(super) pods: Api<Pod>,
    claims: Api<PersistentVolumeClaim>,
    secrets: Api<Secret>,
    request_timeout: Duration,
    retry_timeout: Duration,
}

/// Why a request has no result.
#[derive(Debug)]
pub(super) enum Failed {
    /// The API server said no, and would say so again.
    Refused(Box<Status>),
    /// Nothing came back in all the time that there was.
    Unreachable(String),
}

impl Failed {
    fn code(&self) -> u16 {
        match self {
            Self::Refused(status) => status.code,
            Self::Unreachable(_) => 0,
        }
    }

    /// There is no such object; 410: no longer.
    pub(super) fn is_missing(&self) -> bool {
        matches!(self.code(), 404 | 410)
    }

    /// Not allowed, or not within the quota.
    pub(super) fn is_forbidden(&self) -> bool {
        self.code() == 403
    }

    /// Another object has the name, or it changed meanwhile.
    pub(super) fn is_conflict(&self) -> bool {
        self.code() == 409
    }

    pub(super) fn into_error(self, attempted: &str) -> Error {
        let message = match self {
            Self::Refused(status)
                if status.code == 403 && status.message.contains("exceeded quota") =>
            {
                return Error::Start(format!(
                    "The quota of the namespace does not allow another server: {}",
                    after(&status.message, "is forbidden: ")
                ));
            }
            Self::Refused(status) => status.message,
            Self::Unreachable(message) => message,
        };
        Error::Cluster {
            attempted: attempted.to_owned(),
            message,
        }
    }
}

fn after<'a>(message: &'a str, mark: &str) -> &'a str {
    message.split_once(mark).map_or(message, |(_, rest)| rest)
}

impl Cluster {
    pub(super) fn new(client: Client, namespace: &str, options: &KubeOptions) -> Self {
        Self {
            pods: Api::namespaced(client.clone(), namespace),
            claims: Api::namespaced(client.clone(), namespace),
            secrets: Api::namespaced(client, namespace),
            request_timeout: options.k8s_api_request_timeout.duration(),
            retry_timeout: options.k8s_api_request_retry_timeout.duration(),
        }
    }

    pub(super) async fn pod(&self, name: &str) -> Result<Option<Pod>, Failed> {
        self.call(|| self.pods.get_opt(name)).await
    }

    /// All pods of servers that a Hub of this kind started; of one start, where its name is given.
    pub(super) async fn started_pods(&self, start_id: Option<&str>) -> Result<Vec<Pod>, Failed> {
        let label = start_id.map_or_else(|| START_ID.to_owned(), |id| format!("{START_ID}={id}"));
        let params = ListParams::default().labels(&label);
        Ok(self.call(|| self.pods.list(&params)).await?.items)
    }

    pub(super) async fn create_pod(&self, pod: &Pod) -> Result<Pod, Failed> {
        let params = PostParams::default();
        self.call(|| self.pods.create(&params, pod)).await
    }

    /// Asks for the end of exactly this pod; one that is gone already is no failure.
    pub(super) async fn delete_pod(&self, pod: &Pod, grace: Duration) -> Result<(), Failed> {
        let params = DeleteParams {
            grace_period_seconds: u32::try_from(grace.as_secs_f64().ceil() as u64).ok(),
            ..exactly(&pod.metadata)
        };
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        done(self.call(|| self.pods.delete(name, &params)).await)
    }

    pub(super) async fn create_secret(&self, secret: &Secret) -> Result<(), Failed> {
        let params = PostParams::default();
        match self.call(|| self.secrets.create(&params, secret)).await {
            // Its name is that of the start: the answer to an earlier try was lost.
            Err(failed) if failed.is_conflict() => Ok(()),
            done => done.map(drop),
        }
    }

    pub(super) async fn claim(&self, name: &str) -> Result<Option<PersistentVolumeClaim>, Failed> {
        self.call(|| self.claims.get_opt(name)).await
    }

    pub(super) async fn create_claim(&self, claim: &PersistentVolumeClaim) -> Result<(), Failed> {
        let params = PostParams::default();
        let made = self.call(|| self.claims.create(&params, claim)).await;
        made.map(drop)
    }

    /// Asks for the end of exactly this claim; one that is gone already is no failure.
    pub(super) async fn delete_claim(&self, claim: &PersistentVolumeClaim) -> Result<(), Failed> {
        let params = exactly(&claim.metadata);
        let name = claim.metadata.name.as_deref().unwrap_or_default();
        done(self.call(|| self.claims.delete(name, &params)).await)
    }

    /// The last lines of a server's log, of its run before the present one if it has been restarted.
    pub(super) async fn log_tail(&self, pod: &str, lines: usize, previous: bool) -> String {
        let params = LogParams {
            container: Some(CONTAINER.to_owned()),
            tail_lines: i64::try_from(lines).ok(),
            limit_bytes: Some(LOG_BYTES),
            previous,
            ..LogParams::default()
        };
        let log = timeout(self.request_timeout, self.pods.logs(pod, &params)).await;
        // A container that never ran has none.
        log.ok()
            .and_then(Result::ok)
            .unwrap_or_default()
            .trim_end()
            .to_owned()
    }

    /// Tries until there is an answer, up to `k8s_api_request_retry_timeout`. Requests here can be sent twice: names
    /// make creations unique, and what is deleted stays so.
    async fn call<T, F>(&self, request: impl Fn() -> F) -> Result<T, Failed>
    where
        F: Future<Output = kube::Result<T>>,
    {
        let deadline = Instant::now() + self.retry_timeout;
        let mut pause = PAUSE.0;
        loop {
            let (message, wanted) = match timeout(self.request_timeout, request()).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(kube::Error::Api(status))) if !is_transient(status.code) => {
                    return Err(Failed::Refused(status));
                }
                Ok(Err(kube::Error::Api(status))) => {
                    let wanted = status
                        .details
                        .as_ref()
                        .map(|details| details.retry_after_seconds);
                    (status.message, wanted.unwrap_or_default())
                }
                Ok(Err(error)) => (chain(&error), 0),
                Err(_) => {
                    let seconds = self.request_timeout.as_secs_f64();
                    (
                        format!("the API server did not answer within {seconds} seconds"),
                        0,
                    )
                }
            };
            if Instant::now() + pause >= deadline {
                return Err(Failed::Unreachable(message));
            }
            tracing::debug!(message, "A request to the API server is tried again");
            let wanted = Duration::from_secs(wanted.into());
            sleep(pause.max(wanted).min(PAUSE.1)).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }
}

/// What is asked of this object is not done to another that has its name by then.
fn exactly(object: &ObjectMeta) -> DeleteParams {
    DeleteParams {
        preconditions: Some(Preconditions {
            resource_version: None,
            uid: object.uid.clone(),
        }),
        ..DeleteParams::default()
    }
}

/// Whether what was to be deleted is; 409: another object has the name by now.
fn done<T>(answer: Result<T, Failed>) -> Result<(), Failed> {
    match answer {
        Err(failed) if failed.is_missing() || failed.is_conflict() => Ok(()),
        answer => answer.map(drop),
    }
}

/// Answers that another try may change.
fn is_transient(code: u16) -> bool {
    matches!(code, 0 | 429 | 500 | 502 | 503 | 504)
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}
