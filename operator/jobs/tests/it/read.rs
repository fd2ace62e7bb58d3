//! Defaults and mistakes.

use carrel_jobs::kind::{Role, Version};
use carrel_jobs::spec::{CleanPodPolicy, RestartPolicy};
use carrel_jobs::status::JobStatus;
use serde_json::{Value, json};

use crate::harness::{EXAMPLE, PYTORCH_EXAMPLE, job, mistakes, pytorch, replica, tf, yaml};

#[test]
fn defaults_are_those_of_the_version() {
    let of = |object: Value| {
        let job = job(&object).unwrap();
        (job.clean, job.replicas[0].restart, job.all_workers)
    };
    let worker = [("Worker", 1)];
    let running = (CleanPodPolicy::Running, RestartPolicy::Never, true);
    assert_eq!(of(tf("v1alpha2", &worker)), running);
    assert_eq!(of(tf("v1beta1", &worker)), running);
    let none = (CleanPodPolicy::None, RestartPolicy::Never, false);
    assert_eq!(of(tf("v1", &worker)), none);
    let torch = (CleanPodPolicy::None, RestartPolicy::OnFailure, false);
    assert_eq!(of(pytorch("v1", &[("Master", 1)])), torch);
    assert_eq!(of(pytorch("v1beta2", &[("Master", 1)])), torch);
    assert_eq!(of(yaml(PYTORCH_EXAMPLE)), torch);
}

#[test]
fn replicas_are_one_unless_given_and_roles_in_any_case() {
    let mut object = tf("v1alpha2", &[]);
    let mut one = replica("tensorflow", 1);
    one.as_object_mut().unwrap().remove("replicas");
    object["spec"]["tfReplicaSpecs"] = json!({ "wOrKeR": one.clone(), "ps": one });
    let job = job(&object).unwrap();
    assert_eq!(job.replica(Role::Worker).unwrap().count, 1);
    assert_eq!(job.size(), 2);
}

#[test]
fn a_master_is_a_chief() {
    let job = job(&yaml(EXAMPLE)).unwrap();
    assert_eq!(job.leader().unwrap().role, Role::Master);
    assert_eq!(job.origin, Version::V1Alpha2);
}

/// As jobs of the first v1 have it, beside the run policy.
#[test]
fn the_run_policy_may_stand_at_the_top_of_v1() {
    let mut object = tf("v1", &[("Worker", 1)]);
    object["spec"]["cleanPodPolicy"] = json!("All");
    object["spec"]["runPolicy"] = json!({ "backoffLimit": 2, "suspend": true });
    let job = job(&object).unwrap();
    assert_eq!(job.clean, CleanPodPolicy::All);
    assert_eq!((job.backoff_limit, job.suspend), (Some(2), true));
}

#[test]
fn jobs_of_another_manager_are_foreign() {
    let mut object = tf("v1", &[("Worker", 1)]);
    object["spec"]["runPolicy"] = json!({ "managedBy": "kueue.x-k8s.io/multikueue" });
    assert!(job(&object).unwrap().is_foreign);
    object["spec"]["runPolicy"] = json!({ "managedBy": "kubeflow.org/training-operator" });
    assert!(!job(&object).unwrap().is_foreign);
}

/// `backend` and the spec's `masterPort` were ignored; who relies on them is told.
#[test]
fn the_walkthrough_s_master_port_may_be_text_and_is_only_looked_at() {
    assert_eq!(job(&yaml(PYTORCH_EXAMPLE)).unwrap().warnings, [""; 0]);
    let mut object = yaml(PYTORCH_EXAMPLE);
    object["spec"]["masterPort"] = json!(4444);
    let job_of = job(&object).unwrap();
    assert_eq!(
        job_of.warnings,
        ["spec.masterPort: 4444 is without effect, the master listens at 23456"]
    );
    object["spec"]["replicaSpecs"][0]["masterPort"] = json!("4444");
    let job_of = job(&object).unwrap();
    assert!(job_of.warnings.is_empty());
    assert_eq!(job_of.leader().unwrap().port, 4444);
}

#[test]
fn the_restart_policy_of_v1alpha1_is_the_template_s() {
    let mut object = yaml(PYTORCH_EXAMPLE);
    object["spec"]["replicaSpecs"][1]["template"]["spec"]["restartPolicy"] = json!("Never");
    let job = job(&object).unwrap();
    let restart = |role| job.replica(role).unwrap().restart;
    assert_eq!(restart(Role::Master), RestartPolicy::OnFailure);
    assert_eq!(restart(Role::Worker), RestartPolicy::Never);
}

#[test]
fn mistakes_are_named_with_their_place() {
    let check = |object: &Value, said: &str| assert_eq!(mistakes(object), said);

    let mut object = tf("v1alpha2", &[("Worker", 1)]);
    object["spec"]["tfReplicaSpecs"]["Worker"] = replica("main", 1);
    check(
        &object,
        "spec.tfReplicaSpecs.Worker.template: there is no container named tensorflow",
    );
    object["spec"]["tfReplicaSpecs"]["Worker"]["template"] = json!({});
    check(
        &object,
        "spec.tfReplicaSpecs.Worker.template: there are no containers",
    );
    check(
        &tf("v1", &[("Worker", -1)]),
        "spec.tfReplicaSpecs.Worker.replicas: -1 is less than 0",
    );
    check(
        &tf("v1", &[("Boss", 1)]),
        "spec.tfReplicaSpecs.Boss: there is no such type of replica; there are Chief, Master, PS, Worker, Evaluator",
    );
    check(
        &tf("v1", &[("Chief", 2)]),
        "spec.tfReplicaSpecs.Chief.replicas: there must be 1 Chief, not 2",
    );
    check(
        &tf("v1", &[("Chief", 1), ("Master", 1)]),
        "spec.tfReplicaSpecs: Chief and Master are the same, give one of them",
    );
    check(
        &tf("v1", &[("Worker", 1), ("worker", 1)]),
        "spec.tfReplicaSpecs.worker: Worker is there twice",
    );
    check(&tf("v1", &[]), "spec.tfReplicaSpecs: there are no replicas");
    assert!(job(&tf("v1", &[("Worker", 4999), ("PS", 1)])).is_ok());
    check(
        &tf("v1", &[("Worker", 5000), ("PS", 1)]),
        "spec.tfReplicaSpecs: 5001 replicas are too many, a job may have 5000",
    );
    let many = mistakes(&tf("v1", &[("Worker", i32::MAX)]));
    assert!(many.contains("2147483647 replicas are too many"), "{many}");
    check(
        &pytorch("v1beta2", &[("Worker", 1)]),
        "spec.pytorchReplicaSpecs: there is no Master",
    );
    check(
        &pytorch("v1", &[("Worker", 0)]),
        "spec.pytorchReplicaSpecs: all replicas are 0",
    );
    // As training-operator 1.9 takes them.
    assert!(job(&pytorch("v1", &[("Worker", 1)])).is_ok());
    assert!(job(&tf("v1", &[("Worker", 0)])).is_ok());
}

#[test]
fn mistakes_of_v1alpha1_are_named() {
    let check = |change: &dyn Fn(&mut Value), said: &str| {
        let mut object = yaml(PYTORCH_EXAMPLE);
        change(&mut object["spec"]["replicaSpecs"]);
        let found = mistakes(&object);
        assert!(found.contains(said), "{found}");
    };
    check(
        &|specs| specs[1]["replicaType"] = json!("MASTER"),
        "spec.replicaSpecs: MASTER is there twice",
    );
    check(
        &|specs| specs[0]["replicas"] = json!(2),
        "there must be 1 Master, not 2",
    );
    check(
        &|specs| specs[0]["replicaType"] = json!("BOSS"),
        "there is no replicaType BOSS; there are MASTER and WORKER",
    );
    check(
        &|specs| specs[0]["masterPort"] = json!("many"),
        "masterPort \"many\" is no port",
    );
    check(
        &|specs| specs[0]["template"]["spec"]["containers"][0]["name"] = json!("main"),
        "there is no container named pytorch",
    );
}

#[test]
fn names_that_no_service_can_have_are_refused() {
    let mut object = tf("v1", &[("Worker", 11)]);
    object["metadata"]["name"] = "a".repeat(53).into();
    assert!(job(&object).is_ok());
    object["metadata"]["name"] = "a".repeat(54).into();
    assert!(mistakes(&object).contains("it is 1 characters too long"));
    object["metadata"]["name"] = json!("1st");
    assert!(mistakes(&object).contains("must begin with a lower case letter"));
}

/// What is of the wrong type: the API server refuses it, but older objects may have it.
#[test]
fn wrong_types_are_named_with_their_place() {
    let mut object = tf("v1", &[("Worker", 1)]);
    object["spec"]["tfReplicaSpecs"]["Worker"]["restartPolicy"] = json!("Sometimes");
    let said = mistakes(&object);
    assert!(
        said.starts_with("spec.tfReplicaSpecs.Worker.restartPolicy: unknown variant `Sometimes`"),
        "{said}"
    );
}

#[test]
fn what_has_no_effect_is_said() {
    let mut object = yaml(PYTORCH_EXAMPLE);
    object["spec"]["backend"] = json!("nccl");
    assert_eq!(
        job(&object).unwrap().warnings,
        ["spec.backend: nccl is without effect, the container chooses its backend"]
    );
    let mut object = pytorch("v1", &[("Worker", 2)]);
    object["spec"]["elasticPolicy"] = json!({ "metrics": [{ "type": "Resource" }] });
    assert_eq!(
        job(&object).unwrap().warnings,
        [
            "spec.elasticPolicy.metrics: they are without effect, this operator makes no HorizontalPodAutoscalers"
        ]
    );
}

#[test]
fn v1alpha1_has_a_master_unless_it_says_otherwise() {
    let mut object = yaml(PYTORCH_EXAMPLE);
    let first = object["spec"]["replicaSpecs"][0].as_object_mut().unwrap();
    first.remove("replicaType");
    assert_eq!(job(&object).unwrap().leader().unwrap().role, Role::Master);
    let mut wrong = object.clone();
    wrong["spec"]["terminationPolicy"] = json!({ "master": { "replicaRank": 1 } });
    let said = "spec.terminationPolicy.master: only replicaName MASTER with replicaRank 0 is known";
    assert_eq!(mistakes(&wrong), said);
    object["spec"]["terminationPolicy"] = json!({ "master": { "replicaName": "MASTER" } });
    assert!(job(&object).is_ok());
}

#[test]
fn processes_of_a_node_are_a_number_or_a_word() {
    let of = |given: Value| {
        let mut object = pytorch("v1", &[("Master", 1)]);
        object["spec"]["nprocPerNode"] = given;
        job(&object).map(|job| job.torch.processes)
    };
    for word in ["auto", "cpu", "gpu", "3"] {
        assert_eq!(of(json!(word)).unwrap(), word);
    }
    assert_eq!(of(json!(2)).unwrap(), "2");
    assert_eq!(of(Value::Null).unwrap(), "auto");
    for nonsense in [json!("many"), json!(0), json!("-1")] {
        let said = of(nonsense).unwrap_err().to_string();
        assert!(said.starts_with("spec.nprocPerNode: "), "{said}");
    }
}

/// Go programs write null for nothing. What nobody knows is not taken for nothing: the job may be over.
#[test]
fn statuses_of_others_are_read_or_refused() {
    let read = |status: Value| JobStatus::read(Some(&status));
    assert_eq!(JobStatus::read(None).unwrap(), JobStatus::default());
    let nulls = json!({ "conditions": null, "replicaStatuses": null, "startTime": null });
    assert_eq!(read(nulls).unwrap(), JobStatus::default());
    let condition = |kind: &str| json!({ "conditions": [{ "type": kind, "status": "True" }] });
    assert!(read(condition("Succeeded")).unwrap().is_over());
    assert!(read(condition("Finished")).is_err());
    let mut both = condition("Succeeded");
    let other = json!({ "type": "QuotaReserved", "status": "True" });
    both["conditions"].as_array_mut().unwrap().push(other);
    assert_eq!(read(both).unwrap().conditions.len(), 1);
    assert!(read(json!({ "startTime": "soon" })).is_err());
}
