//! The model server on a real cluster (`make test-cluster`), from its image, with what the chart gives it. That of the playbook, with
//! the walkthrough's client, is a test of the whole installation.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::chart;

/// Bound of each wait.
const LIMIT: Duration = Duration::from_secs(90);

fn kubectl(arguments: &[&str]) -> String {
    try_kubectl(arguments, "").unwrap_or_else(|error| panic!("kubectl {arguments:?}: {error}"))
}

fn try_kubectl(arguments: &[&str], input: &str) -> Result<String, String> {
    let mut child = Command::new("kubectl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{error}; run this by deploy/local/test-cluster"))?;
    // One that reads nothing has closed it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// A namespace of the test's own, which goes with it.
struct Place(String);

impl Place {
    fn new(name: &str) -> Self {
        let place = Self(format!("carrel-{name}-{}", std::process::id()));
        kubectl(&["create", "namespace", &place.0]);
        place
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        kubectl(&[&["-n", &self.0], arguments].concat())
    }

    fn apply(&self, objects: &str) {
        let applied = try_kubectl(&["-n", &self.0, "apply", "-f", "-"], objects);
        applied.unwrap_or_else(|error| panic!("{error}\n{objects}"));
    }

    /// What the chart makes of values, all of it ready.
    fn install(&self, values: &[&str]) {
        for name in ["deployment", "service", "networkpolicy"] {
            self.apply(&chart::template(name, &self.0, values).unwrap());
        }
        let rollout = [
            "rollout",
            "status",
            "deployment/inception-v1",
            "--timeout=90s",
        ];
        let rollout = try_kubectl(&[&["-n", &self.0], &rollout[..]].concat(), "");
        if let Err(error) = rollout {
            let pods = self.kubectl(&["describe", "pods"]);
            let log = ["logs", "deployment/inception-v1", "--all-containers"];
            let log = try_kubectl(&[&["-n", &self.0], &log[..]].concat(), "");
            panic!("{error}\n{pods}\n{log:?}");
        }
    }

    /// What the server answers through the API server.
    fn get(&self, path: &str) -> Value {
        let path = format!(
            "/api/v1/namespaces/{}/services/inception:8000/proxy{path}",
            self.0
        );
        serde_json::from_str(&kubectl(&["get", "--raw", &path])).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = try_kubectl(&["delete", "namespace", &self.0, "--wait=false"], "");
    }
}

/// Waits until `found` gives something.
async fn wait_for<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> T {
    let begun = std::time::Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(begun.elapsed() < LIMIT, "waited too long for {what}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// A pod that serves the files of a folder of the node, at port 8080 of `files`.
fn site(folder: &str, image: &str) -> String {
    let pod = json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": "files", "labels": { "app": "files" } },
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "containers": [{
                "name": "files", "image": image, "imagePullPolicy": "IfNotPresent",
                "command": ["python3", "-m", "http.server", "--directory", "/files", "8080"],
                "readinessProbe": { "tcpSocket": { "port": 8080 }, "periodSeconds": 1 },
                "volumeMounts": [{ "name": "files", "mountPath": "/files", "readOnly": true }],
            }],
            "volumes": [{ "name": "files", "hostPath": { "path": folder } }],
        },
    });
    let service = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "files" },
        "spec": { "selector": { "app": "files" }, "ports": [{ "port": 8080 }] },
    });
    json!({ "apiVersion": "v1", "kind": "List", "items": [pod, service] }).to_string()
}

/// With the digest of the file there.
fn file(folder: &str, name: &str) -> Value {
    use sha2::{Digest as _, Sha256};
    let bytes = std::fs::read(format!("{folder}/1/{name}")).unwrap();
    json!({ "name": name, "url": format!("http://files:8080/1/{name}"), "sha256": hex::encode(Sha256::digest(bytes)) })
}

/// The init container brings the model; the pod has no other right than that, writes nowhere else, and is nobody.
#[tokio::test]
#[ignore = "needs cluster (starts pods)"]
async fn the_server_on_a_cluster_brings_its_model_from_an_address() {
    let folder = std::env::var("CARREL_TEST_SQUEEZENET");
    let (Ok(folder), Ok(image)) = (folder, std::env::var("CARREL_TEST_FOREIGN_IMAGE")) else {
        carrel_skip::skip(
            carrel_skip::Need::SqueezeNet,
            "the cluster's node has no SqueezeNet",
        );
        return;
    };
    let place = Place::new("inference");
    place.apply(&site(&folder, &image));
    place.kubectl(&[
        "wait",
        "--for=condition=Ready",
        "pod/files",
        "--timeout=90s",
    ]);
    let manifest = std::fs::read_to_string(format!("{folder}/1/manifest.json")).unwrap();
    let mut files = vec![
        file(&folder, "model.onnx"),
        file(&folder, "labels.txt"),
        json!({ "name": "manifest.json", "text": manifest }),
    ];
    let values = |files: &[Value]| format!("inference.model.files={}", json!(files));
    let value = values(&files);
    place.install(&["inference.enabled=true", &value]);
    let state = wait_for("the model", || {
        let status = &place.get("/v1/models/inception")["model_version_status"][0];
        (status["state"] == "AVAILABLE").then(|| status.clone())
    });
    assert_eq!(state.await["version"], "1");
    let said = place.get("/v1/models/inception/metadata").to_string();
    assert!(said.contains("predict_images"), "{said}");
    // Another digest: the pod that runs is left alone, the new one does not come.
    files[0]["sha256"] = json!("0".repeat(64));
    let value = values(&files);
    let wrong = chart::template("deployment", &place.0, &["inference.enabled=true", &value]);
    place.apply(&wrong.unwrap());
    let said = wait_for("the refusal", || {
        let label = "app.kubernetes.io/component=inference";
        let logs = ["logs", "-l", label, "-c", "fetch", "--tail=50", "--prefix"];
        let logs = try_kubectl(&[&["-n", &place.0], &logs[..]].concat(), "").ok()?;
        logs.contains("has the SHA-256").then_some(logs)
    });
    assert!(said.await.contains("could not bring model.onnx"));
    let status = &place.get("/v1/models/inception")["model_version_status"][0];
    assert_eq!(status["state"], "AVAILABLE");
}

/// The definitions of KServe itself, which are there for this test only.
#[tokio::test]
#[ignore = "needs cluster (makes definitions)"]
async fn kserve_on_a_cluster_takes_the_serving_runtime() {
    let Ok(folder) = std::env::var("CARREL_TEST_KSERVE") else {
        carrel_skip::skip(
            carrel_skip::Need::KServe,
            "CARREL_TEST_KSERVE names no definitions",
        );
        return;
    };
    for (kind, values) in [
        (
            "servingruntimes",
            &["inference.servingRuntime.enabled=true"][..],
        ),
        (
            "clusterservingruntimes",
            &[
                "inference.servingRuntime.enabled=true",
                "inference.servingRuntime.clusterWide=true",
            ],
        ),
    ] {
        let definition = Definition::new(&folder, kind);
        let runtime = chart::template("servingruntime", "default", values).unwrap();
        // Strict: a field that the definition does not know is refused.
        let dry_run = ["apply", "--dry-run=server", "--validate=strict", "-f", "-"];
        // The API server takes a moment to know the new kind.
        let taken = wait_for("the kind to be known", || {
            let taken = try_kubectl(&dry_run, &runtime);
            let unknown = [
                "no matches for kind",
                "could not find the requested resource",
            ];
            let is_unknown = |error: &String| unknown.iter().any(|said| error.contains(said));
            let known = !taken.as_ref().is_err_and(is_unknown);
            known.then_some(taken)
        });
        let taken = taken.await.unwrap_or_else(|error| panic!("{error}"));
        assert!(taken.contains("carrel-onnx created"), "{taken}");
        let wrong = runtime.replace("supportedModelFormats", "modelFormats");
        let refused = try_kubectl(&dry_run, &wrong).unwrap_err();
        assert!(refused.contains("modelFormats"), "{refused}");
        drop(definition);
    }
}

/// A definition that goes with the test.
struct Definition(String);

impl Definition {
    fn new(folder: &str, kind: &str) -> Self {
        let name = format!("{kind}.serving.kserve.io");
        let text = std::fs::read_to_string(format!("{folder}/serving.kserve.io_{kind}.yaml"));
        let mut text: Value = serde_saphyr::from_str(&text.unwrap()).unwrap();
        // KServe's own webhook converts; it is not here.
        text["spec"].as_object_mut().unwrap().remove("conversion");
        // Its size is beyond what `kubectl apply` remembers.
        try_kubectl(&["create", "-f", "-"], &text.to_string()).unwrap();
        Self(name)
    }
}

impl Drop for Definition {
    fn drop(&mut self) {
        let _ = try_kubectl(&["delete", "crd", &self.0], "");
    }
}
