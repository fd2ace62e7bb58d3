//! The service with a Hub and an API server that exist in this test alone: they know two users, and keep what they are
//! given.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use carrel_jobs_service::files::Files;
use carrel_jobs_service::hub::Hub;
use carrel_jobs_service::jobs::{Apis, Jobs};
use carrel_jobs_service::keys::Keys;
use carrel_jobs_service::objects::{Extra, Settings};
use carrel_jobs_service::options::Quotas;
use carrel_jobs_service::record::Record;
use carrel_jobs_service::router::router;
use carrel_jobs_service::service::Service;
use carrel_jobs_service::store::Models;
use carrel_jobs_service::watch;
use carrel_report::{Description, Work};
use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;

pub const KEY: &str = "0123456789abcdef0123456789abcdef";

pub struct Site {
    pub url: String,
    pub cluster: Cluster,
    pub asked: Arc<Mutex<usize>>,
    pub jobs: Arc<Jobs>,
    client: Client,
    pub folder: tempfile::TempDir,
}

/// Objects by their paths.
#[derive(Clone, Default)]
pub struct Cluster(Arc<Mutex<BTreeMap<String, Value>>>);

pub const QUOTAS: Quotas = Quotas {
    running_jobs: 2,
    ranks: 4,
    running_ranks: 6,
    jobs: 3,
    model_bytes: 1000,
    models_bytes: 1500,
    user_models_bytes: 1200,
    object_bytes: 1000,
};

pub fn keys() -> Keys {
    Keys::new(KEY).unwrap()
}

pub fn settings(claim: Option<&str>) -> Settings {
    Settings {
        image: "localhost/carrel-training".to_owned(),
        function_image: Some("localhost/carrel-singleuser".to_owned()),
        function_program: "/opt/carrel/prelude/carrel-worker".to_owned(),
        url: "http://service/services/training".to_owned(),
        claim: claim.map(str::to_owned),
        keeps_models: true,
        extra: Extra::default(),
        keys: keys(),
    }
}

pub fn description(ranks: usize) -> Description {
    Description {
        name: "Digits-1".to_owned(),
        ranks,
        work: Work::Recipe(json!({ "recipe": "mnist", "epochs": 3 })),
    }
}

/// A job of `ada` whose object was made.
pub fn record(ranks: usize) -> Record {
    let mut record = Record::new("digits-1-0a".to_owned(), "ada", description(ranks), 1_000);
    record.uid = Some("u".to_owned());
    record.kept.made = 1;
    record
}

impl Site {
    pub async fn new(claim: Option<&str>) -> Self {
        let cluster = Cluster::default();
        let api = Router::new().fallback(answer).with_state(cluster.clone());
        let apis = Apis::new(&kube::Client::new(api, "jobs"), "jobs");
        let changed = Arc::new(Notify::new());
        // Its watches do not run: nothing is seen of pods.
        let (seen, _) = watch::start(&apis, &changed);
        let jobs = Arc::new(Jobs::new(apis, settings(claim), QUOTAS, changed));
        jobs.set_all(Vec::new(), 0);
        let asked = Arc::new(Mutex::new(0));
        let hub = Router::new().fallback(user).with_state(Arc::clone(&asked));
        let hub = Hub::new(&format!("{}/hub/api/", serve(hub).await), "training").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let models = Models::open(folder.path(), &QUOTAS).unwrap();
        let service = Service::new(
            Arc::clone(&jobs),
            Arc::new(seen),
            hub,
            Some(models),
            Some(Files::open(folder.path(), &QUOTAS).unwrap()),
            jobs.apis.pods.clone(),
        );
        let url = serve(router("/services/training", Arc::new(service))).await;
        Self {
            url: format!("{url}/services/training/api/v1"),
            cluster,
            asked,
            jobs,
            client: Client::new(),
            folder,
        }
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// As a user: status and body.
    pub async fn ask(&self, user: &str, method: Method, path: &str, body: Value) -> (u16, Value) {
        let request = self.request(method, path).bearer_auth(user);
        let request = match body {
            Value::Null => request,
            Value::String(text) => request.body(text),
            body => request.json(&body),
        };
        answered(request).await
    }

    /// The id of a new job.
    pub async fn submit(&self, user: &str, ranks: usize) -> String {
        let body = serde_json::to_value(description(ranks)).unwrap();
        let (status, job) = self.ask(user, Method::POST, "/jobs", body).await;
        assert_eq!(status, 201, "{job}");
        job["id"].as_str().unwrap().to_owned()
    }
}

pub async fn answered(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    (status, serde_json::from_str(&text).unwrap_or(json!(text)))
}

impl Cluster {
    pub fn names(&self, plural: &str) -> Vec<String> {
        let objects = self.0.lock().unwrap();
        let ends = objects.keys().filter_map(|path| path.rsplit_once('/'));
        let ends = ends.filter(|(folder, _)| folder.ends_with(&format!("/{plural}")));
        ends.map(|(_, name)| name.to_owned()).collect()
    }

    pub fn put(&self, plural: &str, name: &str, mut object: Value) {
        object["metadata"]["name"] = json!(name);
        let path = format!("/api/v1/namespaces/jobs/{plural}/{name}");
        self.0.lock().unwrap().insert(path, object);
    }

    pub fn get(&self, plural: &str, name: &str) -> Value {
        let objects = self.0.lock().unwrap();
        let end = format!("/{plural}/{name}");
        let mut found = objects.iter().filter(|(path, _)| path.ends_with(&end));
        found
            .next()
            .map(|(_, object)| object.clone())
            .unwrap_or_default()
    }
}

async fn serve(router: Router) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, router).await });
    format!("http://{address}")
}

/// The Hub: the token of a user is the user's name.
async fn user(State(asked): State<Arc<Mutex<usize>>>, headers: HeaderMap) -> Response {
    *asked.lock().unwrap() += 1;
    let header = headers["authorization"].to_str().unwrap();
    let (kind, scope) = match header {
        "token ada" | "token bob" => ("user", "access:services!service=training"),
        "token eve" => ("user", "access:services"),
        "token other" => ("user", "access:services!service=other"),
        "token service" => ("service", "access:services"),
        "token broken" => return StatusCode::BAD_GATEWAY.into_response(),
        _ => return StatusCode::FORBIDDEN.into_response(),
    };
    let name = header.trim_start_matches("token ");
    Json(json!({ "kind": kind, "name": name, "scopes": ["self", scope] })).into_response()
}

/// The API server.
async fn answer(State(cluster): State<Cluster>, request: Request) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    let mut objects = cluster.0.lock().unwrap();
    let object = match method.as_str() {
        "POST" => {
            let mut object = body;
            let path = format!("{path}/{}", object["metadata"]["name"].as_str().unwrap());
            object["metadata"]["uid"] = json!(format!("uid of {path}"));
            objects.insert(path, object.clone());
            Some(object)
        }
        "PATCH" => objects.get_mut(&path).map(|object| {
            for (key, value) in body["data"].as_object().into_iter().flatten() {
                object["data"][key] = value.clone();
            }
            object.clone()
        }),
        "DELETE" => objects.remove(&path),
        _ => objects.get(&path).cloned(),
    };
    match object {
        Some(object) => Json(object).into_response(),
        None => {
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": "not there", "reason": "NotFound", "code": 404,
            });
            (StatusCode::NOT_FOUND, Body::from(status.to_string())).into_response()
        }
    }
}
