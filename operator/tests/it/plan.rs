//! What is done about jobs, sentence by sentence of `training-serving.md` 1.1 to 1.3.

use carrel_jobs::names;
use carrel_jobs::status::ConditionType;
use carrel_operator::plan::{REFUSED, Wrong, fail, invalid};
use carrel_operator::seen::Phase;
use k8s_openapi::jiff::SignedDuration;
use serde_json::{Value, json};

use crate::world::{EXAMPLE, PYTORCH_EXAMPLE, World, job};

pub fn tf(version: &str, roles: &[(&str, i32)], restart: &str) -> Value {
    job("TFJob", version, roles, Some(restart))
}

/// Of the walkthrough's job only the master's pod stays, with its service.
#[test]
fn the_walkthrough_s_tfjob_ends_with_its_master_alone() {
    let mut world = World::of_yaml(EXAMPLE);
    let names = [
        "example-job-master-0",
        "example-job-ps-0",
        "example-job-ps-1",
        "example-job-worker-0",
    ];
    assert_eq!(world.pods(), names);
    assert_eq!(world.services(), names);
    assert_eq!(world.state(), "Created");
    assert!(world.status.start_time.is_none());
    world.run(&["ps-0", "ps-1", "worker-0"]);
    assert_eq!(world.state(), "Created", "running follows the master");
    world.run(&["master-0"]);
    assert_eq!(world.conditions(), "TFJobCreated TFJobRunning");
    assert!(world.status.start_time.is_some());
    world.succeed("master-0");
    assert_eq!(world.conditions(), "TFJobCreated TFJobSucceeded");
    assert_eq!(world.state(), "Succeeded");
    assert_eq!(world.pods(), ["example-job-master-0"]);
    assert_eq!(world.services(), ["example-job-master-0"]);
    assert!(world.status.completion_time.is_some());
    let told = world.told.last().unwrap();
    assert_eq!(told.note, "TFJob is terminated, deleting pods and services");
}

#[test]
fn clean_pod_policies_keep_what_they_say() {
    let left = |version: &str, policy: Option<&str>| {
        let mut object = tf(version, &[("Chief", 1), ("Worker", 2)], "Never");
        if let Some(policy) = policy {
            object["spec"]["cleanPodPolicy"] = json!(policy);
        }
        let mut world = World::new(object);
        world.run(&["chief-0", "worker-0", "worker-1"]);
        world.succeed("worker-1");
        world.succeed("chief-0");
        assert_eq!(world.state(), "Succeeded");
        (world.pods().join(" "), world.services().len())
    };
    let all = "job-chief-0 job-worker-0 job-worker-1".to_owned();
    let over = "job-chief-0 job-worker-1".to_owned();
    assert_eq!(left("v1alpha2", None), (over.clone(), 2));
    assert_eq!(left("v1beta1", None), (over.clone(), 2));
    assert_eq!(left("v1", None), (all, 3));
    assert_eq!(left("v1", Some("Running")), (over, 2));
    assert_eq!(left("v1", Some("All")), (String::new(), 0));
}

#[test]
fn without_a_chief_workers_decide() {
    let ends = |version: &str, policy: Option<&str>| {
        let mut object = tf(version, &[("Worker", 2), ("PS", 1)], "Never");
        if let Some(policy) = policy {
            object["spec"]["successPolicy"] = json!(policy);
        }
        let mut world = World::new(object);
        world.run(&["worker-0", "worker-1", "ps-0"]);
        assert_eq!(world.state(), "Running");
        world.succeed("worker-0");
        let first = world.state().to_owned();
        if first != "Succeeded" {
            world.succeed("worker-1");
        }
        (first, world.state().to_owned())
    };
    let (first, all) = (
        ("Succeeded".to_owned(), "Succeeded".to_owned()),
        ("Running".to_owned(), "Succeeded".to_owned()),
    );
    assert_eq!(ends("v1alpha2", None), all);
    assert_eq!(ends("v1beta2", None), all);
    assert_eq!(ends("v1", None), first);
    assert_eq!(ends("v1", Some("")), first);
    assert_eq!(ends("v1", Some("AllWorkers")), all);
}

#[test]
fn a_replica_that_fails_for_good_fails_the_job() {
    let mut world = World::new(tf("v1", &[("Chief", 1), ("PS", 1)], "Never"));
    world.run(&["chief-0", "ps-0"]);
    world.fail("ps-0", 1);
    assert_eq!(world.state(), "Failed");
    assert_eq!(
        world.status.reason.as_deref(),
        Some("ps-0 failed: exit code 1")
    );
    let failed = world.status.condition(ConditionType::Failed).unwrap();
    assert_eq!(failed.reason, "TFJobFailed");
    let running = world.status.condition(ConditionType::Running).unwrap();
    assert_eq!(running.status, "False");
    assert!(world.told.iter().any(|notice| notice.is_warning));
}

/// 130, 137, 138 and 143 in v1alpha2; from 128 on in v1.
#[test]
fn exit_codes_say_whether_to_try_again() {
    let again = |version: &str, code: i32| {
        let mut world = World::new(tf(version, &[("Worker", 1)], "ExitCode"));
        world.run(&["worker-0"]);
        let plan = world.fail("worker-0", code);
        if plan.delete_pods.is_empty() {
            assert_eq!(world.state(), "Failed");
            return false;
        }
        assert_eq!(world.state(), "Restarting");
        assert_eq!(world.status.condition(ConditionType::Running), None);
        assert_eq!(world.status.restarts["worker-0"].count, 1);
        world.look();
        assert_eq!(world.pods(), ["job-worker-0"]);
        world.run(&["worker-0"]);
        assert_eq!(world.state(), "Running");
        true
    };
    for code in [1, 2, 126, 127, 128, 139, 255] {
        assert!(!again("v1alpha2", code), "{code}");
    }
    for code in [130, 137, 138, 143] {
        assert!(again("v1alpha2", code), "{code}");
    }
    for code in [1, 2, 126, 127] {
        assert!(!again("v1", code), "{code}");
    }
    for code in [128, 130, 137, 139, 143, 255] {
        assert!(again("v1", code), "{code}");
    }
}

/// An operator that is killed between the status and the deletion counts the pod once.
#[test]
fn a_restart_is_counted_once() {
    let mut world = World::new(tf("v1", &[("Worker", 1)], "ExitCode"));
    world.run(&["worker-0"]);
    let now = world.now;
    world.change("worker-0", |pod| {
        pod.phase = Phase::Failed;
        pod.exit_code = Some(137);
        pod.ended = Some(now);
    });
    for _ in 0..3 {
        let plan = world.plan();
        assert_eq!(plan.delete_pods.len(), 1);
        world.status = plan.status;
    }
    assert_eq!(world.status.restarts["worker-0"].count, 1);
}

#[test]
fn later_restarts_wait_ever_longer() {
    let mut world = World::new(tf("v1", &[("Worker", 1)], "ExitCode"));
    for pause in [0, 10, 20, 40] {
        world.run(&["worker-0"]);
        let plan = world.fail("worker-0", 137);
        if pause > 0 {
            assert!(plan.delete_pods.is_empty());
            assert_eq!(plan.again_in.unwrap().as_secs(), pause);
            let seconds = i64::try_from(pause).unwrap();
            assert_eq!(world.wait(seconds).delete_pods.len(), 1);
        }
        world.look();
    }
    assert_eq!(world.status.restarts["worker-0"].count, 4);
}

#[test]
fn a_pod_that_was_evicted_is_made_anew_unless_never() {
    let evicted = |restart: &str| {
        let mut world = World::new(tf("v1", &[("Worker", 1)], restart));
        world.run(&["worker-0"]);
        world.change("worker-0", |pod| {
            pod.phase = Phase::Failed;
            pod.reason = Some("Evicted: no memory".to_owned());
        });
        world.look();
        world.state().to_owned()
    };
    assert_eq!(evicted("OnFailure"), "Restarting");
    assert_eq!(evicted("ExitCode"), "Restarting");
    assert_eq!(evicted("Never"), "Failed");
}

#[test]
fn a_pod_that_somebody_deletes_is_made_anew() {
    let mut world = World::new(tf("v1", &[("Worker", 2)], "Never"));
    world.run(&["worker-0", "worker-1"]);
    // Asked to end, it may end in failure: that is none of the job's.
    world.change("worker-1", |pod| {
        pod.is_deleting = true;
        pod.phase = Phase::Failed;
        pod.exit_code = Some(143);
    });
    world.look();
    assert_eq!(world.state(), "Running");
    world.seen.pods.retain(|pod| !pod.is_deleting);
    world.look();
    assert_eq!(world.pods(), ["job-worker-0", "job-worker-1"]);
}

#[test]
fn replicas_may_become_more_and_fewer() {
    let mut object = tf("v1", &[("Worker", 1), ("PS", 1)], "Never");
    object["spec"]["enableDynamicWorker"] = json!(true);
    let mut world = World::new(object);
    world.object["spec"]["tfReplicaSpecs"]["Worker"]["replicas"] = json!(3);
    world.look();
    assert_eq!(
        world.pods(),
        ["job-ps-0", "job-worker-0", "job-worker-1", "job-worker-2"]
    );
    world.object["spec"]["tfReplicaSpecs"]["Worker"]["replicas"] = json!(2);
    world.look();
    assert_eq!(world.pods(), ["job-ps-0", "job-worker-0", "job-worker-1"]);
    assert_eq!(world.services(), world.pods());
}

#[test]
fn a_restart_policy_in_a_template_is_overridden_with_a_warning() {
    let mut object = tf("v1alpha2", &[("Worker", 1)], "ExitCode");
    let template = &mut object["spec"]["tfReplicaSpecs"]["Worker"]["template"];
    template["spec"]["restartPolicy"] = json!("Always");
    let world = World::new(object);
    assert!(world.reasons().contains(&"SettedPodTemplateRestartPolicy"));
}

/// In v1alpha1 the master alone decides, and pods stay.
#[test]
fn the_walkthrough_s_pytorchjob_follows_its_master() {
    let mut world = World::of_yaml(PYTORCH_EXAMPLE);
    assert_eq!(world.pods().len(), 4);
    assert_eq!(world.services().len(), 4);
    world.run(&["worker-0", "worker-1", "worker-2"]);
    assert_eq!(world.state(), "Created");
    world.run(&["master-0"]);
    assert_eq!(world.state(), "Running");
    world.succeed("worker-0");
    assert_eq!(world.state(), "Running");
    world.succeed("master-0");
    assert_eq!(world.state(), "Succeeded");
    assert_eq!(world.pods().len(), 4);
    let workers = &world.status.replica_statuses["Worker"];
    assert_eq!((workers.active, workers.succeeded), (0, 3));
}

/// As training-operator 1.9 has it (ReconcileServices of each type); the betas had one for the master.
#[test]
fn every_replica_of_a_pytorchjob_of_v1_has_a_service() {
    let of = |version: &str| {
        let roles = [("Master", 1), ("Worker", 2)];
        World::new(job("PyTorchJob", version, &roles, None)).services()
    };
    assert_eq!(of("v1"), ["job-master-0", "job-worker-0", "job-worker-1"]);
    assert_eq!(of("v1beta2"), ["job-master-0"]);
}

#[test]
fn a_pytorchjob_without_a_master_follows_its_workers() {
    let object = job("PyTorchJob", "v1", &[("Worker", 2)], None);
    let mut world = World::new(object.clone());
    let job = world.job();
    let label = |index: usize| {
        let labels = names::labels(&job, &job.replicas[0], index);
        labels.get(names::JOB_ROLE).cloned()
    };
    // By it the SDK finds the log.
    assert_eq!((label(0).as_deref(), label(1)), (Some("master"), None));
    world.run(&["worker-0", "worker-1"]);
    assert_eq!(world.state(), "Running");
    world.succeed("worker-0");
    assert_eq!(world.state(), "Running");
    world.succeed("worker-1");
    assert_eq!(world.state(), "Succeeded");
    // Elastic ones end together: the first that has done so says it.
    let mut object = object;
    object["spec"]["elasticPolicy"] = json!({ "minReplicas": 1 });
    let mut world = World::new(object);
    world.run(&["worker-0", "worker-1"]);
    world.succeed("worker-1");
    assert_eq!(world.state(), "Succeeded");
}

#[test]
fn a_dynamic_worker_may_fail() {
    let ends = |task: &str| {
        let mut object = tf("v1", &[("Chief", 1), ("PS", 1), ("Worker", 2)], "Never");
        object["spec"]["enableDynamicWorker"] = json!(true);
        let mut world = World::new(object);
        world.run(&["chief-0", "ps-0", "worker-0", "worker-1"]);
        world.fail(task, 1);
        let state = world.state().to_owned();
        (state, world.status.reason.unwrap_or_default())
    };
    let (state, reason) = ends("worker-1");
    assert_eq!(
        (state.as_str(), reason.as_str()),
        ("Running", "worker-1 failed: exit code 1")
    );
    assert_eq!(ends("ps-0").0, "Failed");
    assert_eq!(ends("chief-0").0, "Failed");
}

#[test]
fn a_tfjob_without_replicas_has_succeeded() {
    let world = World::new(tf("v1", &[("Worker", 0)], "Never"));
    assert_eq!((world.state(), world.pods().len()), ("Succeeded", 0));
}

/// Such as one whose template the API server refuses since it was changed.
#[test]
fn a_job_whose_pods_are_refused_leaves_none_running() {
    let mut world = World::new(tf("v1", &[("Worker", 2)], "Never"));
    world.run(&["worker-0", "worker-1"]);
    let mut plan = world.plan();
    fail(&mut plan, REFUSED, "spec.containers: no", world.now);
    world.does(&plan);
    world.look();
    assert_eq!((world.state(), world.pods().len()), ("Failed", 0));
}

/// It would run when everybody else is gone.
#[test]
fn a_pod_that_waits_goes_with_those_that_run() {
    let mut world = World::new(tf("v1alpha2", &[("Chief", 1), ("Worker", 1)], "Never"));
    world.run(&["chief-0"]);
    world.succeed("chief-0");
    assert_eq!(world.pods(), ["job-chief-0"]);
    assert_eq!(world.services(), ["job-chief-0"]);
}

#[test]
fn an_evaluator_that_fails_fails_the_job() {
    let mut world = World::new(tf("v1", &[("Chief", 1), ("Evaluator", 1)], "Never"));
    world.run(&["chief-0", "evaluator-0"]);
    world.fail("evaluator-0", 1);
    assert_eq!(world.state(), "Failed");
}

/// In v1alpha1 a worker that fails is none of the job's state; it is in the reason.
#[test]
fn only_the_master_s_failure_is_that_of_v1alpha1() {
    let mut object: Value = serde_saphyr::from_str(PYTORCH_EXAMPLE).unwrap();
    for replica in object["spec"]["replicaSpecs"].as_array_mut().unwrap() {
        replica["template"]["spec"]["restartPolicy"] = json!("Never");
    }
    let mut world = World::new(object);
    world.run(&["master-0", "worker-0", "worker-1", "worker-2"]);
    world.fail("worker-1", 1);
    assert_eq!(world.state(), "Running");
    let reason = world.status.reason.as_deref();
    assert_eq!(reason, Some("worker-1 failed: exit code 1"));
    world.fail("master-0", 2);
    assert_eq!(world.state(), "Failed");
    let reason = world.status.reason.as_deref();
    assert_eq!(reason, Some("master-0 failed: exit code 2"));
}

/// Those that are too many, and not gone yet, decide nothing.
#[test]
fn a_replica_too_many_does_not_count() {
    let mut world = World::new(tf("v1beta2", &[("Worker", 3)], "Never"));
    world.run(&["worker-0", "worker-1", "worker-2"]);
    world.succeed("worker-0");
    world.change("worker-2", |pod| pod.phase = Phase::Succeeded);
    world.object["spec"]["tfReplicaSpecs"]["Worker"]["replicas"] = json!(2);
    world.look();
    assert_eq!(world.state(), "Running");
    world.succeed("worker-1");
    assert_eq!(world.state(), "Succeeded");
}

#[test]
fn a_warning_is_told_once() {
    let mut object: Value = serde_saphyr::from_str(PYTORCH_EXAMPLE).unwrap();
    object["spec"]["masterPort"] = json!(4444);
    let mut world = World::new(object);
    world.run(&["master-0"]);
    let reasons = world.reasons();
    let warnings = reasons.iter().filter(|one| **one == "PyTorchJobWarning");
    assert_eq!(warnings.count(), 1);
}

/// What it says is on the object, and nothing of it goes on.
#[test]
fn a_job_that_is_not_valid_says_so() {
    let mut world = World::new(tf("v1", &[("Worker", 1)], "Never"));
    world.run(&["worker-0"]);
    let why = carrel_jobs::job::Invalid(vec!["spec: wrong".to_owned()]);
    let wrong = Wrong {
        kind: carrel_jobs::kind::Kind::TfJob,
        name: "job",
        why: &why,
    };
    let plan = invalid(&wrong, &world.status, &world.seen, Some(30), world.now);
    world.does(&plan);
    assert_eq!((world.state(), world.pods().len()), ("Failed", 0));
    assert_eq!(world.status.reason.as_deref(), Some("spec: wrong"));
    let failed = world.status.condition(ConditionType::Failed).unwrap();
    assert_eq!(failed.reason, "InvalidTFJobSpec");
    assert_eq!(failed.message, "TFJob job is not valid: spec: wrong");
    let again = invalid(&wrong, &world.status, &world.seen, Some(30), world.now);
    assert_eq!(
        (again.delete_job, again.again_in.unwrap().as_secs()),
        (false, 30)
    );
    assert_eq!((&again.status, again.notices), (&world.status, vec![]));
    // It goes in time as any other.
    let later = world.now + SignedDuration::from_secs(30);
    let last = invalid(&wrong, &world.status, &world.seen, Some(30), later);
    assert!(last.delete_job);
}
