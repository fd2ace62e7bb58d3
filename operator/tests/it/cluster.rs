//! The operator on a real cluster (`make test-cluster`). Containers are those of `deploy/local/stand-in.rs`, and
//! under the names of the walkthrough's images those of `images/`. One test at a time: the definitions name one webhook.

mod faults;
mod kept;
mod sdk;
mod site;
mod train;

use std::ops::Range;
use std::time::Duration;

use carrel_skip::{Need, skip};
use serde_json::{Value, json};

use crate::world::{EXAMPLE, PYTORCH_EXAMPLE};
use site::{Site, job, lines, until};

/// Ten epochs on four ranks.
const TRAINING: Duration = Duration::from_secs(300);
/// The losses of rank 0 by epochs, in runs of this recipe by PyTorch and by hand.
const BAND: [(usize, Range<f64>); 4] = [
    (0, 1.15..1.45),
    (1, 0.50..0.62),
    (2, 0.39..0.46),
    (9, 0.205..0.245),
];

#[test]
#[ignore = "needs cluster (starts pods)"]
fn the_walkthrough_s_tfjob_byte_for_byte() {
    let site = Site::new("tfjob");
    let crds = site.kubectl(&["get", "crd"]);
    assert!(crds.contains("tfjobs.kubeflow.org") && crds.contains("pytorchjobs.kubeflow.org"));
    site.apply(EXAMPLE);
    site.state("tfjob", "example-job", "Running");
    let log = until("the master's log", || {
        let log = site.kubectl(&["logs", "example-job-master-0"]);
        log.contains("tf_config").then_some(log)
    });
    let host = |task: &str| {
        format!(
            "\"example-job-{task}.{}.svc.cluster.local:2222\"",
            site.name
        )
    };
    let cluster = format!(
        "tf_config: {{\"cluster\":{{\"master\":[{}],\"ps\":[{},{}],\"worker\":[{}]}},\
         \"task\":{{\"type\":\"master\",\"index\":0}}}}",
        host("master-0"),
        host("ps-0"),
        host("ps-1"),
        host("worker-0")
    );
    assert!(log.contains(&cluster), "{log}");
    site.state("tfjob", "example-job", "Succeeded");
    let log = site.kubectl(&["logs", "example-job-master-0"]);
    assert!(log.contains("is the same on all 4 tasks"), "{log}");
    let git = log
        .lines()
        .find_map(|line| line.strip_prefix("Carrel git version: "));
    assert!(
        git.is_some_and(|git| git.len() >= 7 && git != "unknown"),
        "{log}"
    );
    // `kubectl get tfjob` shows the state, of Completed there is one pod.
    let table = site.kubectl(&["get", "tfjob"]);
    let cells: Vec<&str> = table.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!(cells[..2], ["example-job", "Succeeded"], "{table}");
    // What still ran when the master was done goes with its services; what had ended stays, for its log. A pod that
    // ends while it is being deleted is called Completed until it is gone: its service is gone before.
    let names = |table: &str| -> Vec<String> {
        let lines = lines(table).into_iter();
        lines
            .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
            .collect()
    };
    let ended = until("the end of the others and of their services", || {
        let pods = site.kubectl(&["get", "pods", "--no-headers"]);
        let all_ended = lines(&pods).iter().all(|pod| pod.contains("Completed"));
        let services = site.kubectl(&["get", "services", "--no-headers"]);
        (all_ended && names(&pods) == names(&services)).then(|| names(&pods))
    });
    assert!(
        ended.contains(&"example-job-master-0".to_owned()),
        "{ended:?}"
    );
    let old = site.get("tfjobs.v1alpha2.kubeflow.org", "example-job");
    assert_eq!(old["status"]["tfReplicaStatuses"]["Master"]["succeeded"], 1);
    assert_eq!(
        old["spec"],
        serde_saphyr::from_str::<Value>(EXAMPLE).unwrap()["spec"]
    );
    // Said where something was left to end: on a quick machine all four are done with the master.
    if ended.len() < 4 {
        until("the event of the end", || {
            let events = site.kubectl(&["get", "events", "-o", "custom-columns=M:.message"]);
            let note = "TFJob is terminated, deleting pods and services";
            events.contains(note).then_some(())
        });
    }
}

#[test]
#[ignore = "needs cluster (starts pods)"]
fn the_walkthrough_s_pytorchjob_byte_for_byte() {
    if std::env::var_os("CARREL_TEST_MNIST").is_none() {
        return skip(
            Need::Mnist,
            "$CARREL_TEST_MNIST is not set, so its image is not there",
        );
    }
    let site = Site::new("pytorch");
    site.create(PYTORCH_EXAMPLE);
    site.state("pytorchjob", "distributed-mnist", "Running");
    let selector = "pytorch_job_name=distributed-mnist";
    let pods = site.kubectl(&["get", "pods", "-l", selector, "-o", "name"]);
    assert_eq!(pods.lines().count(), 4, "{pods}");
    let selector = "pytorch_job_name=distributed-mnist,task_index=0";
    let master = site.kubectl(&["get", "pods", "-l", selector, "-o", "name"]);
    assert_eq!(master.lines().count(), 1, "{master}");
    site.state_within(TRAINING, "pytorchjob", "distributed-mnist", "Succeeded");
    let log = site.kubectl(&["logs", master.trim()]);
    for (epoch, band) in BAND {
        let begin = format!("Rank  0 , epoch  {epoch} :  ");
        let loss = log.lines().find_map(|line| line.strip_prefix(&begin));
        let loss: f64 = loss
            .unwrap_or_else(|| panic!("{log}"))
            .trim()
            .parse()
            .unwrap();
        assert!(band.contains(&loss), "epoch {epoch}: {log}");
    }
    let old = site.get("pytorchjobs.v1alpha1.kubeflow.org", "distributed-mnist");
    assert_eq!(
        (&old["status"]["state"], &old["status"]["phase"]),
        (&json!("Succeeded"), &json!("Done"))
    );
    // What the file says, and the identity that the operator has written back.
    let mut spec = serde_saphyr::from_str::<Value>(PYTORCH_EXAMPLE).unwrap()["spec"].clone();
    spec["RuntimeId"] = old["spec"]["RuntimeId"].clone();
    assert_eq!(spec["RuntimeId"].as_str().unwrap().len(), 4);
    assert_eq!(old["spec"], spec);
    let pods = site.kubectl(&["get", "pods", "-o", "name"]);
    assert_eq!(pods.lines().count(), 4, "they stay, for their logs");
}

/// What is written in one version is read in every other, without loss.
#[test]
#[ignore = "needs cluster (starts pods)"]
fn every_version_is_served() {
    let site = Site::new("versions");
    let mut object = job(&site, "TFJob", "v1beta1", "Worker", &["sleep", "60"]);
    object["spec"]["ttlSecondsAfterFinished"] = json!(600);
    object["spec"]["cleanPodPolicy"] = json!("All");
    site.apply(&object.to_string());
    for version in ["v1alpha2", "v1beta1", "v1beta2", "v1"] {
        let found = site.get(&format!("tfjobs.{version}.kubeflow.org"), "job");
        assert_eq!(found["apiVersion"], format!("kubeflow.org/{version}"));
    }
    let v1 = site.get("tfjobs.v1.kubeflow.org", "job");
    assert_eq!(
        v1["spec"]["runPolicy"],
        json!({ "cleanPodPolicy": "All", "ttlSecondsAfterFinished": 600 })
    );
    let patch = r#"{"spec":{"cleanPodPolicy":"None"}}"#;
    let old = "tfjobs.v1alpha2.kubeflow.org";
    site.kubectl(&["patch", old, "job", "--type=merge", "-p", patch]);
    let v1 = site.get("tfjobs.v1.kubeflow.org", "job");
    assert_eq!(
        v1["spec"]["runPolicy"],
        json!({ "cleanPodPolicy": "None", "ttlSecondsAfterFinished": 600 }),
        "a write in the older version keeps what it cannot hold"
    );
    // Somebody applies the definitions of another day: the operator puts its own back.
    let other =
        r#"{"spec":{"conversion":{"webhook":{"clientConfig":{"url":"https://127.0.0.1:1/"}}}}}"#;
    site.kubectl(&[
        "patch",
        "crd",
        "tfjobs.kubeflow.org",
        "--type=merge",
        "-p",
        other,
    ]);
    site.converts();
}

#[test]
#[ignore = "needs cluster (starts pods)"]
fn a_job_is_suspended_and_resumed() {
    let site = Site::new("suspend");
    let mut object = job(&site, "TFJob", "v1", "Worker", &["sleep", "60"]);
    object["spec"]["runPolicy"] = json!({ "suspend": true });
    site.apply(&object.to_string());
    site.state("tfjob", "job", "Suspended");
    assert_eq!(site.pods(), [""; 0]);
    let suspend = |value: bool| {
        let patch = json!({ "spec": { "runPolicy": { "suspend": value } } }).to_string();
        site.kubectl(&["patch", "tfjob", "job", "--type=merge", "-p", &patch]);
    };
    suspend(false);
    site.state("tfjob", "job", "Running");
    suspend(true);
    site.state("tfjob", "job", "Suspended");
    until("the end of the pod", || {
        site.pods().is_empty().then_some(())
    });
}

#[test]
#[ignore = "needs cluster (starts pods)"]
fn an_exit_code_starts_a_pod_anew() {
    let site = Site::new("exit");
    let folder = format!("/tmp/{}", site.name);
    let mut object = job(
        &site,
        "TFJob",
        "v1",
        "Worker",
        &["fail-once", "137", "/data"],
    );
    let worker = &mut object["spec"]["tfReplicaSpecs"]["Worker"];
    worker["restartPolicy"] = json!("ExitCode");
    let pod = &mut worker["template"]["spec"];
    pod["securityContext"] = json!({ "runAsUser": 0 });
    pod["volumes"] =
        json!([{ "name": "data", "hostPath": { "path": folder, "type": "DirectoryOrCreate" } }]);
    pod["containers"][0]["volumeMounts"] = json!([{ "name": "data", "mountPath": "/data" }]);
    site.apply(&object.to_string());
    site.state("tfjob", "job", "Succeeded");
    let found = site.get("tfjob", "job");
    assert_eq!(found["status"]["restarts"]["worker-0"]["count"], 1);

    let mut object = job(&site, "TFJob", "v1", "Worker", &["exit", "2"]);
    object["metadata"]["name"] = json!("permanent");
    object["spec"]["tfReplicaSpecs"]["Worker"]["restartPolicy"] = json!("ExitCode");
    site.apply(&object.to_string());
    site.state("tfjob", "permanent", "Failed");
    let found = site.get("tfjob", "permanent");
    assert_eq!(found["status"]["reason"], "worker-0 failed: exit code 2");
}

#[test]
#[ignore = "needs cluster (starts pods)"]
fn policies_of_the_end_are_kept() {
    let site = Site::new("end");
    let mut object = job(&site, "TFJob", "v1", "Worker", &["sleep", "1"]);
    object["spec"]["runPolicy"] = json!({ "cleanPodPolicy": "All" });
    site.apply(&object.to_string());
    site.state("tfjob", "job", "Succeeded");
    until("the end of the pod", || {
        site.pods().is_empty().then_some(())
    });

    object["metadata"]["name"] = json!("gone");
    object["spec"]["runPolicy"] = json!({ "ttlSecondsAfterFinished": 1 });
    site.apply(&object.to_string());
    until("the end of the job", || {
        let jobs = site.kubectl(&["get", "tfjob", "-o", "name"]);
        (lines(&jobs) == ["tfjob.kubeflow.org/job"]).then_some(())
    });

    let mut object = job(&site, "PyTorchJob", "v1", "Master", &["sleep", "60"]);
    object["metadata"]["name"] = json!("late");
    object["spec"]["runPolicy"] = json!({ "activeDeadlineSeconds": 3 });
    site.apply(&object.to_string());
    site.state("pytorchjob", "late", "Failed");
    until("the end of the pod", || {
        (!site.pods().contains(&"late-master-0".to_owned())).then_some(())
    });
}

/// Refused by the API server, or named on the object.
#[test]
#[ignore = "needs cluster (starts pods)"]
fn bad_jobs_are_refused_or_named() {
    let site = Site::new("bad");
    let good = || job(&site, "TFJob", "v1", "Worker", &["sleep", "60"]);
    let refused = |change: &dyn Fn(&mut Value), said: &str| {
        let mut object = good();
        change(&mut object["spec"]["tfReplicaSpecs"]);
        let error = site.try_apply(&object.to_string()).unwrap_err();
        assert!(error.contains(said), "{error}");
    };
    refused(
        &|specs| specs["Worker"]["replicas"] = json!(-1),
        "should be greater than or equal to 0",
    );
    refused(
        &|specs| specs["Worker"]["restartPolicy"] = json!("Sometimes"),
        "Unsupported value: \"Sometimes\"",
    );
    let mut unknown = good();
    unknown["spec"]["runPolicy"] = json!({ "managedBy": "nobody.test/manager" });
    let error = site.try_apply(&unknown.to_string()).unwrap_err();
    assert!(
        error.contains("it must be kubeflow.org/training-operator or"),
        "{error}"
    );
    refused(
        &|specs| specs["Worker"]["replicas"] = json!("two"),
        "must be of type integer",
    );
    refused(
        &|specs| {
            specs["Worker"]["template"]["metadata"] =
                json!({ "annotations": { "a": "x".repeat(3 << 20) } })
        },
        "too large",
    );
    let named = |name: &str, change: &dyn Fn(&mut Value), said: &str| {
        let mut object = good();
        object["metadata"]["name"] = json!(name);
        change(&mut object["spec"]["tfReplicaSpecs"]);
        site.create(&object.to_string());
        site.state("tfjob", name, "Failed");
        let status = site.get("tfjob", name)["status"].clone();
        let reason = status["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(said), "{status}");
    };
    named(
        "container",
        &|specs| specs["Worker"]["template"]["spec"]["containers"][0]["name"] = json!("main"),
        "spec.tfReplicaSpecs.Worker.template: there is no container named tensorflow",
    );
    named(
        "none",
        &|specs| specs["Worker"]["template"] = json!({}),
        "there are no containers",
    );
    named(
        "masters",
        &|specs| {
            specs["Master"] = specs["Worker"].clone();
            specs["Master"]["replicas"] = json!(2);
        },
        "there must be 1 Master, not 2",
    );
    named(
        "unknown",
        &|specs| specs["Boss"] = specs["Worker"].clone(),
        "spec.tfReplicaSpecs.Boss: there is no such type of replica",
    );
    // What only the API server knows of pods.
    named(
        "pod",
        &|specs| {
            specs["Worker"]["template"]["spec"]["containers"][0]["imagePullPolicy"] = json!("Maybe")
        },
        "imagePullPolicy",
    );
    named(
        "large",
        &|specs| {
            specs["Worker"]["template"]["metadata"] =
                json!({ "annotations": { "a": "x".repeat(1_400_000) } })
        },
        "Too long",
    );
}

/// A job waits, and says for what.
#[test]
#[ignore = "needs cluster (starts pods)"]
fn what_a_job_waits_for_is_named() {
    let site = Site::new("wait");
    let mut object = job(&site, "TFJob", "v1", "Worker", &["sleep", "60"]);
    let pod = &mut object["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"];
    pod["containers"][0]["image"] = json!("127.0.0.1:1/none:1");
    site.apply(&object.to_string());
    let reason = |name: &str, said: &str| {
        until(said, || {
            let status = site.get("tfjob", name)["status"].clone();
            let reason = status["reason"].as_str().unwrap_or_default();
            reason.contains(said).then_some(())
        });
    };
    reason(
        "job",
        "worker-0 waits: the image 127.0.0.1:1/none:1 cannot be pulled",
    );
    let quota = json!({
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": { "name": "pods" },
        "spec": { "hard": { "pods": "1" } },
    });
    site.apply(&quota.to_string());
    until("the quota", || {
        let quota = site.get("resourcequota", "pods");
        (quota["status"]["used"]["pods"] == "1").then_some(())
    });
    let mut object = job(&site, "TFJob", "v1", "Worker", &["sleep", "60"]);
    object["metadata"]["name"] = json!("second");
    site.apply(&object.to_string());
    reason("second", "exceeded quota");
    site.kubectl(&["delete", "resourcequota", "pods"]);
    site.state("tfjob", "second", "Running");

    let foreign = json!({
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": { "name": "third-worker-0" },
        "spec": object["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"],
    });
    site.apply(&foreign.to_string());
    object["metadata"]["name"] = json!("third");
    site.apply(&object.to_string());
    reason(
        "third",
        "the pod third-worker-0 is there and belongs to something else",
    );
    site.kubectl(&["delete", "pod", "third-worker-0"]);
    site.state("tfjob", "third", "Running");
}
