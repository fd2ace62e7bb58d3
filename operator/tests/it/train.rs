//! What is done about TrainJobs, whose nodes begin and end together.

use carrel_jobs::kind::Role;
use carrel_jobs::status::ConditionType;
use carrel_jobs::trainjob::status::{read, shown};
use carrel_operator::objects::{pod, service};
use carrel_operator::plan::waits;
use carrel_operator::runtimes;
use carrel_operator::seen::Phase;
use serde_json::{Value, json};

use crate::reconcile::Site;
use crate::world::World;

/// A runtime for two nodes with a policy of restarts.
pub fn runtime(max_restarts: i32) -> Value {
    json!({
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
                        "containers": [{ "name": "node", "image": "i" }],
                    } } },
                },
            }],
        } },
    })
}

pub fn job() -> Value {
    json!({
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": { "name": "job" },
        "spec": { "runtimeRef": { "name": "two" } },
    })
}

pub fn world(max_restarts: i32) -> World {
    World::with_runtime(job(), Some(runtime(max_restarts)))
}

/// As the object has it, there and back.
pub fn status(world: &World) -> Value {
    let status = serde_json::to_value(shown(&world.status)).unwrap();
    let again = read(Some(&status)).unwrap();
    assert_eq!(serde_json::to_value(shown(&again)).unwrap(), status);
    status
}

/// The SDK takes a job for running while it has no condition.
#[test]
fn conditions_are_those_of_the_end() {
    let mut world = world(0);
    assert_eq!(world.pods(), ["job-node-0-0", "job-node-0-1"]);
    assert_eq!(world.services(), ["job"]);
    world.run(&["node-0"]);
    assert_eq!(world.state(), "Created", "until all run");
    world.run(&["node-1"]);
    let running = status(&world);
    assert_eq!(running["state"], "Running");
    assert_eq!(running.get("conditions"), None);
    let of_job = |active: i32, ready: i32, succeeded: i32| {
        json!([{ "name": "node", "ready": ready, "succeeded": succeeded, "failed": 0,
            "active": active, "suspended": 0 }])
    };
    assert_eq!(running["jobsStatus"], of_job(1, 1, 0));
    world.succeed("node-1");
    assert_eq!(status(&world)["state"], "Running");
    world.succeed("node-0");
    let over = status(&world);
    assert_eq!(over["state"], "Complete");
    let condition = &over["conditions"][0];
    assert_eq!(
        (
            &condition["type"],
            &condition["status"],
            &condition["reason"]
        ),
        (
            &json!("Complete"),
            &json!("True"),
            &json!("AllJobsCompleted")
        )
    );
    assert_eq!(over["jobsStatus"], of_job(0, 1, 1));
    assert_eq!(world.pods().len(), 2, "they stay, for their logs");
}

#[test]
fn a_node_that_fails_fails_the_job() {
    let mut world = world(0);
    world.run(&["node-0", "node-1"]);
    world.fail("node-1", 3);
    let over = status(&world);
    assert_eq!(over["state"], "Failed");
    assert_eq!(over["reason"], "node-1 failed: exit code 3");
    assert_eq!(over["conditions"][0]["reason"], "FailedJobs");
    assert_eq!(world.pods(), ["job-node-0-1"], "the others are ended");
}

/// Who failed first is the cause: the others lost it.
#[test]
fn the_cause_is_who_failed_first() {
    let mut world = world(0);
    world.run(&["node-0", "node-1"]);
    let (now, later) = (
        world.now,
        world.now + k8s_openapi::jiff::SignedDuration::from_secs(1),
    );
    for (task, ended) in [("node-0", later), ("node-1", now)] {
        world.change(task, |pod| {
            pod.phase = Phase::Failed;
            pod.exit_code = Some(1);
            pod.ended = Some(ended);
            pod.reason = Some("exit code 1".to_owned());
        });
    }
    world.look();
    assert_eq!(
        world.status.reason.as_deref(),
        Some("node-1 failed: exit code 1")
    );
}

#[test]
fn the_whole_job_begins_anew_as_often_as_the_runtime_says() {
    let mut world = world(1);
    world.run(&["node-0", "node-1"]);
    let plan = world.fail("node-1", 3);
    assert_eq!(plan.delete_pods.len(), 2);
    assert_eq!(plan.create_pods.len(), 0, "when all are gone");
    assert_eq!(world.state(), "Restarting");
    world.look();
    assert_eq!(world.pods(), ["job-node-0-0", "job-node-0-1"]);
    assert!(world.seen.pods.iter().all(|pod| pod.attempt == 1));
    world.run(&["node-0", "node-1"]);
    let running = status(&world);
    assert_eq!(
        (&running["state"], &running["attempt"]),
        (&json!("Running"), &json!(1))
    );
    assert_eq!(running["restarts"]["node-1"]["count"], 1);
    world.fail("node-0", 3);
    assert_eq!(world.state(), "Failed");
    assert_eq!(world.status.train.attempt, 1);
}

/// An operator that is killed between the status and the deletions counts once, and goes on.
#[test]
fn a_restart_that_was_interrupted_goes_on() {
    let mut world = world(1);
    world.run(&["node-0", "node-1"]);
    let now = world.now;
    world.change("node-1", |pod| {
        pod.phase = Phase::Failed;
        pod.exit_code = Some(3);
        pod.ended = Some(now);
    });
    for _ in 0..3 {
        let plan = world.plan();
        assert_eq!(plan.delete_pods.len(), 2);
        world.status = read(Some(&serde_json::to_value(shown(&plan.status)).unwrap())).unwrap();
    }
    assert_eq!(world.status.train.attempt, 1);
    assert_eq!(world.status.restarts["node-1"].count, 1);
    // One is gone, the other ends slowly: nothing is made beside it.
    world.seen.pods.retain(|pod| pod.name == "job-node-0-0");
    world.change("node-0", |pod| pod.is_deleting = true);
    let plan = world.plan();
    assert_eq!((plan.delete_pods.len(), plan.create_pods.len()), (0, 0));
    world.seen.pods.clear();
    assert_eq!(world.plan().create_pods.len(), 2);
}

/// That is nobody's fault, and counts for no limit.
#[test]
fn a_node_that_is_lost_lets_all_begin_anew() {
    let mut world = world(0);
    world.run(&["node-0", "node-1"]);
    world.seen.pods.retain(|pod| pod.name != "job-node-0-1");
    let plan = world.look();
    assert_eq!(plan.delete_pods.len(), 1);
    assert_eq!(world.state(), "Restarting");
    assert_eq!(world.status.reason.as_deref(), Some("node-1 was lost"));
    world.look();
    world.run(&["node-0", "node-1"]);
    let running = status(&world);
    assert_eq!(
        (&running["state"], &running["attempt"]),
        (&json!("Running"), &json!(1))
    );
    assert_eq!(running.get("restarts"), None);
    world.change("node-0", |pod| {
        pod.phase = Phase::Failed;
        pod.reason = Some("Evicted: no memory".to_owned());
    });
    world.look();
    world.look();
    assert_eq!(world.status.train.attempt, 2);
    assert_eq!(world.pods().len(), 2);
}

/// What is left of an attempt goes at once; the next begins after the pause.
#[test]
fn nobody_waits_through_the_pause_before_an_attempt() {
    let mut world = world(3);
    world.run(&["node-0", "node-1"]);
    world.fail("node-1", 3);
    world.look();
    world.run(&["node-0", "node-1"]);
    assert_eq!(world.status.train.attempt, 1);
    world.fail("node-1", 3);
    assert_eq!(world.pods(), ["job-node-0-1"], "for its log");
    let plan = world.look();
    assert_eq!((plan.delete_pods.len(), plan.create_pods.len()), (0, 0));
    assert_eq!(world.status.train.attempt, 1);
    assert_eq!(world.state(), "Restarting");
    world.wait(30);
    world.look();
    assert_eq!(world.status.train.attempt, 2);
    assert_eq!(world.pods().len(), 2);
}

/// Nodes of before and after would meet.
#[test]
fn a_job_is_resumed_when_all_that_was_is_gone() {
    let mut world = world(0);
    world.run(&["node-0", "node-1"]);
    world.object["spec"]["suspend"] = json!(true);
    world.status = world.plan().status;
    world.seen.pods.retain(|pod| pod.name == "job-node-0-0");
    world.change("node-0", |pod| pod.is_deleting = true);
    world.object["spec"]["suspend"] = json!(false);
    let plan = world.plan();
    assert_eq!((plan.delete_pods.len(), plan.create_pods.len()), (0, 0));
    assert!(plan.status.is(ConditionType::Suspended));
    world.seen.pods.clear();
    assert_eq!(world.plan().create_pods.len(), 2);
}

/// Before all ran, nobody has waited in vain: it is made anew alone.
#[test]
fn a_node_that_goes_before_all_ran_comes_again() {
    let mut world = world(0);
    world.run(&["node-0"]);
    world.seen.pods.retain(|pod| pod.name != "job-node-0-1");
    let plan = world.look();
    assert_eq!((plan.delete_pods.len(), plan.create_pods.len()), (0, 1));
    assert_eq!(world.status.train.attempt, 0);
}

#[test]
fn a_suspended_job_has_no_nodes() {
    let mut world = world(0);
    world.run(&["node-0", "node-1"]);
    world.object["spec"]["suspend"] = json!(true);
    world.look();
    assert_eq!(world.pods(), [""; 0]);
    let suspended = status(&world);
    assert_eq!(suspended["state"], "Suspended");
    assert_eq!(suspended["conditions"][0]["reason"], "Suspended");
    assert_eq!(suspended["jobsStatus"][0]["suspended"], 1);
    world.object["spec"]["suspend"] = json!(false);
    world.look();
    assert_eq!(world.pods().len(), 2);
    let resumed = &status(&world)["conditions"][0];
    assert_eq!(
        (&resumed["status"], &resumed["reason"]),
        (&json!("False"), &json!("Resumed"))
    );
    assert_eq!(world.status.train.attempt, 0);
}

/// Also while it begins anew.
#[test]
fn a_job_has_its_time() {
    let mut object = job();
    object["spec"]["activeDeadlineSeconds"] = json!(5);
    let mut world = World::with_runtime(object, Some(runtime(9)));
    world.run(&["node-0", "node-1"]);
    world.fail("node-0", 1);
    world.look();
    world.run(&["node-0", "node-1"]);
    world.fail("node-0", 1);
    assert_eq!(world.state(), "Restarting");
    world.wait(6);
    let failed = world.status.condition(ConditionType::Failed).unwrap();
    assert_eq!(failed.reason, "DeadlineExceeded");
    assert_eq!(world.pods(), ["job-node-0-0"]);
}

#[test]
fn nodes_find_each_other() {
    let mut object = job();
    object["spec"]["trainer"] = json!({ "env": [{ "name": "A", "value": "$(PET_NODE_RANK)" }] });
    let world = World::with_runtime(object, Some(runtime(0)));
    let job = world.job();
    let replica = job.replica(Role::Node).unwrap();
    let node = pod(&job, replica, 1, None);
    let spec = &node["spec"];
    assert_eq!(
        (&spec["hostname"], &spec["subdomain"]),
        (&json!("job-node-0-1"), &json!("job"))
    );
    let metadata = &node["metadata"];
    let labels = json!({
        "batch.kubernetes.io/job-completion-index": "1",
        "jobset.sigs.k8s.io/job-index": "0",
        "jobset.sigs.k8s.io/jobset-name": "job",
        "jobset.sigs.k8s.io/replicatedjob-name": "node",
        "jobset.sigs.k8s.io/restart-attempt": "0",
        "trainer.kubeflow.org/operator-name": "trainjob-controller",
        "trainer.kubeflow.org/trainjob-ancestor-step": "trainer",
    });
    assert_eq!(metadata["labels"], labels);
    assert_eq!(
        metadata["annotations"]["batch.kubernetes.io/job-completion-index"],
        "1"
    );
    let owner = &metadata["ownerReferences"][0];
    assert_eq!(
        (&owner["apiVersion"], &owner["kind"]),
        (&json!("trainer.kubeflow.org/v1alpha1"), &json!("TrainJob"))
    );
    let variables = spec["containers"][0]["env"].as_array().unwrap();
    let variables: Vec<_> = variables
        .iter()
        .map(|one| format!("{}={}", one["name"], one["value"]).replace('"', ""))
        .collect();
    assert_eq!(
        variables,
        [
            "JOB_COMPLETION_INDEX=1",
            "PET_NNODES=2",
            "PET_NPROC_PER_NODE=1",
            "PET_NODE_RANK=1",
            "PET_MASTER_ADDR=job-node-0-0.job",
            "PET_MASTER_PORT=29500",
            "A=$(PET_NODE_RANK)",
        ]
    );
    let service = service(&job, replica, 0);
    assert_eq!(service["metadata"]["name"], "job");
    assert_eq!(service["spec"]["clusterIP"], "None");
    for (label, value) in service["spec"]["selector"].as_object().unwrap() {
        assert_eq!(&metadata["labels"][label], value);
    }
}

/// A runtime may come later; it is said once that there is none.
#[test]
fn a_job_without_its_runtime_waits() {
    let status = carrel_jobs::status::JobStatus::default();
    let plan = waits(&status, "there is no ClusterTrainingRuntime two");
    assert_eq!(plan.notices.len(), 1);
    assert!(plan.again_in.is_some());
    let told = serde_json::to_value(shown(&plan.status)).unwrap();
    assert_eq!(told["state"], "Waiting");
    let plan = waits(
        &read(Some(&told)).unwrap(),
        "there is no ClusterTrainingRuntime two",
    );
    assert_eq!(plan.notices, []);
    assert_eq!(serde_json::to_value(shown(&plan.status)).unwrap(), told);
}

pub const RUNTIME: &str = "/apis/trainer.kubeflow.org/v1alpha1/clustertrainingruntimes/two";

#[tokio::test]
async fn the_runtime_is_that_of_the_beginning() {
    let site = Site::new(&job()).await;
    site.look().await.unwrap();
    let waiting = &site.job()["status"];
    assert_eq!(waiting["reason"], "there is no ClusterTrainingRuntime two");
    assert_eq!(site.api.events(), ["TrainingRuntimeNotFound"]);
    site.api.put(
        RUNTIME,
        json!({ "metadata": { "name": "two" }, "spec": runtime(0) }),
    );
    site.look().await.unwrap();
    assert_eq!(site.api.count("POST pods"), 2);
    assert_eq!(site.job()["status"]["runtime"], runtime(0));
    site.api.with(|kept| kept.objects.remove(RUNTIME));
    site.look().await.unwrap();
    let asked = site.api.count("GET two");
    assert_eq!(asked, 2, "once there, it is not asked for again");
}

#[tokio::test]
async fn what_is_wrong_is_said_on_the_job() {
    let said = async |change: &dyn Fn(&mut Value, &mut Value)| {
        let (mut object, mut runtime) = (job(), runtime(0));
        change(&mut object["spec"], &mut runtime);
        let site = Site::new(&object).await;
        site.api.put(
            RUNTIME,
            json!({ "metadata": { "name": "two" }, "spec": runtime }),
        );
        site.look().await.unwrap();
        let status = site.job()["status"].clone();
        assert_eq!(status["state"], "Failed", "{status}");
        assert_eq!(status["conditions"][0]["reason"], "InvalidTrainJobSpec");
        assert_eq!(site.api.count("POST pods"), 0);
        // It is over, and stays so.
        site.look().await.unwrap();
        assert_eq!(site.job()["status"], status);
        status["reason"].as_str().unwrap().to_owned()
    };
    let reason = said(&|job, _| job["runtimeRef"]["kind"] = json!("Job")).await;
    assert!(
        reason.starts_with("spec.runtimeRef.kind: \"Job\" is neither"),
        "{reason}"
    );
    let reason = said(&|_, runtime| {
        let jobs = &mut runtime["template"]["spec"]["replicatedJobs"];
        jobs[0]["template"]["spec"]["template"]["spec"]["containers"][0]["name"] = json!("main");
    });
    assert_eq!(
        reason.await,
        "spec.runtimeRef: in the runtime, replicatedJobs.node.template: there is no container named node"
    );
}

/// What processes report stays, whatever the operator writes.
#[tokio::test]
async fn reports_are_left_alone() {
    let site = Site::new(&job()).await;
    site.api.put(
        RUNTIME,
        json!({ "metadata": { "name": "two" }, "spec": runtime(0) }),
    );
    let mut object = site.job();
    object["status"] = json!({ "trainerStatus": { "progressPercentage": 3 } });
    site.api.put(&site.path, object);
    site.look().await.unwrap();
    let status = &site.job()["status"];
    assert_eq!(status["state"], "Created");
    assert_eq!(status["trainerStatus"], json!({ "progressPercentage": 3 }));
}

/// Such as those of a queue.
#[tokio::test]
async fn conditions_of_others_are_left_alone() {
    let site = Site::new(&job()).await;
    let runtime = json!({ "metadata": { "name": "two" }, "spec": runtime(1) });
    site.api.put(RUNTIME, runtime);
    site.look().await.unwrap();
    let mut object = site.job();
    let queued = json!({
        "type": "QuotaReserved", "status": "True", "reason": "r", "message": "", "lastTransitionTime": null,
    });
    object["status"]["conditions"] = json!([queued]);
    object["spec"]["suspend"] = json!(true);
    site.api.put(&site.path, object);
    site.look().await.unwrap();
    let status = &site.job()["status"];
    assert_eq!(status["state"], "Suspended");
    assert_eq!(status["conditions"][0], queued);
    assert_eq!(status["conditions"][1]["type"], "Suspended");
}

/// A pod of each runtime that comes with the operator, by its job alone.
#[test]
fn the_runtimes_that_come_with_it_are_valid() {
    for runtime in runtimes::all() {
        let world = World::with_runtime(job(), Some(runtime["spec"].clone()));
        assert_eq!(world.pods(), ["job-node-0-0"]);
        let labels = &runtime["metadata"]["labels"];
        assert_eq!(labels["trainer.kubeflow.org/framework"], "torch");
    }
}
