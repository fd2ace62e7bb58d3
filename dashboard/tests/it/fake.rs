//! An API server of the tests' own: it keeps objects, answers reviews by what users may, and has logs that go on.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::{Json, Router};
use http::{Method, StatusCode, Uri};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[derive(Clone, Default)]
pub struct Fake(Arc<Mutex<Parts>>);

#[derive(Default)]
struct Parts {
    /// By path.
    objects: BTreeMap<String, Value>,
    /// `user verb resource namespace`; `*` stands for anything.
    rights: Vec<[String; 4]>,
    /// Users and groups that were asked about.
    asked: BTreeSet<String>,
    /// By the name of the pod.
    logs: BTreeMap<String, String>,
    /// Logs that somebody follows.
    following: usize,
    version: u64,
}

struct Follower(Fake);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.0.lock().unwrap().following -= 1;
    }
}

const JOBS: &str = "/apis/kubeflow.org/v1";
const TRAINER: &str = "/apis/trainer.kubeflow.org/v1alpha1";

impl Fake {
    /// Serves it; returns the text of a kubeconfig.
    pub async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(answer).with_state(self.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        kubeconfig(&format!("http://{address}"))
    }

    pub fn allow(&self, user: &str, verb: &str, resource: &str, namespace: &str) {
        let right = [user, verb, resource, namespace].map(str::to_owned);
        self.0.lock().unwrap().rights.push(right);
    }

    pub fn asked(&self) -> BTreeSet<String> {
        self.0.lock().unwrap().asked.clone()
    }

    pub fn following(&self) -> usize {
        self.0.lock().unwrap().following
    }

    pub fn log(&self, pod: &str, text: &str) {
        let mut parts = self.0.lock().unwrap();
        parts.logs.entry(pod.to_owned()).or_default().push_str(text);
    }

    /// Keeps an object at the place that its own fields say.
    pub fn put(&self, mut object: Value) {
        let mut parts = self.0.lock().unwrap();
        parts.version += 1;
        object["metadata"]["resourceVersion"] = json!(parts.version.to_string());
        let path = path(&object);
        parts.objects.insert(path, object);
    }

    pub fn get(&self, path: &str) -> Option<Value> {
        self.0.lock().unwrap().objects.get(path).cloned()
    }
}

pub fn kubeconfig(server: &str) -> String {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": { "server": server } }],
        "users": [{ "name": "u", "user": {} }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
    })
    .to_string()
}

fn path(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let version = text(&object["apiVersion"]);
    let root = if version.contains('/') { "apis" } else { "api" };
    let plural = format!("{}s", text(&object["kind"]).to_lowercase());
    let name = text(&object["metadata"]["name"]);
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("/{root}/{version}/namespaces/{namespace}/{plural}/{name}"),
        None => format!("/{root}/{version}/{plural}/{name}"),
    }
}

async fn answer(State(fake): State<Fake>, method: Method, uri: Uri, body: Bytes) -> Response {
    let path = uri.path().to_owned();
    let query: BTreeMap<String, String> =
        url::form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    let sent: Value = serde_json::from_slice(&body).unwrap_or_default();
    if path.ends_with("/subjectaccessreviews") {
        return Json(fake.review(sent)).into_response();
    }
    // It stands for the program of the usage report too.
    if path == "/usage.json" {
        return Json(json!({ "nodes": [{ "count": 2, "cpu": "8" }] })).into_response();
    }
    if let Some(pod) = path.strip_suffix("/log") {
        let pod = pod.rsplit('/').next().unwrap().to_owned();
        return fake.send_log(&pod, &query);
    }
    let is_trial = query.contains_key("dryRun");
    match method {
        Method::GET => fake.find(&path, &query),
        Method::POST | Method::PUT => fake.keep(&path, &method, sent, is_trial),
        Method::DELETE => match fake.0.lock().unwrap().objects.remove(&path) {
            Some(object) => Json(object).into_response(),
            None => refusal(
                StatusCode::NOT_FOUND,
                "NotFound",
                "it is not found",
                json!([]),
            ),
        },
        _ => refusal(
            StatusCode::METHOD_NOT_ALLOWED,
            "MethodNotAllowed",
            "no",
            json!([]),
        ),
    }
}

impl Fake {
    fn review(&self, mut review: Value) -> Value {
        let mut parts = self.0.lock().unwrap();
        let spec = review["spec"].clone();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let of = &spec["resourceAttributes"];
        let mut resource = text(&of["resource"]);
        if let Some(subresource) = of["subresource"].as_str() {
            resource = format!("{resource}/{subresource}");
        }
        let user = text(&spec["user"]);
        let wanted = [
            user.clone(),
            text(&of["verb"]),
            resource,
            text(&of["namespace"]),
        ];
        let allowed = parts.rights.iter().any(|right| {
            let pairs = right.iter().zip(&wanted);
            pairs
                .into_iter()
                .all(|(has, wants)| has == "*" || has == wants)
        });
        parts.asked.insert(format!("{user} {}", spec["groups"]));
        review["status"] = json!({ "allowed": allowed });
        review
    }

    fn find(&self, path: &str, query: &BTreeMap<String, String>) -> Response {
        let parts = self.0.lock().unwrap();
        let resources = |names: &[&str]| {
            let resources: Vec<_> = names
                .iter()
                .map(|name| json!({ "name": name, "singularName": "", "namespaced": true, "kind": "", "verbs": [] }))
                .collect();
            Json(json!({ "kind": "APIResourceList", "groupVersion": "x/v1", "resources": resources }))
                .into_response()
        };
        match path {
            JOBS => return resources(&["tfjobs", "pytorchjobs"]),
            TRAINER => return resources(&["trainjobs"]),
            _ => {}
        }
        if let Some(object) = parts.objects.get(path) {
            return Json(object.clone()).into_response();
        }
        let (parent, plural) = path.rsplit_once('/').unwrap();
        let known = [
            "tfjobs",
            "pytorchjobs",
            "trainjobs",
            "pods",
            "events",
            "nodes",
            "namespaces",
        ];
        if !known.contains(&plural) {
            return refusal(
                StatusCode::NOT_FOUND,
                "NotFound",
                "it is not found",
                json!([]),
            );
        }
        let selector = query.get("labelSelector").cloned().unwrap_or_default();
        let labels: Vec<_> = selector
            .split(',')
            .filter_map(|one| one.split_once('='))
            .collect();
        let fields = query.get("fieldSelector").cloned().unwrap_or_default();
        let fields = fields.split(',').filter(|one| !one.contains("!="));
        let fields: Vec<_> = fields
            .filter_map(|one| one.split_once('='))
            .map(|(path, value)| (format!("/{}", path.replace('.', "/")), json!(value)))
            .collect();
        let fits = |object: &Value| {
            let has = |(name, value): &(&str, &str)| object["metadata"]["labels"][name] == *value;
            labels.iter().all(has)
                && fields
                    .iter()
                    .all(|(path, value)| object.pointer(path) == Some(value))
        };
        let of_kind = format!("/{plural}/");
        let found = parts.objects.iter().filter(|(key, object)| {
            let inner = key
                .rsplit_once(&of_kind)
                .is_some_and(|(_, name)| !name.contains('/'));
            key.starts_with(parent) && inner && fits(object)
        });
        // In the order of names, and as many as are asked for.
        let number = |name: &str| query.get(name).and_then(|text| text.parse::<usize>().ok());
        let (from, limit) = (
            number("continue").unwrap_or(0),
            number("limit").unwrap_or(usize::MAX),
        );
        let mut items: Vec<_> = found.skip(from).map(|(_, object)| object.clone()).collect();
        let mut metadata = json!({});
        if items.len() > limit {
            items.truncate(limit);
            metadata["continue"] = json!((from + limit).to_string());
        }
        Json(json!({ "apiVersion": "v1", "kind": "List", "metadata": metadata, "items": items }))
            .into_response()
    }

    fn keep(&self, path: &str, method: &Method, mut object: Value, is_trial: bool) -> Response {
        let key = self::path(&object);
        let replicas = &object["spec"]["tfReplicaSpecs"]["Worker"]["replicas"];
        if replicas.as_i64().is_some_and(|replicas| replicas < 0) {
            let field = "spec.tfReplicaSpecs.Worker.replicas";
            let message = "Invalid value: -1: should be greater than or equal to 0";
            let causes =
                json!([{ "reason": "FieldValueInvalid", "field": field, "message": message }]);
            return refusal(StatusCode::UNPROCESSABLE_ENTITY, "Invalid", message, causes);
        }
        let mut parts = self.0.lock().unwrap();
        let before = parts.objects.get(&key).cloned();
        match (method, &before) {
            (&Method::POST, Some(_)) => {
                return refusal(
                    StatusCode::CONFLICT,
                    "AlreadyExists",
                    "it exists",
                    json!([]),
                );
            }
            (&Method::PUT, Some(before))
                if before["metadata"]["resourceVersion"]
                    != object["metadata"]["resourceVersion"] =>
            {
                return refusal(
                    StatusCode::CONFLICT,
                    "Conflict",
                    "it was changed",
                    json!([]),
                );
            }
            _ => {}
        }
        assert!(key.starts_with(path), "{key} at {path}");
        parts.version += 1;
        object["metadata"]["resourceVersion"] = json!(parts.version.to_string());
        object["metadata"]["uid"] = json!(format!("uid-{}", parts.version));
        if !is_trial {
            parts.objects.insert(key, object.clone());
        }
        (StatusCode::CREATED, Json(object)).into_response()
    }

    /// As kubelets do: with times, from a time on, and as long as the log goes on: until it says `END`.
    fn send_log(&self, pod: &str, query: &BTreeMap<String, String>) -> Response {
        let with_times = query.contains_key("timestamps");
        let Some(log) = self.0.lock().unwrap().logs.get(pod).cloned() else {
            let text = "container \"pytorch\" in pod is waiting to start: ContainerCreating";
            return refusal(StatusCode::BAD_REQUEST, "BadRequest", text, json!([]));
        };
        if !query.contains_key("follow") {
            return shown(&log, with_times).into_response();
        }
        let follower = {
            self.0.lock().unwrap().following += 1;
            Follower(self.clone())
        };
        let (fake, pod) = (self.clone(), pod.to_owned());
        let stream = futures_util::stream::unfold((0, follower), move |(sent, follower)| {
            let (fake, pod) = (fake.clone(), pod.clone());
            async move {
                loop {
                    let log = fake.0.lock().unwrap().logs[&pod].clone();
                    let lines: Vec<_> = log.lines().collect();
                    match lines.get(sent) {
                        Some(&"END") => return None,
                        Some(line) => {
                            let line = shown_line(sent, line, with_times);
                            return Some((Ok::<_, std::io::Error>(line), (sent + 1, follower)));
                        }
                        None => tokio::time::sleep(Duration::from_millis(20)).await,
                    }
                }
            }
        });
        Body::from_stream(stream).into_response()
    }
}

fn shown(log: &str, with_times: bool) -> String {
    let lines = log.lines().filter(|line| *line != "END").enumerate();
    lines
        .map(|(number, line)| shown_line(number, line, with_times))
        .collect()
}

fn shown_line(number: usize, line: &str, with_times: bool) -> String {
    match with_times {
        true => format!(
            "2026-01-31T12:{:02}:{:02}.5Z {line}\n",
            number / 60,
            number % 60
        ),
        false => format!("{line}\n"),
    }
}

fn refusal(code: StatusCode, reason: &str, message: &str, causes: Value) -> Response {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(),
        "reason": reason, "message": message, "details": { "causes": causes },
    });
    (code, Json(status)).into_response()
}
