//! The operators as the chart installs them.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The objects of a template, by kind and name.
fn objects(template: &str, values: &[&str]) -> Vec<Value> {
    let chart = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/chart");
    let mut helm = Command::new("helm");
    helm.args(["template", "carrel"]).arg(chart);
    helm.args(["--namespace", "jobs", "--show-only", template]);
    // As a cluster that has the definitions says.
    helm.args(["--api-versions", "trainer.kubeflow.org/v1alpha1"]);
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

#[test]
fn there_are_none_unless_asked() {
    assert_eq!(
        objects("templates/operator/deployment.yaml", &[]),
        [Value::Null; 0]
    );
    assert_eq!(
        objects("templates/operator/rbac.yaml", &[]),
        [Value::Null; 0]
    );
}

/// Under the names of the walkthrough, one for each kind, with a Service that leads to its webhook.
#[test]
fn each_kind_has_its_operator() {
    let values = ["operator.enabled=true", "operator.replicas=2"];
    let objects = objects("templates/operator/deployment.yaml", &values);
    for (name, kind) in [
        ("tf-job-operator-v1alpha2", "tfjob"),
        ("pytorch-operator", "pytorchjob"),
        ("trainer-operator", "trainjob"),
    ] {
        let deployment = find(&objects, "Deployment", name);
        assert_eq!(deployment["spec"]["replicas"], 2);
        let pod = &deployment["spec"]["template"];
        let container = &pod["spec"]["containers"][0];
        let arguments: Vec<&str> = container["args"]
            .as_array()
            .unwrap()
            .iter()
            .map(|argument| argument.as_str().unwrap())
            .collect();
        assert_eq!(
            arguments,
            ["run", &format!("--kinds={kind}"), &format!("--name={name}")]
        );
        let service = find(&objects, "Service", name);
        for (label, value) in service["spec"]["selector"].as_object().unwrap() {
            assert_eq!(&pod["metadata"]["labels"][label], value);
        }
        let target = &service["spec"]["ports"][0]["targetPort"];
        let ports = container["ports"].as_array().unwrap();
        let port = ports.iter().find(|port| &port["name"] == target).unwrap();
        assert_eq!(port["containerPort"], 8443);
        let reports = service["spec"]["ports"].as_array().unwrap().iter();
        let reports = reports.filter(|port| port["name"] == "reports").count();
        assert_eq!(reports, 1);
    }
}

/// Rights to groups of pods are there with who asks for groups, and only of that scheduler.
#[test]
fn groups_of_pods_are_made_where_a_scheduler_is_named() {
    let groups = |scheduler: &str| {
        let set = format!("operator.gangScheduler={scheduler}");
        let values = ["operator.enabled=true", &set];
        let roles = objects("templates/operator/rbac.yaml", &values);
        let deployments = objects("templates/operator/deployment.yaml", &values);
        let of = |name: &str| {
            let role = find(&roles, "ClusterRole", &format!("jobs:{name}"));
            let rules = role["rules"].as_array().unwrap().iter();
            let rules = rules.filter(|rule| rule["resources"][0] == "podgroups");
            let groups: Vec<_> = rules.map(|rule| rule["apiGroups"].to_string()).collect();
            let deployment = find(&deployments, "Deployment", name);
            let container = &deployment["spec"]["template"]["spec"]["containers"][0];
            let asks = container["args"].to_string().contains("--gang-scheduler");
            assert_eq!(asks, !scheduler.is_empty());
            groups.concat()
        };
        [of("tf-job-operator-v1alpha2"), of("trainer-operator")]
    };
    assert_eq!(groups(""), ["", ""]);
    assert_eq!(groups("volcano"), [r#"["scheduling.volcano.sh"]"#; 2]);
    assert_eq!(groups("together"), [r#"["scheduling.x-k8s.io"]"#; 2]);
}

/// Logs are read, and ConfigMaps written, where it is asked for alone.
#[test]
fn logs_are_kept_and_starts_limited_where_it_is_asked() {
    let with = |value: &[&str]| {
        let values = [&["operator.enabled=true"], value].concat();
        let roles = objects("templates/operator/rbac.yaml", &values);
        let deployments = objects("templates/operator/deployment.yaml", &values);
        [
            "tf-job-operator-v1alpha2",
            "pytorch-operator",
            "trainer-operator",
        ]
        .map(|name| {
            let role = find(&roles, "ClusterRole", &format!("jobs:{name}"));
            let rules = role["rules"].as_array().unwrap().iter();
            let of = |resource: &str| {
                let rules = rules.clone();
                let rules = rules.filter(|rule| rule["resources"][0] == resource);
                rules
                    .map(|rule| rule["verbs"].to_string())
                    .collect::<String>()
            };
            let deployment = find(&deployments, "Deployment", name);
            let container = &deployment["spec"]["template"]["spec"]["containers"][0];
            let arguments = container["args"].as_array().unwrap()[3..].to_vec();
            (of("pods/log"), of("configmaps"), arguments)
        })
    };
    for (logs, maps, arguments) in with(&[]) {
        assert_eq!((logs, maps, arguments), Default::default());
    }
    let asked = [
        "operator.keepLogs=256Ki",
        "operator.startDeadlineSeconds=1800",
    ];
    for (logs, maps, arguments) in with(&asked) {
        assert_eq!(logs, r#"["get"]"#);
        assert_eq!(maps, r#"["get","create","update"]"#);
        assert_eq!(arguments, ["--start-deadline=1800", "--keep-logs=256Ki"]);
    }
}

/// The report goes where it is told to, and nowhere else.
#[test]
fn the_usage_report_reaches_the_api_server_and_what_it_is_sent_to() {
    let template = "templates/usage/networkpolicy.yaml";
    assert_eq!(objects(template, &[]), [Value::Null; 0]);
    let egress = |values: &[&str]| {
        let values = [&["usageReport.enabled=true"], values].concat();
        let found = objects(template, &values);
        let policy = find(&found, "NetworkPolicy", "spartakus-volunteer");
        let deployment = objects("templates/usage/deployment.yaml", &values);
        let deployment = find(&deployment, "Deployment", "spartakus-volunteer");
        let pod = &deployment["spec"]["template"]["metadata"]["labels"];
        let selected = policy["spec"]["podSelector"]["matchLabels"].as_object();
        for (label, value) in selected.unwrap() {
            assert_eq!(&pod[label], value);
        }
        let types = serde_json::json!(["Ingress", "Egress"]);
        assert_eq!(policy["spec"]["policyTypes"], types);
        policy["spec"]["egress"].clone()
    };
    let ports = serde_json::json!([{ "protocol": "TCP", "port": 443 }, { "protocol": "TCP", "port": 6443 }]);
    assert_eq!(egress(&[]), serde_json::json!([{ "ports": ports }]));
    let server = "usageReport.networkPolicy.apiServers[0].ipBlock.cidr=192.0.2.1/32";
    let known = egress(&[server]);
    assert_eq!(known[0]["to"][0]["ipBlock"]["cidr"], "192.0.2.1/32");
    let sent = "usageReport.sendTo=https://collector/in";
    assert_eq!(egress(&[sent])[0], serde_json::json!({}));
    let collector = "usageReport.networkPolicy.egress[0].to[0].ipBlock.cidr=198.51.100.7/32";
    let rules = egress(&[sent, server, collector]);
    assert_eq!(rules[0]["to"][0]["ipBlock"]["cidr"], "198.51.100.7/32");
    assert_eq!(rules.as_array().unwrap().len(), 3, "{rules}");
    // Without an address there is nothing to reach.
    assert_eq!(
        egress(&[collector]),
        serde_json::json!([{ "ports": ports }])
    );
    let off = [
        "usageReport.enabled=true",
        "usageReport.networkPolicy.enabled=false",
    ];
    assert_eq!(objects(template, &off), [Value::Null; 0]);
}

/// Off unless asked; it may list what it counts, and sends nowhere unless asked for that too.
#[test]
fn the_usage_report_sees_and_sends_no_more_than_asked() {
    for template in ["deployment", "rbac"] {
        let template = format!("templates/usage/{template}.yaml");
        assert_eq!(
            objects(&template, &["operator.enabled=true"]),
            [Value::Null; 0]
        );
    }
    let on = "usageReport.enabled=true";
    let rules =
        |found: &[Value]| find(found, "ClusterRole", "jobs:spartakus-volunteer")["rules"].clone();
    let found = objects("templates/usage/rbac.yaml", &[on]);
    let rules = rules(&found);
    let rights: Vec<_> = rules.as_array().unwrap().iter().collect();
    let rights = rights
        .iter()
        .map(|rule| format!("{} {}", rule["verbs"], rule["resources"]));
    assert_eq!(
        rights.collect::<Vec<_>>(),
        [
            r#"["list"] ["nodes"]"#,
            r#"["list"] ["tfjobs","pytorchjobs"]"#,
            r#"["list"] ["trainjobs"]"#,
        ]
    );
    let arguments = |values: &[&str]| {
        let found = objects("templates/usage/deployment.yaml", values);
        let deployment = find(&found, "Deployment", "spartakus-volunteer");
        let pod = &deployment["spec"]["template"]["spec"];
        let is_told = pod["containers"][0]["env"][0]["name"] == "SSL_CERT_FILE";
        (pod["containers"][0]["args"].to_string(), is_told)
    };
    let quiet = r#"["usage","--every-hours=24"]"#.to_owned();
    assert_eq!(arguments(&[on]), (quiet, false));
    let values = [
        on,
        "usageReport.sendTo=https://collector/in",
        "usageReport.everyHours=6",
        "usageReport.clusterId=lab",
        "usageReport.certificates=PEM",
    ];
    let told = r#"["usage","--cluster-id=lab","--send-to=https://collector/in","--every-hours=6"]"#;
    assert_eq!(arguments(&values), (told.to_owned(), true));
}

/// Those that the operator prints, with images of the site's own.
#[test]
fn runtimes_come_with_the_operator() {
    let template = "templates/operator/runtimes.yaml";
    assert_eq!(objects(template, &[]), [Value::Null; 0]);
    let values = [
        "operator.enabled=true",
        "operator.runtimeImages.torch-distributed=example.com/torch:1",
    ];
    let found = objects(template, &values);
    for mut runtime in carrel_operator::runtimes::all() {
        let name = runtime["metadata"]["name"].as_str().unwrap().to_owned();
        let found = find(&found, "ClusterTrainingRuntime", &name);
        let labels = &found["metadata"]["labels"];
        assert_eq!(labels["trainer.kubeflow.org/framework"], "torch");
        assert_eq!(labels["app.kubernetes.io/instance"], "carrel");
        if name == "torch-distributed" {
            let node = &mut runtime["spec"]["template"]["spec"]["replicatedJobs"][0];
            let pod = &mut node["template"]["spec"]["template"]["spec"];
            pod["containers"][0]["image"] = "example.com/torch:1".into();
        }
        assert_eq!(found["spec"], runtime["spec"]);
    }
}

/// Rights name what they are for, wherever a rule can.
#[test]
fn rights_are_those_that_are_used() {
    let objects = objects("templates/operator/rbac.yaml", &["operator.enabled=true"]);
    let role = find(&objects, "ClusterRole", "jobs:pytorch-operator");
    for rule in role["rules"].as_array().unwrap() {
        let resources = rule["resources"].to_string();
        assert!(!resources.contains('*') && !rule["verbs"].to_string().contains('*'));
        assert!(!resources.contains("secrets"), "{rule}");
        if resources.contains("customresourcedefinitions") {
            assert_eq!(rule["resourceNames"][0], "pytorchjobs.kubeflow.org");
            assert_eq!(
                rule["verbs"].to_string(),
                r#"["get","list","watch","patch"]"#
            );
        }
    }
    let role = find(&objects, "Role", "pytorch-operator");
    let named: Vec<_> = role["rules"].as_array().unwrap().iter().collect();
    let names: Vec<_> = named
        .iter()
        .filter_map(|rule| rule["resourceNames"][0].as_str())
        .collect();
    assert_eq!(
        names,
        ["pytorch-operator-pytorchjob", "pytorch-operator-webhook"]
    );
    let role = find(&objects, "ClusterRole", "jobs:trainer-operator");
    let rights = |resource: &str| {
        let rules = role["rules"].as_array().unwrap().iter();
        let mut rules = rules.filter(|rule| rule["resources"].to_string().contains(resource));
        let rule = rules.next().unwrap();
        assert_eq!(rule["apiGroups"][0], "trainer.kubeflow.org");
        rule["verbs"].to_string()
    };
    assert_eq!(rights("trainjobs\""), r#"["get","list","watch"]"#);
    assert_eq!(rights("clustertrainingruntimes"), r#"["get"]"#);
    assert_eq!(rights("trainjobs/status"), r#"["patch"]"#);
}

/// Whoever opens connections to the webhook or to reports takes from what the API server needs.
#[test]
fn only_who_must_reaches_an_operator() {
    let template = "templates/operator/networkpolicy.yaml";
    let values = ["operator.enabled=true"];
    let policies = objects(template, &values);
    assert_eq!(policies.len(), 3);
    let policy = find(&policies, "NetworkPolicy", "trainer-operator");
    let rules = policy["spec"]["ingress"].as_array().unwrap();
    let from = |port: &str| {
        let rule = rules.iter().find(|rule| rule["ports"][0]["port"] == port);
        rule.unwrap_or_else(|| panic!("no {port}: {rules:#?}"))["from"].clone()
    };
    assert_eq!(from("webhook"), Value::Null);
    assert_eq!(
        from("reports"),
        serde_json::json!([{ "namespaceSelector": {} }])
    );
    assert_eq!(from("http"), serde_json::json!([{ "podSelector": {} }]));
    let known = "operator.networkPolicy.apiServers[0].ipBlock.cidr=192.0.2.1/32";
    let policies = objects(template, &[values[0], known]);
    let policy = find(&policies, "NetworkPolicy", "pytorch-operator");
    let peers = &policy["spec"]["ingress"][0]["from"];
    assert_eq!(peers[0]["ipBlock"]["cidr"], "192.0.2.1/32");
    let without = [values[0], "operator.networkPolicy.enabled=false"];
    assert_eq!(objects(template, &without), [Value::Null; 0]);
}
