//! The walkthrough's example by the operator that the playbook has installed, from the image of the walkthrough's name.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use carrel_tests::cluster::Cluster;
use carrel_tests::wait_for;

use super::has_line;

/// Parts 2.3 and 3.1; the training of part 3.2 is a test of the operator.
pub async fn walkthrough(cluster: &Cluster) -> anyhow::Result<()> {
    let deployments = cluster.shell("kubectl get deployments").await?;
    for name in [
        "tf-job-operator-v1alpha2",
        "pytorch-operator",
        "trainer-operator",
    ] {
        ensure!(has_line(&deployments, &[name, "1/1"]), "{deployments}");
    }
    let definitions = cluster.shell("kubectl get crd").await?;
    for name in ["tfjobs.kubeflow.org", "pytorchjobs.kubeflow.org"] {
        ensure!(has_line(&definitions, &[name]), "{definitions}");
    }
    let file = "../operator/tests/walkthrough/example.yaml";
    cluster.shell(&format!("kubectl apply -f {file}")).await?;
    let state = "kubectl get tfjob example-job -o jsonpath='{.status.state}'";
    let ended = wait_for("the end of the job", Duration::from_secs(60), || async {
        let state = cluster.shell(state).await.ok()?;
        (state == "Succeeded").then_some(())
    });
    if let Err(late) = ended.await {
        let seen = cluster.shell("kubectl describe tfjob,pods").await?;
        return Err(late).context(seen);
    }
    let log = "kubectl logs example-job-master-0";
    let log = cluster.shell(log).await?;
    for said in [
        "Carrel version: ",
        "Carrel git version: ",
        "example-job-ps-1.default.svc.cluster.local:2222",
    ] {
        ensure!(log.contains(said), "{log}");
    }
    cluster.shell(&format!("kubectl delete -f {file}")).await?;
    Ok(())
}
