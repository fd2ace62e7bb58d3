//! A namespace of a test's own with an operator of its own, which is a process of this machine; both go with the test.

use std::fs::File;
use std::io::Write as _;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The longest that anything in these tests may take.
const LIMIT: Duration = Duration::from_secs(60);

pub struct Site {
    pub name: String,
    pub image: String,
    operator: Option<Operator>,
    /// Of its operators, beside those that all have.
    arguments: Vec<&'static str>,
    folder: tempfile::TempDir,
}

/// A process that ends with this value.
pub struct Operator(Child);

impl Drop for Operator {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Site {
    pub fn new(test: &str) -> Self {
        Self::with(test, &[])
    }

    pub fn with(test: &str, arguments: &[&'static str]) -> Self {
        let mut site = Self::without_operator(test);
        site.arguments.extend(arguments);
        site.operator = Some(site.start("one"));
        site.converts();
        site
    }

    pub fn without_operator(test: &str) -> Self {
        let image = std::env::var("CARREL_TEST_IMAGE")
            .unwrap_or_else(|_| panic!("run this by deploy/local/test-cluster"));
        let site = Self {
            name: format!("carrel-test-{test}-{}", std::process::id()),
            image,
            operator: None,
            arguments: Vec::new(),
            folder: tempfile::tempdir().unwrap(),
        };
        let program = env!("CARGO_BIN_EXE_carrel-operator");
        let crds = Command::new(program).arg("crds").output().unwrap();
        let crds = String::from_utf8(crds.stdout).unwrap();
        // Those that are there, the operator brings up to date.
        if let Err(error) = site.kubectl_with(&["create", "-f", "-"], &crds) {
            assert!(error.contains("already exists"), "{error}");
        }
        let runtimes = Command::new(program).arg("runtimes").output().unwrap();
        let runtimes = String::from_utf8(runtimes.stdout).unwrap();
        until("the runtimes", || {
            site.kubectl_with(&["apply", "-f", "-"], &runtimes).ok()
        });
        site.kubectl_with(&["create", "namespace", &site.name], "")
            .unwrap();
        // Without it, no pod is admitted.
        until("the service account", || {
            site.kubectl_with(&["get", "serviceaccount", "default"], "")
                .ok()
        });
        site
    }

    /// Runs a program of Python with the SDKs of Kubeflow, which `deploy/local/test-cluster` installs; gives what it prints.
    pub fn python(&self, program: &str, arguments: &[&str]) -> String {
        let python = std::env::var("CARREL_TEST_SDK")
            .unwrap_or_else(|_| panic!("run this by deploy/local/test-cluster"));
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/sdk");
        let output = Command::new(python)
            .arg(folder.join(program))
            .arg(&self.name)
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(
            output.status.success(),
            "{program}: {said}\n{}\n{}",
            String::from_utf8_lossy(&output.stderr),
            self.kubectl(&["get", "pods"]),
        );
        said
    }

    /// Starts an operator of this namespace.
    pub fn start(&self, identity: &str) -> Operator {
        let program = env!("CARGO_BIN_EXE_carrel-operator");
        let (webhook, reports, plain) = (free_port(), free_port(), free_port());
        let host = host();
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.folder.path().join("log"))
            .unwrap();
        let operator = Command::new(program)
            .arg("run")
            .args(["--namespace", &self.name, "--own-namespace", &self.name])
            .args(["--identity", identity])
            .arg(format!("--webhook-url=https://{host}:{webhook}/convert"))
            .arg(format!("--webhook-listen={host}:{webhook}"))
            .arg(format!("--report-url=https://{host}:{reports}"))
            .arg(format!("--report-listen={host}:{reports}"))
            .arg(format!("--listen=127.0.0.1:{plain}"))
            .args(&self.arguments)
            .stderr(Stdio::from(log))
            .spawn()
            .unwrap();
        Operator(operator)
    }

    pub fn restart(&mut self) {
        self.operator = None;
        self.operator = Some(self.start("one"));
    }

    /// Waits until older versions are understood.
    pub fn converts(&self) {
        let probe = json!({
            "apiVersion": "kubeflow.org/v1alpha2",
            "kind": "TFJob",
            "metadata": { "name": "probe" },
            "spec": { "tfReplicaSpecs": {} },
        });
        let torch = json!({
            "apiVersion": "kubeflow.org/v1beta1",
            "kind": "PyTorchJob",
            "metadata": { "name": "probe" },
            "spec": { "pytorchReplicaSpecs": {} },
        });
        for probe in [probe, torch] {
            until("the webhook", || {
                let create = ["create", "--dry-run=server", "-f", "-"];
                self.kubectl_with(&create, &probe.to_string()).ok()
            });
        }
    }

    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let done = self.kubectl_with(arguments, "");
        done.unwrap_or_else(|error| panic!("kubectl {arguments:?}: {error}\n{}", self.log()))
    }

    /// What it prints; else what it says.
    pub fn kubectl_with(&self, arguments: &[&str], input: &str) -> Result<String, String> {
        let mut child = Command::new("kubectl")
            .args(["--namespace", &self.name])
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_owned();
        let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        // A kubectl that reads nothing has closed it.
        let _ = writer.join();
        if output.status.success() {
            Ok(String::from_utf8(output.stdout).unwrap())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    pub fn apply(&self, text: &str) {
        self.try_apply(text).unwrap();
    }

    pub fn try_apply(&self, text: &str) -> Result<String, String> {
        self.kubectl_with(&["apply", "-f", "-"], text)
    }

    /// Without a second copy in an annotation.
    pub fn create(&self, text: &str) {
        self.kubectl_with(&["create", "-f", "-"], text).unwrap();
    }

    pub fn get(&self, kind: &str, name: &str) -> Value {
        serde_json::from_str(&self.kubectl(&["get", kind, name, "-o", "json"])).unwrap()
    }

    /// Waits for a job's state.
    pub fn state(&self, kind: &str, name: &str, state: &str) {
        self.state_within(LIMIT, kind, name, state);
    }

    pub fn state_within(&self, limit: Duration, kind: &str, name: &str, state: &str) {
        let begun = Instant::now();
        loop {
            let object = self.get(kind, name);
            if object["status"]["state"] == state {
                return;
            }
            assert!(
                begun.elapsed() < limit,
                "{name} is not {state}: {:#}\n{}\n{}",
                object["status"],
                self.kubectl(&["get", "pods"]),
                self.log()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    pub fn pods(&self) -> Vec<String> {
        let pods = self.kubectl(&["get", "pods", "-o", "name"]);
        lines(&pods)
            .into_iter()
            .map(|line| line.trim_start_matches("pod/").to_owned())
            .collect()
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<_> = log.lines().rev().take(30).collect();
            eprintln!("the end of the operator's log:");
            tail.iter().rev().for_each(|line| eprintln!("{line}"));
        }
        let _ = self.kubectl_with(&["delete", "namespace", &self.name, "--wait=false"], "");
    }
}

/// A job `job` of one replica that runs the stand-in with these arguments.
pub fn job(site: &Site, kind: &str, version: &str, role: &str, arguments: &[&str]) -> Value {
    let mut job = crate::world::job(kind, version, &[(role, 1)], Some("Never"));
    let specs = if kind == "TFJob" {
        "tfReplicaSpecs"
    } else {
        "pytorchReplicaSpecs"
    };
    let pod = &mut job["spec"][specs][role]["template"]["spec"];
    // It does not listen when it is asked to end.
    pod["terminationGracePeriodSeconds"] = json!(1);
    let container = &mut pod["containers"][0];
    container["image"] = json!(site.image);
    container["args"] = json!(arguments);
    container["imagePullPolicy"] = json!("IfNotPresent");
    job
}

pub fn lines(text: &str) -> Vec<&str> {
    text.lines().filter(|line| !line.is_empty()).collect()
}

/// Waits until `condition` gives a value.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(begun.elapsed() < LIMIT, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The address of this machine as the API server sees it.
fn host() -> IpAddr {
    let server = Command::new("kubectl")
        .args([
            "config",
            "view",
            "--minify",
            "-o",
            "jsonpath={.clusters[0].cluster.server}",
        ])
        .output()
        .unwrap();
    let server = String::from_utf8(server.stdout).unwrap();
    let address = server.trim_start_matches("https://").trim_end_matches('/');
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    socket.connect(address).unwrap();
    socket.local_addr().unwrap().ip()
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    listener.local_addr().unwrap().port()
}
