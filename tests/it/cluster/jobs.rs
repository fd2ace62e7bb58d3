//! What runs training jobs, as the playbook has installed it: the walkthrough's example by its operator, from the image of the
//! walkthrough's name, and the dashboard.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use carrel_tests::cluster::Cluster;
use carrel_tests::person::Person;
use carrel_tests::wait_for;
use reqwest::StatusCode;

use super::has_line;

/// Parts 2.3 and 3.1; the training of part 3.2 is a test of the operator.
pub async fn walkthrough(cluster: &Cluster, admin: &Person) -> anyhow::Result<()> {
    let deployments = cluster.shell("kubectl get deployments").await?;
    for name in [
        "tf-job-operator-v1alpha2",
        "pytorch-operator",
        "trainer-operator",
        "training-service",
        "centraldashboard",
    ] {
        ensure!(has_line(&deployments, &[name, "1/1"]), "{deployments}");
    }
    let services = cluster.shell("kubectl get svc").await?;
    for line in [
        &["centraldashboard", "ClusterIP", "80/TCP"][..],
        &["centraldashboard-katacoda", "NodePort", "8082:31421/TCP"],
        &["tf-job-dashboard", "ClusterIP", "80/TCP"],
    ] {
        ensure!(has_line(&services, line), "{line:?} is not in\n{services}");
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
    let log = "kubectl logs $(kubectl get pods | grep Completed | tr -s ' ' | cut -d ' ' -f 1)";
    let log = cluster.shell(log).await?;
    for said in [
        "Carrel version: ",
        "Carrel git version: ",
        "example-job-ps-1.default.svc.cluster.local:2222",
    ] {
        ensure!(log.contains(said), "{log}");
    }
    // Whoever is logged in at the Hub is let in.
    let page = admin.get("/services/dashboard/").await?;
    ensure!(page.status() == StatusCode::OK, "{page:?}");
    let page = page.text().await?;
    ensure!(page.contains("Notebook servers"), "{page}");
    cluster.shell(&format!("kubectl delete -f {file}")).await?;
    Ok(())
}
