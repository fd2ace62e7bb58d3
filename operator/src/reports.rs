//! What processes of jobs report of their progress (KEP-2779 of Kubeflow Trainer). It is taken from pods of that very
//! job alone: they show a token that counts here only, and that the API server knows to be of the pod.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use axum::{Json, Router};
use carrel_jobs::job::Job;
use carrel_jobs::kind::Kind;
use carrel_jobs::progress::TrainerStatus;
use carrel_jobs::read::typed;
use carrel_jobs::trainjob::status::attempt;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec, UserInfo};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::certificate::Loaded;
use crate::refusal::is;
use crate::resource::resource;

/// The largest report.
const LARGEST: usize = 64 << 10;
/// How long a process may take to say it, and the API server to take it.
const PATIENCE: Duration = Duration::from_secs(10);
/// Reports that are read and written at a time.
const AT_A_TIME: usize = 16;
/// Between two reports of a job that are written: each is a change of the job, and all who watch it hear of it.
const PAUSE: Duration = Duration::from_secs(1);
/// How often a report is written anew when the job has changed meanwhile.
const TRIES: usize = 5;
/// The pod of a token, among what the API server says of who shows it.
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

/// What has come of each job, by its identity: one that reports with each step is written once in a while.
#[derive(Default)]
struct Recent(Mutex<HashMap<String, OfJob>>);

struct OfJob {
    written: Instant,
    /// What is to be written once it is time.
    next: Option<Value>,
}

/// What is to be done with a report.
enum Turn {
    Now(Value),
    /// Then, with whatever has come last.
    After(Duration),
    /// Another has that turn, and writes this.
    Taken,
}

impl Recent {
    fn offer(&self, uid: &str, report: Value) -> Turn {
        let now = Instant::now();
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.retain(|_, job| job.next.is_some() || now - job.written < PAUSE);
        let Some(job) = jobs.get_mut(uid) else {
            let (written, next) = (now, None);
            jobs.insert(uid.to_owned(), OfJob { written, next });
            return Turn::Now(report);
        };
        match job.next.replace(report) {
            Some(_) => Turn::Taken,
            None => Turn::After(PAUSE.saturating_sub(now - job.written)),
        }
    }

    fn take(&self, uid: &str) -> Option<Value> {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let job = jobs.get_mut(uid)?;
        job.written = Instant::now();
        job.next.take()
    }
}

/// Where processes report.
#[derive(Clone)]
pub struct Reporting {
    /// `https://host:port`
    pub url: String,
    /// Whom they believe about it.
    pub loaded: watch::Receiver<Option<Arc<Loaded>>>,
}

impl Reporting {
    /// Whom to believe, once there is a certificate.
    pub fn authorities(&self) -> Option<String> {
        let loaded = self.loaded.borrow();
        loaded
            .as_ref()
            .map(|loaded| loaded.certificate.authorities.clone())
    }

    /// Where processes of a job report.
    pub fn url_of(&self, job: &Job) -> String {
        format!("{}{}", self.url, path(job.kind, &job.namespace, &job.name))
    }
}

/// For whom tokens are that processes of a job show.
pub fn audience(kind: Kind, namespace: &str, name: &str) -> String {
    let path = path(kind, namespace, name);
    path.trim_start_matches("/apis/").to_owned()
}

fn path(kind: Kind, namespace: &str, name: &str) -> String {
    let (version, plural) = (kind.api_version(), kind.plural());
    format!("/apis/{version}/namespaces/{namespace}/{plural}/{name}/status")
}

/// What answers reports.
pub fn router(client: Client) -> Router {
    let state = Taker {
        client,
        slots: Arc::new(Semaphore::new(AT_A_TIME)),
        recent: Arc::default(),
    };
    let routes = Kind::ALL.into_iter().map(|kind| {
        let take =
            async move |state: State<Taker>,
                        Path(job): Path<(String, String)>,
                        headers: HeaderMap,
                        body: Body| { report(state, kind, job, headers, body).await };
        (path(kind, "{namespace}", "{name}"), post(take))
    });
    let router = routes.fold(Router::new(), |router, (path, take)| {
        router.route(&path, take)
    });
    router.with_state(state)
}

#[derive(Clone)]
struct Taker {
    client: Client,
    slots: Arc<Semaphore>,
    recent: Arc<Recent>,
}

/// A refusal in the form in which the API server refuses.
#[derive(Debug)]
struct Refusal(StatusCode, String);

impl axum::response::IntoResponse for Refusal {
    fn into_response(self) -> axum::response::Response {
        let Self(code, message) = self;
        let status = json!({
            "apiVersion": "v1",
            "kind": "Status",
            "metadata": {},
            "status": "Failure",
            "message": message,
            "reason": code.canonical_reason(),
            "code": code.as_u16(),
        });
        (code, Json(status)).into_response()
    }
}

async fn report(
    State(taker): State<Taker>,
    kind: Kind,
    (namespace, name): (String, String),
    headers: HeaderMap,
    body: Body,
) -> Result<Json<Value>, Refusal> {
    // It is never closed.
    let _slot = taker.slots.acquire().await;
    let client = &taker.client;
    let taken = timeout(PATIENCE, async {
        let of = sender(client, &headers, kind, &namespace, &name).await?;
        let body = to_bytes(body, LARGEST).await;
        let body = body.map_err(|error| Refusal(StatusCode::BAD_REQUEST, error.to_string()))?;
        let report: Value = serde_json::from_slice(&body).map_err(|error| {
            Refusal(
                StatusCode::UNPROCESSABLE_ENTITY,
                format!("no JSON: {error}"),
            )
        })?;
        if let Some(status) = checked(&report["trainerStatus"])? {
            take(&taker, of, status).await?;
        }
        Ok(Json(report))
    });
    let late = |_| {
        let text = format!("the report was not taken within {} s", PATIENCE.as_secs());
        Refusal(StatusCode::REQUEST_TIMEOUT, text)
    };
    taken.await.map_err(late)?
}

/// The job of which a pod reports.
async fn sender(
    client: &Client,
    headers: &HeaderMap,
    kind: Kind,
    namespace: &str,
    name: &str,
) -> Result<Of, Refusal> {
    let refused = || {
        let text = format!("only pods of the {kind} {name} may report of it");
        Refusal(StatusCode::FORBIDDEN, text)
    };
    let token = headers.get(AUTHORIZATION).and_then(|header| {
        let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
        scheme
            .eq_ignore_ascii_case("Bearer")
            .then(|| token.trim().to_owned())
    });
    let token = token
        .filter(|token| !token.is_empty())
        .ok_or_else(refused)?;
    let user = user(client, token, audience(kind, namespace, name)).await?;
    let user = user.ok_or_else(refused)?;
    let of = |key: &str| {
        let extra = user.extra.as_ref()?.get(key)?;
        extra.first().cloned()
    };
    let (pod, uid) = of(POD_NAME).zip(of(POD_UID)).ok_or_else(refused)?;
    let from = format!("system:serviceaccount:{namespace}:");
    if !user.username.is_some_and(|user| user.starts_with(&from)) {
        return Err(refused());
    }
    let pods: Api<Pod> = Api::namespaced(client.clone(), namespace);
    let pod = pods.get_opt(&pod).await.map_err(unavailable)?;
    // One that is to go is of an attempt that is over.
    let pod = pod.filter(|pod| {
        pod.metadata.uid.as_deref() == Some(&*uid) && pod.metadata.deletion_timestamp.is_none()
    });
    let pod = pod.ok_or_else(refused)?;
    let owner = pod.owner_references().iter().find(|owner| {
        owner.controller == Some(true)
            && owner.api_version == kind.api_version()
            && owner.kind == kind.name()
            && owner.name == name
    });
    Ok(Of {
        kind,
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: owner.ok_or_else(refused)?.uid.clone(),
        attempt: crate::seen::attempt(&pod.metadata),
    })
}

/// Whose a token is, if it is good for `audience`.
async fn user(
    client: &Client,
    token: String,
    audience: String,
) -> Result<Option<UserInfo>, Refusal> {
    let reviews: Api<TokenReview> = Api::all(client.clone());
    let review = TokenReview {
        spec: TokenReviewSpec {
            token: Some(token),
            audiences: Some(vec![audience.clone()]),
        },
        ..TokenReview::default()
    };
    let reviewed = reviews.create(&PostParams::default(), &review).await;
    let status = reviewed.map_err(unavailable)?.status.unwrap_or_default();
    let is_good = status.authenticated == Some(true)
        && status
            .audiences
            .is_some_and(|good| good.contains(&audience));
    Ok(status.user.filter(|_| is_good))
}

fn unavailable(error: kube::Error) -> Refusal {
    tracing::warn!(%error, "A report was not taken");
    let text = "the API server did not answer".to_owned();
    Refusal(StatusCode::INTERNAL_SERVER_ERROR, text)
}

/// The job of a report.
struct Of {
    kind: Kind,
    namespace: String,
    name: String,
    uid: String,
    attempt: i32,
}

/// The fields of a report that are kept, if there is one.
fn checked(report: &Value) -> Result<Option<Value>, Refusal> {
    if report.is_null() {
        return Ok(None);
    }
    let read = typed::<TrainerStatus>("trainerStatus", report);
    let unfit = |wrong: String| Refusal(StatusCode::UNPROCESSABLE_ENTITY, wrong);
    read.and_then(|status| status.check())
        .map_err(|wrong| unfit(wrong.to_string()))?;
    let fields = [
        "progressPercentage",
        "estimatedRemainingSeconds",
        "metrics",
        "lastUpdatedTime",
    ];
    let field = |name: &str| (name.to_owned(), report[name].clone());
    Ok(Some(Value::Object(fields.map(field).into_iter().collect())))
}

/// Writes a report, or has it written when it is time.
async fn take(taker: &Taker, of: Of, report: Value) -> Result<(), Refusal> {
    match taker.recent.offer(&of.uid, report) {
        Turn::Now(report) => write(&taker.client, &of, report).await,
        Turn::Taken => Ok(()),
        Turn::After(pause) => {
            let taker = taker.clone();
            // Whoever sent it need not wait, and may be gone by then.
            tokio::spawn(async move {
                tokio::time::sleep(pause).await;
                let Some(report) = taker.recent.take(&of.uid) else {
                    return;
                };
                let name = &of.name;
                match timeout(PATIENCE, write(&taker.client, &of, report)).await {
                    Ok(Ok(())) => {}
                    Ok(Err(Refusal(code, why))) => {
                        tracing::warn!(%code, "A report of {name} was lost: {why}");
                    }
                    Err(_) => tracing::warn!("A report of {name} was lost: it took too long"),
                }
            });
            Ok(())
        }
    }
}

/// Puts a report in place of the one before.
async fn write(client: &Client, of: &Of, report: Value) -> Result<(), Refusal> {
    let jobs: Api<DynamicObject> =
        Api::namespaced_with(client.clone(), &of.namespace, &resource(of.kind));
    for _ in 0..TRIES {
        // A report that has waited may be of an attempt that is over by now.
        let job = jobs.get_opt(&of.name).await.map_err(unavailable)?;
        let job = job.filter(|job| {
            let is_same = job.metadata.uid.as_ref() == Some(&of.uid);
            is_same && attempt(&job.data["status"]) == i64::from(of.attempt)
        });
        let Some(job) = job else {
            let message = format!("attempt {} of {} is over", of.attempt, of.name);
            return Err(Refusal(StatusCode::CONFLICT, message));
        };
        let version = job.resource_version();
        let patch = json!({
            "metadata": { "uid": of.uid, "resourceVersion": version },
            "status": { "trainerStatus": report },
        });
        let patch = Patch::Merge(patch);
        let parameters = PatchParams::default();
        let patched = jobs.patch_status(&of.name, &parameters, &patch).await;
        // Somebody else has changed the job, maybe its attempt.
        if !patched.as_ref().is_err_and(|error| is(error, 409)) {
            return answered(patched);
        }
    }
    let message = format!("{} changes too fast", of.name);
    Err(Refusal(StatusCode::CONFLICT, message))
}

fn answered(patched: kube::Result<DynamicObject>) -> Result<(), Refusal> {
    match patched {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if [404, 409, 422].contains(&status.code) => {
            let code = StatusCode::from_u16(status.code);
            let code = code.unwrap_or(StatusCode::UNPROCESSABLE_ENTITY);
            Err(Refusal(code, status.message.clone()))
        }
        Err(error) => Err(unavailable(error)),
    }
}
