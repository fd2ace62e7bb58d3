//! Operators that are killed, and pods that go.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use carrel_skip::{Need, skip};
use serde_json::json;

use super::site::{Site, job, lines, until};

/// For a hundred pods on a small machine.
const HUNDRED: Duration = Duration::from_secs(300);

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

/// Killed without a word, as by the machine's memory: here its pod is deleted without grace, whose process sleeps in the place
/// of training.
#[test]
#[ignore = "needs cluster (starts pods)"]
fn a_master_that_is_killed_comes_again_and_the_job_ends_well() {
    let site = Site::new("master");
    let mut object = job(&site, "PyTorchJob", "v1", "Master", &["sleep", "8"]);
    let specs = &mut object["spec"]["pytorchReplicaSpecs"];
    specs["Worker"] = specs["Master"].clone();
    specs["Worker"]["replicas"] = json!(2);
    for role in ["Master", "Worker"] {
        specs[role]["restartPolicy"] = json!("OnFailure");
    }
    site.create(&object.to_string());
    site.state("pytorchjob", "job", "Running");
    let before = uids(&site);
    kill(&site, "job-master-0");
    let after = until("another master", || {
        let now = uids(&site);
        let is_new = |uid: &String| *uid != before["job-master-0"];
        now.get("job-master-0").is_some_and(is_new).then_some(now)
    });
    assert_eq!(after["job-worker-1"], before["job-worker-1"]);
    site.state("pytorchjob", "job", "Succeeded");
    assert_eq!(uids(&site)["job-master-0"], after["job-master-0"]);
}

/// A machine that is lost: a Node that no machine stands behind, whose pod the control plane takes away without grace.
#[test]
#[ignore = "needs cluster (starts pods)"]
fn what_ran_on_a_node_that_is_lost_comes_again() {
    let site = Site::new("node");
    let node = format!("{}-lost", site.name);
    let object = json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": node } });
    site.create(&object.to_string());
    let mut object = job(&site, "TFJob", "v1", "Chief", &["sleep", "600"]);
    let specs = &mut object["spec"]["tfReplicaSpecs"];
    specs["Worker"] = specs["Chief"].clone();
    // Nobody starts it there; it is said to run.
    specs["Worker"]["template"]["spec"]["nodeName"] = json!(node);
    site.create(&object.to_string());
    site.state("tfjob", "job", "Running");
    let runs = json!({ "status": { "phase": "Running" } }).to_string();
    let patch = [
        "patch",
        "pod",
        "job-worker-0",
        "--subresource=status",
        "-p",
        &runs,
    ];
    site.kubectl(&patch);
    until("the worker", || {
        let counts = &site.get("tfjob", "job")["status"]["replicaStatuses"]["Worker"];
        (counts["active"] == 1).then_some(())
    });
    let before = uids(&site);
    site.kubectl(&["delete", "node", &node]);
    kill(&site, "job-worker-0");
    until("another worker", || {
        let now = uids(&site);
        let worker = now.get("job-worker-0")?;
        (*worker != before["job-worker-0"]).then_some(())
    });
    let status = site.get("tfjob", "job")["status"].clone();
    assert_eq!(status["state"], "Running", "{status}");
    assert_eq!(uids(&site)["job-chief-0"], before["job-chief-0"]);
}

/// Killed while pods run, and away when they end. The operator is the same process all the time.
#[test]
#[ignore = "needs cluster (starts pods)"]
fn an_api_server_that_restarts_is_waited_for() {
    let Some(folder) = std::env::var_os("CARREL_TEST_NODE") else {
        return skip(Need::OneNode, "its API server is to be killed");
    };
    let site = Site::new("server");
    for number in 0..3 {
        let mut object = job(&site, "TFJob", "v1", "Worker", &["sleep", "4"]);
        object["metadata"]["name"] = json!(format!("job-{number}"));
        object["spec"]["tfReplicaSpecs"]["Worker"]["replicas"] = json!(2);
        object["spec"]["successPolicy"] = json!("AllWorkers");
        site.create(&object.to_string());
    }
    for number in 0..3 {
        site.state("tfjob", &format!("job-{number}"), "Running");
    }
    let before = uids(&site);
    assert_eq!(before.len(), 6);
    let server = ApiServer::kill(folder.as_ref());
    // They end meanwhile.
    std::thread::sleep(Duration::from_secs(6));
    server.start();
    until("the API server", || {
        site.kubectl_with(&["get", "--raw", "/readyz"], "").ok()
    });
    for number in 0..3 {
        site.state("tfjob", &format!("job-{number}"), "Succeeded");
    }
    assert_eq!(uids(&site), before, "{}", site.log());
}

/// All at once, each with a pod that runs and ends.
#[test]
#[ignore = "needs cluster (starts pods)"]
fn a_hundred_jobs_at_once_all_end_and_leave_nothing() {
    let site = Site::new("hundred");
    let jobs = (0..100).map(|number| {
        let mut object = job(&site, "TFJob", "v1", "Worker", &["sleep", "1"]);
        object["metadata"]["name"] = json!(format!("job-{number}"));
        object["spec"]["runPolicy"] = json!({ "cleanPodPolicy": "All" });
        object
    });
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": jobs.collect::<Vec<_>>() });
    site.create(&list.to_string());
    let begun = std::time::Instant::now();
    let state = |job: &serde_json::Value| job["status"]["state"].as_str().unwrap_or("").to_owned();
    loop {
        let jobs = site.kubectl(&["get", "tfjobs", "-o", "json"]);
        let jobs: serde_json::Value = serde_json::from_str(&jobs).unwrap();
        let states: Vec<_> = jobs["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(state)
            .collect();
        assert_eq!(states.len(), 100);
        assert!(!states.iter().any(|state| state == "Failed"), "{states:?}");
        if states.iter().all(|state| state == "Succeeded") {
            break;
        }
        assert!(begun.elapsed() < HUNDRED, "{states:?}\n{}", site.log());
        std::thread::sleep(Duration::from_secs(1));
    }
    eprintln!("100 jobs ended within {:?}", begun.elapsed());
    until("the end of all pods and services", || {
        let left = site.kubectl(&["get", "pods,services", "-o", "name"]);
        lines(&left).is_empty().then_some(())
    });
    // Each pod was made once.
    let events = site.kubectl(&["get", "events", "-o", "json"]);
    assert!(!events.contains("AlreadyExists"), "{events}");
}

/// Names and identities of all pods.
fn uids(site: &Site) -> BTreeMap<String, String> {
    let path = "jsonpath={range .items[*]}{.metadata.name} {.metadata.uid}{\"\\n\"}{end}";
    let pods = site.kubectl(&["get", "pods", "-o", path]);
    let pods = lines(&pods)
        .into_iter()
        .filter_map(|line| line.split_once(' '));
    pods.map(|(name, uid)| (name.to_owned(), uid.to_owned()))
        .collect()
}

fn kill(site: &Site, pod: &str) {
    site.kubectl(&["delete", "pod", pod, "--grace-period=0", "--force"]);
}

/// That of a one-node cluster of this machine, whose `up` keeps the number of its process in a folder.
struct ApiServer {
    folder: PathBuf,
    command: Vec<String>,
}

impl ApiServer {
    fn kill(folder: &Path) -> Self {
        let number = std::fs::read_to_string(folder.join("apiserver.pid")).unwrap();
        let process = PathBuf::from(format!("/proc/{}", number.trim()));
        let command = std::fs::read(process.join("cmdline")).unwrap();
        let command = String::from_utf8(command).unwrap();
        let words = command.split_terminator('\0').map(str::to_owned);
        let killed = Command::new("kill").args(["-9", number.trim()]).status();
        assert!(killed.unwrap().success());
        until("the end of the API server", || {
            let status = std::fs::read_to_string(process.join("status"));
            let is_there = status.is_ok_and(|status| !status.contains("State:\tZ"));
            (!is_there).then_some(())
        });
        Self {
            folder: folder.to_owned(),
            command: words.collect(),
        }
    }

    #[expect(
        clippy::zombie_processes,
        reason = "it serves on when the test has ended"
    )]
    fn start(self) {
        let log = self.folder.join("log/apiserver.log");
        let log = File::options().append(true).open(log).unwrap();
        let server = Command::new("setsid")
            .args(["nsenter", "--net=/run/netns/kube1"])
            .args(self.command)
            .current_dir(&self.folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap();
        std::fs::write(self.folder.join("apiserver.pid"), server.id().to_string()).unwrap();
    }
}
