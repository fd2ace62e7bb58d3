//! Names and labels of pods and services.

use carrel_jobs::job::Job;
use carrel_jobs::kind::Role;
use carrel_jobs::names::{labels, pod, service};

use crate::harness::{EXAMPLE, PYTORCH_EXAMPLE, job, pytorch, tf, yaml};

/// `name=value`, one a line.
fn lines(job: &Job, role: Role, index: usize) -> String {
    let labels = labels(job, job.replica(role).unwrap(), index);
    let lines = labels
        .iter()
        .map(|(name, value)| format!("{name}={value}\n"));
    lines.collect()
}

#[test]
fn pods_of_a_tfjob_are_named_as_their_services() {
    let job = job(&yaml(EXAMPLE)).unwrap();
    assert_eq!(pod(&job, Role::Master, 0), "example-job-master-0");
    assert_eq!(pod(&job, Role::Ps, 1), "example-job-ps-1");
    assert_eq!(service(&job, Role::Worker, 0), "example-job-worker-0");
    assert_eq!(
        lines(&job, Role::Ps, 1),
        "group_name=kubeflow.org\ntf-replica-index=1\ntf-replica-type=ps\ntf_job_name=example-job\n\
         training.kubeflow.org/job-name=example-job\ntraining.kubeflow.org/operator-name=tfjob-controller\n\
         training.kubeflow.org/replica-index=1\ntraining.kubeflow.org/replica-type=ps\n"
    );
}

#[test]
fn the_sdk_finds_the_master_of_v1() {
    let master = |object| {
        let job = job(&object).unwrap();
        let mut masters = Vec::new();
        for replica in &job.replicas {
            for index in 0..replica.count {
                let labels = labels(&job, replica, index);
                if labels
                    .get("training.kubeflow.org/job-role")
                    .is_some_and(|role| role == "master")
                {
                    masters.push(pod(&job, replica.role, index));
                }
            }
        }
        masters
    };
    assert_eq!(
        master(tf("v1", &[("Chief", 1), ("Worker", 2)])),
        ["job-chief-0"]
    );
    assert_eq!(
        master(tf("v1", &[("Worker", 2), ("PS", 1)])),
        ["job-worker-0"]
    );
    assert_eq!(
        master(pytorch("v1", &[("Master", 1), ("Worker", 2)])),
        ["job-master-0"]
    );
}

/// `kubectl get pods -l pytorch_job_name=distributed-mnist,task_index=0` finds the master alone.
#[test]
fn the_task_index_of_v1alpha1_is_the_rank() {
    let job = job(&yaml(PYTORCH_EXAMPLE)).unwrap();
    let id = &job.runtime_id;
    let labels = lines(&job, Role::Worker, 0);
    for label in [
        "pytorch_job_name=distributed-mnist\n",
        "task_index=1\n",
        "job_type=WORKER\n",
        "kubeflow.org=\n",
        &format!("runtime_id={id}\n"),
    ] {
        assert!(labels.contains(label), "{labels}");
    }
    assert!(lines(&job, Role::Master, 0).contains("task_index=0\n"));
    assert_eq!(
        service(&job, Role::Worker, 1),
        format!("distributed-mnist-worker-{id}-1")
    );
    let pod = pod(&job, Role::Worker, 1);
    let suffix = pod.strip_prefix(&format!("distributed-mnist-worker-{id}-1-"));
    assert_eq!(suffix.unwrap().len(), 5);
}

#[test]
fn long_names_of_v1alpha1_are_cut() {
    let mut object = yaml(PYTORCH_EXAMPLE);
    object["metadata"]["name"] = "a".repeat(45).into();
    let job = job(&object).unwrap();
    assert!(service(&job, Role::Master, 0).starts_with(&format!("{}-master-", "a".repeat(40))));
}
