//! Objects of another user, server or Hub under the same name are neither used nor deleted; and a start that is cut off
//! between any two requests is gone on with. By a fake API server that keeps what it is given.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use carrel_spawner::kube::KubeSpawner;
use carrel_spawner::{Error, Spawner, SpawnerState, StartRequest, Started};
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::{options, request};

/// What the API server keeps, by path below the namespace: `pods/jupyter-alice`.
#[derive(Clone, Default)]
struct Api(Arc<Mutex<BTreeMap<String, Value>>>);

impl Api {
    fn spawner(&self, given: Value) -> KubeSpawner {
        self.spawner_of_doomed(given, Arc::new(AtomicUsize::new(usize::MAX)))
    }

    /// A spawner that gets no answer any more once it has asked so often.
    fn spawner_of_doomed(&self, given: Value, cut_after: Arc<AtomicUsize>) -> KubeSpawner {
        let (api, count) = (self.clone(), Arc::new(Mutex::new(0)));
        let service = tower::service_fn(move |request: Request<Body>| {
            let (api, count, cut_after) = (api.clone(), count.clone(), cut_after.clone());
            async move {
                let is_watch = request
                    .uri()
                    .query()
                    .is_some_and(|query| query.contains("watch"));
                let is_list =
                    request.method() == Method::GET && is_collection(request.uri().path());
                let number = {
                    let mut count = count.lock().unwrap();
                    // Watches and lists run beside the start; of them, none is a step of it.
                    *count += usize::from(!is_list && !is_watch);
                    *count
                };
                if number > cut_after.load(Ordering::SeqCst) {
                    std::future::pending::<()>().await;
                }
                Ok::<_, std::convert::Infallible>(match is_watch {
                    true => api.watch(request.uri().path()).await,
                    false => api.answer(request).await,
                })
            }
        });
        let mut all = json!({ "k8s_api_request_retry_timeout": 1, "events_enabled": false, "storage_pvc_ensure": true,
                              "storage_capacity": "1Gi" });
        all.as_object_mut()
            .unwrap()
            .extend(given.as_object().unwrap().clone());
        KubeSpawner::new(Client::new(service, "hub"), options(all))
    }

    /// One look after a while, at all there is, as if it had changed; then the client asks again.
    async fn watch(&self, path: &str) -> Response<Body> {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        let kind = path.rsplit('/').next().unwrap_or_default();
        let kept = self.0.lock().unwrap();
        let items = kept.iter().filter(|(path, _)| path.starts_with(kind));
        let lines =
            items.map(|(_, item)| format!("{}\n", json!({ "type": "MODIFIED", "object": item })));
        Response::new(Body::from(lines.collect::<String>().into_bytes()))
    }

    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let (parts, body) = request.into_parts();
        let path = parts
            .uri
            .path()
            .trim_start_matches("/api/v1/namespaces/hub/")
            .to_owned();
        let body = body.collect_bytes().await.unwrap();
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let mut kept = self.0.lock().unwrap();
        let found = kept.get(&path).cloned();
        let (status, answer) = match (parts.method, found) {
            (Method::GET, _) if is_collection(&path) => {
                let prefix = format!("{path}/");
                let items = kept.iter().filter(|(path, _)| path.starts_with(&prefix));
                let items: Vec<_> = items.map(|(_, item)| item.clone()).collect();
                (
                    200,
                    json!({ "metadata": { "resourceVersion": "1" }, "items": items }),
                )
            }
            (Method::GET, Some(found)) => (200, found),
            (Method::DELETE, Some(found)) => {
                kept.remove(&path);
                (200, found)
            }
            (Method::POST, _) => {
                let path = format!("{path}/{}", body["metadata"]["name"].as_str().unwrap());
                if kept.contains_key(&path) {
                    refusal(409)
                } else {
                    let mut made = body;
                    made["metadata"]["uid"] = json!(format!("uid-{}", kept.len()));
                    made["metadata"]["resourceVersion"] = json!("1");
                    kept.insert(path, made.clone());
                    (201, made)
                }
            }
            _ => refusal(404),
        };
        let answer = Body::from(answer.to_string().into_bytes());
        Response::builder().status(status).body(answer).unwrap()
    }

    fn names(&self) -> Vec<String> {
        self.0.lock().unwrap().keys().cloned().collect()
    }

    /// The kubelet's part: the server runs once its secret is there.
    fn run(&self) {
        let mut kept = self.0.lock().unwrap();
        let secrets: Vec<_> = kept
            .keys()
            .filter(|path| path.starts_with("secrets/"))
            .cloned()
            .collect();
        for (path, pod) in kept
            .iter_mut()
            .filter(|(path, _)| path.starts_with("pods/"))
        {
            let needed = pod["spec"]["containers"][0]["env"]
                .as_array()
                .unwrap()
                .iter();
            let needed =
                needed.filter_map(|entry| entry["valueFrom"]["secretKeyRef"]["name"].as_str());
            assert!(needed.clone().count() > 0, "{path} needs no secret");
            if needed
                .into_iter()
                .all(|name| secrets.contains(&format!("secrets/{name}")))
            {
                pod["status"] = json!({
                    "phase": "Running", "podIP": "10.1.2.3",
                    "containerStatuses": [{
                        "name": "notebook", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                        "state": { "running": {} },
                    }],
                });
            }
        }
    }
}

fn is_collection(path: &str) -> bool {
    ["pods", "secrets", "persistentvolumeclaims"]
        .iter()
        .any(|kind| path.ends_with(kind))
}

fn refusal(code: u16) -> (u16, Value) {
    let reason = if code == 409 {
        "AlreadyExists"
    } else {
        "NotFound"
    };
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
                         "message": reason });
    (code, status)
}

/// Starts while the kubelet works.
async fn start(api: &Api, spawner: &KubeSpawner, request: &StartRequest) -> Result<Started, Error> {
    let (events, _) = tokio::sync::mpsc::unbounded_channel();
    working(api, spawner.start(request, events)).await
}

async fn working<T>(api: &Api, work: impl Future<Output = T>) -> T {
    let kubelet = async {
        loop {
            api.run();
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    let limit = std::time::Duration::from_secs(20);
    tokio::select! {
        done = tokio::time::timeout(limit, work) => done.unwrap_or_else(|_| panic!("the work takes longer than {limit:?}")),
        () = kubelet => unreachable!("it never ends"),
    }
}

fn of_installation(name: &str) -> Value {
    json!({ "common_labels": { "app.kubernetes.io/instance": name } })
}

#[tokio::test]
async fn two_installations_in_one_namespace_do_not_touch_each_other() {
    let api = Api::default();
    let (one, two) = (
        api.spawner(of_installation("one")),
        api.spawner(of_installation("two")),
    );
    start(&api, &one, &request("admin", "", json!({})))
        .await
        .unwrap();
    let before = api.names();
    let mut second = request("admin", "", json!({}));
    second.start_id = "f".repeat(32);
    let error = start(&api, &two, &second).await.unwrap_err().to_string();
    assert!(
        error.contains("claim-admin already that belongs to another"),
        "{error}"
    );
    two.forget("admin", "", None).await.unwrap();
    assert_eq!(api.names(), before);
    one.forget("admin", "", None).await.unwrap();
    assert!(
        !api.names()
            .contains(&"persistentvolumeclaims/claim-admin".to_owned())
    );
}

#[tokio::test]
async fn a_pod_of_another_user_is_not_deleted() {
    let api = Api::default();
    let spawner = api.spawner(json!({ "storage_pvc_ensure": false }));
    start(&api, &spawner, &request("alice", "", json!({})))
        .await
        .unwrap();
    let annotation = |pod: &mut Value| {
        pod["metadata"]["annotations"]["hub.jupyter.org/username"] = json!("Alice");
    };
    annotation(api.0.lock().unwrap().get_mut("pods/jupyter-alice").unwrap());
    let mut again = request("alice", "", json!({}));
    again.start_id = "f".repeat(32);
    let error = start(&api, &spawner, &again).await.unwrap_err().to_string();
    assert!(
        error.contains("jupyter-alice already that belongs to another"),
        "{error}"
    );
    assert!(api.names().contains(&"pods/jupyter-alice".to_owned()));
}

#[tokio::test]
async fn a_claim_that_names_nobody_is_used() {
    let api = Api::default();
    let claim = json!({ "metadata": { "name": "claim-alice", "uid": "by-hand" } });
    api.0
        .lock()
        .unwrap()
        .insert("persistentvolumeclaims/claim-alice".into(), claim);
    let spawner = api.spawner(of_installation("one"));
    start(&api, &spawner, &request("alice", "", json!({})))
        .await
        .unwrap();
}

#[tokio::test]
async fn named_servers_are_refused_while_two_may_share_a_name() {
    let api = Api::default();
    let template = json!({ "pvc_name_template": "claim-{username}{servername}" });
    let (given, _) = carrel_spawner::kube::KubeOptions::from_json(&template);
    let api_client = Client::new(
        tower::service_fn(|_: Request<Body>| async {
            std::future::pending::<Result<Response<Body>, std::convert::Infallible>>().await
        }),
        "hub",
    );
    let spawner = KubeSpawner::new(api_client, given);
    let error = start(&api, &spawner, &request("ann", "a", json!({})))
        .await
        .unwrap_err();
    let error = error.to_string();
    assert!(error.contains("KubeSpawner.pvc_name_template"), "{error}");
}

/// Whatever the last Hub came to, the next one ends up with a server that has all it needs, and with nothing twice.
#[tokio::test]
async fn a_hub_that_is_killed_between_any_two_requests_leaves_a_start_that_goes_on() {
    // Claim, pod, secret, and the looks at the pod.
    for cut in 0..6 {
        let api = Api::default();
        let request = request("alice", "", json!({}));
        let left = Arc::new(AtomicUsize::new(cut));
        let killed = api.spawner_of_doomed(json!({}), left.clone());
        let (events, _) = tokio::sync::mpsc::unbounded_channel();
        let mut start_of_killed = killed.start(&request, events);
        let patience = std::time::Duration::from_millis(300);
        let cut_off = tokio::time::timeout(patience, &mut start_of_killed).await;
        assert!(cut_off.is_err(), "cut after {cut}: the start ended");
        // A killed process cleans nothing up, as one does that only gives the start up.
        left.store(0, Ordering::SeqCst);
        drop(start_of_killed);

        let next = api.spawner(json!({}));
        let (events, _) = tokio::sync::mpsc::unbounded_channel();
        match next.find(&request.start_id).await.unwrap() {
            Some(state) => {
                let resumed = working(&api, next.resume(&state, &request, events)).await;
                assert_eq!(
                    resumed.unwrap().url.as_str(),
                    "http://10.1.2.3:8888/",
                    "cut after {cut}"
                );
            }
            None => {
                assert!(cut < 2, "cut after {cut}: the pod is not found");
                start(&api, &next, &request).await.unwrap();
            }
        }
        let expected = [
            "persistentvolumeclaims/claim-alice".to_owned(),
            "pods/jupyter-alice".to_owned(),
            format!("secrets/start-{}", request.start_id),
        ];
        assert_eq!(api.names(), expected, "cut after {cut}");
    }
}

#[tokio::test]
async fn a_server_keeps_the_claim_that_it_had() {
    let api = Api::default();
    let claim = json!({ "metadata": { "name": "claim-alice-2esmith", "uid": "of-jupyterhub" } });
    let path = "persistentvolumeclaims/claim-alice-2esmith";
    api.0.lock().unwrap().insert(path.into(), claim);
    let spawner = api.spawner(json!({ "volumes": [
        { "name": "home", "persistentVolumeClaim": { "claimName": "{pvc_name}" } },
    ] }));
    let mut again = request("alice.smith", "", json!({}));
    let before = json!({ "pod_name": "jupyter-alice-2esmith", "namespace": "hub", "pvc_name": "claim-alice-2esmith" });
    again.before = Some(SpawnerState(before.clone()));
    let started = start(&api, &spawner, &again).await.unwrap();
    assert_eq!(started.state.0["pvc_name"], "claim-alice-2esmith");
    let claims = || -> Vec<String> {
        let names = api.names().into_iter();
        names
            .filter(|name| name.starts_with("persistent"))
            .collect()
    };
    assert_eq!(claims(), [path]);
    let kept = api.0.lock().unwrap().clone();
    let pod = kept.iter().find(|(path, _)| path.starts_with("pods/"));
    let volume = &pod.unwrap().1["spec"]["volumes"][0];
    assert_eq!(
        volume["persistentVolumeClaim"]["claimName"],
        "claim-alice-2esmith"
    );
    // Found by its pod alone, as after a crash.
    let found = spawner.find(&again.start_id).await.unwrap().unwrap();
    assert_eq!(found.0["pvc_name"], "claim-alice-2esmith");
    let before = SpawnerState(before);
    spawner
        .forget("alice.smith", "", Some(&before))
        .await
        .unwrap();
    assert!(claims().is_empty());
}
