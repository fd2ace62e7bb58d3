//! An installation on a real cluster (`make test-cluster`): by the playbook, through the walkthrough's part 2.2 in a
//! browser and by kubectl, through crashes and an upgrade, to the uninstallation.

mod drain;
mod jobs;
mod serving;
mod training;

use std::time::Duration;

use anyhow::{Context, ensure};
use carrel_tests::browser::Browser;
use carrel_tests::cluster::Cluster;
use carrel_tests::notebook::Notebook;
use carrel_tests::person::Person;
use carrel_tests::wait_for;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::browser::{HELLO, log_in, run_cell, run_hello_world};

/// Fields of the form that the chart's `singleuser.profileList` makes.
const IMAGE: &str = "profile-option-notebook--image";
const OTHER_IMAGE: &str = "profile-option-notebook--image--unlisted-choice";
const CPU: &str = "profile-option-notebook--cpu";
const MEMORY: &str = "profile-option-notebook--memory";

#[tokio::test]
#[ignore = "needs cluster (installs by the playbook)"]
async fn cluster_from_the_playbook_to_the_uninstallation() -> anyhow::Result<()> {
    let cluster = Cluster::find()?;
    let mut walked = walk(&cluster).await;
    if walked.is_ok() && !cluster.keeps() {
        walked = uninstall(&cluster).await.context("uninstall");
    }
    if walked.is_err() {
        let folder = cluster.keep_traces("cluster").await?;
        let folder = folder.display();
        walked = walked.with_context(|| format!("pods, events and logs are in {folder}"));
    }
    walked
}

/// Variables of the playbook: the Hub lets `ada` in and logs as `log` says; claims bind volumes of the class that
/// `CARREL_TEST_STORAGE_CLASS` names, by default the cluster's own; jobs of notebooks find MNIST and ask for little; the model server
/// finds its model.
fn variables(log: &str) -> Value {
    let class = std::env::var("CARREL_TEST_STORAGE_CLASS").ok();
    let mut ranks =
        json!({ "pod": {}, "container": { "resources": { "requests": { "cpu": "10m" } } } });
    if let Ok(data) = std::env::var("CARREL_TEST_MNIST") {
        ranks["pod"]["volumes"] = json!([{ "name": "data", "hostPath": { "path": data } }]);
        let mount = json!({ "name": "data", "mountPath": "/data", "readOnly": true });
        ranks["container"]["volumeMounts"] = json!([mount]);
    }
    json!({
        "hub_values": {
            "trainingService": ranks,
            "inference": serving::values(),
            "hub": {
                "config": { "Authenticator": { "allowed_users": ["ada"] } },
                "db": { "pvc": { "storageClassName": class } },
                "extraEnv": { "RUST_LOG": log },
                "pdb": { "enabled": true },
            },
            "singleuser": { "storage": { "capacity": "1Gi", "dynamic": { "storageClass": class } } },
        },
    })
}

async fn walk(cluster: &Cluster) -> anyhow::Result<()> {
    install(cluster).await.context("install")?;
    every_option(cluster).await.context("every option")?;
    components(cluster).await.context("components")?;
    serving::walkthrough(cluster).await.context("serving")?;
    in_a_browser(cluster).await.context("in a browser")?;
    let admin = Person::at(&cluster.address)?;
    admin.log_in("admin", "").await?;
    second_user(cluster).await.context("second user")?;
    files_stay(cluster, &admin).await.context("files stay")?;
    drain::drain(cluster, &admin).await.context("drain")?;
    hub_is_deleted(cluster, &admin)
        .await
        .context("hub deleted")?;
    upgrade(cluster, &admin).await.context("upgrade")?;
    missing_image(cluster, &admin)
        .await
        .context("missing image")?;
    foreign_image(cluster, &admin)
        .await
        .context("foreign image")?;
    training::jobs(cluster).await.context("training")?;
    jobs::walkthrough(cluster, &admin).await.context("jobs")
}

/// The first run installs, the second and a check change nothing.
async fn install(cluster: &Cluster) -> anyhow::Result<()> {
    let first = cluster.playbook("ai.yaml", &variables("info"), &[]).await?;
    ensure!(
        first.output.contains(cluster.address.trim_end_matches('/')),
        "{}",
        first.output
    );
    let second = cluster.playbook("ai.yaml", &variables("info"), &[]).await?;
    ensure!(second.changed == 0, "{}", second.output);
    let check = cluster
        .playbook("ai.yaml", &variables("info"), &["--check"])
        .await?;
    ensure!(check.changed == 0, "{}", check.output);
    Ok(())
}

/// The API server takes what the chart makes where everything is switched on; the HTTPRoute where its definition is at
/// hand.
async fn every_option(cluster: &Cluster) -> anyhow::Result<()> {
    let on = "hub.pdb.enabled=true,hub.db.type=postgres,hub.db.url=postgresql://db/hub,ingress.enabled=true,\
              ingress.hosts={hub.test},prePuller.hook.enabled=true,prePuller.continuous.enabled=true,\
              imagePullSecrets={registry},hub.priorityClassName=high,singleuser.extraEnv.A=b";
    let line = format!(
        "helm template carrel ../deploy/chart --set {on:?} --set-json 'ingress.tls=[{{\"secretName\":\"tls\"}}]' \
         | kubectl apply --dry-run=server -f -"
    );
    let taken = cluster.shell(&line).await?;
    for object in [
        "poddisruptionbudget.policy/tf-hub ",
        "ingress.networking.k8s.io/tf-hub ",
        "daemonset.apps/tf-hub-image-puller ",
        "job.batch/tf-hub-image-puller-hook ",
        "statefulset.apps/tf-hub ",
    ] {
        ensure!(taken.contains(object), "{object}is not in\n{taken}");
    }
    match std::env::var("CARREL_TEST_HTTPROUTE") {
        Ok(definition) => http_route(cluster, &definition).await,
        Err(_) => Ok(()),
    }
}

/// By the definition in the file `definition`, which is there for this test only.
async fn http_route(cluster: &Cluster, definition: &str) -> anyhow::Result<()> {
    // Its description makes it too large for what `kubectl apply` remembers.
    let add = format!("kubectl create -f {definition}");
    cluster.shell(&add).await?;
    let checked = against_definition(cluster).await;
    let remove = format!("kubectl delete -f {definition}");
    cluster.shell(&remove).await?;
    checked
}

async fn against_definition(cluster: &Cluster) -> anyhow::Result<()> {
    let route = "helm template carrel ../deploy/chart --show-only templates/proxy/httproute.yaml \
                 --set httpRoute.enabled=true,httpRoute.hostnames={hub.test} \
                 --set-json 'httpRoute.parentRefs=[{\"name\":\"gateway\",\"namespace\":\"infra\"}]'";
    let dry_run = "kubectl apply --dry-run=server -f -";
    // Strict: a field that the definition does not know is refused.
    let strict = format!("{route} | {dry_run} --validate=strict");
    // The API server takes a moment to know the new kind.
    let known = wait_for("the kind to be known", Duration::from_secs(30), || async {
        cluster.shell(&strict).await.ok()
    });
    let taken = match known.await {
        Ok(taken) => taken,
        Err(_) => cluster.shell(&strict).await?,
    };
    let httproute = "httproute.gateway.networking.k8s.io/tf-hub created";
    ensure!(taken.contains(httproute), "{taken}");
    let wrong = format!("{route} | sed 's/PathPrefix/Prefix/' | {dry_run} 2>&1 || true");
    let refused = cluster.shell(&wrong).await?;
    ensure!(refused.contains("Unsupported value"), "{refused}");
    Ok(())
}

/// Part 2.1, as far as it is about the Hub.
async fn components(cluster: &Cluster) -> anyhow::Result<()> {
    cluster.answers().await?;
    let pods = cluster.shell("kubectl get pods").await?;
    ensure!(
        has_line(&pods, &["tf-hub-0", "1/1", "Running", "0"]),
        "{pods}"
    );
    let services = cluster.shell("kubectl get svc").await?;
    for line in [
        &["tf-hub-0", "ClusterIP", "None", "8000/TCP"][..],
        &["tf-hub-lb", "ClusterIP", "80/TCP"],
        &["tf-hub-lb-katacoda", "NodePort", "80:31039/TCP"],
    ] {
        ensure!(has_line(&services, line), "{line:?} is not in\n{services}");
    }
    let policies = cluster.shell("kubectl get networkpolicy").await?;
    ensure!(has_line(&policies, &["tf-hub-singleuser"]), "{policies}");
    let token = "kubectl auth can-i create pods --as system:serviceaccount:default:tf-hub";
    ensure!(cluster.shell(token).await?.trim() == "yes");
    let nodes = "kubectl auth can-i list nodes --as system:serviceaccount:default:tf-hub || true";
    ensure!(cluster.shell(nodes).await?.trim() == "no");
    Ok(())
}

/// Part 2.2, step by step.
async fn in_a_browser(cluster: &Cluster) -> anyhow::Result<()> {
    let browser = Browser::start("cluster").await?;
    let walked = part_2_2(cluster, &browser).await;
    if walked.is_err() {
        let _ = browser.screenshot("failure").await;
    }
    browser.quit().await?;
    walked
}

async fn part_2_2(cluster: &Cluster, browser: &Browser) -> anyhow::Result<()> {
    log_in(browser, &cluster.address).await?;
    browser.click("#start").await?;
    browser.find_text("h1", "Spawner Options").await?;
    for field in [IMAGE, CPU, MEMORY] {
        browser.find(&format!("[name={field}]")).await?;
    }
    browser
        .click(&format!("[name={CPU}] option[value=c2]"))
        .await?;
    browser
        .click(&format!("[name={MEMORY}] option[value=m2]"))
        .await?;
    browser.screenshot("2-spawner-options").await?;
    browser.click("#spawn_form button[type=submit]").await?;
    browser.at("/user/admin/lab").await?;
    let line = "kubectl get pods -o wide | grep jupyter-admin";
    let pods = cluster.shell(line).await?;
    ensure!(
        has_line(&pods, &["jupyter-admin", "1/1", "Running", "0"]),
        "{pods}"
    );
    let limits =
        "kubectl get pod jupyter-admin -o jsonpath='{.spec.containers[0].resources.limits}'";
    let limits = cluster.shell(limits).await?;
    ensure!(limits == r#"{"cpu":"2","memory":"2Gi"}"#, "{limits}");
    browser.find(".jp-Launcher").await?;
    browser.gone("#jupyterlab-splash").await?;
    run_hello_world(browser).await?;
    starter_notebook(cluster, browser).await
}

/// What a new user finds in the new volume.
async fn starter_notebook(cluster: &Cluster, browser: &Browser) -> anyhow::Result<()> {
    let address = format!(
        "{}user/admin/lab/tree/Hello%20Tensor.ipynb?reset",
        cluster.address
    );
    browser.goto(&address).await?;
    // JupyterLab may ask whether to leave a notebook that is not saved.
    let _ = browser.driver.accept_alert().await;
    browser.find_text(".jp-Notebook", "Hello, tensor").await?;
    browser.find_text("#jp-bottom-panel", "Rust | Idle").await?;
    browser
        .click(".jp-Notebook .jp-CodeCell .cm-content")
        .await?;
    run_cell(browser, "").await?;
    browser
        .find_text(".jp-OutputArea-output", "Hello Tensor!")
        .await?;
    browser.screenshot("6-starter-notebook").await
}

async fn second_user(cluster: &Cluster) -> anyhow::Result<()> {
    let set_password = [
        "exec",
        "-i",
        "tf-hub-0",
        "--",
        "carrel-hub",
        "set-password",
        "ada",
        "--config",
        "/etc/carrel/carrel.yaml",
    ];
    cluster
        .kubectl_with(&set_password, "analytical engine\n")
        .await?;
    let ada = Person::at(&cluster.address)?;
    let reply = ada.log_in("ada", "analytical engine").await?;
    ensure!(reply.status() == StatusCode::OK, "{}", reply.status());
    ada.start_server("ada").await?;
    let mut notebook = Notebook::open(&ada, "ada").await?;
    let hello = notebook.run(HELLO).await?;
    ensure!(hello.stdout == "Hello Tensor!\n", "{hello:?}");
    let pods = cluster.shell("kubectl get pods").await?;
    ensure!(
        has_line(&pods, &["jupyter-ada", "1/1"]) && has_line(&pods, &["jupyter-admin", "1/1"]),
        "{pods}"
    );
    stop(cluster, &ada, "ada").await
}

/// A claim outlives its pod.
async fn files_stay(cluster: &Cluster, admin: &Person) -> anyhow::Result<()> {
    let mut notebook = Notebook::open(admin, "admin").await?;
    let written = notebook
        .run(r#"std::fs::write("kept.txt", "still here")?;"#)
        .await?;
    ensure!(written.error.is_none(), "{written:?}");
    stop(cluster, admin, "admin").await?;
    admin.start_server("admin").await?;
    read_kept(admin).await
}

/// What [`files_stay`] has written is there.
async fn read_kept(admin: &Person) -> anyhow::Result<()> {
    let mut notebook = Notebook::open(admin, "admin").await?;
    let read = notebook
        .run(r#"std::fs::read_to_string("kept.txt")?"#)
        .await?;
    ensure!(
        read.result.as_deref() == Some(r#""still here""#),
        "{read:?}"
    );
    Ok(())
}

async fn hub_is_deleted(cluster: &Cluster, admin: &Person) -> anyhow::Result<()> {
    let server = cluster.pod_id("jupyter-admin").await?;
    let hub = cluster.pod_id("tf-hub-0").await?;
    let mut notebook = Notebook::open(admin, "admin").await?;
    ensure!(notebook.run("let x = 41;").await?.error.is_none());
    cluster.kubectl(&["delete", "pod", "tf-hub-0"]).await?;
    notebook.broken().await?;
    cluster.answers().await?;
    ensure!(cluster.pod_id("tf-hub-0").await? != hub);
    goes_on(cluster, admin, &mut notebook, &server).await
}

/// Another configuration is another pod of the Hub; nobody's server notices.
async fn upgrade(cluster: &Cluster, admin: &Person) -> anyhow::Result<()> {
    let server = cluster.pod_id("jupyter-admin").await?;
    let mut notebook = Notebook::open(admin, "admin").await?;
    ensure!(notebook.run("let x = 41;").await?.error.is_none());
    let hub = cluster.pod_id("tf-hub-0").await?;
    let mut values = variables("debug,hyper=info");
    let puller = json!({ "hook": { "enabled": true }, "continuous": { "enabled": true } });
    values["hub_values"]["prePuller"] = puller;
    let upgraded = cluster.playbook("ai.yaml", &values, &[]).await?;
    ensure!(upgraded.changed == 1, "{}", upgraded.output);
    pulled(cluster).await?;
    ensure!(cluster.pod_id("tf-hub-0").await? != hub);
    notebook.broken().await?;
    cluster.answers().await?;
    goes_on(cluster, admin, &mut notebook, &server).await
}

/// Every image of servers was pulled: before the upgrade by a job, which is gone after its success, and for good by a
/// DaemonSet.
async fn pulled(cluster: &Cluster) -> anyhow::Result<()> {
    let events = "kubectl get events --field-selector reason=SuccessfulCreate,involvedObject.name=tf-hub-image-puller-hook";
    let events = cluster.shell(events).await?;
    ensure!(events.contains("Created pod"), "{events}");
    let jobs = cluster.shell("kubectl get jobs -o name").await?;
    ensure!(!jobs.contains("image-puller"), "{jobs}");
    let status = "kubectl rollout status daemonset/tf-hub-image-puller --timeout=50s";
    cluster.shell(status).await?;
    let pods = "kubectl get pods -l app.kubernetes.io/component=image-puller";
    let pods = cluster.shell(pods).await?;
    ensure!(pods.contains("Running"), "{pods}");
    Ok(())
}

/// The server is the same pod, the login holds, and the notebook has its variables.
async fn goes_on(
    cluster: &Cluster,
    admin: &Person,
    notebook: &mut Notebook,
    server: &str,
) -> anyhow::Result<()> {
    ensure!(cluster.pod_id("jupyter-admin").await? == server);
    notebook.reconnect(admin).await?;
    let sum = notebook.run("x + 1").await?;
    ensure!(sum.result.as_deref() == Some("42"), "{sum:?}");
    let home = admin.get("/hub/home").await?;
    ensure!(
        home.url().path() == "/hub/home",
        "the login does not hold: {}",
        home.url()
    );
    Ok(())
}

/// It is told within seconds, and nothing of it stays.
async fn missing_image(cluster: &Cluster, admin: &Person) -> anyhow::Result<()> {
    stop(cluster, admin, "admin").await?;
    let fields = [
        (IMAGE, "unlisted-choice"),
        (OTHER_IMAGE, "localhost/no-such-image:1"),
    ];
    admin.submit("/hub/spawn", "/hub/spawn", &fields).await?;
    admin
        .page_with(
            "/hub/spawn-pending/admin",
            "The image localhost/no-such-image:1 cannot be pulled",
            Duration::from_secs(60),
        )
        .await?;
    stopped(cluster, admin, "admin").await
}

/// An image with nothing of ours, only jupyterhub-singleuser.
async fn foreign_image(cluster: &Cluster, admin: &Person) -> anyhow::Result<()> {
    let Ok(image) = std::env::var("CARREL_TEST_FOREIGN_IMAGE") else {
        return Ok(());
    };
    let fields = [(IMAGE, "unlisted-choice"), (OTHER_IMAGE, &image)];
    admin.submit("/hub/spawn", "/hub/spawn", &fields).await?;
    admin
        .page_with("/hub/home", "Running", Duration::from_secs(60))
        .await?;
    // Of Jupyter's server itself; it asks for no login.
    let answer = admin.get("/user/admin/api").await?.text().await?;
    ensure!(answer.contains("version"), "{answer}");
    let used = "kubectl get pod jupyter-admin -o jsonpath='{.spec.containers[0].image}'";
    ensure!(cluster.shell(used).await? == image);
    stop(cluster, admin, "admin").await
}

async fn uninstall(cluster: &Cluster) -> anyhow::Result<()> {
    let admin = Person::at(&cluster.address)?;
    admin.log_in("admin", "").await?;
    admin.start_server("admin").await?;
    let removed = cluster.playbook("uninstall.yaml", &json!({}), &[]).await?;
    ensure!(removed.changed > 0, "{}", removed.output);
    for pod in ["tf-hub-0", "jupyter-admin"] {
        cluster.pod_gone(pod).await?;
    }
    let claims = cluster.shell("kubectl get pvc").await?;
    ensure!(
        has_line(&claims, &["claim-admin"]) && has_line(&claims, &["tf-hub-db"]),
        "{claims}"
    );
    let data = ["-e", "hub_remove_data=true"];
    let again = cluster
        .playbook("uninstall.yaml", &json!({}), &data)
        .await?;
    let claims = cluster.shell("kubectl get pvc -o name").await?;
    ensure!(claims.trim().is_empty(), "{claims}\n{}", again.output);
    let third = cluster
        .playbook("uninstall.yaml", &json!({}), &data)
        .await?;
    ensure!(third.changed == 0, "{}", third.output);
    Ok(())
}

async fn stop(cluster: &Cluster, person: &Person, user: &str) -> anyhow::Result<()> {
    let action = format!("/hub/stop/{user}");
    person.submit("/hub/home", &action, &[]).await?;
    stopped(cluster, person, user).await
}

/// The pod is gone, and the Hub knows it.
async fn stopped(cluster: &Cluster, person: &Person, user: &str) -> anyhow::Result<()> {
    cluster.pod_gone(&format!("jupyter-{user}")).await?;
    person
        .page_with("/hub/home", "Stopped", Duration::from_secs(30))
        .await
        .map(drop)
}

/// Whether a line of a table begins with the first of `words` and holds the others.
fn has_line(table: &str, words: &[&str]) -> bool {
    table.lines().any(|line| {
        let cells: Vec<&str> = line.split_whitespace().collect();
        cells.first() == words.first() && words.iter().all(|word| cells.contains(word))
    })
}
