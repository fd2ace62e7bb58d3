//! A fake API server, scripted for what a real one does not do when it is asked to: it fails, and loses answers.

use std::sync::{Arc, Mutex};

use carrel_spawner::kube::KubeSpawner;
use carrel_spawner::{Error, Poll, Spawner, SpawnerState, StartEvent, Started};
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::{options, request};

/// What was asked, as `POST pods`, in order; lists and watches of the background left out.
type Asked = Arc<Mutex<Vec<String>>>;

/// A spawner whose API server answers by `script`: the request, and how often it came before.
fn spawner(
    given: Value,
    script: impl Fn(&str, usize) -> (u16, Value) + Clone + Send + Sync + 'static,
) -> (KubeSpawner, Asked) {
    let asked = Asked::default();
    let service = tower::service_fn({
        let asked = asked.clone();
        move |request: Request<Body>| {
            let line = line(&request);
            let mut all = asked.lock().unwrap();
            let before = all.iter().filter(|other| **other == line).count();
            let (status, body) = script(&line, before);
            all.push(line);
            async move {
                let response = Response::builder().status(status);
                Ok::<_, std::convert::Infallible>(
                    response
                        .body(Body::from(body.to_string().into_bytes()))
                        .unwrap(),
                )
            }
        }
    });
    let mut all = json!({ "k8s_api_request_retry_timeout": 1, "events_enabled": false });
    all.as_object_mut()
        .unwrap()
        .extend(given.as_object().unwrap().clone());
    (
        KubeSpawner::new(Client::new(service, "hub"), options(all)),
        asked,
    )
}

fn line(request: &Request<Body>) -> String {
    let path = request
        .uri()
        .path()
        .trim_start_matches("/api/v1/namespaces/hub/");
    let watch = request
        .uri()
        .query()
        .is_some_and(|query| query.contains("labelSelector"));
    match (request.method(), watch) {
        (&Method::GET, true) => format!("LIST {path}"),
        (method, _) => format!("{method} {path}"),
    }
}

async fn start(spawner: &KubeSpawner) -> Result<Started, Error> {
    let (events, _) = tokio::sync::mpsc::unbounded_channel();
    spawner
        .start(&request("alice", "", json!({})), events)
        .await
}

/// A pod that runs, of the start that `request` makes.
fn pod(start_id: &str) -> Value {
    json!({
        "metadata": { "name": "jupyter-alice", "uid": "1", "labels": { "carrel/start-id": start_id } },
        "spec": { "containers": [] },
        "status": {
            "phase": "Running",
            "podIP": "10.1.2.3",
            "containerStatuses": [{ "name": "notebook", "image": "", "imageID": "", "ready": true, "restartCount": 0 }],
        },
    })
}

const OURS: &str = "0123456789abcdef0123456789abcdef";

fn status(code: u16, message: &str) -> (u16, Value) {
    let reason = match code {
        404 => "NotFound",
        409 => "AlreadyExists",
        403 => "Forbidden",
        _ => "InternalError",
    };
    (
        code,
        json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message }),
    )
}

#[tokio::test]
async fn a_start_goes_on_while_the_watch_and_some_requests_fail() {
    let (spawner, asked) = spawner(json!({}), |line, before| match (line, before) {
        ("POST pods", 0) => status(503, "etcd is electing"),
        ("POST pods", 1) => status(429, "slow down"),
        ("POST pods", _) => (201, pod(OURS)),
        ("POST secrets", _) => (201, json!({ "metadata": {} })),
        ("GET pods/jupyter-alice", _) => (200, pod(OURS)),
        _ => status(500, "no watch today"),
    });
    let started = start(&spawner).await.unwrap();
    assert_eq!(started.url.as_str(), "http://10.1.2.3:8888/");
    let asked = asked.lock().unwrap();
    assert_eq!(asked.iter().filter(|line| *line == "POST pods").count(), 3);
}

#[tokio::test]
async fn a_pod_whose_creation_was_not_answered_is_taken_for_what_it_is() {
    let (spawner, asked) = spawner(json!({}), |line, _| match line {
        "POST pods" => status(409, "pods \"jupyter-alice\" already exists"),
        "POST secrets" => (201, json!({ "metadata": {} })),
        "GET pods/jupyter-alice" => (200, pod(OURS)),
        _ => status(500, "no watch today"),
    });
    start(&spawner).await.unwrap();
    let asked = asked.lock().unwrap();
    assert!(
        !asked.iter().any(|line| line.starts_with("DELETE")),
        "{asked:?}"
    );
}

#[tokio::test]
async fn a_pod_in_the_way_does_not_hold_up_the_starts_after_this_one() {
    let (spawner, asked) = spawner(json!({}), |line, _| match line {
        "POST pods" => status(409, "pods \"jupyter-alice\" already exists"),
        "GET pods/jupyter-alice" => (200, pod("of an earlier start")),
        "DELETE pods/jupyter-alice" => (200, pod("of an earlier start")),
        _ => status(500, "no watch today"),
    });
    let (sender, mut events) = tokio::sync::mpsc::unbounded_channel();
    let request = request("alice", "", json!({}));
    let handed_over = async {
        while let Some(event) = events.recv().await {
            if matches!(event, StartEvent::HandedOver) {
                return;
            }
        }
        panic!("the start is over");
    };
    tokio::select! {
        _ = spawner.start(&request, sender) => panic!("nothing is started"),
        () = handed_over => {}
    }
    assert!(asked.lock().unwrap().contains(&"POST pods".to_owned()));
}

#[tokio::test]
async fn a_claim_that_exists_counts_although_the_quota_is_used_up() {
    let given = json!({ "storage_pvc_ensure": true, "storage_capacity": "1Gi" });
    let script = |exists: bool| {
        move |line: &str, _: usize| match line {
            "POST persistentvolumeclaims" => status(
                403,
                "persistentvolumeclaims \"claim-alice\" is forbidden: exceeded quota: storage",
            ),
            "GET persistentvolumeclaims/claim-alice" if exists => (200, json!({ "metadata": {} })),
            "POST pods" => (201, pod(OURS)),
            "POST secrets" => (201, json!({ "metadata": {} })),
            "GET pods/jupyter-alice" => (200, pod(OURS)),
            _ => status(404, "not found"),
        }
    };
    let (there, _) = spawner(given.clone(), script(true));
    start(&there).await.unwrap();
    let (missing, _) = spawner(given, script(false));
    let error = start(&missing).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "The quota of the namespace does not allow another server: exceeded quota: storage"
    );
}

#[tokio::test]
async fn an_api_server_that_only_fails_is_given_up_with_its_last_words() {
    let (spawner, _) = spawner(json!({}), |_, _| status(500, "etcd is gone"));
    let error = start(&spawner).await.unwrap_err().to_string();
    assert_eq!(error, "could not make the pod jupyter-alice: etcd is gone");
}

#[tokio::test]
async fn a_pod_that_goes_while_it_is_deleted_is_gone() {
    let (spawner, _) = spawner(json!({}), |line, before| match (line, before) {
        ("GET pods/jupyter-alice", 0) => (200, pod(OURS)),
        ("DELETE pods/jupyter-alice", _) => status(410, "gone"),
        _ => status(404, "not found"),
    });
    let state = json!({
        "pod_name": "jupyter-alice", "namespace": "hub", "pvc_name": "claim-alice", "start_id": OURS, "port": 8888, "host": null,
    });
    spawner.stop(&SpawnerState(state)).await.unwrap();
}

#[tokio::test]
async fn a_pod_that_its_node_made_anew_has_moved() {
    let (spawner, _) = spawner(json!({}), |line, _| match line {
        "GET pods/jupyter-alice" => (200, pod(OURS)),
        _ => status(500, "no watch today"),
    });
    let mut state = json!({
        "pod_name": "jupyter-alice", "namespace": "hub", "pvc_name": "claim-alice", "start_id": OURS, "port": 8888,
        "host": null, "ip": "10.1.2.3",
    });
    let poll = spawner.poll(&SpawnerState(state.clone())).await.unwrap();
    assert_eq!(poll, Poll::Running);
    state["ip"] = json!("10.9.9.9");
    let Poll::Moved { url, state } = spawner.poll(&SpawnerState(state)).await.unwrap() else {
        panic!("it is elsewhere")
    };
    assert_eq!(
        (url.as_str(), &state.0["ip"]),
        ("http://10.1.2.3:8888/", &json!("10.1.2.3"))
    );
}
