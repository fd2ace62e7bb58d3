//! The unmodified SDKs of Kubeflow, as people use them: the programs in `tests/sdk`.

use serde_json::json;

use super::site::Site;
use super::train::runtime;

/// `kubeflow` 0.5.0: runtimes, functions of Python, logs, events, reports.
#[test]
#[ignore = "needs cluster (starts pods)"]
fn the_sdk_of_trainjobs() {
    let site = Site::new("sdk");
    site.create(&runtime(&site, "two", 0).to_string());
    // An image with Python, and no torch.
    let mut python = runtime(&site, "python", 0);
    python["spec"]["mlPolicy"] = json!({ "numNodes": 1 });
    let image = std::env::var("CARREL_TEST_FOREIGN_IMAGE").unwrap();
    let node = &mut python["spec"]["template"]["spec"]["replicatedJobs"][0];
    let pod = &mut node["template"]["spec"]["template"]["spec"];
    pod["containers"][0]["image"] = json!(image);
    pod["containers"][0]["workingDir"] = json!("/tmp");
    site.create(&python.to_string());
    let said = site.python("trainer.py", &[]);
    assert!(said.ends_with("all done\n"), "{said}");
}

/// `kubeflow-training` 1.9.4, the last of the line before.
#[test]
#[ignore = "needs cluster (starts pods)"]
fn the_sdk_of_the_jobs_before() {
    let site = Site::new("sdkone");
    let said = site.python("training.py", &[&site.image]);
    assert!(said.ends_with("all done\n"), "{said}");
}
