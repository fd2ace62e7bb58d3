//! The dashboard as the chart installs it.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

/// The objects of a template.
fn objects(template: &str, values: &[&str]) -> Vec<Value> {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/chart");
    let mut helm = Command::new("helm");
    helm.args(["template", "carrel"]).arg(chart);
    helm.args(["--namespace", "jobs", "--show-only", template]);
    for value in values {
        helm.args(["--set", value]);
    }
    let output = helm.output();
    let output =
        output.unwrap_or_else(|error| panic!("helm: {error}; deploy/local/test puts it on PATH"));
    let text = String::from_utf8(output.stdout).unwrap();
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

/// The Hub's own configuration.
fn configuration(values: &[&str]) -> Value {
    let objects = objects("templates/hub/secret.yaml", values);
    let text = &find(&objects, "Secret", "tf-hub-config")["stringData"]["carrel.yaml"];
    serde_saphyr::from_str(text.as_str().unwrap()).unwrap()
}

const DEPLOYMENT: &str = "templates/dashboard/deployment.yaml";
const POLICY: &str = "templates/dashboard/networkpolicy.yaml";

#[test]
fn there_is_none_unless_asked() {
    for template in [DEPLOYMENT, POLICY, "templates/dashboard/rbac.yaml"] {
        assert_eq!(objects(template, &[]), [Value::Null; 0]);
    }
    let hub = &configuration(&[])["JupyterHub"];
    assert_eq!(
        (&hub["services"], &hub["load_roles"]),
        (&json!(null), &json!(null))
    );
}

/// Under the names of the walkthrough, at its ports.
#[test]
fn the_services_of_the_walkthrough_lead_to_it() {
    let values = ["dashboard.enabled=true", "dashboard.nodePort=31421"];
    let objects = objects(DEPLOYMENT, &values);
    let pod = &find(&objects, "Deployment", "centraldashboard")["spec"]["template"];
    for (name, port) in [
        ("centraldashboard", 80),
        ("tf-job-dashboard", 80),
        ("centraldashboard-katacoda", 8082),
    ] {
        let service = find(&objects, "Service", name);
        assert_eq!(service["spec"]["ports"][0]["port"], port);
        for (label, value) in service["spec"]["selector"].as_object().unwrap() {
            assert_eq!(&pod["metadata"]["labels"][label], value);
        }
    }
    assert_eq!(
        find(&objects, "Service", "centraldashboard-katacoda")["spec"]["ports"][0]["nodePort"],
        31421
    );
    let variables = pod["spec"]["containers"][0]["env"].as_array().unwrap();
    let variable = |name: &str| {
        let found = variables.iter().find(|one| one["name"] == name);
        found.unwrap_or_else(|| panic!("no {name}"))["value"].clone()
    };
    assert_eq!(variable("JUPYTERHUB_HOST"), ":31039");
    assert_eq!(
        variable("JUPYTERHUB_API_URL"),
        "http://tf-hub-lb.jobs.svc/hub/api"
    );
    assert_eq!(
        variable("JUPYTERHUB_SERVICE_PREFIX"),
        "/services/dashboard/"
    );
    let without = self::objects(DEPLOYMENT, &["dashboard.enabled=true"]);
    assert!(
        !without
            .iter()
            .any(|object| object["metadata"]["name"] == "centraldashboard-katacoda")
    );
}

#[test]
fn the_hub_knows_it_by_the_same_token_and_lets_everybody_in() {
    let values = [
        "dashboard.enabled=true",
        "dashboard.apiToken=a-token-of-the-test",
        "dashboard.baseUrl=/",
    ];
    let hub = &configuration(&values)["JupyterHub"];
    let service = &hub["services"][0];
    assert_eq!(
        (&service["name"], &service["api_token"]),
        (&json!("dashboard"), &json!("a-token-of-the-test"))
    );
    assert_eq!(service["oauth_redirect_uri"], "/oauth_callback");
    assert_eq!(service["url"], "http://centraldashboard.jobs.svc:80");
    assert_eq!(
        hub["load_roles"][0]["scopes"],
        json!(["self", "access:services!service=dashboard"])
    );
    let objects = objects(DEPLOYMENT, &values);
    assert_eq!(
        find(&objects, "Secret", "centraldashboard")["stringData"]["token"],
        "a-token-of-the-test"
    );
    // Whoever says what users may, says this too.
    let own = [
        values[0],
        "hub.loadRoles.user.scopes={self}",
        "dashboard.everybody=true",
    ];
    let hub = &configuration(&own)["JupyterHub"];
    assert_eq!(hub["load_roles"].as_array().unwrap().len(), 1);
    assert_eq!(
        configuration(&["dashboard.enabled=true", "dashboard.everybody=false"])["JupyterHub"]["load_roles"],
        json!(null)
    );
}

/// Without a token in the values, the Hub and the dashboard get the same one.
#[test]
fn a_token_is_made_where_none_is_given() {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/chart");
    let output = Command::new("helm")
        .args(["template", "carrel"])
        .arg(chart)
        .args(["--set", "dashboard.enabled=true"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let after = |mark: &str| {
        let (_, rest) = text
            .split_once(mark)
            .unwrap_or_else(|| panic!("no {mark}: {text}"));
        rest.lines()
            .next()
            .unwrap()
            .trim_matches(['"', ' '])
            .to_owned()
    };
    let token = after("  token: ");
    assert_eq!(token.len(), 48);
    assert!(text.matches(&token).count() >= 2, "{text}");
}

/// Nothing is written but jobs, and nothing secret is read.
#[test]
fn rights_are_those_that_are_used() {
    let objects = objects("templates/dashboard/rbac.yaml", &["dashboard.enabled=true"]);
    let role = find(&objects, "ClusterRole", "jobs:centraldashboard");
    for rule in role["rules"].as_array().unwrap() {
        let (resources, verbs) = (rule["resources"].to_string(), rule["verbs"].to_string());
        assert!(
            !resources.contains('*') && !verbs.contains('*') && !resources.contains("secrets"),
            "{rule}"
        );
        let writes = ["create", "update", "delete", "patch"]
            .iter()
            .any(|verb| verbs.contains(verb));
        assert!(
            !writes || resources.contains("jobs") || resources.contains("subjectaccessreviews"),
            "{rule}"
        );
    }
}

#[test]
fn jobs_of_notebooks_are_asked_for_where_there_is_a_jobs_service() {
    let alone = ["dashboard.enabled=true"];
    let both = [
        "dashboard.enabled=true",
        "operator.enabled=true",
        "trainingService.enabled=true",
    ];
    let address = |values: &[&str]| {
        let objects = objects(DEPLOYMENT, values);
        let pod = &find(&objects, "Deployment", "centraldashboard")["spec"]["template"]["spec"];
        let variables = pod["containers"][0]["env"].as_array().unwrap();
        let found = variables
            .iter()
            .find(|one| one["name"] == "CARREL_JOBS_URL");
        found.map(|one| one["value"].clone())
    };
    assert_eq!(address(&alone), None);
    let url = "http://training-service.jobs.svc:8080/services/training";
    assert_eq!(address(&both), Some(json!(url)));
    let scopes = |values: &[&str]| {
        let services = configuration(values)["JupyterHub"]["services"].clone();
        let services = services.as_array().unwrap();
        let dashboard = services.iter().find(|one| one["name"] == "dashboard");
        dashboard.unwrap()["oauth_client_allowed_scopes"].clone()
    };
    assert_eq!(scopes(&alone), json!(["read:servers!user"]));
    let two = ["read:servers!user", "access:services!service=training"];
    assert_eq!(scopes(&both), json!(two));
    // Each lets the other in.
    let objects = objects("templates/training/deployment.yaml", &both);
    let policy = &find(&objects, "NetworkPolicy", "training-service")["spec"]["ingress"][0];
    let label = "app.kubernetes.io/component";
    let from = policy["from"].as_array().unwrap().iter();
    let mut from = from.map(|one| &one["podSelector"]["matchLabels"][label]);
    assert!(from.any(|component| component == "centraldashboard"));
}

#[test]
fn only_the_hub_and_the_gateway_reach_one_without_a_way_in_of_its_own() {
    let ingress = |values: &[&str]| {
        let objects = objects(POLICY, values);
        find(&objects, "NetworkPolicy", "centraldashboard")["spec"]["ingress"].clone()
    };
    let label = "app.kubernetes.io/component";
    let from = |values: &[&str]| -> Vec<Value> {
        let rules = ingress(values);
        let from = rules[0]["from"].as_array().unwrap().iter();
        from.map(|one| one["podSelector"]["matchLabels"][label].clone())
            .collect()
    };
    assert_eq!(from(&["dashboard.enabled=true"]), ["hub", "ambassador"]);
    let apart = ["dashboard.enabled=true", "proxy.apart.enabled=true"];
    assert_eq!(from(&apart), ["proxy", "ambassador"]);
    let open = ingress(&["dashboard.enabled=true", "dashboard.nodePort=31421"]);
    assert_eq!(open, json!([{ "ports": [{ "port": "http" }] }]));
}

/// It reads ends of logs and shows the usage report where there are such.
#[test]
fn kept_logs_and_the_usage_report_are_there_where_they_are_made() {
    let set = |values: &[&str]| {
        let values = [&["dashboard.enabled=true", "operator.enabled=true"], values].concat();
        let deployment = objects(DEPLOYMENT, &values);
        let pod = &find(&deployment, "Deployment", "centraldashboard")["spec"]["template"];
        let variables = pod["spec"]["containers"][0]["env"].to_string();
        let role = objects("templates/dashboard/rbac.yaml", &values);
        let rules = find(&role, "ClusterRole", "jobs:centraldashboard")["rules"].to_string();
        (
            variables.contains("CARREL_KEPT_LOGS"),
            rules.contains("configmaps"),
            variables.contains("http://spartakus-volunteer.jobs.svc"),
        )
    };
    assert_eq!(set(&[]), (false, false, false));
    assert_eq!(set(&["operator.keepLogs=64Ki"]), (true, true, false));
    assert_eq!(set(&["usageReport.enabled=true"]), (false, false, true));
}
