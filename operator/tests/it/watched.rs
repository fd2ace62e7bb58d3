//! What watches tell of pods, and what is kept of it.

use std::sync::Arc;

use carrel_jobs::kind::Kind;
use carrel_operator::children::{Child as _, Children, Owner, follow};
use carrel_operator::seen::SeenPod;
use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

fn pod(name: &str, change: impl FnOnce(&mut Value)) -> Pod {
    let mut pod = json!({
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": name,
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": {
                "training.kubeflow.org/operator-name": "pytorchjob-controller",
                "training.kubeflow.org/replica-type": "worker",
                "training.kubeflow.org/replica-index": "3",
            },
            "ownerReferences": [{
                "apiVersion": "kubeflow.org/v1",
                "kind": "PyTorchJob",
                "name": "job",
                "uid": "u",
                "controller": true,
            }],
        },
    });
    change(&mut pod);
    serde_json::from_value(pod).unwrap()
}

fn owner() -> Owner {
    Owner {
        name: "job".to_owned(),
        namespace: "default".to_owned(),
        uid: "u".to_owned(),
    }
}

async fn told(children: &Arc<Children<SeenPod>>, events: Vec<Event<Pod>>) -> Vec<Owner> {
    let events = stream::iter(events.into_iter().map(Ok));
    let owners = follow(Arc::clone(children), events);
    owners.map(Result::unwrap).collect().await
}

fn names(children: &Children<SeenPod>) -> Vec<String> {
    let pods = children.of(&owner());
    let mut names: Vec<_> = pods.iter().map(|pod| pod.name.clone()).collect();
    names.sort();
    names
}

/// After a watch that broke, the job of a pod that is gone is looked at as well, when all is read.
#[tokio::test]
async fn what_went_while_there_was_no_watch_is_noticed() {
    let children = Arc::new(Children::new(Kind::PyTorchJob));
    let plain = |name| pod(name, |_| {});
    let first = vec![
        Event::Init,
        Event::InitApply(plain("a")),
        Event::InitApply(plain("b")),
        Event::InitDone,
    ];
    assert_eq!(told(&children, first).await, [owner()]);
    assert_eq!(names(&children), ["a", "b"]);
    let again = vec![Event::Init, Event::InitApply(plain("b"))];
    assert_eq!(told(&children, again).await, []);
    assert_eq!(names(&children), ["a", "b"], "until all is read");
    assert_eq!(told(&children, vec![Event::InitDone]).await, [owner()]);
    assert_eq!(names(&children), ["b"]);
    let empty = vec![Event::Init, Event::InitDone];
    assert_eq!(told(&children, empty).await, [owner()]);
    assert_eq!(names(&children), [""; 0]);
    assert_eq!(
        told(&children, vec![Event::Apply(plain("c"))]).await,
        [owner()]
    );
    assert_eq!(
        told(&children, vec![Event::Delete(plain("c"))]).await,
        [owner()]
    );
    assert_eq!(names(&children), [""; 0]);
}

#[tokio::test]
async fn pods_that_only_say_that_they_are_a_job_s_are_not() {
    let children = Arc::new(Children::new(Kind::PyTorchJob));
    let owned = |field: &'static str, value: &'static str| {
        pod("a", |pod| {
            pod["metadata"]["ownerReferences"][0][field] = json!(value);
        })
    };
    let elsewhere = pod("a", |pod| pod["metadata"]["namespace"] = json!("other"));
    let forged = [
        elsewhere,
        owned("kind", "TFJob"),
        owned("apiVersion", "example.com/v1"),
        owned("name", "another"),
    ];
    told(&children, forged.into_iter().map(Event::Apply).collect()).await;
    assert_eq!(names(&children), [""; 0]);
}

/// `TopologyAffinityError` and the like: there are no containers, but a time from which the next try counts.
#[test]
fn a_pod_that_its_node_refuses_ended_when_it_began() {
    let refused = |start: Option<&str>| {
        SeenPod::of(&pod("a", |pod| {
            pod["status"] = json!({
                "phase": "Failed",
                "reason": "UnexpectedAdmissionError",
                "message": "no device",
                "startTime": start,
            });
        }))
    };
    let seen = refused(Some("2026-01-01T00:01:00Z"));
    assert_eq!(seen.ended.unwrap().to_string(), "2026-01-01T00:01:00Z");
    let why = "UnexpectedAdmissionError: no device";
    assert_eq!((seen.exit_code, seen.reason.as_deref()), (None, Some(why)));
    assert_eq!(
        refused(None).ended.unwrap().to_string(),
        "2026-01-01T00:00:00Z"
    );
}

/// Of the container that trains, whatever others are named; and one line of its words.
#[test]
fn the_exit_code_is_that_of_the_job_s_container() {
    let seen = SeenPod::of(&pod("a", |pod| {
        let container = |name: &str, code: i32, message: &str| {
            let ended = json!({
                "exitCode": code,
                "reason": "Error",
                "message": message,
                "finishedAt": "2026-01-01T00:02:00Z",
            });
            json!({ "name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 1,
                "state": { "terminated": ended } })
        };
        let log = format!("\n{}\nmore", "ä".repeat(300));
        pod["status"] = json!({
            "phase": "Failed",
            "containerStatuses": [container("tensorflow", 1, ""), container("pytorch", 137, &log)],
        });
    }));
    assert_eq!((seen.exit_code, seen.restarts), (Some(137), 2));
    let said = format!("exit code 137: {}…", "ä".repeat(200));
    assert_eq!(seen.reason, Some(said));
    assert_eq!(seen.ended.unwrap().to_string(), "2026-01-01T00:02:00Z");
}

/// A container before the others is a part of the pod's work; what was never begun has no exit code.
#[test]
fn an_init_container_that_fails_is_at_fault() {
    let seen = SeenPod::of(&pod("a", |pod| {
        let of = |name: &str, state: Value| json!({ "name": name, "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state });
        let ended = |code: i32| json!({ "terminated": { "exitCode": code, "reason": "Error", "finishedAt": "2026-01-01T00:03:00Z" } });
        let waits = json!({ "waiting": { "reason": "PodInitializing" } });
        pod["status"] = json!({
            "phase": "Failed",
            "initContainerStatuses": [of("fetch", ended(0)), of("unpack", ended(7))],
            "containerStatuses": [of("pytorch", waits)],
        });
    }));
    assert_eq!(seen.exit_code, Some(7));
    let why = "its init container unpack: exit code 7";
    assert_eq!(seen.reason.as_deref(), Some(why));
    assert_eq!(seen.ended.unwrap().to_string(), "2026-01-01T00:03:00Z");
}

/// Its containers were killed for it, and their exit codes say nothing of them.
#[test]
fn a_pod_that_is_taken_away_is_not_at_fault() {
    let killed = |change: &dyn Fn(&mut Value)| {
        SeenPod::of(&pod("a", |pod| {
            let ended =
                json!({ "terminated": { "exitCode": 137, "finishedAt": "2026-01-01T00:02:00Z" } });
            let container = json!({ "name": "pytorch", "image": "i", "imageID": "", "ready": false,
                "restartCount": 0, "state": ended });
            pod["status"] = json!({ "phase": "Failed", "containerStatuses": [container] });
            change(&mut pod["status"]);
        }))
    };
    let evicted = killed(&|status| {
        status["reason"] = json!("Evicted");
        status["message"] = json!("The node was low on resource: memory.");
    });
    let why = "Evicted: The node was low on resource: memory.";
    assert_eq!(
        (evicted.exit_code, evicted.reason.as_deref()),
        (None, Some(why))
    );
    let preempted = killed(&|status| {
        status["conditions"] = json!([{
            "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler", "message": "room for a",
        }]);
    });
    let why = "PreemptionByScheduler: room for a";
    assert_eq!(
        (preempted.exit_code, preempted.reason.as_deref()),
        (None, Some(why))
    );
    // The deadline of a pod is its own affair, and a disruption that did not come is none.
    let own = killed(&|status| {
        status["reason"] = json!("DeadlineExceeded");
        status["conditions"] = json!([{ "type": "DisruptionTarget", "status": "False" }]);
    });
    assert_eq!(own.exit_code, Some(137));
}
