//! Pods and services, whole.

use carrel_jobs::kind::Role;
use carrel_operator::objects::{pod, service};
use serde_json::{Value, json};

use crate::world::{EXAMPLE, PYTORCH_EXAMPLE, World, job};

fn of(world: &World, role: Role, index: usize) -> (Value, Value) {
    let job = world.job();
    let replica = job.replica(role).unwrap();
    (
        pod(&job, replica, index, None),
        service(&job, replica, index),
    )
}

#[test]
fn a_pod_of_the_walkthrough_is_its_template_with_its_place() {
    let (pod, service) = of(&World::of_yaml(EXAMPLE), Role::Ps, 1);
    let labels = json!({
        "group_name": "kubeflow.org",
        "tf-replica-index": "1",
        "tf-replica-type": "ps",
        "tf_job_name": "example-job",
        "training.kubeflow.org/job-name": "example-job",
        "training.kubeflow.org/operator-name": "tfjob-controller",
        "training.kubeflow.org/replica-index": "1",
        "training.kubeflow.org/replica-type": "ps",
    });
    let owner = json!([{
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "name": "example-job",
        "uid": "u",
        "controller": true,
        "blockOwnerDeletion": true,
    }]);
    let config = pod["spec"]["containers"][0]["env"][0]["value"].clone();
    assert!(
        config
            .as_str()
            .unwrap()
            .starts_with("{\"cluster\":{\"master\":[")
    );
    assert_eq!(
        pod,
        json!({
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "example-job-ps-1",
                "namespace": "default",
                "labels": labels,
                "ownerReferences": owner,
            },
            "spec": {
                "restartPolicy": "Never",
                "containers": [{
                    "name": "tensorflow",
                    "image": "gcr.io/tf-on-k8s-dogfood/tf_sample:dc944ff",
                    "env": [{ "name": "TF_CONFIG", "value": config }],
                    "ports": [{ "name": "tfjob-port", "containerPort": 2222, "protocol": "TCP" }],
                }],
            },
        })
    );
    assert_eq!(
        service,
        json!({
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": {
                "name": "example-job-ps-1",
                "namespace": "default",
                "labels": labels,
                "ownerReferences": owner,
            },
            "spec": {
                "clusterIP": "None",
                "publishNotReadyAddresses": true,
                "ports": [{ "name": "tfjob-port", "port": 2222 }],
                "selector": {
                    "training.kubeflow.org/job-name": "example-job",
                    "training.kubeflow.org/operator-name": "tfjob-controller",
                    "training.kubeflow.org/replica-index": "1",
                    "training.kubeflow.org/replica-type": "ps",
                },
            },
        })
    );
}

/// Workers wait for their master by themselves.
#[test]
fn there_are_no_init_containers() {
    let (pod, service) = of(&World::of_yaml(PYTORCH_EXAMPLE), Role::Worker, 0);
    assert_eq!(pod["spec"]["initContainers"], Value::Null);
    assert_eq!(pod["spec"]["restartPolicy"], "OnFailure");
    assert_eq!(
        service["spec"]["clusterIP"],
        Value::Null,
        "it is not headless"
    );
    assert_eq!(
        service["spec"]["ports"],
        json!([{ "name": "tf-port", "port": 23456 }])
    );
}

#[test]
fn what_the_template_says_stays() {
    let mut object = job("TFJob", "v1", &[("Worker", 1), ("PS", 1)], Some("ExitCode"));
    object["spec"]["tfReplicaSpecs"]["Worker"]["template"] = json!({
        "metadata": {
            "name": "not mine",
            "generateName": "not mine either",
            "labels": { "mine": "yes", "training.kubeflow.org/job-name": "forged" },
            "annotations": { "a": "b" },
        },
        "spec": {
            "fieldOfTomorrow": [1, 2],
            "containers": [
                { "name": "sidecar", "image": "s" },
                {
                    "name": "tensorflow",
                    "image": "i",
                    "env": [{ "name": "TF_CONFIG", "value": "mine" }, { "name": "A", "value": "B" }],
                    "ports": [{ "name": "tfjob-port", "containerPort": 1234 }],
                },
            ],
        },
    });
    let (pod, service) = of(&World::new(object), Role::Worker, 0);
    assert_eq!(pod["metadata"]["name"], "job-worker-0");
    assert_eq!(pod["metadata"].get("generateName"), None);
    assert_eq!(pod["metadata"]["annotations"], json!({ "a": "b" }));
    assert_eq!(pod["metadata"]["labels"]["mine"], "yes");
    assert_eq!(
        pod["metadata"]["labels"]["training.kubeflow.org/job-name"],
        "job"
    );
    assert_eq!(pod["spec"]["fieldOfTomorrow"], json!([1, 2]));
    assert_eq!(pod["spec"]["restartPolicy"], "Never");
    assert_eq!(pod["spec"]["containers"][0].get("env"), None);
    let main = &pod["spec"]["containers"][1];
    assert_eq!(main["env"].as_array().unwrap().len(), 2);
    assert_ne!(main["env"][0]["value"], "mine");
    assert_eq!(main["ports"].as_array().unwrap().len(), 1);
    assert_eq!(service["spec"]["ports"][0]["port"], 1234);
}

/// The scheduler of v1alpha1 is that of every pod; the port that others find is on each.
#[test]
fn pods_of_a_pytorchjob_have_its_port_and_scheduler() {
    let mut object: Value = serde_saphyr::from_str(PYTORCH_EXAMPLE).unwrap();
    object["spec"]["schedulerName"] = json!("mine");
    let (pod, _) = of(&World::new(object), Role::Worker, 2);
    assert_eq!(pod["spec"]["schedulerName"], "mine");
    let mut object = job("PyTorchJob", "v1", &[("Master", 1), ("Worker", 1)], None);
    let template = &mut object["spec"]["pytorchReplicaSpecs"]["Worker"]["template"];
    template["spec"]["schedulerName"] = json!("theirs");
    let world = World::new(object);
    let (pod, _) = of(&world, Role::Worker, 0);
    assert_eq!(pod["spec"]["schedulerName"], "theirs");
    let port = json!([{ "name": "pytorchjob-port", "containerPort": 23456, "protocol": "TCP" }]);
    assert_eq!(pod["spec"]["containers"][0]["ports"], port);
    assert_eq!(pod["spec"]["restartPolicy"], "OnFailure");
    let (pod, _) = of(&world, Role::Master, 0);
    assert_eq!(
        pod["metadata"]["labels"],
        json!({
            "training.kubeflow.org/job-name": "job",
            "training.kubeflow.org/job-role": "master",
            "training.kubeflow.org/operator-name": "pytorchjob-controller",
            "training.kubeflow.org/replica-index": "0",
            "training.kubeflow.org/replica-type": "master",
        })
    );
}
