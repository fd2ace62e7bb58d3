//! Pods that went and pods that never began, on a real node.

use serde_json::{Value, json};

use super::site::{Site, job, until};

/// What a kubelet has of a container outlives its pod, over a restart too; it goes with the job.
#[test]
#[ignore = "needs cluster (starts pods)"]
fn ends_of_logs_outlive_pods_and_go_with_their_job() {
    let site = Site::with("kept", &["--keep-logs=64Ki"]);
    let mut again = job(&site, "TFJob", "v1", "Worker", &["exit", "137"]);
    again["spec"]["runPolicy"] = json!({ "cleanPodPolicy": "All", "backoffLimit": 1 });
    again["spec"]["tfReplicaSpecs"]["Worker"]["restartPolicy"] = json!("ExitCode");
    site.create(&again.to_string());
    site.state("tfjob", "job", "Failed");
    until("the end of all pods", || {
        site.pods().is_empty().then_some(())
    });
    let kept = site.get("configmap", "job-logs");
    let entries = kept["data"].as_object().unwrap();
    assert_eq!(entries.len(), 2, "{kept}");
    for (key, text) in entries {
        assert!(key.starts_with("job-worker-0."), "{key}");
        assert_eq!(text, "about to exit with status 137\n");
    }
    site.kubectl(&["delete", "tfjob", "job"]);
    until("the end of what was kept", || {
        site.kubectl_with(&["get", "configmap", "job-logs"], "")
            .err()
    });
}

/// Its image cannot be pulled: the job says so and ends in time, and what runs of it goes.
#[test]
#[ignore = "needs cluster (starts pods)"]
fn a_pod_that_cannot_start_ends_its_job_in_time() {
    let mut site = Site::new("start");
    let mut stuck = job(&site, "PyTorchJob", "v1", "Master", &["sleep", "600"]);
    stuck["metadata"]["annotations"] = json!({ "carrel.dev/start-deadline-seconds": "15" });
    let specs = &mut stuck["spec"]["pytorchReplicaSpecs"];
    specs["Worker"] = specs["Master"].clone();
    let container = &mut specs["Worker"]["template"]["spec"]["containers"][0];
    container["image"] = json!("localhost/carrel-there-is-none:1");
    site.create(&stuck.to_string());
    until("why it waits", || {
        let status = site.get("pytorchjob", "job")["status"].clone();
        let reason = status["reason"].as_str().unwrap_or_default();
        let is_said = reason.starts_with("worker-0 waits: the image");
        (is_said && status["waitingSince"] != Value::Null).then_some(())
    });
    // Another goes on counting.
    site.restart();
    site.state("pytorchjob", "job", "Failed");
    let status = site.get("pytorchjob", "job")["status"].clone();
    let reason = status["reason"].as_str().unwrap();
    assert!(
        reason.starts_with(
            "worker-0 did not start within 15 s: the image localhost/carrel-there-is-none:1"
        ),
        "{reason}"
    );
    until("the end of all pods", || {
        site.pods().is_empty().then_some(())
    });
}
