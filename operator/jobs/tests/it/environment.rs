//! What processes find in their environment.

use carrel_jobs::environment::{is_for, variables};
use carrel_jobs::job::Job;
use carrel_jobs::kind::Role;
use serde_json::{Value, json};

use crate::harness::{EXAMPLE, PYTORCH_EXAMPLE, job, pytorch, tf, yaml};

fn of(job: &Job, role: Role, index: usize) -> Vec<(String, String)> {
    variables(job, job.replica(role).unwrap(), index, None)
}

fn tf_config(job: &Job, role: Role, index: usize) -> String {
    let variables = of(job, role, index);
    assert_eq!(variables.len(), 1);
    assert_eq!(variables[0].0, "TF_CONFIG");
    variables[0].1.clone()
}

/// One a line.
fn lines(job: &Job, role: Role, index: usize) -> String {
    let variables = of(job, role, index);
    let lines = variables
        .iter()
        .map(|(name, value)| format!("{name}={value}\n"));
    lines.collect()
}

#[test]
fn the_master_of_the_walkthrough_sees_what_its_log_shows() {
    let job = job(&yaml(EXAMPLE)).unwrap();
    assert_eq!(
        tf_config(&job, Role::Master, 0),
        r#"{"cluster":{"master":["example-job-master-0.default.svc.cluster.local:2222"],"ps":["example-job-ps-0.default.svc.cluster.local:2222","example-job-ps-1.default.svc.cluster.local:2222"],"worker":["example-job-worker-0.default.svc.cluster.local:2222"]},"task":{"type":"master","index":0}}"#
    );
    let every = json!({ "name": "other" });
    assert!(is_for(&job, &every), "TF_CONFIG goes into every container");
}

#[test]
fn hosts_of_tf_config_follow_the_version() {
    let roles = [("Worker", 1), ("PS", 1), ("Evaluator", 1)];
    let host = |version: &str, domain: Option<&str>| {
        let job = job(&tf(version, &roles)).unwrap();
        let replica = job.replica(Role::Ps).unwrap();
        let config: Value =
            serde_json::from_str(&variables(&job, replica, 0, domain)[0].1).unwrap();
        assert_eq!(
            config["environment"].as_str(),
            (version != "v1alpha2").then_some("cloud")
        );
        assert_eq!(config["cluster"].get("evaluator"), None);
        config["cluster"]["worker"][0].as_str().unwrap().to_owned()
    };
    assert_eq!(
        host("v1alpha2", None),
        "job-worker-0.default.svc.cluster.local:2222"
    );
    assert_eq!(host("v1beta1", None), "job-worker-0:2222");
    assert_eq!(host("v1beta2", None), "job-worker-0:2222");
    assert_eq!(host("v1", None), "job-worker-0.default.svc:2222");
    assert_eq!(
        host("v1", Some("mine.local")),
        "job-worker-0.default.svc.mine.local:2222"
    );
}

#[test]
fn the_port_is_that_of_the_container() {
    let mut object = tf("v1", &[("Worker", 1), ("PS", 1)]);
    object["spec"]["tfReplicaSpecs"]["PS"]["template"]["spec"]["containers"][0]["ports"] = json!([{ "name": "web", "containerPort": 80 }, { "name": "tfjob-port", "containerPort": 2223 }]);
    let job = job(&object).unwrap();
    let config = tf_config(&job, Role::Worker, 0);
    assert!(config.contains("job-ps-0.default.svc:2223"), "{config}");
}

#[test]
fn a_job_of_one_process_is_not_distributed() {
    let job = job(&tf("v1", &[("Worker", 1)])).unwrap();
    assert_eq!(of(&job, Role::Worker, 0), []);
}

#[test]
fn dynamic_workers_know_themselves_and_the_servers() {
    let mut object = tf("v1", &[("Worker", 3), ("PS", 2)]);
    object["spec"]["enableDynamicWorker"] = json!(true);
    let job = job(&object).unwrap();
    assert_eq!(
        tf_config(&job, Role::Worker, 2),
        r#"{"sparseCluster":{"worker":{"2":"job-worker-2.default.svc:2222"},"ps":["job-ps-0.default.svc:2222","job-ps-1.default.svc:2222"]},"task":{"type":"worker","index":2}}"#
    );
    let config: Value = serde_json::from_str(&tf_config(&job, Role::Ps, 1)).unwrap();
    assert_eq!(
        config["sparseCluster"]["ps"],
        json!(["job-ps-1.default.svc:2222"])
    );
}

#[test]
fn ranks_of_the_walkthrough_find_their_master() {
    let job = job(&yaml(PYTORCH_EXAMPLE)).unwrap();
    let id = &job.runtime_id;
    assert_eq!(id.len(), 4);
    let of_master = lines(&job, Role::Master, 0);
    let (config, rest) = of_master.split_once('\n').unwrap();
    assert!(
        config.starts_with("TF_CONFIG={\"cluster\":{\"master\":["),
        "{config}"
    );
    assert_eq!(
        rest,
        "MASTER_PORT=23456\nMASTER_ADDR=localhost\nWORLD_SIZE=4\nRANK=0\nPYTHONUNBUFFERED=0\n"
    );
    let of_worker = lines(&job, Role::Worker, 2);
    let rest = of_worker.split_once('\n').unwrap().1;
    assert_eq!(
        rest,
        format!(
            "MASTER_PORT=23456\nMASTER_ADDR=distributed-mnist-master-{id}-0\nWORLD_SIZE=4\nRANK=3\nPYTHONUNBUFFERED=0\n"
        )
    );
    assert!(!is_for(&job, &json!({ "name": "sidecar" })));
}

#[test]
fn ranks_of_v1_have_the_variables_of_torchrun_too() {
    let mut object = pytorch("v1", &[("Master", 1), ("Worker", 2)]);
    object["spec"]["nprocPerNode"] = json!("2");
    let job = job(&object).unwrap();
    assert_eq!(
        lines(&job, Role::Worker, 1),
        "PYTHONUNBUFFERED=1\nMASTER_ADDR=job-master-0\nMASTER_PORT=23456\nPET_MASTER_ADDR=job-master-0\n\
         PET_MASTER_PORT=23456\nWORLD_SIZE=6\nRANK=2\nPET_NODE_RANK=2\nPET_NPROC_PER_NODE=2\nPET_NNODES=3\n"
    );
    assert!(lines(&job, Role::Master, 0).contains("MASTER_ADDR=job-master-0\n"));
}

#[test]
fn elastic_workers_meet_at_the_first() {
    let mut object = pytorch("v1", &[("Worker", 2)]);
    object["spec"]["elasticPolicy"] = json!({
        "minReplicas": 1,
        "maxReplicas": 3,
        "rdzvBackend": "c10d",
        "rdzvConf": [{ "key": "timeout", "value": "60" }],
        "maxRestarts": 10,
        "nProcPerNode": 4,
    });
    let job = job(&object).unwrap();
    assert_eq!(
        lines(&job, Role::Worker, 1),
        "PYTHONUNBUFFERED=1\nPET_NPROC_PER_NODE=4\nPET_NNODES=1:3\n\
         PET_RDZV_BACKEND=c10d\nPET_RDZV_ENDPOINT=job-worker-0:29400\nPET_RDZV_ID=job\nPET_RDZV_CONF=timeout=60\n\
         PET_MAX_RESTARTS=10\n"
    );
}

/// A script that finds ranks looks for a master too; training-operator 1.9 sets none.
#[test]
fn workers_without_a_master_have_no_ranks() {
    let job = job(&pytorch("v1", &[("Worker", 2)])).unwrap();
    assert_eq!(
        lines(&job, Role::Worker, 1),
        "PYTHONUNBUFFERED=1\nPET_NPROC_PER_NODE=auto\nPET_NNODES=2\n"
    );
}

/// Alone, they meet nowhere; torchrun reads a number.
#[test]
fn a_standalone_job_says_so() {
    let mut object = pytorch("v1", &[("Worker", 1)]);
    object["spec"]["elasticPolicy"] = json!({ "standalone": true, "rdzvId": "mine" });
    let job = job(&object).unwrap();
    let lines = lines(&job, Role::Worker, 0);
    assert!(
        lines.contains("PET_STANDALONE=1\nPET_RDZV_ID=mine\n"),
        "{lines}"
    );
    assert!(!lines.contains("PET_RDZV_ENDPOINT"), "{lines}");
}
