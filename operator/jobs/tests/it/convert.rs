//! From one version to another and back.

use carrel_jobs::convert::convert;
use carrel_jobs::kind::Kind;
use carrel_jobs::original::ANNOTATION;
use serde_json::{Value, json};

use crate::harness::{EXAMPLE, PYTORCH_EXAMPLE, pytorch, tf, yaml};

fn versions(kind: &str) -> Vec<String> {
    let kind = Kind::from_name(kind).unwrap();
    let versions = kind.versions().iter();
    versions.map(|version| version.api_version()).collect()
}

/// Through every other version and back there is no difference, whatever the way.
fn survives(object: &Value) {
    let home = object["apiVersion"].as_str().unwrap();
    for first in versions(object["kind"].as_str().unwrap()) {
        let there = convert(object, &first).unwrap();
        assert_eq!(there["apiVersion"], first);
        assert_eq!(&convert(&there, home).unwrap(), object, "by {first}");
        for second in versions(object["kind"].as_str().unwrap()) {
            let further = convert(&there, &second).unwrap();
            assert_eq!(
                &convert(&further, home).unwrap(),
                object,
                "by {first} and {second}"
            );
        }
    }
}

#[test]
fn the_walkthrough_s_jobs_survive_every_version() {
    survives(&yaml(EXAMPLE));
    survives(&yaml(PYTORCH_EXAMPLE));
}

#[test]
fn every_field_survives_every_version() {
    let mut job = tf("v1", &[("chief", 1), ("Worker", 2), ("PS", 1)]);
    job["metadata"]["annotations"] = json!({ "mine": "yes" });
    job["spec"]["runPolicy"] = json!({
        "cleanPodPolicy": "All",
        "ttlSecondsAfterFinished": 5,
        "suspend": true,
        "schedulingPolicy": { "minAvailable": 2, "minResources": { "cpu": 1 } },
        "managedBy": "kueue.x-k8s.io/multikueue",
    });
    job["spec"]["successPolicy"] = json!("AllWorkers");
    job["spec"]["enableDynamicWorker"] = json!(true);
    job["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]["newField"] = json!({ "a": [1] });
    job["status"] = json!({
        "state": "Running",
        "conditions": [{ "type": "Running", "status": "True", "reason": "TFJobRunning" }],
        "replicaStatuses": { "Worker": { "active": 2, "selector": "a=b" } },
        "startTime": "2026-01-01T00:00:00Z",
    });
    survives(&job);

    let mut job = pytorch("v1", &[("Master", 1), ("worker", 2)]);
    job["spec"]["nprocPerNode"] = json!("2");
    job["spec"]["runPolicy"] = json!({ "backoffLimit": 3 });
    job["spec"]["elasticPolicy"] = json!({ "minReplicas": 1, "rdzvConf": [{ "key": "a" }] });
    job["spec"]["pytorchReplicaSpecs"]["worker"]["restartPolicy"] = json!("ExitCode");
    job["status"] = json!({
        "state": "Restarting",
        "conditions": [
            { "type": "Created", "status": "True" },
            { "type": "Restarting", "status": "True" },
        ],
        "replicaStatuses": { "Worker": { "failed": 1, "active": 1 }, "Master": { "active": 1 } },
        "restarts": { "worker-0": { "count": 1, "lastPod": "x" } },
    });
    survives(&job);

    let job = json!({
        "apiVersion": "kubeflow.org/v1alpha1",
        "kind": "PyTorchJob",
        "metadata": { "name": "job" },
        "spec": {
            "RuntimeId": "abcd",
            "schedulerName": "mine",
            "pytorchImage": "old",
            "terminationPolicy": { "master": { "replicaName": "MASTER", "replicaRank": 0 } },
            "masterPort": 1,
            "replicaSpecs": [
                { "replicaType": "worker", "replicas": 2, "template": {} },
                { "masterPort": 4444, "template": { "spec": {} } },
                { "replicaType": "WORKER", "replicas": 7 },
                { "replicaType": "NONSENSE" },
            ],
        },
        "status": { "phase": "Done", "state": "Succeeded", "reason": "", "replicaStatuses": [] },
    });
    survives(&job);
}

#[test]
fn empty_and_strange_specs_survive_every_version() {
    for spec in [
        json!({}),
        json!({ "cleanPodPolicy": "None", "backoffLimit": 2, "tfReplicaSpecs": {} }),
    ] {
        let mut job = tf("v1beta1", &[]);
        job["spec"] = spec;
        survives(&job);
    }
    for spec in [
        json!({ "runPolicy": {} }),
        json!({ "runPolicy": { "cleanPodPolicy": "None" }, "cleanPodPolicy": "All" }),
        json!({ "runPolicy": {}, "cleanPodPolicy": "None", "tfReplicaSpecs": {} }),
        json!({ "runPolicy": null }),
    ] {
        let mut job = tf("v1", &[]);
        job["spec"] = spec;
        survives(&job);
    }
    for spec in [
        json!({}),
        json!({ "replicaSpecs": [] }),
        json!({ "replicaSpecs": null }),
    ] {
        let mut job = yaml(PYTORCH_EXAMPLE);
        job["spec"] = spec;
        survives(&job);
    }
}

/// What the betas had at the top is the run policy of v1.
#[test]
fn the_betas_have_the_run_policy_at_the_top() {
    for version in ["v1beta1", "v1beta2"] {
        let mut job = tf(version, &[("Worker", 1)]);
        job["spec"]["cleanPodPolicy"] = json!("All");
        job["spec"]["backoffLimit"] = json!(4);
        let v1 = convert(&job, "kubeflow.org/v1").unwrap();
        let policy = json!({ "cleanPodPolicy": "All", "backoffLimit": 4 });
        assert_eq!(v1["spec"]["runPolicy"], policy);
        assert_eq!(v1["spec"]["cleanPodPolicy"], Value::Null);
        let alpha = convert(&v1, "kubeflow.org/v1alpha2").unwrap();
        assert_eq!(alpha["spec"]["cleanPodPolicy"], "All");
        assert_eq!(alpha["spec"]["backoffLimit"], Value::Null);
    }
}

/// A change in one version is one in every other, also where the shapes differ.
#[test]
fn a_change_in_the_newer_shape_reaches_the_older() {
    let mut v1 = convert(&yaml(PYTORCH_EXAMPLE), "kubeflow.org/v1").unwrap();
    v1["spec"]["pytorchReplicaSpecs"]["Worker"]["replicas"] = json!(5);
    let alpha = convert(&v1, "kubeflow.org/v1alpha1").unwrap();
    assert_eq!(alpha["spec"]["replicaSpecs"][1]["replicas"], 5);
    assert_eq!(alpha["spec"]["backend"], "tcp");
    assert_eq!(alpha["spec"]["masterPort"], "23456");
    assert_eq!(alpha["metadata"].get("annotations"), None);

    let specs = &mut v1["spec"]["pytorchReplicaSpecs"];
    specs.as_object_mut().unwrap().remove("Worker");
    let alpha = convert(&v1, "kubeflow.org/v1alpha1").unwrap();
    assert_eq!(alpha["spec"]["replicaSpecs"].as_array().unwrap().len(), 1);
}

/// By the schema's default; the Python SDK refuses jobs without it, and all that are listed with one.
#[test]
fn jobs_of_v1_always_have_a_run_policy() {
    for text in [EXAMPLE, PYTORCH_EXAMPLE] {
        let v1 = convert(&yaml(text), "kubeflow.org/v1").unwrap();
        assert_eq!(v1["spec"]["runPolicy"], json!({}));
    }
}

#[test]
fn a_job_says_in_which_version_it_was_made() {
    let v1 = convert(&yaml(EXAMPLE), "kubeflow.org/v1").unwrap();
    let original = v1["metadata"]["annotations"][ANNOTATION].as_str().unwrap();
    assert_eq!(original, r#"{"version":"v1alpha2"}"#);
    // Written back in another version, it still was made in the first.
    let beta = convert(&v1, "kubeflow.org/v1beta1").unwrap();
    let v1 = convert(&beta, "kubeflow.org/v1").unwrap();
    assert_eq!(
        v1["metadata"]["annotations"][ANNOTATION].as_str(),
        Some(original)
    );
}

/// What the operator says in v1 is what v1alpha1 called it.
#[test]
fn the_state_of_v1alpha1_follows_from_the_conditions() {
    let cases = [
        (json!([]), "Unknown", ""),
        (json!(["Created"]), "Unknown", "Creating"),
        (json!(["Created", "Running"]), "Running", "Creating"),
        (json!(["Created", "Succeeded"]), "Succeeded", "Done"),
        (json!(["Created", "Failed"]), "Failed", "Failed"),
    ];
    for (conditions, state, phase) in cases {
        let mut v1 = convert(&yaml(PYTORCH_EXAMPLE), "kubeflow.org/v1").unwrap();
        let conditions: Vec<_> = conditions.as_array().unwrap().iter().collect();
        let conditions: Vec<_> = conditions
            .iter()
            .map(|kind| json!({ "type": kind, "status": "True" }))
            .collect();
        v1["status"] = json!({
            "conditions": conditions,
            "replicaStatuses": { "Worker": { "active": 3 } },
        });
        let status = &convert(&v1, "kubeflow.org/v1alpha1").unwrap()["status"];
        assert_eq!(
            (&status["state"], &status["phase"]),
            (&json!(state), &json!(phase))
        );
        let workers = json!([{
            "replica_type": "WORKER",
            "state": "Running",
            "ReplicasStates": { "Running": 3 },
        }]);
        assert_eq!(status["replicaStatuses"], workers);
    }
}

#[test]
fn what_is_none_of_ours_is_refused() {
    let mut job = tf("v1", &[]);
    let said = |job: &Value, to: &str| convert(job, to).unwrap_err().to_string();
    assert_eq!(
        said(&job, "kubeflow.org/v1alpha1"),
        "TFJob has no version \"kubeflow.org/v1alpha1\""
    );
    assert_eq!(said(&job, "batch/v1"), "TFJob has no version \"batch/v1\"");
    job["kind"] = json!("Pod");
    assert_eq!(
        said(&job, "kubeflow.org/v1"),
        "\"Pod\" is no kind of this operator"
    );
    assert_eq!(said(&json!({}), "v1"), "the object has no kind");
}
