//! The gateway as the chart installs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use carrel_gateway::options::Options;
use clap::Parser;
use serde_json::{Value, json};

pub const TEMPLATES: [&str; 4] = ["deployment", "service", "rbac", "networkpolicy"];

/// What the chart makes of values.
pub fn template(template: &str, namespace: &str, values: &[&str]) -> Result<String, String> {
    let chart = repository().join("deploy/chart");
    let mut helm = Command::new("helm");
    helm.args(["template", "carrel"]).arg(chart);
    helm.args(["--namespace", namespace, "--show-only"]);
    helm.arg(format!("templates/gateway/{template}.yaml"));
    for value in values {
        helm.args(["--set", value]);
    }
    let output = helm.output();
    let output =
        output.unwrap_or_else(|error| panic!("helm: {error}; deploy/local/test puts it on PATH"));
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

pub fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn objects(name: &str, values: &[&str]) -> Vec<Value> {
    let text = template(name, "kubeflow", values).unwrap_or_else(|error| {
        // So helm calls a template that makes nothing.
        assert!(error.contains("could not find template"), "{error}");
        String::new()
    });
    text.split("\n---\n")
        .map(|text| text.trim_start_matches("---\n"))
        .filter(|text| text.contains("kind:"))
        .map(|text| serde_saphyr::from_str(text).unwrap())
        .collect()
}

fn find<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
    let is = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
    let found = objects.iter().find(is);
    found.unwrap_or_else(|| panic!("no {kind} {name}: {objects:#?}"))
}

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    options: Options,
}

/// The program reads what the chart gives it.
fn options(deployment: &Value) -> Options {
    let container = &deployment["spec"]["template"]["spec"]["containers"][0];
    let arguments = container["args"].as_array().unwrap().iter();
    let arguments = arguments.map(|argument| argument.as_str().unwrap());
    Program::parse_from(["carrel-gateway"].into_iter().chain(arguments)).options
}

#[test]
fn there_is_none_unless_asked() {
    for name in TEMPLATES {
        assert_eq!(objects(name, &[]), [Value::Null; 0], "{name}");
    }
}

/// Under the names of the walkthrough, at its ports.
#[test]
fn the_services_of_the_walkthrough_lead_to_it() {
    let values = ["gateway.enabled=true", "gateway.nodePort=30396"];
    let deployment = &objects("deployment", &values);
    let deployment = find(deployment, "Deployment", "ambassador");
    assert_eq!(deployment["spec"]["replicas"], 3);
    let services = objects("service", &values);
    for (name, kind, port, node) in [
        ("ambassador", Value::Null, 80, Value::Null),
        ("ambassador-admin", Value::Null, 8877, Value::Null),
        (
            "ambassador-katacoda",
            json!("NodePort"),
            30080,
            json!(30396),
        ),
    ] {
        let service = &find(&services, "Service", name)["spec"];
        assert_eq!(service["type"], kind);
        assert_eq!(service["ports"][0]["port"], port);
        assert_eq!(service["ports"][0]["nodePort"], node);
        let labels = &deployment["spec"]["template"]["metadata"]["labels"];
        for (label, value) in service["selector"].as_object().unwrap() {
            assert_eq!(&labels[label], value, "{name}");
        }
        let target = &service["ports"][0]["targetPort"];
        let ports = &deployment["spec"]["template"]["spec"]["containers"][0]["ports"];
        let mut ports = ports.as_array().unwrap().iter();
        assert!(ports.any(|port| port["name"] == *target), "{name}");
    }
    let budget = objects("deployment", &values);
    let budget = find(&budget, "PodDisruptionBudget", "ambassador");
    assert_eq!(budget["spec"]["maxUnavailable"], 1);
    let one = objects(
        "deployment",
        &["gateway.enabled=true", "gateway.replicas=1"],
    );
    assert_eq!(one.len(), 1, "{one:#?}");
}

#[test]
fn the_program_reads_the_arguments() {
    let plain = objects("deployment", &["gateway.enabled=true"]);
    let plain = options(find(&plain, "Deployment", "ambassador")).routes;
    assert_eq!(
        plain.hub.unwrap().as_str(),
        "http://tf-hub-lb.kubeflow.svc/"
    );
    assert_eq!((plain.hub_base.as_str(), plain.dashboard), ("/", None));
    let all = objects(
        "deployment",
        &[
            "gateway.enabled=true",
            "dashboard.enabled=true",
            "hub.baseUrl=/one",
            "gateway.hosts={hub.test,*.hub.test}",
            "gateway.namespaces={models}",
            "gateway.trustedProxies={10.0.0.0/8,192.0.2.1}",
            "gateway.kubernetesDashboard=https://kubernetes-dashboard.kube-system.svc",
            "gateway.unverified={kubernetes-dashboard.kube-system.svc}",
            "gateway.targetCertificates=PEM",
            "gateway.tlsSecret=public",
        ],
    );
    let deployment = find(&all, "Deployment", "ambassador");
    let all = options(deployment);
    assert_eq!(all.routes.hub_base, "/one/");
    let dashboard = all.routes.dashboard.unwrap();
    assert_eq!(dashboard.as_str(), "http://centraldashboard.kubeflow.svc/");
    assert!(all.routes.jobs_dashboard.is_some());
    assert_eq!(all.routes.host, ["hub.test", "*.hub.test"]);
    assert_eq!(all.routes.namespace, ["models"]);
    assert_eq!(all.trusted_proxies.len(), 2);
    let pod = &deployment["spec"]["template"]["spec"];
    let mounts = pod["containers"][0]["volumeMounts"].as_array().unwrap();
    let files = [all.tls_key, all.tls_certificate, all.target_ca];
    for file in files {
        let file = file.unwrap();
        let mut mounts = mounts.iter();
        let is_there = mounts.any(|mount| file.starts_with(mount["mountPath"].as_str().unwrap()));
        assert!(is_there, "{}", file.display());
    }
}

#[test]
fn a_certificate_of_the_hub_itself_is_refused() {
    let values = [
        "gateway.enabled=true",
        "proxy.https.enabled=true",
        "proxy.https.type=secret",
        "proxy.https.secret.name=tls",
    ];
    let refused = template("deployment", "kubeflow", &values).unwrap_err();
    assert!(refused.contains("gateway.tlsSecret"), "{refused}");
}

/// It reads Services and the Gateway API, and writes nothing but what routes are told.
#[test]
fn rights_are_few() {
    let values = ["gateway.enabled=true"];
    let all = objects("rbac", &values);
    let role = find(&all, "ClusterRole", "kubeflow:ambassador");
    let rules = role["rules"].as_array().unwrap();
    let services =
        json!({ "apiGroups": [""], "resources": ["services"], "verbs": ["list", "watch"] });
    assert_eq!(rules.len(), 3);
    assert_eq!(rules[0], services);
    assert_eq!(
        rules[2]["resources"],
        json!([
            "httproutes/status",
            "gateways/status",
            "gatewayclasses/status"
        ])
    );
    assert_eq!(rules[2]["verbs"], json!(["patch"]));
    let few = objects(
        "rbac",
        &["gateway.enabled=true", "gateway.namespaces={models}"],
    );
    let role = find(&few, "ClusterRole", "kubeflow:ambassador");
    assert!(!role["rules"].as_array().unwrap().contains(&services));
    let role = find(&few, "Role", "kubeflow-ambassador");
    assert_eq!(role["metadata"]["namespace"], "models");
    assert_eq!(role["rules"], json!([services]));
    assert_eq!(
        objects("rbac", &["gateway.enabled=true", "rbac.create=false"]).len(),
        1
    );
}

#[test]
fn pods_are_closed() {
    let all = objects("deployment", &["gateway.enabled=true"]);
    let pod = &find(&all, "Deployment", "ambassador")["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    let container = &pod["containers"][0]["securityContext"];
    assert_eq!(container["readOnlyRootFilesystem"], true);
    assert_eq!(container["capabilities"]["drop"], json!(["ALL"]));
    let policy = objects("networkpolicy", &["gateway.enabled=true"]);
    let admin = &policy[0]["spec"]["ingress"][1];
    let servers = json!({ "key": "app.kubernetes.io/component", "operator": "NotIn", "values": ["singleuser-server"] });
    assert_eq!(
        admin["from"][0]["podSelector"]["matchExpressions"][0],
        servers
    );
    let values = [
        "gateway.enabled=true",
        "gateway.networkPolicy.enabled=false",
    ];
    assert_eq!(objects("networkpolicy", &values), [Value::Null; 0]);
}
