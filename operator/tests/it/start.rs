//! Pods that do not start, where there is a limit of time.

use std::time::Duration;

use carrel_jobs::status::ConditionType;
use carrel_operator::seen::{Phase, Stage};
use serde_json::{Value, json};

use crate::plan::tf;
use crate::reconcile::Site;
use crate::train;
use crate::world::World;

const IMAGE: &str = "the image i cannot be pulled";

fn limited(mut world: World) -> World {
    world.start_deadline = Some(Duration::from_secs(600));
    world.look();
    world
}

fn tfjob() -> World {
    limited(World::new(tf("v1", &[("Worker", 2)], "Never")))
}

fn is_stuck(world: &mut World, task: &str) {
    world.change(task, |pod| {
        pod.stage = Stage::Placed;
        pod.reason = Some(IMAGE.to_owned());
    });
}

/// What counts stands in the status and in the pods: each look here is that of another operator.
#[test]
fn a_pod_that_does_not_start_in_time_fails_the_job() {
    let mut world = tfjob();
    is_stuck(&mut world, "worker-1");
    world.run(&["worker-0"]);
    assert_eq!(world.state(), "Running");
    let again = world.wait(599).again_in.unwrap();
    assert_eq!(again, Duration::from_secs(1));
    assert_eq!(world.state(), "Running");
    world.wait(1);
    assert_eq!(world.state(), "Failed");
    let why = "worker-1 did not start within 600 s: the image i cannot be pulled";
    assert_eq!(world.status.reason.as_deref(), Some(why));
    let failed = world.status.condition(ConditionType::Failed).unwrap();
    assert_eq!(failed.reason, "StartDeadlineExceeded");
    assert_eq!(world.pods(), [""; 0], "they go, whatever the policy");
    assert_eq!(world.status.waiting_since, None);
}

#[test]
fn nodes_of_a_trainjob_start_in_time_or_none_goes_on() {
    let mut world = limited(train::world(3));
    is_stuck(&mut world, "node-1");
    world.change("node-0", |pod| pod.phase = Phase::Running);
    world.look();
    world.wait(600);
    assert_eq!(world.state(), "Failed");
    let status = train::status(&world);
    assert_eq!(status["conditions"][0]["reason"], "StartDeadlineExceeded");
    assert_eq!(world.pods(), [""; 0]);
}

#[test]
fn without_a_limit_nothing_is_counted() {
    let mut world = World::new(tf("v1", &[("Worker", 1)], "Never"));
    is_stuck(&mut world, "worker-0");
    world.wait(1_000_000);
    assert_eq!(world.state(), "Created");
    assert_eq!(world.status.waiting_since, None);
}

/// Not while a queue holds pods, while a suspension lasts, or while what prepares them runs.
#[test]
fn time_in_which_no_pod_could_start_does_not_count() {
    let goes_on = |world: &World| assert_eq!(world.state(), "Created");
    for stage in [Stage::Held, Stage::Begun] {
        let mut world = tfjob();
        for task in ["worker-0", "worker-1"] {
            world.change(task, |pod| pod.stage = stage);
        }
        world.wait(10_000);
        goes_on(&world);
        is_stuck(&mut world, "worker-0");
        world.wait(599);
        goes_on(&world);
        world.wait(600);
        assert_eq!(world.state(), "Failed", "{stage:?}");
    }
    // Without a node: with a scheduler that starts all or none they are in its queue.
    let mut world = tfjob();
    world.has_gang = true;
    world.wait(10_000);
    goes_on(&world);
    world.has_gang = false;
    world.wait(10_000);
    world.wait(600);
    assert_eq!(world.state(), "Failed");
    let reason = world.status.reason.clone().unwrap();
    assert!(reason.ends_with(": it has no node"), "{reason}");

    let mut world = tfjob();
    world.wait(599);
    world.object["spec"]["runPolicy"] = json!({ "suspend": true });
    world.look();
    world.wait(10_000);
    world.object["spec"]["runPolicy"] = json!({ "suspend": false });
    world.look();
    world.wait(599);
    goes_on(&world);
    world.wait(1);
    assert_eq!(world.state(), "Failed");
}

/// One that is made anew has the whole time again.
#[test]
fn each_pod_has_its_own_time() {
    let mut world = limited(World::new(tf("v1", &[("Worker", 1)], "ExitCode")));
    for _ in 0..3 {
        world.wait(599);
        world.run(&["worker-0"]);
        world.fail("worker-0", 137);
        world.wait(300);
        world.look();
        assert_eq!(world.pods(), ["job-worker-0"]);
    }
    assert_ne!(world.state(), "Failed");
}

/// A quota that leaves no room: there is no pod whose age would say since when.
#[tokio::test]
async fn a_pod_that_is_refused_for_too_long_fails_the_job_after_a_restart_too() {
    let mut object = tf("v1", &[("Worker", 2)], "Never");
    object["metadata"]["annotations"] = json!({ "carrel.dev/start-deadline-seconds": "600" });
    let site = Site::new(&object).await;
    site.api.with(|kept| kept.refusals.insert("pods", 403));
    site.look().await.unwrap();
    site.look().await.unwrap();
    let since = site.job()["status"]["waitingSince"].clone();
    assert!(since.is_string(), "{}", site.job()["status"]);
    let ago = |seconds: i64| {
        let now = k8s_openapi::jiff::Timestamp::now().as_second() - seconds;
        let then = k8s_openapi::jiff::Timestamp::from_second(now).unwrap();
        let mut object = site.job();
        object["status"]["waitingSince"] = json!(then.to_string());
        site.api.put(&site.path, object);
        site.context.memory.forget("the-uid");
    };
    ago(500);
    site.look().await.unwrap();
    assert_ne!(site.job()["status"]["state"], "Failed");
    ago(601);
    site.look().await.unwrap();
    let status = &site.job()["status"];
    assert_eq!(status["state"], "Failed");
    let reason = status["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("worker-0 did not start within 600 s: ") && reason.contains("refused"),
        "{reason}"
    );
}

/// What a job says comes before what the operator says; what is no number is told, and has no effect.
#[tokio::test]
async fn a_job_may_say_its_own_limit() {
    let counts = async |annotation: Option<&str>| {
        let mut object = tf("v1", &[("Worker", 1)], "Never");
        if let Some(text) = annotation {
            object["metadata"]["annotations"] =
                json!({ "carrel.dev/start-deadline-seconds": text });
        }
        let mut site = Site::new(&object).await;
        site.set(|context| context.start_deadline = 60);
        site.look().await.unwrap();
        let is_warned = site.api.events().contains(&"TFJobWarning".to_owned());
        (
            site.job()["status"]["waitingSince"] != Value::Null,
            is_warned,
        )
    };
    assert_eq!(counts(None).await, (true, false));
    assert_eq!(counts(Some("5")).await, (true, false));
    assert_eq!(counts(Some("0")).await, (false, false));
    assert_eq!(counts(Some("soon")).await, (true, true));
}
