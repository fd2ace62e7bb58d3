//! The jobs and models of notebooks, by a stand-in for the jobs service that answers as `training/JOBS.md` says.

use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::fake::Fake;
use crate::site::Site;

/// The jobs of ada, and what it was asked to do.
#[derive(Clone, Default)]
pub struct JobsService {
    hub: Arc<Mutex<String>>,
    acts: Arc<Mutex<Vec<String>>>,
}

const PREFIX: &str = "/services/training/api/v1/jobs";

pub fn jobs() -> Vec<Value> {
    let rank = |state: &str, losses: &[f64]| {
        json!({
            "state": state, "epoch": losses.len(), "epochs": 10, "batch": 40, "batches": 100, "losses": losses,
            "seconds": 60.0, "begun_at": 0.0, "items_per_second": 8123.4,
        })
    };
    let mut failed = rank("Failed", &[]);
    failed["reason"] = json!("its pod was evicted: <b>low on memory</b>");
    let mut done = rank("Succeeded", &[1.1, 0.6, 0.4]);
    done["accuracy"] = json!(0.9712);
    let losses = [1.28, 0.56, 0.42, 0.37];
    let recipe = json!({ "recipe": { "recipe": "mnist" } });
    let function = json!({ "function": { "objects": [] } });
    let job = |id: &str, work: &Value, ranks: &[Value]| {
        let mut description = json!({ "name": "digits", "ranks": ranks.len() });
        let fields = description.as_object_mut().unwrap();
        fields.extend(work.as_object().unwrap().clone());
        json!({
            "id": id, "description": description, "started": 1_790_000_000_000_u64, "attempt": 1,
            "status": { "id": id, "ranks": ranks },
        })
    };
    vec![
        json!({ "id": "of-another-version", "description": { "sonnet": 18 } }),
        job("digits-done", &recipe, &[done.clone(), done]),
        job("mine-failed", &function, &[rank("Stopped", &[]), failed]),
        job(
            "digits-running",
            &recipe,
            &[rank("Running", &losses), rank("Running", &losses[..3])],
        ),
    ]
}

impl JobsService {
    /// Serves it; gives its address.
    pub async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}/services/training")
    }

    /// Where it asks whose a token is.
    pub fn asks(&self, hub: &str) {
        hub.clone_into(&mut self.hub.lock().unwrap());
    }

    fn acts(&self) -> Vec<String> {
        self.acts.lock().unwrap().clone()
    }
}

async fn answer(
    State(service): State<JobsService>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let refusal = |status: StatusCode, message: &str| {
        let body = json!({ "status": status.as_u16(), "message": message });
        (status, Json(body)).into_response()
    };
    let hub = service.hub.lock().unwrap().clone();
    let asked = reqwest::Client::new().get(format!("{hub}/hub/api/user"));
    let user = asked
        .header("authorization", &headers["authorization"])
        .send();
    let user: Value = user.await.unwrap().json().await.unwrap();
    let scopes = user["scopes"].as_array().cloned().unwrap_or_default();
    if user["name"] != "ada" || !scopes.contains(&json!("access:services!service=training")) {
        return refusal(StatusCode::FORBIDDEN, "the token does not lead here");
    }
    let Some(path) = uri.path().strip_prefix(PREFIX) else {
        return refusal(StatusCode::NOT_FOUND, "there is no such path");
    };
    let parts: Vec<&str> = path.split('/').skip(1).collect();
    let job = jobs()
        .into_iter()
        .find(|job| parts.first() == job["id"].as_str().as_ref());
    match (method.as_str(), parts.as_slice(), job) {
        ("GET", [], _) => Json(json!({ "jobs": jobs() })).into_response(),
        (_, [id, ..], None) => refusal(StatusCode::NOT_FOUND, &format!("there is no job {id}")),
        ("GET", [_], Some(job)) => Json(job).into_response(),
        ("GET", ["digits-done", "model"], _) => "weights".into_response(),
        ("GET", [_, "model"], _) => StatusCode::NO_CONTENT.into_response(),
        ("GET", [_, "ranks", rank, "log"], _) => (
            [("content-type", "text/html")],
            format!("<script>log of {rank}"),
        )
            .into_response(),
        ("POST", ["digits-done", "resume"], _) => {
            refusal(StatusCode::CONFLICT, "it has no checkpoint")
        }
        ("POST", ["mine-failed", "resume"], _) => refusal(
            StatusCode::FORBIDDEN,
            "the cluster refused it: exceeded quota",
        ),
        ("POST" | "DELETE", _, _) => {
            service
                .acts
                .lock()
                .unwrap()
                .push(format!("{method} {path}"));
            StatusCode::ACCEPTED.into_response()
        }
        _ => refusal(StatusCode::METHOD_NOT_ALLOWED, "this is not done here"),
    }
}

async fn site() -> (Site, JobsService) {
    let service = JobsService::default();
    let site = Site::with_jobs(&Fake::default(), Some(&service)).await;
    (site, service)
}

#[tokio::test]
async fn a_user_sees_the_jobs_of_their_notebooks_without_rights_in_kubernetes() {
    let (site, _) = site().await;
    let ada = site.person("ada").await;
    let overview = ada.get("").await.expect(200);
    let overview = overview.says("My jobs and models").says("digits-running");
    overview
        .says("recipe mnist, epoch 4 of 10, loss 0.3700")
        .hides("of-another-version");
    let list = ada.get("training/").await.expect(200);
    let at = |id: &str| list.text.find(id).unwrap();
    assert!(at("digits-running") < at("mine-failed") && at("mine-failed") < at("digits-done"));
    let list = list.says("rank 1: its pod was evicted: &#60;b&#62;low on memory");
    list.says("training/digits-done/model")
        .hides("training/mine-failed/model");
    let running = ada.get("training/digits-running/").await.expect(200);
    let running = running
        .says("44 % done, about 76s left")
        .says("epochs 0 to 3: rank 0 at 0.37");
    running
        .says("training/digits-running/logs/1")
        .says(">8123<");
    let done = ada.get("training/digits-done/").await.expect(200);
    done.says("0.9712").hides("% done");
    ada.get("training/other/")
        .await
        .expect(404)
        .says("there is no job other");
    ada.get("training/a%2F..%2Fb/").await.expect(404);
}

#[tokio::test]
async fn a_log_and_a_model_are_handed_over_as_what_they_are() {
    let (site, _) = site().await;
    let ada = site.person("ada").await;
    let path = |path: &str| format!("/services/dashboard/training/{path}");
    let model = ada.0.get(&path("digits-done/model")).await.unwrap();
    let header = |name: &str| model.headers()[name].to_str().unwrap().to_owned();
    assert_eq!(header("content-type"), "application/octet-stream");
    assert_eq!(
        header("content-disposition"),
        "attachment; filename=\"digits-done.safetensors\""
    );
    assert_eq!(model.text().await.unwrap(), "weights");
    ada.get("training/digits-running/model")
        .await
        .expect(404)
        .says("There is no model yet.");
    let log = ada.0.get(&path("digits-done/logs/1")).await.unwrap();
    assert_eq!(log.headers()["content-type"], "text/plain; charset=utf-8");
    assert_eq!(log.headers()["x-content-type-options"], "nosniff");
    assert_eq!(log.text().await.unwrap(), "<script>log of 1");
}

#[tokio::test]
async fn a_job_is_cancelled_and_deleted_by_forms_of_its_page_alone() {
    let (site, service) = site().await;
    let ada = site.person("ada").await;
    let page = "training/digits-running/";
    ada.get(page).await.expect(200);
    for action in ["cancel", "delete"] {
        let to = format!("{page}{action}");
        ada.send_with("another", &to, &[]).await.expect(403);
        ada.send(page, &to, &[]).await.expect(200);
    }
    assert_eq!(
        service.acts(),
        ["POST /digits-running/cancel", "DELETE /digits-running"]
    );
    let refused = ada.send(page, "training/digits-done/resume", &[]).await;
    refused.expect(409).says("it has no checkpoint");
    let refused = ada.send(page, "training/mine-failed/resume", &[]).await;
    refused
        .expect(403)
        .says("exceeded quota")
        .hides("Log out and in");
    ada.send(page, &format!("{page}explode"), &[])
        .await
        .expect(404);
}

#[tokio::test]
async fn who_may_not_use_the_jobs_service_is_told_so() {
    let (site, _) = site().await;
    let bob = site.person("bob").await;
    let why = "The jobs service does not let this dashboard ask for your jobs.";
    bob.get("").await.expect(200).says(why);
    let page = bob.get("training/").await.expect(403);
    page.says(why).says("access:services!service=training");
    let without = Site::with(&Fake::default()).await;
    let ada = without.person("ada").await;
    ada.get("").await.expect(200).hides("My jobs");
    ada.get("training/")
        .await
        .expect(404)
        .says("There is no jobs service here.");
}
