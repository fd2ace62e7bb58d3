//! A node that is emptied by `kubectl drain`: what the user sees, and what keeps the Hub where it is.

use std::time::Duration;

use anyhow::ensure;
use carrel_tests::cluster::Cluster;
use carrel_tests::notebook::Notebook;
use carrel_tests::person::Person;

use super::read_kept;

/// Evicts the Hub, which its budget forbids, and the pod of `admin`, who is told within seconds and finds the files
/// again.
pub async fn drain(cluster: &Cluster, admin: &Person) -> anyhow::Result<()> {
    let mut notebook = Notebook::open(admin, "admin").await?;
    let hub = cluster.pod_id("tf-hub-0").await?;
    let node = "kubectl get pod jupyter-admin -o jsonpath='{.spec.nodeName}'";
    let node = cluster.shell(node).await?;
    let drained = evict(cluster, &node, admin, &mut notebook).await;
    cluster.shell(&format!("kubectl uncordon {node}")).await?;
    drained?;
    ensure!(cluster.pod_id("tf-hub-0").await? == hub);
    admin.start_server("admin").await?;
    read_kept(admin).await
}

async fn evict(
    cluster: &Cluster,
    node: &str,
    admin: &Person,
    notebook: &mut Notebook,
) -> anyhow::Result<()> {
    let drain = format!("kubectl drain {node} --force --ignore-daemonsets --delete-emptydir-data");
    let hub = "app.kubernetes.io/component=hub";
    let refused = format!("{drain} --timeout=3s --pod-selector {hub} 2>&1 || true");
    let refused = cluster.shell(&refused).await?;
    ensure!(refused.contains("disruption budget"), "{refused}");
    // In the background, as a person looks on while somebody else drains.
    let user = "hub.jupyter.org/username=admin";
    let drain = format!("{drain} --timeout=50s --pod-selector {user}");
    let told = async {
        notebook.broken().await?;
        let few = Duration::from_secs(10);
        admin.page_with("/hub/home", "Stopped", few).await?;
        let reason = "was evicted, for its node is being emptied";
        admin.page_with("/hub/user/admin/lab", reason, few).await
    };
    let (drained, told) = tokio::join!(cluster.shell(&drain), told);
    drained?;
    told.map(drop)
}
