//! What a pod's status says to a person. Statuses as kubelets of version 1.34 write them.

use carrel_spawner::kube::condition::{Condition, judge};
use serde_json::{Value, json};

/// A pod whose server's container is in `state`.
fn container(state: Value) -> Value {
    json!({
        "phase": "Pending",
        "containerStatuses": [{ "name": "notebook", "image": "carrel:1", "imageID": "", "ready": false, "restartCount": 0, "state": state }],
    })
}

fn judged(status: Value) -> Condition {
    let spec = json!({ "containers": [{ "name": "notebook", "resources": { "limits": { "memory": "1Gi" } } }] });
    judge(
        &serde_json::from_value(json!({ "metadata": {}, "spec": spec, "status": status })).unwrap(),
    )
}

fn over(reason: &str) -> Condition {
    Condition::Over {
        reason: reason.to_owned(),
    }
}

#[test]
fn a_pod_on_its_way_is_waited_for() {
    for status in [
        json!({}),
        json!({ "phase": "Pending" }),
        container(json!({ "waiting": { "reason": "ContainerCreating" } })),
        container(json!({ "waiting": { "reason": "PodInitializing" } })),
        json!({ "phase": "Unknown" }),
    ] {
        assert_eq!(judged(status.clone()), Condition::Waiting, "{status}");
    }
}

#[test]
fn a_pod_runs_when_all_its_containers_are_ready() {
    let status = |ready| {
        let side = json!({ "name": "side", "image": "s", "imageID": "", "ready": ready, "restartCount": 0, "state": { "running": {} } });
        let mut status = container(json!({ "running": {} }));
        status["phase"] = json!("Running");
        status["podIP"] = json!("10.1.2.3");
        status["containerStatuses"][0]["ready"] = json!(true);
        status["containerStatuses"]
            .as_array_mut()
            .unwrap()
            .push(side);
        status
    };
    assert_eq!(judged(status(false)), Condition::Waiting);
    let running = |restarted: Option<&str>| Condition::Running {
        ip: "10.1.2.3".to_owned(),
        restarted: restarted.map(str::to_owned),
    };
    assert_eq!(judged(status(true)), running(None));
    let mut again = status(true);
    again["containerStatuses"][0]["lastState"] =
        json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } });
    let reason = "The server used more memory than its limit of 1Gi and was ended (OOMKilled)";
    assert_eq!(judged(again), running(Some(reason)));
}

#[test]
fn a_registry_that_says_no_ends_the_start_and_one_out_of_reach_does_not_yet() {
    let pull = |reason: &str, message: &str| {
        judged(container(
            json!({ "waiting": { "reason": reason, "message": message } }),
        ))
    };
    let missing = r#"Back-off pulling image "carrel:1": ErrImagePull: failed to resolve reference "carrel:1": carrel:1: not found"#;
    assert_eq!(
        pull("ImagePullBackOff", missing),
        over(
            r#"The image carrel:1 cannot be pulled: failed to resolve reference "carrel:1": carrel:1: not found"#
        )
    );
    let denied = "pull access denied, repository does not exist or may require authorization";
    assert!(matches!(
        pull("ErrImagePull", denied),
        Condition::Over { .. }
    ));
    let away = "failed to do request: dial tcp: lookup registry: i/o timeout";
    let Condition::Troubled { reason, patience } = pull("ErrImagePull", away) else {
        panic!("it may come back")
    };
    assert!(reason.ends_with(away) && patience.is_some(), "{reason}");
}

#[test]
fn an_end_is_told_with_status_or_signal() {
    let ended = |terminated: Value| judged(container(json!({ "terminated": terminated })));
    assert_eq!(
        ended(json!({ "exitCode": 3 })),
        over("The server exited with status 3")
    );
    assert_eq!(
        ended(json!({ "exitCode": 137, "signal": 9 })),
        over("The server was ended by signal 9")
    );
    let mut loops = container(json!({ "waiting": { "reason": "CrashLoopBackOff" } }));
    loops["containerStatuses"][0]["lastState"] = json!({ "terminated": { "exitCode": 1 } });
    assert_eq!(judged(loops), over("The server exited with status 1"));
}

/// A pod whose server runs, or waits, beside another container: a native sidecar, or one of the ordinary kind.
fn beside(server: &Value, other: Value, native: bool) -> Condition {
    let mut side =
        json!({ "name": "side", "image": "s:1", "imageID": "", "ready": false, "restartCount": 1 });
    side.as_object_mut()
        .unwrap()
        .extend(other.as_object().unwrap().clone());
    let runs = server.get("running").is_some();
    let mut status = container(server.clone());
    status["phase"] = json!(if runs { "Running" } else { "Pending" });
    status["podIP"] = json!("10.1.2.3");
    status["containerStatuses"][0]["ready"] = json!(runs);
    let (list, mut spec) = match native {
        true => (
            "initContainerStatuses",
            json!({ "initContainers": [{ "name": "side", "restartPolicy": "Always" }] }),
        ),
        false => ("containerStatuses", json!({})),
    };
    let mut statuses = status[list].as_array().cloned().unwrap_or_default();
    statuses.insert(0, side);
    status[list] = json!(statuses);
    spec["containers"] = json!([{ "name": "notebook" }, { "name": "side" }]);
    let pod = json!({ "metadata": {}, "spec": spec, "status": status });
    judge(&serde_json::from_value(pod).unwrap())
}

#[test]
fn the_end_of_a_container_beside_the_server_does_not_end_the_server() {
    let ended = [
        json!({ "state": { "terminated": { "exitCode": 0, "reason": "Completed" } } }),
        json!({ "state": { "terminated": { "exitCode": 137, "reason": "OOMKilled" } } }),
        json!({
            "state": { "waiting": { "reason": "CrashLoopBackOff" } },
            "lastState": { "terminated": { "exitCode": 1 } },
        }),
    ];
    let pull = json!({ "state": { "waiting": { "reason": "ErrImagePull", "message": "s:1: not found" } } });
    let running = json!({ "running": {} });
    for native in [false, true] {
        for other in &ended {
            let condition = beside(&running, other.clone(), native);
            assert!(
                matches!(
                    condition,
                    Condition::Running {
                        restarted: None,
                        ..
                    }
                ),
                "{native} {other}: {condition:?}"
            );
        }
        let condition = beside(&running, pull.clone(), native);
        assert!(
            !matches!(condition, Condition::Over { .. }),
            "{condition:?}"
        );
    }
}

#[test]
fn what_keeps_the_server_from_its_start_is_told() {
    let initializing = json!({ "waiting": { "reason": "PodInitializing" } });
    let pull = json!({ "state": { "waiting": { "reason": "ErrImagePull", "message": "s:1: not found" } } });
    for native in [false, true] {
        assert_eq!(
            beside(&initializing, pull.clone(), native),
            over("The image s:1 cannot be pulled: s:1: not found")
        );
    }
    let failed = json!({ "state": { "terminated": { "exitCode": 3 } } });
    assert_eq!(
        beside(&initializing, failed.clone(), true),
        Condition::Troubled {
            reason: String::from("The container side exited with status 3"),
            patience: None,
        }
    );
    assert_eq!(beside(&initializing, failed, false), Condition::Waiting);
}

#[test]
fn the_end_of_a_pod_is_told_as_that_of_the_server() {
    let mut status = container(json!({ "terminated": { "exitCode": 3 } }));
    status["phase"] = json!("Failed");
    status["containerStatuses"].as_array_mut().unwrap().insert(
        0,
        json!({
            "name": "side", "image": "s:1", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "terminated": { "exitCode": 9 } },
        }),
    );
    assert_eq!(judged(status), over("The server exited with status 3"));
}

#[test]
fn an_evicted_a_deleted_and_an_unschedulable_pod_are_told_apart() {
    let evicted = json!({ "phase": "Failed", "reason": "Evicted", "message": "The node was low on resource: memory." });
    assert_eq!(
        judged(evicted),
        over(
            "The node evicted the server, because it ran short of resources: The node was low on resource: memory."
        )
    );
    let pod = json!({ "metadata": { "deletionTimestamp": "2026-01-01T00:00:00Z" } });
    let Condition::Over { reason } = judge(&serde_json::from_value(pod.clone()).unwrap()) else {
        panic!("it is over")
    };
    assert!(reason.contains("was deleted"), "{reason}");
    for (cause, sentence) in [
        ("EvictionByEvictionAPI", "its node is being emptied"),
        ("DeletionByTaintManager", "its node is lost"),
        ("PreemptionByScheduler", "made room"),
        ("TerminationByKubelet", "shuts down"),
        ("SomethingNew", "was deleted"),
    ] {
        let target = json!({ "type": "DisruptionTarget", "status": "True", "reason": cause });
        let mut pod = pod.clone();
        pod["status"] = json!({ "phase": "Running", "conditions": [target] });
        let Condition::Over { reason } = judge(&serde_json::from_value(pod).unwrap()) else {
            panic!("it is over: {cause}")
        };
        assert!(reason.contains(sentence), "{cause}: {reason}");
    }
    let message = "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are available.";
    let full = json!({
        "phase": "Pending",
        "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message }],
    });
    assert_eq!(
        judged(full),
        Condition::Troubled {
            reason: String::from(
                "No node can take the server yet: 0/1 nodes are available: 1 Insufficient cpu."
            ),
            patience: None,
        }
    );
}

#[test]
fn an_image_that_would_run_as_root_is_named_with_the_option() {
    let message =
        "container has runAsNonRoot and image will run as root (pod: \"p\", container: notebook)";
    let waiting =
        json!({ "waiting": { "reason": "CreateContainerConfigError", "message": message } });
    let Condition::Over { reason } = judged(container(waiting)) else {
        panic!("it will never run")
    };
    assert!(reason.contains("set KubeSpawner.uid"), "{reason}");
}
