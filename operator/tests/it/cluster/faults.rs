//! Operators that are killed, and pods that go.

use std::time::Duration;

use serde_json::json;

use super::site::{Site, job, lines, until};

/// At any moment of its work: each job ends in the right state, no pod is made twice, and nothing is left over.
#[test]
#[ignore = "needs cluster (starts pods)"]
fn an_operator_that_is_killed_again_and_again_goes_on() {
    let mut site = Site::new("kill");
    let mut object = job(&site, "TFJob", "v1", "Chief", &["sleep", "1"]);
    let chief = object["spec"]["tfReplicaSpecs"]["Chief"].clone();
    let specs = &mut object["spec"]["tfReplicaSpecs"];
    specs["Worker"] = chief;
    specs["Worker"]["replicas"] = json!(3);
    object["spec"]["runPolicy"] = json!({ "cleanPodPolicy": "All" });
    let mut failing = job(&site, "TFJob", "v1", "Worker", &["exit", "130"]);
    failing["metadata"]["name"] = json!("failing");
    failing["spec"]["tfReplicaSpecs"]["Worker"]["restartPolicy"] = json!("ExitCode");
    failing["spec"]["runPolicy"] = json!({ "backoffLimit": 2 });
    site.create(&failing.to_string());
    // Moments that differ from run to run: the seed is in the message.
    let seed = u64::from(std::process::id());
    let mut random = seed;
    for round in 0..8 {
        let mut object = object.clone();
        object["metadata"]["name"] = json!(format!("job-{round}"));
        site.create(&object.to_string());
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        std::thread::sleep(Duration::from_millis(random >> 54));
        site.restart();
    }
    eprintln!("seed {seed}");
    for round in 0..8 {
        site.state("tfjob", &format!("job-{round}"), "Succeeded");
    }
    site.state("tfjob", "failing", "Failed");
    let failing = site.get("tfjob", "failing")["status"].clone();
    assert_eq!(failing["restarts"]["worker-0"]["count"], 2, "{failing}");
    until("the end of all pods and services", || {
        let left = site.kubectl(&["get", "pods,services", "-o", "name"]);
        let left = lines(&left);
        left.iter()
            .all(|name| name.contains("failing"))
            .then_some(())
    });
    let events = site.kubectl(&["get", "events", "-o", "json"]);
    assert!(!events.contains("AlreadyExists"), "{events}");
}

/// Two of one name: the second begins when the first is gone.
#[test]
#[ignore = "needs cluster (starts pods)"]
fn another_operator_takes_over() {
    let site = Site::without_operator("lease");
    let first = site.start("first");
    site.converts();
    let second = site.start("second");
    let holder = || {
        let lease = site.get("lease", "carrel-operator-tfjob");
        lease["spec"]["holderIdentity"]
            .as_str()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(holder(), "first");
    // Killed, it cannot say that it is gone.
    drop(first);
    until("the second", || (holder() == "second").then_some(()));
    site.converts();
    let object = job(&site, "TFJob", "v1alpha2", "Worker", &["sleep", "1"]);
    site.apply(&object.to_string());
    site.state("tfjob", "job", "Succeeded");
    drop(second);
}

/// A pod that somebody deletes comes again, also where the operator was away.
#[test]
#[ignore = "needs cluster (starts pods)"]
fn pods_that_go_come_again() {
    let mut site = Site::new("gone");
    let object = job(&site, "TFJob", "v1", "Worker", &["sleep", "60"]);
    site.apply(&object.to_string());
    site.state("tfjob", "job", "Running");
    let uid = |site: &Site| {
        let pods = site.kubectl(&["get", "pods", "-o", "json"]);
        let pods: serde_json::Value = serde_json::from_str(&pods).unwrap();
        pods["items"][0]["metadata"]["uid"].clone()
    };
    let before = uid(&site);
    let delete = [
        "delete",
        "pod",
        "job-worker-0",
        "--grace-period=0",
        "--force",
    ];
    site.kubectl(&delete);
    until("another pod", || {
        let now = uid(&site);
        (now != before && !now.is_null()).then_some(())
    });
    site.state("tfjob", "job", "Running");
    // With the job goes all that belongs to it.
    site.restart();
    site.kubectl(&["delete", "tfjob", "job"]);
    until("the end of all", || {
        let left = site.kubectl(&["get", "pods,services", "-o", "name"]);
        lines(&left).is_empty().then_some(())
    });
}
