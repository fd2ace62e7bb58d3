//! An installation on a Kubernetes cluster: the playbooks, kubectl, and what a failed test leaves for people to look at.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use tokio::process::Command;
use tokio::time::timeout;

use crate::installation::{output, repository};
use crate::wait_for;

/// The longest that a playbook may take.
const PLAYBOOK: Duration = Duration::from_secs(300);
const KUBECTL: Duration = Duration::from_secs(60);

/// The cluster that `deploy/local/test-cluster` hands over, with its inventory.
pub struct Cluster {
    playbook: PathBuf,
    inventory: PathBuf,
    /// Where the Hub answers: `http://node:31039/`.
    pub address: String,
}

/// What a playbook says of itself at its end.
#[derive(Debug, PartialEq)]
pub struct Recap {
    pub changed: u32,
    pub output: String,
}

impl Cluster {
    pub fn find() -> anyhow::Result<Self> {
        let variable = |name: &str| {
            env::var(name).with_context(|| format!("${name} is not set: run `make test-cluster`"))
        };
        Ok(Self {
            playbook: variable("CARREL_TEST_ANSIBLE_PLAYBOOK")?.into(),
            inventory: variable("CARREL_TEST_INVENTORY")?.into(),
            address: variable("CARREL_TEST_ADDRESS")?,
        })
    }

    /// Whether the installation is to stay for people to look at.
    pub fn keeps(&self) -> bool {
        env::var_os("KEEP_CLUSTER").is_some_and(|value| !value.is_empty())
    }

    /// `ansible-playbook -i INVENTORY NAME -e VARIABLES ARGUMENTS` in `deploy/ansible`, as a person runs it.
    pub async fn playbook(
        &self,
        name: &str,
        variables: &Value,
        arguments: &[&str],
    ) -> anyhow::Result<Recap> {
        let mut command = Command::new(&self.playbook);
        command
            .arg("-i")
            .arg(&self.inventory)
            .arg(name)
            .args(["-e", &variables.to_string()])
            .args(arguments)
            .current_dir(repository().join("deploy/ansible"))
            .env("ANSIBLE_NOCOLOR", "1");
        let output = run(command, PLAYBOOK, b"").await?;
        // `node1 : ok=9 changed=2 ...`, a line for each host.
        let counts = output
            .split_whitespace()
            .filter_map(|word| word.strip_prefix("changed=")?.parse::<u32>().ok());
        let changed = counts.sum();
        Ok(Recap { changed, output })
    }

    /// Standard output of `kubectl ARGUMENTS`.
    pub async fn kubectl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        self.kubectl_with(arguments, "").await
    }

    /// [`Self::kubectl`] with text on standard input.
    pub async fn kubectl_with(&self, arguments: &[&str], input: &str) -> anyhow::Result<String> {
        let mut command = Command::new("kubectl");
        command.args(arguments);
        run(command, KUBECTL, input.as_bytes()).await
    }

    /// A command line of a document, as a person types it.
    pub async fn shell(&self, line: &str) -> anyhow::Result<String> {
        let mut command = Command::new("bash");
        command.args(["-o", "pipefail", "-c", line]);
        run(command, KUBECTL, b"").await
    }

    /// The pod, if there is one.
    pub async fn pod(&self, name: &str) -> anyhow::Result<Option<Value>> {
        let found = self
            .kubectl(&["get", "pod", name, "--ignore-not-found", "-o", "json"])
            .await?;
        Ok((!found.trim().is_empty())
            .then(|| serde_json::from_str(&found))
            .transpose()?)
    }

    /// The pod's own id: another pod of the same name has another one.
    pub async fn pod_id(&self, name: &str) -> anyhow::Result<String> {
        let pod = self.pod(name).await?;
        let pod = pod.with_context(|| format!("there is no pod {name}"))?;
        Ok(pod["metadata"]["uid"]
            .as_str()
            .context("a pod without uid")?
            .to_owned())
    }

    pub async fn pod_gone(&self, name: &str) -> anyhow::Result<()> {
        wait_for(&format!("the end of the pod {name}"), KUBECTL, || async {
            self.pod(name).await.ok().filter(Option::is_none).map(drop)
        })
        .await
    }

    /// The Hub answers at its address.
    pub async fn answers(&self) -> anyhow::Result<()> {
        let health = format!("{}hub/health", self.address);
        wait_for("the Hub to answer", Duration::from_secs(60), || async {
            let reply = reqwest::get(&health).await.ok()?;
            reply.status().is_success().then_some(())
        })
        .await
    }

    /// Writes pods, events and logs to `test-output/NAME`.
    pub async fn keep_traces(&self, name: &str) -> anyhow::Result<PathBuf> {
        let folder = output()?.join(name);
        fs::create_dir_all(&folder)?;
        for (file, line) in [
            (
                "objects.txt",
                "kubectl get all,pvc,pv,networkpolicy -o wide",
            ),
            ("pods.txt", "kubectl describe pods"),
            ("events.txt", "kubectl get events --sort-by .lastTimestamp"),
            (
                "logs.txt",
                "for pod in $(kubectl get pods -o name); do echo \"== $pod\"; kubectl logs --all-containers $pod; done",
            ),
            ("hub-before.txt", "kubectl logs --previous tf-hub-0 || true"),
        ] {
            let text = self.shell(line).await;
            let text = text.unwrap_or_else(|error| format!("{error:#}"));
            fs::write(folder.join(file), text)?;
        }
        Ok(folder)
    }
}

async fn run(mut command: Command, limit: Duration, input: &[u8]) -> anyhow::Result<String> {
    use std::process::Stdio;
    use tokio::io::AsyncWriteExt as _;
    let shown = format!("{:?}", command.as_std());
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("cannot run {shown}"))?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    stdin.write_all(input).await?;
    drop(stdin);
    let output = timeout(limit, child.wait_with_output())
        .await
        .with_context(|| format!("{shown} took longer than {limit:?}"))??;
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{shown}: {}\n{stdout}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(stdout)
}
