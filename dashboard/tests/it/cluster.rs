//! The dashboard on a real cluster (`make test-cluster`), with the rights that the chart gives it. No operator runs here: the
//! pods of jobs are the test's own.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use carrel_tests::wait_for;
use serde_json::{Value, json};

use crate::site::{BASE, Site, Visitor};

const TRAINING: &str = "localhost/carrel-training:0.1.0";

/// A namespace of the test's own, with the service account of the chart in it; it goes with the test.
struct Place {
    name: String,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            name: format!("carrel-dashboard-{}", std::process::id()),
        };
        for kind in ["tfjobs", "pytorchjobs"] {
            let file = repository().join(format!("deploy/chart/crds/{kind}.yaml"));
            let text = std::fs::read_to_string(file).unwrap();
            let mut definition: Value = serde_saphyr::from_str(&text).unwrap();
            // Nobody converts here.
            definition["spec"]["conversion"] = json!({ "strategy": "None" });
            if let Err(error) = place.try_kubectl(&["create", "-f", "-"], &definition.to_string()) {
                assert!(error.contains("already exists"), "{error}");
            }
        }
        place.kubectl(&["create", "namespace", &place.name]);
        let chart = repository().join("deploy/chart");
        let mut helm = Command::new("helm");
        helm.args(["template", "carrel"])
            .arg(chart)
            .args(["--namespace", &place.name]);
        helm.args([
            "--set",
            "dashboard.enabled=true",
            "--show-only",
            "templates/dashboard/rbac.yaml",
        ]);
        let rights = run(&mut helm, "").unwrap();
        place.try_kubectl(&["apply", "-f", "-"], &rights).unwrap();
        let role = json!({
            "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": { "name": "lab" },
            "rules": [
                { "apiGroups": ["kubeflow.org"], "resources": ["tfjobs", "pytorchjobs"], "verbs": ["*"] },
                { "apiGroups": [""], "resources": ["pods", "pods/log", "events"], "verbs": ["get", "list"] },
            ],
        });
        place
            .try_kubectl(&["create", "-f", "-"], &role.to_string())
            .unwrap();
        place.kubectl(&[
            "create",
            "rolebinding",
            "lab",
            "--role=lab",
            "--group=hub:lab",
        ]);
        place.kubectl(&[
            "create",
            "clusterrolebinding",
            &place.name,
            "--clusterrole=cluster-admin",
            "--user=eve",
        ]);
        place
    }

    fn kubectl(&self, arguments: &[&str]) -> String {
        self.try_kubectl(arguments, "")
            .unwrap_or_else(|error| panic!("kubectl {arguments:?}: {error}"))
    }

    fn try_kubectl(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        run(
            Command::new("kubectl")
                .args(["--namespace", &self.name])
                .args(arguments),
            input,
        )
    }

    /// A kubeconfig of the service account.
    fn kubeconfig(&self) -> String {
        let token = self.kubectl(&["create", "token", "centraldashboard"]);
        let text = self.kubectl(&[
            "config",
            "view",
            "--raw",
            "--minify",
            "--flatten",
            "-o",
            "json",
        ]);
        let mut config: Value = serde_json::from_str(&text).unwrap();
        config["users"][0]["user"] = json!({ "token": token.trim() });
        config.to_string()
    }

    fn pod(&self, job: &str, image: &str, more: &Value) {
        let mut container =
            json!({ "name": "pytorch", "image": image, "imagePullPolicy": "Never" });
        container
            .as_object_mut()
            .unwrap()
            .append(&mut more["container"].as_object().unwrap().clone());
        let pod = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": format!("{job}-master-0"), "labels": {
                "training.kubeflow.org/operator-name": "pytorchjob-controller",
                "training.kubeflow.org/job-name": job,
                "training.kubeflow.org/replica-type": "master",
                "training.kubeflow.org/replica-index": "0",
            } },
            "spec": { "restartPolicy": "Never", "containers": [container], "volumes": more["volumes"] },
        });
        self.try_kubectl(&["create", "-f", "-"], &pod.to_string())
            .unwrap();
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let role = format!("{}:centraldashboard", self.name);
        for (kind, name) in [
            ("namespace", &self.name),
            ("clusterrolebinding", &self.name),
            ("clusterrolebinding", &role),
            ("clusterrole", &role),
        ] {
            let _ = self.try_kubectl(&["delete", kind, name, "--wait=false"], "");
        }
    }
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn run(command: &mut Command, input: &str) -> Result<String, String> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{command:?}: {error}; run this by deploy/local/test-cluster"))?;
    // One that reads nothing has closed it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

fn form<'a>(place: &'a Place, replicas: &'a str, what: &'a str) -> Vec<(&'static str, &'a str)> {
    vec![
        ("kind", "pytorchjob"),
        ("name", "mnist"),
        ("namespace", &place.name),
        ("Master.image", TRAINING),
        ("Master.replicas", replicas),
        ("Master.args", "mnist"),
        ("do", what),
    ]
}

#[tokio::test]
#[ignore = "needs cluster (starts pods)"]
async fn the_dashboard_on_a_cluster_does_what_each_may() {
    let place = Place::new();
    let site = Site::on(&place.kubeconfig()).await;
    let ada = site.person("ada").await;
    rights(&place, &site, &ada).await;
    made(&place, &ada).await;
    failed(&place, &ada).await;
    trained(&place, &ada).await;
    changed(&place, &ada).await;
}

async fn rights(place: &Place, site: &Site, ada: &Visitor) {
    ada.get("tfjobs/ui/")
        .await
        .expect(200)
        .says("There are no jobs yet");
    ada.get(&format!("tfjobs/api/tfjob/{}", place.name))
        .await
        .expect(200)
        .says("\"TFJobList\"");
    ada.get("tfjobs/api/tfjob/kube-system")
        .await
        .expect(403)
        .says("list tfjobs.kubeflow.org in the namespace kube-system");
    ada.get("")
        .await
        .expect(200)
        .says("You may not <code>list nodes");
    let bob = site.person("bob").await;
    bob.get("tfjobs/ui/")
        .await
        .expect(200)
        .says("You may not <code>list tfjobs.kubeflow.org");
    let eve = site.person("eve").await;
    eve.get("")
        .await
        .expect(200)
        .says("asked for")
        .says("1 node")
        .hides("You may not");
    eve.get("tfjobs/ui/").await.expect(200);
}

/// What the API server and the operator's rules say stands beside the field that it is about.
async fn made(place: &Place, ada: &Visitor) {
    let new = "tfjobs/ui/new?kind=pytorchjob";
    let page = ada
        .send(new, "tfjobs/ui/new", &form(place, "-1", "create"))
        .await
        .expect(422);
    page.says("id=\"error-Master.replicas\">Invalid value: -1: ")
        .says("should be greater than or equal to 0");
    let page = ada
        .send(new, "tfjobs/ui/new", &form(place, "2", "create"))
        .await
        .expect(422);
    page.says("id=\"error-Master.replicas\">there must be 1 Master, not 2");
    ada.send(new, "tfjobs/ui/new", &form(place, "1", "check"))
        .await
        .expect(200)
        .says("would take this job");
    let error = place
        .try_kubectl(&["get", "pytorchjob", "mnist"], "")
        .unwrap_err();
    assert!(error.contains("NotFound"), "{error}");
    let page = ada
        .send(new, "tfjobs/ui/new", &form(place, "1", "create"))
        .await
        .expect(200);
    page.says("1 Master").says("Created");
    place.kubectl(&["get", "pytorchjob", "mnist"]);
    ada.send(new, "tfjobs/ui/new", &form(place, "1", "create"))
        .await
        .expect(422)
        .says("There is a job of this name already");
    let yaml = json!({
        "apiVersion": "kubeflow.org/v1", "kind": "TFJob", "metadata": { "name": "odd" },
        "spec": { "tfReplicaSpecs": { "Worker": { "restartPolicy": "Sometimes" } } },
    });
    let fields = [
        ("yaml", &*yaml.to_string()),
        ("namespace", &place.name),
        ("do", "check"),
    ];
    let page = ada
        .send("tfjobs/ui/new/yaml", "tfjobs/ui/new/yaml", &fields)
        .await
        .expect(422);
    page.says("<code>spec.tfReplicaSpecs.Worker.restartPolicy</code>")
        .says("Unsupported value");
}

/// A pod that trains, in the place of an operator's: its log as it comes, and its losses as curves.
async fn trained(place: &Place, ada: &Visitor) {
    let Ok(data) = std::env::var("CARREL_TEST_MNIST") else {
        carrel_skip::skip(carrel_skip::Need::Mnist, "CARREL_TEST_MNIST is not set");
        return;
    };
    let more = json!({
        "container": {
            "args": ["mnist", "--data=/data", "--epochs=3", "--pictures=1280"],
            "volumeMounts": [{ "name": "data", "mountPath": "/data", "readOnly": true }],
        },
        "volumes": [{ "name": "data", "hostPath": { "path": data } }],
    });
    place.pod("mnist", TRAINING, &more);
    let job = format!("tfjobs/ui/pytorchjob/{}/mnist/", place.name);
    let stream = format!("{BASE}{job}logs/mnist-master-0/stream");
    let log = wait_for("the end of the log", Duration::from_secs(90), || async {
        let text = ada.0.get(&stream).await.ok()?.text().await.ok()?;
        text.contains("event: end").then_some(text)
    })
    .await
    .unwrap();
    for epoch in 0..3 {
        assert!(
            log.contains(&format!("data: Rank  0 , epoch  {epoch} :  ")),
            "{log}"
        );
    }
    let ended = || async {
        let page = ada.get(&job).await;
        (page.text.contains("Completed") && page.text.contains("Loss by epoch, epochs 0 to 2"))
            .then_some(page)
    };
    let page = wait_for("the curves", Duration::from_secs(60), ended)
        .await
        .unwrap();
    page.says("Accuracy by epoch").says("mnist-master-0");
    ada.get(&format!("{job}logs/mnist-master-0"))
        .await
        .expect(200)
        .says("Test accuracy")
        .says("The pod has ended");
}

/// A pod that fails says why.
async fn failed(place: &Place, ada: &Visitor) {
    let image = std::env::var("CARREL_TEST_IMAGE").unwrap();
    let job = json!({
        "apiVersion": "kubeflow.org/v1", "kind": "PyTorchJob", "metadata": { "name": "fails" },
        "spec": { "pytorchReplicaSpecs": {} },
    });
    place
        .try_kubectl(&["create", "-f", "-"], &job.to_string())
        .unwrap();
    place.pod(
        "fails",
        &image,
        &json!({ "container": { "args": ["exit", "3"] } }),
    );
    wait_for("the failure", Duration::from_secs(60), || async {
        let page = ada
            .get(&format!("tfjobs/ui/pytorchjob/{}/fails/", place.name))
            .await;
        page.text.contains("exit code 3").then_some(())
    })
    .await
    .unwrap();
}

async fn changed(place: &Place, ada: &Visitor) {
    let job = format!("tfjobs/ui/pytorchjob/{}/mnist/", place.name);
    let at = format!("{job}yaml");
    let page = ada.get(&at).await.expect(200);
    let (_, text) = page.text.split_once("<textarea").unwrap();
    let (_, text) = text.split_once(">\n").unwrap();
    let text = text
        .split("</textarea>")
        .next()
        .unwrap()
        .replace("&#34;", "\"")
        .replace("&#39;", "'");
    let wrong = text.replace("replicas: 1", "replicas: 9999");
    let send = async |yaml: &str| ada.send(&at, &at, &[("yaml", yaml), ("do", "save")]).await;
    send(&wrong)
        .await
        .expect(422)
        .says("should be less than or equal to 5000");
    let longer = text.replace("- mnist", "- mnist\n            - --epochs=20");
    send(&longer).await.expect(200);
    let now = place.kubectl(&["get", "pytorchjob", "mnist", "-o", "yaml"]);
    assert!(now.contains("--epochs=20"), "{longer}\n{now}");
    send(&text)
        .await
        .expect(409)
        .says("Somebody else has changed");
    ada.send(&job, &format!("{job}delete"), &[("uid", "another")])
        .await
        .expect(409)
        .says("Another job of this name");
    let uid = ada.get(&job).await.hidden("uid");
    ada.send(&job, &format!("{job}delete"), &[("uid", &uid)])
        .await
        .expect(200);
    let error = place
        .try_kubectl(&["get", "pytorchjob", "mnist"], "")
        .unwrap_err();
    assert!(error.contains("NotFound"), "{error}");
}
