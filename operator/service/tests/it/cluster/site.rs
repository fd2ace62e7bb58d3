//! A namespace of a test's own with a Hub, an operator and a service, which are processes of this machine; all go with
//! the test.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{IpAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use carrel_training::job::RemoteJobs;
use serde_json::{Value, json};

use crate::site::KEY;

/// The longest that anything in these tests may take.
const LIMIT: Duration = Duration::from_secs(90);
const ADMIN: &str = "a-token-of-the-tests";

pub struct Site {
    pub name: String,
    image: String,
    host: IpAddr,
    hub: u16,
    port: u16,
    folder: tempfile::TempDir,
    service: Option<Process>,
    _others: Vec<Process>,
}

/// A process that ends with this value.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Site {
    pub fn new(test: &str) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        Self::with(test, &format!("localhost/carrel-training:{version}"))
    }

    /// With another image of ranks.
    pub fn with(test: &str, image: &str) -> Self {
        let mut site = Self {
            name: format!("carrel-jobs-{test}-{}", std::process::id()),
            image: image.to_owned(),
            host: host(),
            hub: free_port(),
            port: free_port(),
            folder: tempfile::tempdir().unwrap(),
            service: None,
            _others: Vec::new(),
        };
        let operator = beside("carrel-operator");
        let crds = Command::new(&operator).arg("crds").output().unwrap();
        let crds = String::from_utf8(crds.stdout).unwrap();
        // Those that are there, the operator brings up to date.
        if let Err(error) = site.kubectl_with(&["create", "-f", "-"], &crds) {
            assert!(error.contains("already exists"), "{error}");
        }
        site.kubectl(&["create", "namespace", &site.name]);
        // Without it, no pod is admitted.
        until("the service account", || {
            let account = ["get", "serviceaccount", "default"];
            site.kubectl_with(&account, "").ok()
        });
        site.kubectl_with(&["create", "-f", "-"], &claim()).unwrap();
        site._others = vec![site.start_operator(), site.start_hub()];
        site.give_rights();
        site.start_service();
        site
    }

    fn process(&self, log: &str, command: &mut Command) -> Process {
        let path = self.folder.path().join(log);
        let log = File::options()
            .create(true)
            .append(true)
            .open(path)
            .unwrap();
        let errors = log.try_clone().unwrap();
        let command = command.stdin(Stdio::null()).stdout(log).stderr(errors);
        Process(command.spawn().unwrap())
    }

    fn start_operator(&self) -> Process {
        let (webhook, host) = (free_port(), self.host);
        let mut command = Command::new(beside("carrel-operator"));
        command
            .args(["run", "--kinds=pytorchjob"])
            .args(["--namespace", &self.name, "--own-namespace", &self.name])
            .arg(format!("--webhook-url=https://{host}:{webhook}/convert"))
            .arg(format!("--webhook-listen={host}:{webhook}"))
            .arg(format!("--report-listen={host}:{}", free_port()))
            .arg(format!("--listen=127.0.0.1:{}", free_port()));
        self.process("operator.log", &mut command)
    }

    fn start_hub(&self) -> Process {
        let state = self.folder.path().join("hub");
        fs::create_dir(&state).unwrap();
        let service = format!("http://{}:{}", self.host, self.port);
        let configuration = json!({ "JupyterHub": {
            "authenticator_class": "dummy",
            "services": [
                { "name": "training", "url": service, "api_token": "a-token-of-the-service" },
                { "name": "tests", "api_token": ADMIN, "admin": true },
            ],
            "load_roles": [
                { "name": "user", "scopes": ["self", "access:services!service=training"] },
            ],
        } });
        let path = state.join("carrel.yaml");
        fs::write(&path, configuration.to_string()).unwrap();
        let programs = std::env::var("CARREL_TEST_BIN").map(PathBuf::from);
        let program = programs.map_or_else(|_| beside("carrel-hub"), |at| at.join("carrel-hub"));
        let mut command = Command::new(program);
        command
            .args(["serve", "--port", &self.hub.to_string(), "--state"])
            .arg(&state)
            .arg("--config")
            .arg(path);
        self.process("hub.log", &mut command)
    }

    /// What the service may do is what the chart lets it: a kubeconfig of its account.
    fn give_rights(&self) {
        let rights = crate::chart::text("templates/training/rbac.yaml", &self.name, &[]);
        self.kubectl_with(&["create", "-f", "-"], &rights).unwrap();
        let token = self.kubectl(&["create", "token", "training-service"]);
        let view = ["config", "view", "--raw", "--minify", "-o", "json"];
        let mut config: Value = serde_json::from_str(&self.kubectl(&view)).unwrap();
        config["users"][0]["user"] = json!({ "token": token.trim() });
        fs::write(self.kubeconfig(), config.to_string()).unwrap();
    }

    fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    pub fn start_service(&mut self) {
        let pod = self.folder.path().join("pod.yaml");
        fs::write(&pod, extra()).unwrap();
        let (host, port, hub) = (self.host, self.port, self.hub);
        let mut command = Command::new(env!("CARGO_BIN_EXE_carrel-jobs-service"));
        command
            .args(["--namespace", &self.name, "--image", &self.image])
            .args(["--claim", "claim-{username}", "--key", KEY])
            .arg(format!("--listen={host}:{port}"))
            .arg(format!("--url=http://{host}:{port}/services/training"))
            .arg(format!("--hub=http://127.0.0.1:{hub}/hub/api"))
            .arg("--models")
            .arg(self.folder.path().join("models"))
            .arg("--pod")
            .arg(pod)
            .env("KUBECONFIG", self.kubeconfig());
        self.service = Some(self.process("service.log", &mut command));
    }

    /// As by `kill -9`.
    pub fn kill_service(&mut self) {
        self.service = None;
    }

    /// The jobs service as a notebook of a user reaches it: through the Hub.
    pub fn user(&self, name: &str) -> RemoteJobs {
        let hub = format!("http://127.0.0.1:{}", self.hub);
        let token = until("the Hub", || {
            let made = self.curl(&format!("{hub}/hub/api/users/{name}"), "");
            made?;
            let path = format!("{hub}/hub/api/users/{name}/tokens");
            let scopes = json!({ "scopes": ["access:services!service=training"] });
            let made: Value = serde_json::from_str(&self.curl(&path, &scopes.to_string())?).ok()?;
            Some(made["token"].as_str()?.to_owned())
        });
        let jobs = RemoteJobs::new(&format!("{hub}/services/training"), Some(token));
        until("the service", || jobs.list().ok());
        jobs
    }

    /// The answer to a `POST` to the Hub.
    fn curl(&self, url: &str, body: &str) -> Option<String> {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let request = reqwest::Client::new().post(url);
            let request = request.header("authorization", format!("token {ADMIN}"));
            let response = request.body(body.to_owned()).send().await.ok()?;
            // A user may be there already.
            let is_done = response.status().is_success() || response.status() == 409;
            is_done.then_some(response.text().await.ok()?)
        })
    }

    pub fn kubectl(&self, arguments: &[&str]) -> String {
        let done = self.kubectl_with(arguments, "");
        done.unwrap_or_else(|error| panic!("kubectl {arguments:?}: {error}\n{}", self.logs()))
    }

    pub fn get(&self, kind: &str) -> Value {
        serde_json::from_str(&self.kubectl(&["get", kind, "-o", "json"])).unwrap()
    }

    /// What it prints; else what it says.
    fn kubectl_with(&self, arguments: &[&str], input: &str) -> Result<String, String> {
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
        match output.status.success() {
            true => Ok(String::from_utf8(output.stdout).unwrap()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    /// What there is to read after a failure.
    pub fn traces(&self) -> String {
        let pods = self.kubectl_with(&["get", "pods", "-o", "wide"], "");
        format!("{}\n{}", pods.unwrap_or_default(), self.logs())
    }

    fn logs(&self) -> String {
        let logs = ["hub.log", "operator.log", "service.log"].map(|name| {
            let text = fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
            let lines: Vec<_> = text.lines().collect();
            let tail = lines[lines.len().saturating_sub(30)..].join("\n");
            format!("== {name}\n{tail}\n")
        });
        logs.concat()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.traces());
        }
        let _ = self.kubectl_with(&["delete", "namespace", &self.name, "--wait=false"], "");
    }
}

/// What each pod has beside: MNIST from the node.
fn extra() -> String {
    let data = std::env::var("CARREL_TEST_MNIST")
        .unwrap_or_else(|_| panic!("run this by deploy/local/test-cluster, with CARREL_DATA"));
    json!({
        "pod": { "volumes": [{ "name": "data", "hostPath": { "path": data } }] },
        "container": {
            "volumeMounts": [{ "name": "data", "mountPath": super::DATA, "readOnly": true }],
            "imagePullPolicy": "IfNotPresent",
            "resources": { "limits": { "cpu": "1", "memory": "1Gi" }, "requests": { "cpu": "50m" } },
        },
    })
    .to_string()
}

/// The volume of the user's files.
fn claim() -> String {
    let class = std::env::var("CARREL_TEST_STORAGE_CLASS").ok();
    json!({
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": { "name": "claim-ada" },
        "spec": {
            "storageClassName": class,
            "accessModes": ["ReadWriteOnce"],
            "resources": { "requests": { "storage": "1Gi" } },
        },
    })
    .to_string()
}

/// A program of this workspace, built beside this one's.
fn beside(name: &str) -> PathBuf {
    let own = PathBuf::from(env!("CARGO_BIN_EXE_carrel-jobs-service"));
    let path = own.with_file_name(name);
    assert!(path.is_file(), "build it first: cargo build -p {name}");
    path
}

/// Waits until `condition` gives a value.
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(begun.elapsed() < LIMIT, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The address of this machine as the cluster sees it.
fn host() -> IpAddr {
    let server = Command::new("kubectl")
        .args(["config", "view", "--minify", "-o"])
        .arg("jsonpath={.clusters[0].cluster.server}")
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
