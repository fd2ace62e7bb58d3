//! KubeSpawner on a real cluster (`make test-cluster`). The server is a fake one, `deploy/local/stand-in.rs`.

mod namespace;

use carrel_spawner::kube::KubeSpawner;
use carrel_spawner::{Error, Poll, Spawner, StartEvent, StartRequest, Started};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use url::Url;

use super::{options, request};
use namespace::{LIMIT, Namespace, until};

#[tokio::test]
#[ignore = "needs cluster (starts pods)"]
async fn a_server_starts_answers_and_stops() {
    let namespace = Namespace::new("life").await;
    let spawner = spawner(&namespace, json!({}));
    let request = request("alice", "", json!({}));
    let (started, events) = start(&spawner, &request).await;
    let started = started.unwrap();

    assert_eq!(
        get(&started.url, "/user/alice/api").await,
        "stand-in, token: true"
    );
    assert_eq!(spawner.poll(&started.state).await.unwrap(), Poll::Running);
    assert!(
        spawner
            .log_tail(&started.state, 5)
            .await
            .contains("listening for")
    );
    runs_alone(&spawner, &request).await;
    let told: Vec<_> = events.iter().filter_map(message).collect();
    assert!(
        told.iter()
            .any(|text| text.contains("[Normal] Successfully assigned")),
        "{told:?}"
    );
    let pod = namespace.pod("jupyter-alice").await.unwrap();
    assert!(
        !serde_json::to_string(&pod)
            .unwrap()
            .contains("the-secret-token")
    );

    spawner.stop(&started.state).await.unwrap();
    assert!(namespace.pod("jupyter-alice").await.is_none());
    let Poll::Stopped { reason } = spawner.poll(&started.state).await.unwrap() else {
        panic!("it runs")
    };
    assert_eq!(reason, "The pod of the server was deleted");
    spawner.stop(&started.state).await.unwrap();
    until("the end of the secret", || async {
        namespace.secrets().await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs cluster (starts pods)"]
async fn another_hub_finds_a_start_by_its_name_and_goes_on_with_it() {
    let namespace = Namespace::new("adopt").await;
    let request = request("alice", "gpu", json!({}));
    let (started, _) = start(&spawner(&namespace, json!({})), &request).await;
    let started = started.unwrap();

    let other = spawner(&namespace, json!({}));
    let found = other.find(&request.start_id).await.unwrap().unwrap();
    let (events, _) = tokio::sync::mpsc::unbounded_channel();
    let resumed = other.resume(&found, &request, events).await.unwrap();
    assert_eq!((resumed.url, resumed.state), (started.url, started.state));
    assert_eq!(other.find("0000").await.unwrap(), None);
    other.stop(&found).await.unwrap();
    assert!(namespace.pod("jupyter-alice--gpu").await.is_none());
}

#[tokio::test]
#[ignore = "needs cluster (starts pods)"]
async fn a_start_that_is_dropped_leaves_no_pod() {
    let namespace = Namespace::new("drop").await;
    let spawner = spawner(&namespace, json!({ "image": "localhost/nothing:1" }));
    let request = request("alice", "", json!({}));
    let (events, mut told) = tokio::sync::mpsc::unbounded_channel();
    {
        let start = spawner.start(&request, events);
        let reported = async {
            while let Some(event) = told.recv().await {
                if message(&event).is_some_and(|text| text.contains("cannot be pulled")) {
                    return;
                }
            }
        };
        tokio::select! {
            started = start => panic!("{started:?}"),
            told = tokio::time::timeout(LIMIT, reported) => told.unwrap(),
        }
    }
    until("the end of the pod", || async {
        namespace.pod("jupyter-alice").await.is_none().then_some(())
    })
    .await;
}

/// Each way to fail, with what its user reads.
#[tokio::test]
#[ignore = "needs cluster (starts pods)"]
async fn failures_are_named_and_their_pods_removed() {
    let namespace = Namespace::new("fail").await;
    let cases = [
        (
            json!({ "image": "localhost/nothing:1", "image_pull_policy": "Never" }),
            "The image localhost/nothing:1 is not on the node",
        ),
        (json!({ "image": "Not A Name" }), "is no name of an image"),
        (
            json!({ "image": "127.0.0.1:1/nothing:1" }),
            "The image 127.0.0.1:1/nothing:1 cannot be pulled",
        ),
        (
            json!({ "cmd": ["exit", "3"] }),
            "The server exited with status 3; the end of its log:\nabout to exit with status 3",
        ),
        (
            json!({ "cmd": ["eat"], "mem_limit": "32M" }),
            "The server used more memory than its limit of 32Mi and was ended (OOMKilled)",
        ),
        (
            json!({ "uid": 0, "pod_security_context": { "runAsNonRoot": true },
                    "container_security_context": { "runAsNonRoot": true } }),
            "would run as root",
        ),
        (
            json!({ "extra_container_config": { "command": ["/no-such-program"] } }),
            "The server could not be run",
        ),
    ];
    for (index, (options, sentence)) in cases.into_iter().enumerate() {
        let spawner = spawner(&namespace, options.clone());
        let request = request(&format!("user{index}"), "", json!({}));
        let reason = failure(&spawner, &request).await;
        assert!(reason.contains(sentence), "{options}: {reason}");
        until("the end of the pod", || async {
            let pod = format!("jupyter-user{index}");
            namespace.pod(&pod).await.is_none().then_some(())
        })
        .await;
    }
}

#[tokio::test]
#[ignore = "needs cluster (starts pods)"]
async fn a_server_that_no_node_can_take_waits_and_says_why() {
    let namespace = Namespace::new("room").await;
    let spawner = spawner(&namespace, json!({ "cpu_guarantee": 5000 }));
    let request = request("alice", "", json!({}));
    let (events, mut told) = tokio::sync::mpsc::unbounded_channel();
    let reported = async {
        while let Some(event) = told.recv().await {
            if message(&event).is_some_and(|text| {
                text.starts_with("No node can take the server yet")
                    && text.contains("Insufficient cpu")
            }) {
                return;
            }
        }
    };
    tokio::select! {
        started = spawner.start(&request, events) => panic!("{started:?}"),
        told = tokio::time::timeout(LIMIT, reported) => told.unwrap(),
    }
}

#[tokio::test]
#[ignore = "needs cluster (starts pods)"]
async fn a_quota_that_is_used_up_is_named() {
    let namespace = Namespace::new("quota").await;
    namespace.allow_pods(0).await;
    let request = request("alice", "", json!({}));
    let error = until("the quota", || async {
        let (started, _) = start(&spawner(&namespace, json!({})), &request).await;
        Some(started.unwrap_err().to_string()).filter(|error| !error.contains("status unknown"))
    })
    .await;
    assert!(
        error.starts_with(
            "The quota of the namespace does not allow another server: exceeded quota"
        ),
        "{error}"
    );
}

#[tokio::test]
#[ignore = "needs cluster (starts pods)"]
async fn the_pod_of_an_earlier_start_makes_room_and_a_strangers_does_not() {
    let namespace = Namespace::new("room2").await;
    let spawner = spawner(&namespace, json!({}));
    let first = request("alice", "", json!({}));
    let (started, _) = start(&spawner, &first).await;
    let earlier = started.unwrap();
    let mut second = first.clone();
    second.start_id = "f".repeat(32);
    let (started, _) = start(&spawner, &second).await;
    started.unwrap();
    runs_alone(&spawner, &second).await;
    // To stop the earlier one again must not touch the later one.
    spawner.stop(&earlier.state).await.unwrap();
    runs_alone(&spawner, &second).await;

    namespace.foreign_pod("jupyter-bob").await;
    let (started, _) = start(&spawner, &request("bob", "", json!({}))).await;
    let error = started.unwrap_err().to_string();
    assert!(error.contains("no Hub of this kind has made"), "{error}");
    assert!(namespace.pod("jupyter-bob").await.is_some());
}

#[tokio::test]
#[ignore = "needs cluster (starts pods, makes a hostPath volume)"]
async fn files_in_a_claim_outlive_a_stop_and_go_with_the_server() {
    let mut namespace = Namespace::new("claim").await;
    let volume = namespace.volume().await;
    let mount = json!([{ "name": "home", "mountPath": "/data" }]);
    let spawner = spawner(
        &namespace,
        json!({
            "storage_pvc_ensure": true,
            "storage_capacity": "1Mi",
            "storage_class": volume.class,
            "volumes": [{ "name": "home", "persistentVolumeClaim": { "claimName": "{pvc_name}" } }],
            "volume_mounts": mount,
            // A hostPath belongs to root.
            "init_containers": [{
                "name": "open",
                "image": namespace.image,
                "args": ["open-folder", "/data"],
                "securityContext": { "runAsUser": 0 },
                "volumeMounts": mount,
            }],
        }),
    );
    let mut request = request("alice", "", json!({}));
    let (started, _) = start(&spawner, &request).await;
    let started = started.unwrap();
    assert_eq!(get(&started.url, "/user/alice/note?kept").await, "written");
    spawner.stop(&started.state).await.unwrap();

    request.start_id = "e".repeat(32);
    let (started, _) = start(&spawner, &request).await;
    let started = started.unwrap();
    assert_eq!(get(&started.url, "/user/alice/note").await, "kept");
    spawner.stop(&started.state).await.unwrap();
    assert_eq!(namespace.claims().await, ["claim-alice"]);
    spawner.forget("alice", "", None).await.unwrap();
    until("the end of the claim", || async {
        namespace.claims().await.is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
#[ignore = "needs cluster (starts pods)"]
async fn a_pod_that_somebody_deletes_is_noticed_by_the_watch() {
    let namespace = Namespace::new("deleted").await;
    let spawner = spawner(&namespace, json!({}));
    let (started, _) = start(&spawner, &request("alice", "", json!({}))).await;
    let started = started.unwrap();
    namespace.delete_pod("jupyter-alice").await;
    until("the notice", || async {
        let poll = spawner.poll(&started.state).await.unwrap();
        matches!(poll, Poll::Stopped { .. }).then_some(())
    })
    .await;
}

fn message(event: &StartEvent) -> Option<&str> {
    match event {
        StartEvent::Progress { message, .. } => Some(message),
        StartEvent::State(_) | StartEvent::HandedOver => None,
    }
}

/// A spawner of its own, as a Hub that has just started has it.
fn spawner(namespace: &Namespace, given: Value) -> KubeSpawner {
    let mut all = json!({
        "image": namespace.image,
        "namespace": namespace.name,
        "delete_grace_period": 0,
    });
    all.as_object_mut()
        .unwrap()
        .extend(given.as_object().unwrap().clone());
    KubeSpawner::new(namespace.client.clone(), options(all))
}

/// Starts a server; returns with all that was told meanwhile.
async fn start(
    spawner: &KubeSpawner,
    request: &StartRequest,
) -> (Result<Started, Error>, Vec<StartEvent>) {
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let started = tokio::time::timeout(LIMIT, spawner.start(request, sender)).await;
    let mut events = Vec::new();
    while let Ok(event) = receiver.try_recv() {
        events.push(event);
    }
    let started = started.unwrap_or_else(|_| panic!("no start: {events:?}"));
    (started, events)
}

/// Why a start fails. A program that ends at once may have been seen to run: then the Hub, which waits for an answer,
/// hears of the end by polling, and asks the pod to go.
async fn failure(spawner: &KubeSpawner, request: &StartRequest) -> String {
    let (started, _) = start(spawner, request).await;
    let state = match started {
        Ok(started) => started.state,
        Err(error) => return error.to_string(),
    };
    let reason = until("the end of the server", || async {
        match spawner.poll(&state).await.unwrap() {
            Poll::Stopped { reason } => Some(reason),
            Poll::Running | Poll::Moved { .. } => None,
        }
    })
    .await;
    spawner.stop(&state).await.unwrap();
    reason
}

/// Waits until the watch knows of this start's pod and of no other.
async fn runs_alone(spawner: &KubeSpawner, request: &StartRequest) {
    until("the watch", || async {
        let running = spawner.running().await.unwrap();
        (running == [request.start_id.as_str()]).then_some(())
    })
    .await;
}

/// The body of the answer; the server may be a moment away from listening.
pub async fn get(url: &Url, path: &str) -> String {
    let address = (url.host_str().unwrap().to_owned(), url.port().unwrap());
    until("an answer", || async {
        let mut stream = tokio::net::TcpStream::connect(&address).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: pod\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        assert!(answer.contains("X-JupyterHub-Version: 6.1.1"), "{answer}");
        Some(answer.split_once("\r\n\r\n")?.1.to_owned())
    })
    .await
}
