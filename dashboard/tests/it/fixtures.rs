//! A cluster with jobs of every kind and state.

use serde_json::{Value, json};

use crate::fake::Fake;

fn ago(minutes: i64) -> String {
    let now = k8s_openapi::jiff::Timestamp::now().as_second();
    k8s_openapi::jiff::Timestamp::from_second(now - 60 * minutes)
        .unwrap()
        .to_string()
}

fn replica(count: i64, container: &str) -> Value {
    json!({ "replicas": count, "restartPolicy": "OnFailure", "template": { "spec": { "containers": [
        { "name": container, "image": "localhost/carrel-training:0.1.0", "args": ["mnist"] },
    ] } } })
}

fn condition(name: &str, holds: bool, message: &str, minutes: i64) -> Value {
    let status = if holds { "True" } else { "False" };
    json!({ "type": name, "status": status, "reason": name, "message": message, "lastTransitionTime": ago(minutes) })
}

/// A PyTorchJob of one master and three workers.
pub fn mnist() -> Value {
    json!({
        "apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob",
        "metadata": { "name": "distributed-mnist", "namespace": "lab", "uid": "m1", "creationTimestamp": ago(12) },
        "spec": { "pytorchReplicaSpecs": { "Master": replica(1, "pytorch"), "Worker": replica(3, "pytorch") } },
        "status": { "state": "Running", "conditions": [
            condition("Created", true, "PyTorchJob distributed-mnist is created.", 12),
            condition("Running", true, "PyTorchJob distributed-mnist is running.", 11),
        ] },
    })
}

pub fn tfjob(name: &str, namespace: &str, state: &str, reason: &str, minutes: i64) -> Value {
    json!({
        "apiVersion": "kubeflow.org/v1", "kind": "TFJob",
        "metadata": { "name": name, "namespace": namespace, "uid": name, "creationTimestamp": ago(minutes) },
        "spec": { "tfReplicaSpecs": { "Worker": replica(2, "tensorflow"), "PS": replica(1, "tensorflow") } },
        "status": { "state": state, "reason": reason, "conditions": [
            condition("Created", true, "It is created.", minutes), condition(state, true, reason, minutes),
        ] },
    })
}

pub fn pod(job: &str, role: &str, index: i64, status: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {
            "name": format!("{job}-{role}-{index}"), "namespace": "lab", "creationTimestamp": ago(12),
            "labels": {
                "training.kubeflow.org/operator-name": "pytorchjob-controller",
                "training.kubeflow.org/job-name": job,
                "training.kubeflow.org/replica-type": role,
                "training.kubeflow.org/replica-index": index.to_string(),
            },
        },
        "spec": { "nodeName": "node-1", "containers": [{ "name": "pytorch", "image": "i",
            "resources": { "requests": { "cpu": "500m", "memory": "1Gi", "nvidia.com/gpu": "1" } } }] },
        "status": status,
    })
}

pub fn runs() -> Value {
    let state = json!({ "running": { "startedAt": ago(11) } });
    json!({ "phase": "Running", "containerStatuses": [
        { "name": "pytorch", "image": "i", "imageID": "", "ready": true, "restartCount": 0, "state": state },
    ] })
}

fn waits(reason: &str, message: &str) -> Value {
    let state = json!({ "waiting": { "reason": reason, "message": message } });
    json!({ "phase": "Pending", "containerStatuses": [
        { "name": "pytorch", "image": "i", "imageID": "", "ready": false, "restartCount": 0, "state": state },
    ] })
}

pub fn event(
    name: &str,
    (kind, object): (&str, &str),
    reason: &str,
    message: &str,
    warning: bool,
    minutes: i64,
) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Event", "metadata": { "name": name, "namespace": "lab" },
        "type": if warning { "Warning" } else { "Normal" }, "reason": reason, "message": message,
        "involvedObject": { "kind": kind, "name": object, "namespace": "lab" }, "lastTimestamp": ago(minutes),
        "count": if warning { 4 } else { 1 },
    })
}

/// The losses of the walkthrough, a little apart for each rank.
pub fn losses(rank: usize) -> String {
    let walkthrough = [1.2745, 0.5743, 0.4351, 0.3698, 0.3216, 0.2951, 0.2750];
    let mut log = String::from("Downloading train-images-idx3-ubyte.gz\nProcessing...\nDone!\n");
    for (epoch, loss) in walkthrough.into_iter().enumerate() {
        let loss = loss * (1.0 + 0.03 * rank as f64);
        log.push_str(&format!("Rank  {rank} , epoch  {epoch} :  {loss}\n"));
    }
    log
}

pub fn fill(fake: &Fake) {
    for name in ["default", "kube-system", "lab", "secret"] {
        fake.put(json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } }));
    }
    for (name, cpu) in [("node-1", "8"), ("node-2", "16")] {
        fake.put(json!({
            "apiVersion": "v1", "kind": "Node", "metadata": { "name": name },
            "status": {
                "allocatable": { "cpu": cpu, "memory": "32Gi", "nvidia.com/gpu": "4" },
                "conditions": [{ "type": "Ready", "status": "True" }],
            },
        }));
    }
    fake.put(mnist());
    fake.put(tfjob("example-job", "lab", "Succeeded", "", 300));
    fake.put(tfjob(
        "too-large",
        "lab",
        "Failed",
        "worker-1 failed: OOMKilled, exit code 137",
        1500,
    ));
    fake.put(tfjob(
        "in-line",
        "lab",
        "Created",
        "worker-0 waits: 0/2 nodes are available: insufficient nvidia.com/gpu",
        2,
    ));
    fake.put(tfjob("hidden", "secret", "Running", "", 2));
    fake.put(json!({
        "apiVersion": "trainer.kubeflow.org/v1alpha1", "kind": "TrainJob",
        "metadata": { "name": "fine-tune", "namespace": "lab", "uid": "t1", "creationTimestamp": ago(40) },
        "spec": { "runtimeRef": { "name": "torch-distributed" }, "trainer": { "numNodes": 2 } },
        "status": {
            "jobsStatus": [{ "name": "node", "active": 2 }],
            "trainerStatus": { "progressPercentage": 62, "estimatedRemainingSeconds": 1500,
                "metrics": [{ "name": "loss", "value": "0.4312" }, { "name": "accuracy", "value": "0.91" }] },
        },
    }));
    fake.put(pod("distributed-mnist", "master", 0, runs()));
    fake.put(pod("distributed-mnist", "worker", 0, runs()));
    fake.put(pod("distributed-mnist", "worker", 1, runs()));
    let message = "Back-off pulling image \"gcr.io/kubeflow-ci/pytorch-dist-mnist_test:1.0\"";
    fake.put(pod(
        "distributed-mnist",
        "worker",
        2,
        waits("ImagePullBackOff", message),
    ));
    for (rank, name) in ["master-0", "worker-0", "worker-1"].into_iter().enumerate() {
        fake.log(&format!("distributed-mnist-{name}"), &losses(rank));
    }
    let job = ("PyTorchJob", "distributed-mnist");
    fake.put(event(
        "e1",
        job,
        "SuccessfulCreatePod",
        "Created 4 pods",
        false,
        12,
    ));
    fake.put(event(
        "e2",
        ("Pod", "distributed-mnist-worker-2"),
        "Failed",
        message,
        true,
        1,
    ));
    fake.put(event(
        "e3",
        ("Pod", "example-job-worker-0"),
        "Started",
        "Started container tensorflow",
        false,
        200,
    ));
}

/// What somebody who works in the namespace `lab` may.
/// Ends of logs of a worker that is gone, of a job of that kind.
pub fn kept(kind: &str) -> Value {
    let owner = json!([{
        "apiVersion": "kubeflow.org/v1", "kind": kind, "name": "distributed-mnist", "uid": "m1",
    }]);
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {
            "name": "distributed-mnist-logs", "namespace": "lab",
            "labels": { "carrel.dev/holds": "logs" }, "ownerReferences": owner,
        },
        "data": {
            "distributed-mnist-worker-7.20260131T120000Z": "the first <b>\n",
            "distributed-mnist-worker-7.20260131T130000Z": "the second\n",
        },
    })
}

pub fn allow(fake: &Fake, user: &str) {
    for verb in ["get", "list", "create", "update", "delete"] {
        for resource in ["tfjobs", "pytorchjobs", "trainjobs"] {
            fake.allow(user, verb, resource, "lab");
        }
    }
    for (verb, resource) in [
        ("get", "pods"),
        ("list", "pods"),
        ("get", "pods/log"),
        ("get", "configmaps"),
        ("list", "events"),
    ] {
        fake.allow(user, verb, resource, "lab");
    }
}
