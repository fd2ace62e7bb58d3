//! As much of an API server as these tests need, without a cluster: it keeps what it is given, by its path.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse as _, Response};
use kube::Client;
use serde_json::{Map, Value, json};

type Change = Box<dyn FnOnce(&mut Kept) + Send>;

#[derive(Default)]
pub struct Kept {
    pub objects: BTreeMap<String, Value>,
    /// `POST pods`, in the order in which they came.
    pub requests: Vec<String>,
    /// What the making of objects of a kind, such as `pods`, is answered with.
    pub refusals: BTreeMap<&'static str, u16>,
    /// Done once, before the next change of an object.
    pub between: Option<Change>,
    /// What a token is found to be.
    pub tokens: BTreeMap<&'static str, Value>,
    /// What pods have said, by their names; none: their node does not answer.
    pub logs: BTreeMap<&'static str, Option<Vec<u8>>>,
    versions: u64,
}

#[derive(Clone, Default)]
pub struct Api(Arc<Mutex<Kept>>);

impl Api {
    pub fn client(&self) -> Client {
        let router = Router::new().fallback(answer).with_state(self.clone());
        Client::new(router, "default")
    }

    pub fn with<T>(&self, what: impl FnOnce(&mut Kept) -> T) -> T {
        what(&mut self.0.lock().unwrap())
    }

    /// The object whose path ends so.
    pub fn get(&self, end: &str) -> Value {
        self.with(|kept| {
            let mut all = kept.objects.iter();
            let found = all.find(|(path, _)| path.ends_with(end));
            found.map(|(_, object)| object.clone()).unwrap_or_default()
        })
    }

    pub fn put(&self, path: &str, mut object: Value) {
        self.with(|kept| {
            kept.versions += 1;
            object["metadata"]["resourceVersion"] = json!(kept.versions.to_string());
            kept.objects.insert(path.to_owned(), object);
        });
    }

    /// How often something was asked.
    pub fn count(&self, request: &str) -> usize {
        self.with(|kept| kept.requests.iter().filter(|one| *one == request).count())
    }

    /// Reasons of events.
    pub fn events(&self) -> Vec<String> {
        self.with(|kept| {
            let all = kept.objects.iter();
            let events = all.filter(|(path, _)| path.contains("/events/"));
            let reason = |event: &Value| event["reason"].as_str().unwrap().to_owned();
            events.map(|(_, event)| reason(event)).collect()
        })
    }
}

async fn answer(State(api): State<Api>, request: Request) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let body = to_bytes(request.into_body(), usize::MAX).await.unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap_or_default();
    if let Some(pod) = path.strip_suffix("/log") {
        let pod = pod.rsplit('/').next().unwrap_or_default();
        let log = api.with(|kept| {
            kept.requests.push(format!("{method} log"));
            kept.logs.get(pod).cloned()
        });
        return match log {
            Some(Some(log)) => Body::from(log).into_response(),
            Some(None) => std::future::pending().await,
            None => StatusCode::NOT_FOUND.into_response(),
        };
    }
    let answered = api.with(|kept| kept.answer(&method, &path, body));
    let (code, text) = match answered {
        Ok(object) => (200, object),
        Err(code) => {
            let reason = if code == 404 { "NotFound" } else { "Because" };
            let message = format!("{method} {path} is refused");
            let status = json!({
                "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
                "message": message, "reason": reason, "code": code,
            });
            (code, status)
        }
    };
    let code = StatusCode::from_u16(code).unwrap();
    (code, Body::from(text.to_string())).into_response()
}

impl Kept {
    fn answer(&mut self, method: &Method, path: &str, body: Value) -> Result<Value, u16> {
        let path = path.trim_end_matches("/status").to_owned();
        let last = path.rsplit('/').next().unwrap_or_default();
        self.requests.push(format!("{method} {last}"));
        let name = body["metadata"]["name"].as_str().unwrap_or_default();
        let there = self.objects.get(&path).cloned();
        match *method {
            Method::GET => there.ok_or(404),
            Method::POST => {
                let refused = self.refusals.iter().find(|(kind, _)| **kind == last);
                if let Some((_, code)) = refused {
                    return Err(*code);
                }
                if last == "tokenreviews" {
                    let token = body["spec"]["token"].as_str().unwrap_or_default();
                    let status = self.tokens.get(token).cloned().unwrap_or_default();
                    return Ok(json!({ "metadata": {}, "spec": body["spec"], "status": status }));
                }
                let name = if name.is_empty() { "generated" } else { name };
                let path = format!("{path}/{name}-{}", self.versions);
                let path = match last {
                    "events" => path,
                    _ => path.rsplit_once('-').unwrap().0.to_owned(),
                };
                if self.objects.contains_key(&path) {
                    return Err(409);
                }
                Ok(self.store(path, body))
            }
            Method::PUT => Ok(self.store(path, body)),
            Method::PATCH => {
                if let Some(between) = self.between.take() {
                    between(self);
                }
                let there = self.objects.get(&path).cloned();
                let there = there.ok_or(404_u16)?;
                for field in ["resourceVersion", "uid"] {
                    let asked = &body["metadata"][field];
                    if !asked.is_null() && *asked != there["metadata"][field] {
                        return Err(409);
                    }
                }
                let mut patched = there.clone();
                merge(&mut patched, &body);
                if patched == there {
                    return Ok(there);
                }
                Ok(self.store(path, patched))
            }
            Method::DELETE => self.objects.remove(&path).ok_or(404),
            _ => Err(405),
        }
    }

    fn store(&mut self, path: String, mut object: Value) -> Value {
        self.versions += 1;
        object["metadata"]["resourceVersion"] = json!(self.versions.to_string());
        let uid = &mut object["metadata"]["uid"];
        if uid.is_null() {
            *uid = json!(format!("uid-{}", self.versions));
        }
        self.objects.insert(path, object.clone());
        object
    }
}

fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    for (key, value) in patch {
        if value.is_null() {
            into.as_object_mut().unwrap().remove(key);
        } else {
            merge(&mut into[key.as_str()], value);
        }
    }
}
