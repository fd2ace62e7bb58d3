//! TrainJobs by kubectl: runtimes that are wrong, suspension, nodes that go, operators that go.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::site::{Site, lines, until};

/// A runtime of this namespace for two nodes, which run the stand-in.
pub fn runtime(site: &Site, name: &str, max_restarts: i32) -> Value {
    json!({
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainingRuntime",
        "metadata": { "name": name, "labels": { "trainer.kubeflow.org/framework": "torch" } },
        "spec": {
            "mlPolicy": { "numNodes": 2, "torch": {} },
            "template": { "spec": {
                "failurePolicy": { "maxRestarts": max_restarts },
                "replicatedJobs": [{
                    "name": "node",
                    "template": {
                        "metadata": {
                            "labels": { "trainer.kubeflow.org/trainjob-ancestor-step": "trainer" },
                        },
                        "spec": { "template": { "spec": {
                            // It does not listen when it is asked to end.
                            "terminationGracePeriodSeconds": 1,
                            "containers": [{
                                "name": "node",
                                "image": site.image,
                                "imagePullPolicy": "IfNotPresent",
                            }],
                        } } },
                    },
                }],
            } },
        },
    })
}

pub fn job(runtime: &str, name: &str, arguments: &[&str]) -> Value {
    json!({
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": { "name": name },
        "spec": {
            "runtimeRef": { "kind": "TrainingRuntime", "name": runtime },
            "trainer": { "args": arguments },
        },
    })
}

/// The identities of the pods.
fn uids(site: &Site) -> BTreeSet<String> {
    let pods = site.kubectl(&["get", "pods", "-o", "jsonpath={.items[*].metadata.uid}"]);
    pods.split_whitespace().map(str::to_owned).collect()
}

#[test]
#[ignore = "needs cluster (starts pods)"]
fn a_trainjob_waits_for_its_runtime_and_is_held_to_it() {
    let site = Site::new("train");
    let object = job("two", "job", &["sleep", "3"]);
    site.create(&object.to_string());
    site.state("trainjob", "job", "Waiting");
    let status = site.get("trainjob", "job")["status"].clone();
    let said = format!(
        "there is no TrainingRuntime two in the namespace {}",
        site.name
    );
    assert_eq!(status["reason"], said.as_str());
    site.create(&runtime(&site, "two", 0).to_string());
    site.state("trainjob", "job", "Running");
    site.kubectl(&["delete", "trainingruntime", "two"]);
    let pod = site.get("pod", "job-node-0-1");
    assert_eq!(pod["spec"]["hostname"], "job-node-0-1");
    let table = site.kubectl(&["get", "trainjob"]);
    let cells: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(cells[..3], ["job", "Running", "2"], "{table}");
    site.state("trainjob", "job", "Complete");
    assert_eq!(site.pods().len(), 2, "they stay, for their logs");
    let wait = [
        "wait",
        "--for=condition=Complete",
        "trainjob/job",
        "--timeout=1s",
    ];
    site.kubectl(&wait);
    site.kubectl(&["delete", "trainjob", "job"]);
    until("the end of all", || {
        let left = site.kubectl(&["get", "pods,services", "-o", "name"]);
        lines(&left).is_empty().then_some(())
    });
}

#[test]
#[ignore = "needs cluster (starts pods)"]
fn bad_trainjobs_are_refused() {
    let site = Site::new("badtrain");
    site.create(&runtime(&site, "two", 0).to_string());
    let refused = |change: &dyn Fn(&mut Value), said: &str| {
        let mut object = job("two", "job", &["sleep", "60"]);
        change(&mut object);
        let error = site.try_apply(&object.to_string()).unwrap_err();
        assert!(error.contains(said), "{error}");
    };
    for count in [0, -1] {
        let least = "should be greater than or equal to 1";
        refused(
            &|job| job["spec"]["trainer"]["numNodes"] = json!(count),
            least,
        );
    }
    refused(
        &|job| job["spec"]["trainr"] = json!({}),
        "unknown field \"spec.trainr\"",
    );
    refused(
        &|job| job["spec"]["runtimeRef"] = json!({}),
        "spec.runtimeRef.name: Required value",
    );
    refused(
        &|job| job["spec"]["managedBy"] = json!("me"),
        "it must be trainer.kubeflow.org",
    );
    refused(
        &|job| job["metadata"]["name"] = json!("1a"),
        "must begin with a lower case letter",
    );
    refused(
        &|job| job["spec"]["activeDeadlineSeconds"] = json!(0),
        "equal to 1",
    );

    site.create(&job("two", "job", &["sleep", "60"]).to_string());
    for change in [
        json!({ "trainer": { "args": ["sleep", "1"] } }),
        json!({ "trainer": { "env": [{ "name": "A", "value": "1" }] } }),
        json!({ "runtimeRef": { "name": "other" } }),
        json!({ "managedBy": "kueue.x-k8s.io/multikueue" }),
    ] {
        let patch = json!({ "spec": change }).to_string();
        let patch = ["patch", "trainjob", "job", "--type=merge", "-p", &patch];
        let error = site.kubectl_with(&patch, "").unwrap_err();
        assert!(error.contains("field is immutable"), "{change}: {error}");
    }
}

/// What only the operator, or the API server of pods, knows to be wrong.
#[test]
#[ignore = "needs cluster (starts pods)"]
fn bad_trainjobs_are_named() {
    let site = Site::new("wrongtrain");
    site.create(&runtime(&site, "two", 0).to_string());
    let named = |name: &str, change: &dyn Fn(&mut Value, &mut Value), said: &str| {
        let (mut runtime, mut object) = (runtime(&site, name, 0), job(name, name, &[]));
        change(&mut runtime["spec"], &mut object["spec"]);
        site.create(&runtime.to_string());
        site.create(&object.to_string());
        site.state("trainjob", name, "Failed");
        let status = site.get("trainjob", name)["status"].clone();
        let reason = status["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(said), "{status}");
    };
    named(
        "policy",
        &|runtime, _| runtime["mlPolicy"] = json!({ "mpi": {} }),
        "the runtime has the policy mpi",
    );
    named(
        "container",
        &|runtime, _| {
            let node = &mut runtime["template"]["spec"]["replicatedJobs"][0];
            node["template"]["spec"]["template"]["spec"]["containers"][0]["name"] = json!("main");
        },
        "there is no container named node",
    );
    named(
        "data",
        &|_, job| job["initializer"] = json!({ "dataset": { "storageUri": "hf://d" } }),
        "spec.initializer: this operator runs no initializers",
    );
    named(
        "volume",
        &|_, job| {
            let mount = json!([{ "name": "no-such-volume", "mountPath": "/data" }]);
            let pod =
                json!({ "spec": { "containers": [{ "name": "node", "volumeMounts": mount }] } });
            job["runtimePatches"] = json!([{
                "manager": "example.com/test",
                "trainingRuntimeSpec": { "template": { "spec": { "replicatedJobs": [
                    { "name": "node", "template": { "spec": { "template": pod } } },
                ] } } },
            }]);
        },
        "no-such-volume",
    );
    named(
        "code",
        &|_, job| job["trainer"]["args"] = json!(["exit", "3"]),
        "failed: exit code 3",
    );
    let mut object = job("two", "image", &[]);
    object["spec"]["trainer"]["image"] = json!("127.0.0.1:1/none:1");
    site.create(&object.to_string());
    until("what it waits for", || {
        let status = site.get("trainjob", "image")["status"].clone();
        let reason = status["reason"].as_str().unwrap_or_default();
        (reason == "node-0 waits: the image 127.0.0.1:1/none:1 cannot be pulled").then_some(())
    });
}

#[test]
#[ignore = "needs cluster (starts pods)"]
fn a_trainjob_is_suspended_and_resumed() {
    let site = Site::new("suspendtrain");
    site.create(&runtime(&site, "two", 0).to_string());
    let mut object = job("two", "job", &["sleep", "60"]);
    object["spec"]["suspend"] = json!(true);
    site.create(&object.to_string());
    site.state("trainjob", "job", "Suspended");
    assert_eq!(site.pods(), [""; 0]);
    let suspend = |value: bool| {
        let patch = json!({ "spec": { "suspend": value } }).to_string();
        site.kubectl(&["patch", "trainjob", "job", "--type=merge", "-p", &patch]);
    };
    suspend(false);
    site.state("trainjob", "job", "Running");
    let resumed = site.get("trainjob", "job")["status"]["conditions"][0].clone();
    assert_eq!(
        (&resumed["status"], &resumed["reason"]),
        (&json!("False"), &json!("Resumed"))
    );
    suspend(true);
    site.state("trainjob", "job", "Suspended");
    until("the end of the pods", || {
        site.pods().is_empty().then_some(())
    });
}

/// All nodes begin anew when one goes, and the operator with it.
#[test]
#[ignore = "needs cluster (starts pods)"]
fn a_node_that_is_killed_lets_all_begin_anew() {
    let mut site = Site::new("killtrain");
    site.create(&runtime(&site, "two", 0).to_string());
    site.create(&job("two", "job", &["sleep", "60"]).to_string());
    site.state("trainjob", "job", "Running");
    for attempt in 1..=3 {
        let before = uids(&site);
        let delete = [
            "delete",
            "pod",
            "job-node-0-1",
            "--grace-period=0",
            "--force",
        ];
        site.kubectl(&delete);
        // Killed in the midst of it, or before it has seen anything.
        site.restart();
        let mut told = Value::Null;
        until("another attempt", || {
            let status = site.get("trainjob", "job")["status"].clone();
            if told != status {
                eprintln!("{status}\n{}", site.kubectl(&["get", "pods"]));
                told = status.clone();
            }
            (status["attempt"] == attempt && status["state"] == "Running").then_some(())
        });
        let now = uids(&site);
        assert_eq!((now.len(), now.intersection(&before).count()), (2, 0));
    }
    let status = site.get("trainjob", "job")["status"].clone();
    assert_eq!(
        status.get("restarts"),
        None,
        "it was nobody's fault: {status}"
    );
}

#[test]
#[ignore = "needs cluster (starts pods)"]
fn a_trainjob_begins_anew_as_often_as_its_runtime_says() {
    let site = Site::new("failtrain");
    site.create(&runtime(&site, "two", 1).to_string());
    site.create(&job("two", "job", &["exit", "3"]).to_string());
    site.state("trainjob", "job", "Failed");
    let status = site.get("trainjob", "job")["status"].clone();
    assert_eq!(status["attempt"], 1, "{status}");
    let events = site.kubectl(&["get", "events", "-o", "custom-columns=R:.reason,M:.message"]);
    assert!(events.contains("All nodes begin anew: node-"), "{events}");
    let failed = site.get("trainjob", "job")["status"]["conditions"][0].clone();
    assert_eq!(
        (&failed["type"], &failed["reason"]),
        (&json!("Failed"), &json!("FailedJobs"))
    );
    assert!(failed["lastTransitionTime"].is_string());
}
