//! Training jobs on the cluster, from the image `training` and without any operator.

use std::fs;

use anyhow::{Context, ensure};
use carrel_tests::cluster::Cluster;
use carrel_tests::installation::repository;
use serde_json::{Deserializer, Value, json};

/// The two ranks of images/README.md, and, where MNIST is at hand, two that train on it.
pub async fn jobs(cluster: &Cluster) -> anyhow::Result<()> {
    let log = run(cluster, "smoke", &documented()?, |_| {}).await?;
    ensure!(log.contains("is the same on all 2 tasks"), "{log}");
    let Ok(data) = std::env::var("CARREL_TEST_MNIST") else {
        return Ok(());
    };
    let mnist = documented()?.replace("smoke", "mnist");
    let log = run(cluster, "mnist", &mnist, |job| {
        let pod = &mut job["spec"]["template"]["spec"];
        pod["volumes"] = json!([{ "name": "data", "hostPath": { "path": data } }]);
        let rank = &mut pod["containers"][0];
        rank["volumeMounts"] = json!([{ "name": "data", "mountPath": "/data", "readOnly": true }]);
        rank["args"] = json!([
            "mnist",
            "--data",
            "/data",
            "--epochs",
            "1",
            "--pictures",
            "2048"
        ]);
    })
    .await?;
    ensure!(log.contains("accuracy"), "{log}");
    Ok(())
}

/// The Service and the Job in the image's documentation.
fn documented() -> anyhow::Result<String> {
    let readme = fs::read_to_string(repository().join("images/README.md"))?;
    let (_, rest) = readme.split_once("```yaml\n").context("no YAML")?;
    let (objects, _) = rest.split_once("```").context("YAML without an end")?;
    Ok(objects.to_owned())
}

/// Runs the Job `name` among `objects` to its end and returns the logs of its ranks.
async fn run(
    cluster: &Cluster,
    name: &str,
    objects: &str,
    change: impl FnOnce(&mut Value),
) -> anyhow::Result<String> {
    let read = ["create", "--dry-run=client", "-o", "json", "-f", "-"];
    let read = cluster.kubectl_with(&read, objects).await?;
    let items = Deserializer::from_str(&read).into_iter::<Value>();
    let mut items = items.collect::<Result<Vec<_>, _>>()?;
    let job = items.iter_mut().find(|item| item["kind"] == "Job");
    change(job.context("no Job")?);
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": items }).to_string();
    cluster.kubectl_with(&["apply", "-f", "-"], &list).await?;
    let wait = format!("kubectl wait --for=condition=complete job/{name} --timeout=55s");
    let log = format!("kubectl logs --prefix --selector job-name={name}");
    let done = cluster.shell(&wait).await;
    let log = cluster.shell(&log).await;
    done.with_context(|| format!("{log:?}"))?;
    cluster.kubectl_with(&["delete", "-f", "-"], &list).await?;
    log
}
