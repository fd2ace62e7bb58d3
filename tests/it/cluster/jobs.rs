//! What runs training jobs, as the playbook has installed it: the walkthrough's example by its operator, from the image of the
//! walkthrough's name, the dashboard, the gateway, and a job of a notebook.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use carrel_tests::cluster::Cluster;
use carrel_tests::notebook::Notebook;
use carrel_tests::person::Person;
use carrel_tests::wait_for;
use reqwest::StatusCode;

use super::{has_line, stop};

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
    ensure!(
        has_line(&deployments, &["ambassador", "3/3"]),
        "{deployments}"
    );
    let services = cluster.shell("kubectl get svc").await?;
    for line in [
        &["centraldashboard", "ClusterIP", "80/TCP"][..],
        &["centraldashboard-katacoda", "NodePort", "8082:31421/TCP"],
        &["tf-job-dashboard", "ClusterIP", "80/TCP"],
        &["ambassador", "ClusterIP", "80/TCP"],
        &["ambassador-admin", "ClusterIP", "8877/TCP"],
        &["ambassador-katacoda", "NodePort", "30080:30396/TCP"],
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
    let log = "kubectl logs example-job-master-0";
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
    // The Hub is behind the gateway too.
    let gateway = cluster.address.replace(":31039", ":30396");
    let page = reqwest::get(format!("{gateway}hub/login")).await?;
    ensure!(page.status() == StatusCode::OK, "{page:?}");
    cluster.shell(&format!("kubectl delete -f {file}")).await?;
    job_of_a_notebook(cluster, admin).await.context("notebook")
}

const SUBMIT: &str = r#"
let recipe = Mnist { data: Some("/data".into()), pictures: Some(1024), ..Mnist::default() };
let job = TrainJob::new("digits").recipe(recipe.epochs(20)).ranks(4).submit()?;"#;

/// By the token of the server itself, without a word of configuration: four ranks are watched, the kernel is interrupted, the
/// job goes on, is found again and gives its model. Without MNIST, the service is asked for the jobs that there are.
async fn job_of_a_notebook(cluster: &Cluster, admin: &Person) -> anyhow::Result<()> {
    admin.start_server("admin").await?;
    let mut notebook = Notebook::open(admin, "admin").await?;
    let none = notebook.run("TrainJob::list()?.len()").await?;
    ensure!(none.result.as_deref() == Some("0"), "{none:?}");
    if std::env::var("CARREL_TEST_MNIST").is_err() {
        return stop(cluster, admin, "admin").await;
    }
    let submitted = notebook.run(SUBMIT).await?;
    ensure!(submitted.error.is_none(), "{submitted:?}");
    let kernel = notebook.kernel.clone();
    let watch = notebook.run("job.watch()?");
    let (watched, interrupted) = tokio::join!(watch, interrupt(cluster, admin, &kernel));
    interrupted?;
    let watched = watched?;
    ensure!(watched.error.is_some(), "{watched:?}");
    let mut notebook = Notebook::open(admin, "admin").await?;
    let found = notebook
        .run("let job = TrainJob::attach(\"digits\")?; job.watch()?")
        .await?;
    let shown = found.result.clone().unwrap_or_default();
    ensure!(shown.contains("Succeeded"), "{found:?}");
    let parts = notebook.run("job.model()?.parameters().len()").await?;
    ensure!(parts.result.as_deref() == Some("8"), "{parts:?}");
    let deleted = notebook.run("job.delete()?;").await?;
    ensure!(deleted.error.is_none(), "{deleted:?}");
    function_of_a_notebook(&mut notebook)
        .await
        .context("function")?;
    stop(cluster, admin, "admin").await
}

const FUNCTION: &str = r#"
const FACTOR: f32 = 10.0;
fn mine(rank: &Rank) -> Result<(String, f32), Box<dyn std::error::Error>> {
    let mut values = [rank.rank() as f32 * FACTOR];
    rank.connect()?.all_reduce_mean(&mut values)?;
    println!("rank {} of {}", rank.rank(), rank.world());
    Ok((std::env::var("HOSTNAME")?, values[0]))
}
let job = TrainJob::function("mine", mine).ranks(2).submit()?;"#;

/// A function of cells, in pods of the notebook's own image: two ranks meet, and what they give back comes to the notebook.
async fn function_of_a_notebook(notebook: &mut Notebook) -> anyhow::Result<()> {
    let submitted = notebook.run(FUNCTION).await?;
    ensure!(submitted.error.is_none(), "{submitted:?}");
    let result = notebook.run("job.result()?").await?;
    let shown = result.result.clone().unwrap_or_default();
    let is_of = |rank: &str| shown.contains(&format!("-{rank}-0\", 5.0"));
    ensure!(is_of("master") && is_of("worker"), "{result:?}");
    let log = notebook.run("job.logs(1)?").await?;
    ensure!(
        log.result
            .as_deref()
            .is_some_and(|log| log.contains("rank 1 of 2")),
        "{log:?}"
    );
    let found = notebook
        .run("TrainJob::attach(\"mine\")?.results::<(String, f32)>()?.len()")
        .await?;
    ensure!(found.result.as_deref() == Some("2"), "{found:?}");
    let deleted = notebook
        .run("TrainJob::attach(\"mine\")?.delete()?;")
        .await?;
    ensure!(deleted.error.is_none(), "{deleted:?}");
    Ok(())
}

/// Once the ranks run, as the button of a notebook does it.
async fn interrupt(cluster: &Cluster, person: &Person, kernel: &str) -> anyhow::Result<()> {
    let phases = "kubectl get pods -l app.kubernetes.io/managed-by=carrel-jobs-service \
                  -o jsonpath='{.items[*].status.phase}'";
    let run = wait_for("four ranks that run", Duration::from_secs(60), || async {
        let phases = cluster.shell(phases).await.ok()?;
        (phases.matches("Running").count() == 4).then_some(())
    });
    run.await?;
    let xsrf = person.cookie("/user/admin/", "_xsrf")?;
    let path = format!("/user/admin/api/kernels/{kernel}/interrupt");
    let request = person.client.post(person.url(&path)?);
    let reply = request.header("X-XSRFToken", xsrf.unwrap_or_default());
    let status = reply.send().await?.status();
    ensure!(status == StatusCode::NO_CONTENT, "{status}");
    Ok(())
}
