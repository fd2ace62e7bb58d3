//! Part 2.4 of the walkthrough: the model server that the playbook has installed, asked by the client's Job, and by browsers through
//! the gateway.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use carrel_tests::cluster::Cluster;
use carrel_tests::wait_for;
use serde_json::{Value, json};

use super::has_line;

/// Of the one picture that the client's image has.
const ANIMAL: &str = "Egyptian cat";

/// The values that give it the model of the node's folder, where there is one.
pub fn values() -> Value {
    match std::env::var("CARREL_TEST_SQUEEZENET") {
        Ok(folder) => json!({ "model": { "volume": { "hostPath": { "path": folder } } } }),
        Err(_) => json!({}),
    }
}

pub async fn walkthrough(cluster: &Cluster) -> anyhow::Result<()> {
    let pods = cluster.shell("kubectl get pods | grep inception").await?;
    ensure!(pods.starts_with("inception-v1-"), "{pods}");
    let running = ["1/1", "Running", "0"];
    ensure!(running.iter().all(|word| pods.contains(word)), "{pods}");
    let services = cluster.shell("kubectl get svc").await?;
    let line = ["inception", "ClusterIP", "9000/TCP,8000/TCP"];
    ensure!(has_line(&services, &line), "{services}");
    if std::env::var("CARREL_TEST_SQUEEZENET").is_err() {
        return Ok(());
    }
    client(cluster).await.context("the client's Job")?;
    gateway(cluster).await.context("the gateway")
}

/// Byte for byte, and the log by the very command of the walkthrough.
async fn client(cluster: &Cluster) -> anyhow::Result<()> {
    let file = "../inference/server/tests/walkthrough/model-client-job.yaml";
    cluster.shell(&format!("kubectl apply -f {file}")).await?;
    let completed = "kubectl get pods | grep model-client-job-katacoda";
    let ended = wait_for("the end of the Job", Duration::from_secs(60), || async {
        let pods = cluster.shell(completed).await.ok()?;
        pods.contains("Completed").then_some(())
    });
    if let Err(late) = ended.await {
        let seen = cluster.shell("kubectl describe job,pods").await?;
        return Err(late).context(seen);
    }
    let log = "kubectl logs $(kubectl get pods | grep Completed | tail -n1 |  tr -s ' ' | cut -d ' ' -f 1)";
    let log = cluster.shell(log).await?;
    for said in ["key: \"classes\"", "key: \"scores\"", ANIMAL] {
        ensure!(log.contains(said), "{said} is not in\n{log}");
    }
    let (_, scores) = log.split_once("key: \"scores\"").context("no scores")?;
    ensure!(scores.matches("float_val: ").count() == 5, "{log}");
    cluster.shell(&format!("kubectl delete -f {file}")).await?;
    Ok(())
}

/// `/models/inception/` of the one address for browsers.
async fn gateway(cluster: &Cluster) -> anyhow::Result<()> {
    let gateway = cluster.address.replace(":31039", ":30396");
    let model = format!("{gateway}models/inception/v1/models/inception");
    let state = reqwest::get(&model).await?.text().await?;
    ensure!(state.contains("AVAILABLE"), "{state}");
    let picture = std::env::var("CARREL_DATA").context("CARREL_DATA is gone")?;
    let picture = std::fs::read(format!("{picture}/images/cat_720p.jpg"))?;
    let body = json!({
        "signature_name": "predict_images",
        "instances": [{ "images": { "b64": BASE64_STANDARD.encode(&picture) } }],
    });
    let asked = reqwest::Client::new().post(format!("{model}:predict"));
    let answer: Value = asked.json(&body).send().await?.json().await?;
    let classes = &answer["predictions"][0]["classes"];
    ensure!(classes[0] == ANIMAL, "{answer}");
    Ok(())
}
