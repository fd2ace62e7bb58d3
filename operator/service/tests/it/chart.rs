//! The service as the chart installs it.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// What the chart makes of a template with the service switched on.
pub fn text(template: &str, namespace: &str, values: &[&str]) -> String {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/chart");
    let mut helm = Command::new("helm");
    helm.args(["template", "carrel"]).arg(chart);
    helm.args(["--namespace", namespace, "--show-only", template]);
    helm.args([
        "--set",
        "operator.enabled=true,trainingService.enabled=true",
    ]);
    for value in values {
        helm.args(["--set", value]);
    }
    let output = helm.output();
    let output =
        output.unwrap_or_else(|error| panic!("helm: {error}; deploy/local/test puts it on PATH"));
    String::from_utf8(output.stdout).unwrap()
}

/// The object of a kind in a template.
fn object(template: &str, kind: &str, values: &[&str]) -> Value {
    let text = text(template, "jobs", values);
    let objects = text.split("\n---\n").map(|text| {
        let object: Value = serde_saphyr::from_str(text).unwrap_or_default();
        object
    });
    let mut found = objects.filter(|object| object["kind"] == kind);
    found.next().unwrap_or_default()
}

#[test]
fn there_is_none_without_the_operator() {
    for value in ["operator.enabled=false", "trainingService.enabled=false"] {
        for template in ["deployment", "rbac"] {
            let template = format!("templates/training/{template}.yaml");
            assert_eq!(text(&template, "jobs", &[value]), "", "{value}");
        }
        let secret = text("templates/hub/secret.yaml", "jobs", &[value]);
        assert!(!secret.contains("training"), "{secret}");
    }
}

#[test]
fn it_may_do_what_it_does_in_its_namespace_and_reads_no_secrets() {
    let template = "templates/training/rbac.yaml";
    assert_eq!(object(template, "ClusterRole", &[]), Value::Null);
    let role = object(template, "Role", &[]);
    // One for each call of src/jobs.rs, src/tend.rs, src/watch.rs and src/logs.rs.
    let rule = |group: &str, resource: &str, verbs: &[&str]| json!({ "apiGroups": [group], "resources": [resource], "verbs": verbs });
    let watched = ["list", "watch", "create", "patch", "delete"];
    let objects = ["get", "list", "watch", "create", "patch", "delete"];
    let rules = json!([
        rule("", "configmaps", &watched),
        rule("", "secrets", &["create"]),
        rule("kubeflow.org", "pytorchjobs", &objects),
        rule("", "pods", &["list", "watch", "patch", "delete"]),
        rule("", "pods/log", &["get"]),
    ]);
    assert_eq!(role["rules"], rules);
}

#[test]
fn users_and_their_servers_may_ask_it_and_find_it() {
    let values = [
        "hub.loadRoles.user.scopes={self,read:hub}",
        "hub.loadRoles.helper.scopes={list:users}",
        "hub.services.other.url=http://other:1",
        "hub.baseUrl=/one/",
    ];
    let secret = object("templates/hub/secret.yaml", "Secret", &values);
    let config = secret["stringData"]["carrel.yaml"].as_str().unwrap();
    let config: Value = serde_saphyr::from_str(config).unwrap();
    let scopes = |name: &str| {
        let roles = config["JupyterHub"]["load_roles"].as_array().unwrap();
        let role = roles.iter().find(|role| role["name"] == name);
        role.map(|role| role["scopes"].clone()).unwrap_or_default()
    };
    let scope = "access:services!service=training";
    assert_eq!(scopes("user"), json!(["self", "read:hub", scope]));
    let server = ["users:activity!user", "access:servers!server", scope];
    assert_eq!(scopes("server"), json!(server));
    assert_eq!(scopes("helper"), json!(["list:users"]));
    let services = config["JupyterHub"]["services"].as_array().unwrap();
    assert_eq!(services.len(), 2);
    assert_eq!(services[1]["url"], "http://training-service.jobs.svc:8080");
    assert_eq!(
        config["KubeSpawner"]["environment"]["CARREL_JOBS_URL"],
        "http://tf-hub-lb.jobs.svc/one/services/training"
    );
}

#[test]
fn its_options_are_those_of_the_values() {
    let values = [
        "trainingService.claim=claim-{username}",
        "hub.baseUrl=/one/",
    ];
    let deployment = object("templates/training/deployment.yaml", "Deployment", &values);
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let arguments: Vec<&str> = container["args"]
        .as_array()
        .unwrap()
        .iter()
        .map(|argument| argument.as_str().unwrap())
        .collect();
    // It takes all of them.
    let known = Command::new(env!("CARGO_BIN_EXE_carrel-jobs-service"))
        .args(&arguments)
        .env("CARREL_JOBS_NAMESPACE", "jobs")
        .env("CARREL_JOBS_KEY", "short")
        .output()
        .unwrap();
    let said = String::from_utf8(known.stderr).unwrap();
    assert!(said.contains("CARREL_JOBS_KEY) has less than 32"), "{said}");
    for argument in [
        "--prefix=/one/services/training/",
        "--hub=http://tf-hub-lb.jobs.svc/one/hub/api",
        "--url=http://training-service.jobs.svc:8080/one/services/training",
        "--image=localhost/carrel-training:0.1.0",
        "--claim=claim-{username}",
        "--model-bytes=1073741824",
        "--running-jobs=4",
    ] {
        assert!(arguments.contains(&argument), "{argument}: {arguments:?}");
    }
}

#[test]
fn pods_of_jobs_get_the_secrets_that_their_images_are_pulled_by() {
    let secrets = |values: &[&str]| {
        let map = object("templates/training/deployment.yaml", "ConfigMap", values);
        let pod: Value = serde_saphyr::from_str(map["data"]["pod.yaml"].as_str().unwrap()).unwrap();
        pod["pod"]["imagePullSecrets"].clone()
    };
    assert_eq!(secrets(&[]), Value::Null);
    let values = [
        "imagePullSecrets={all}",
        "trainingService.jobImage.pullSecrets={ranks}",
        "singleuser.image.pullSecrets={servers}",
    ];
    let named = ["all", "ranks", "servers"].map(|name| json!({ "name": name }));
    assert_eq!(secrets(&values), json!(named));
    // Who names them, names all.
    let own = [
        "imagePullSecrets={all}",
        "trainingService.pod.imagePullSecrets[0].name=own",
    ];
    assert_eq!(secrets(&own), json!([{ "name": "own" }]));
}
