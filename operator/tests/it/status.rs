//! What stands in statuses.

use carrel_jobs::status::ConditionType;
use k8s_openapi::jiff::SignedDuration;

use crate::plan::tf;
use crate::world::World;

/// In v1alpha2 when all replicas of a type run; in v1 with the job.
#[test]
fn a_job_starts_as_its_version_says() {
    let roles = [("Chief", 1), ("Worker", 2)];
    let mut world = World::new(tf("v1alpha2", &roles, "Never"));
    assert_eq!(world.status.start_time, None);
    world.run(&["worker-0"]);
    assert_eq!(world.status.start_time, None);
    world.run(&["worker-1"]);
    let started = world.status.start_time.clone();
    assert!(started.is_some());
    world.now += SignedDuration::from_secs(5);
    world.run(&["chief-0"]);
    assert_eq!(world.status.start_time, started);
    let world = World::new(tf("v1", &roles, "Never"));
    assert!(world.status.start_time.is_some());
}

/// The time of a change is that of the condition, and stays while it holds.
#[test]
fn conditions_say_since_when_they_hold() {
    let mut world = World::new(tf("v1", &[("Worker", 1)], "Never"));
    let begun = world.now;
    world.now += SignedDuration::from_secs(5);
    world.run(&["worker-0"]);
    let ran = world.now;
    world.wait(5);
    world.succeed("worker-0");
    let since = |kind| {
        let condition = world.status.condition(kind).unwrap();
        let update = condition.last_update_time.as_ref().unwrap().0;
        (condition.last_transition_time.as_ref().unwrap().0, update)
    };
    assert_eq!(since(ConditionType::Created), (begun, begun));
    assert_eq!(since(ConditionType::Running), (world.now, world.now));
    assert_eq!(since(ConditionType::Succeeded), (world.now, world.now));
    assert!(ran < world.now);
}

#[test]
fn replicas_are_counted_by_what_they_do() {
    let mut world = World::new(tf("v1alpha2", &[("Worker", 3), ("PS", 1)], "ExitCode"));
    world.run(&["worker-0", "worker-1", "worker-2", "ps-0"]);
    world.succeed("worker-0");
    for _ in 0..2 {
        world.fail("worker-1", 137);
        world.look();
    }
    let counts = &world.status.replica_statuses;
    let of = |role: &str| {
        (
            counts[role].active,
            counts[role].succeeded,
            counts[role].failed,
        )
    };
    assert_eq!((of("Worker"), of("PS")), ((1, 1, 1), (1, 0, 0)));
    assert_eq!(
        counts["Worker"].selector.as_deref(),
        Some(
            "training.kubeflow.org/job-name=job,training.kubeflow.org/operator-name=tfjob-controller,\
             training.kubeflow.org/replica-type=worker"
        )
    );
}

#[test]
fn what_a_pod_waits_for_is_said() {
    let mut world = World::new(tf("v1", &[("Worker", 2)], "Never"));
    world.change("worker-1", |pod| {
        pod.reason = Some("the image i cannot be pulled".to_owned());
    });
    world.look();
    assert_eq!(
        world.status.reason.as_deref(),
        Some("worker-1 waits: the image i cannot be pulled")
    );
    world.change("worker-1", |pod| pod.reason = None);
    world.look();
    assert_eq!(world.status.reason, None);
}
