//! How often, how long and whether jobs run at all.

use carrel_jobs::status::ConditionType;
use serde_json::json;

use crate::plan::tf;
use crate::world::{World, job};

#[test]
fn the_backoff_limit_counts_restarts_of_both_kinds() {
    let mut object = job("PyTorchJob", "v1", &[("Master", 1), ("Worker", 1)], None);
    object["spec"]["runPolicy"] = json!({ "backoffLimit": 3 });
    let mut world = World::new(object);
    world.run(&["master-0", "worker-0"]);
    world.change("worker-0", |pod| pod.restarts = 2);
    world.look();
    assert_eq!(world.state(), "Running");
    world.change("worker-0", |pod| pod.restarts = 3);
    world.look();
    assert_eq!(world.state(), "Failed");
    let failed = world.status.condition(ConditionType::Failed).unwrap();
    assert_eq!(failed.reason, "BackoffLimitExceeded");
    // Whatever the policy, nothing goes on.
    assert_eq!(world.pods(), [""; 0]);
}

#[test]
fn a_job_that_takes_too_long_is_ended() {
    let mut object = tf("v1", &[("Worker", 1)], "Never");
    object["spec"]["runPolicy"] = json!({ "activeDeadlineSeconds": 60 });
    let mut world = World::new(object);
    world.run(&["worker-0"]);
    let plan = world.wait(59);
    assert_eq!(plan.again_in.unwrap().as_secs(), 1);
    world.wait(1);
    let failed = world.status.condition(ConditionType::Failed).unwrap();
    assert_eq!(failed.reason, "DeadlineExceeded");
    assert_eq!(world.pods(), [""; 0]);
}

#[test]
fn a_job_that_is_over_is_deleted_in_time() {
    let mut object = tf("v1", &[("Worker", 1)], "Never");
    object["spec"]["runPolicy"] = json!({ "ttlSecondsAfterFinished": 30 });
    let mut world = World::new(object);
    world.run(&["worker-0"]);
    let plan = world.succeed("worker-0");
    assert_eq!(plan.again_in.unwrap().as_secs(), 30);
    world.wait(29);
    assert!(!world.is_deleted);
    world.wait(1);
    assert!(world.is_deleted);
}

#[test]
fn a_suspended_job_has_no_pods() {
    let mut object = tf("v1", &[("Worker", 2)], "Never");
    object["spec"]["runPolicy"] = json!({ "suspend": true, "activeDeadlineSeconds": 60 });
    let mut world = World::new(object);
    assert_eq!((world.state(), world.pods().len()), ("Suspended", 0));
    world.object["spec"]["runPolicy"]["suspend"] = json!(false);
    world.look();
    world.run(&["worker-0", "worker-1"]);
    assert_eq!(world.state(), "Running");
    world.object["spec"]["runPolicy"]["suspend"] = json!(true);
    world.look();
    assert_eq!((world.state(), world.pods().len()), ("Suspended", 0));
    assert_eq!(world.services(), [""; 0]);
    assert_eq!(world.status.start_time, None);
    // The deadline counts anew.
    world.wait(3600);
    world.object["spec"]["runPolicy"]["suspend"] = json!(false);
    world.look();
    assert_eq!(world.pods().len(), 2);
    let suspended = world.status.condition(ConditionType::Suspended).unwrap();
    assert_eq!(
        (suspended.status.as_str(), suspended.reason.as_str()),
        ("False", "TFJobResumed")
    );
    let told = world.reasons();
    assert_eq!(
        told,
        [
            "TFJobCreated",
            "TFJobSuspended",
            "TFJobResumed",
            "TFJobRunning",
            "TFJobSuspended",
            "TFJobResumed"
        ]
    );
}

#[test]
fn jobs_of_another_manager_are_left_alone() {
    let mut object = tf("v1", &[("Worker", 2)], "Never");
    object["spec"]["runPolicy"] = json!({ "managedBy": "kueue.x-k8s.io/multikueue" });
    let world = World::new(object);
    assert_eq!(world.pods(), [""; 0]);
    assert_eq!(world.status, carrel_jobs::status::JobStatus::default());
}

/// As the training operator counts: of its own restarts there may be as many as the limit says.
#[test]
fn the_backoff_limit_is_how_often_pods_are_made_anew() {
    for limit in [0, 1, 2] {
        let mut object = tf("v1", &[("Worker", 1)], "ExitCode");
        object["spec"]["runPolicy"] = json!({ "backoffLimit": limit });
        let mut world = World::new(object);
        for _ in 0..limit {
            world.run(&["worker-0"]);
            world.fail("worker-0", 137);
            assert_eq!(world.state(), "Restarting", "{limit}");
            world.wait(300);
            world.look();
        }
        world.run(&["worker-0"]);
        world.fail("worker-0", 137);
        assert_eq!(world.state(), "Failed", "{limit}");
        let restarts = world.status.restarts.get("worker-0");
        assert_eq!(restarts.map_or(0, |one| one.count), limit);
    }
}

#[test]
fn a_failed_job_is_deleted_in_time_too() {
    let mut object = tf("v1", &[("Worker", 1)], "Never");
    object["spec"]["runPolicy"] = json!({ "ttlSecondsAfterFinished": 30 });
    let mut world = World::new(object);
    world.run(&["worker-0"]);
    world.fail("worker-0", 1);
    world.wait(29);
    assert!(!world.is_deleted);
    world.wait(1);
    assert!(world.is_deleted);
}

/// What is over when the job is suspended stays, for its log; what waits for its restart does not start.
#[test]
fn a_job_that_restarts_is_suspended_too() {
    let mut world = World::new(tf("v1", &[("Worker", 2), ("PS", 1)], "ExitCode"));
    world.run(&["worker-0", "worker-1", "ps-0"]);
    world.succeed("worker-1");
    for _ in 0..2 {
        world.fail("ps-0", 137);
        world.look();
        world.run(&["ps-0"]);
    }
    world.fail("ps-0", 137);
    assert_eq!(world.state(), "Restarting");
    world.object["spec"]["runPolicy"] = json!({ "suspend": true });
    world.look();
    assert_eq!(world.state(), "Suspended");
    assert_eq!(world.pods(), ["job-ps-0", "job-worker-1"]);
    world.object["spec"]["runPolicy"]["suspend"] = json!(false);
    world.wait(300);
    world.look();
    assert_eq!(world.pods(), ["job-ps-0", "job-worker-0", "job-worker-1"]);
}

/// Also where no watch tells of anything: one may have missed something.
#[test]
fn jobs_that_go_on_are_looked_at_every_minute() {
    let mut world = World::new(tf("v1", &[("Worker", 2)], "Never"));
    assert_eq!(world.plan().again_in.unwrap().as_secs(), 60);
    // One that was made and that no watch has told of: it may be gone again.
    world.change("worker-1", |pod| pod.uid = String::new());
    assert_eq!(world.plan().again_in.unwrap().as_secs(), 15);
    world.seen.pods.pop();
    assert_eq!(world.plan().again_in.unwrap().as_secs(), 15);
    world.look();
    world.run(&["worker-0", "worker-1"]);
    assert_eq!(world.succeed("worker-0").again_in, None);
}

/// What the API server said when it refused a pod is not taken back before the next try: that would be a change each
/// time, and each change a reason for another look at once.
#[test]
fn what_was_refused_stays_said_until_it_is_made() {
    let mut world = World::new(tf("v1", &[("Worker", 2)], "Never"));
    world.seen.pods.retain(|pod| pod.name != "job-worker-1");
    world.change("worker-0", |pod| pod.reason = Some("no node".to_owned()));
    world.status.reason = Some("no quota".to_owned());
    let plan = world.plan();
    assert_eq!(plan.create_pods.len(), 1);
    assert_eq!(plan.status.reason.as_deref(), Some("no quota"));
    world.does(&plan);
    world.look();
    assert_eq!(
        world.status.reason.as_deref(),
        Some("worker-0 waits: no node")
    );
}
