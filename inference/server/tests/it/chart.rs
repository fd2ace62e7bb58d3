//! The model server as the chart installs it.

use std::path::{Path, PathBuf};
use std::process::Command;

use carrel_model_server::fetch::Fetch;
use carrel_model_server::options::Options;
use clap::Parser;
use serde_json::{Value, json};

pub const TEMPLATES: [&str; 4] = ["deployment", "service", "networkpolicy", "servingruntime"];
const ON: &str = "inference.enabled=true";

/// What the chart makes of values.
pub fn template(template: &str, namespace: &str, values: &[&str]) -> Result<String, String> {
    let chart = repository().join("deploy/chart");
    let mut helm = Command::new("helm");
    helm.args(["template", "carrel"]).arg(chart);
    helm.args(["--namespace", namespace, "--show-only"]);
    helm.arg(format!("templates/inference/{template}.yaml"));
    for value in values {
        // JSON has commas, which would part values.
        let option = if value.contains("=[") || value.contains("={") {
            "--set-json"
        } else {
            "--set"
        };
        helm.args([option, value]);
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
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
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

/// The pod of the Deployment.
fn pod(values: &[&str]) -> Value {
    let values = [&[ON], values].concat();
    let all = objects("deployment", &values);
    find(&all, "Deployment", "inception-v1")["spec"]["template"]["spec"].clone()
}

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    options: Options,
}

#[derive(Parser)]
struct Fetching {
    #[command(flatten)]
    fetch: Fetch,
}

fn arguments(container: &Value) -> Vec<&str> {
    let arguments = container["args"].as_array().unwrap().iter();
    arguments
        .map(|argument| argument.as_str().unwrap())
        .collect()
}

/// The program reads what the chart gives it.
fn options(container: &Value) -> Options {
    let arguments = arguments(container).into_iter();
    Program::parse_from(["carrel-model-server"].into_iter().chain(arguments)).options
}

#[test]
fn there_is_none_unless_asked() {
    for name in TEMPLATES {
        assert_eq!(objects(name, &[]), [Value::Null; 0], "{name}");
    }
    assert_eq!(objects("servingruntime", &[ON]), [Value::Null; 0]);
}

/// Under the names of the walkthrough, at its ports, and at the gateway's path.
#[test]
fn the_service_of_the_walkthrough_leads_to_it() {
    let deployment = objects("deployment", &[ON]);
    assert_eq!(deployment.len(), 1, "{deployment:#?}");
    let deployment = find(&deployment, "Deployment", "inception-v1");
    let services = objects("service", &[ON]);
    let service = find(&services, "Service", "inception");
    let ports = service["spec"]["ports"].as_array().unwrap();
    let template = &deployment["spec"]["template"];
    let container = &template["spec"]["containers"][0];
    for (port, number) in ports.iter().zip([9000, 8000]) {
        assert_eq!(port["port"], number);
        let mut targets = container["ports"].as_array().unwrap().iter();
        assert!(targets.any(|target| {
            target["name"] == port["targetPort"] && target["containerPort"] == number
        }));
    }
    for (label, value) in service["spec"]["selector"].as_object().unwrap() {
        assert_eq!(&template["metadata"]["labels"][label], value);
    }
    let route = &service["metadata"]["annotations"]["getambassador.io/config"];
    let route: Value = serde_saphyr::from_str(route.as_str().unwrap()).unwrap();
    assert_eq!(route["prefix"], "/models/inception/");
    assert_eq!(route["service"], "inception:8000");
    let options = options(container);
    assert_eq!((options.port, options.rest_api_port), (9000, 8000));
    assert_eq!(options.model_name, "inception");
    assert_eq!(
        options.model_base_path.unwrap(),
        Path::new("/models/inception")
    );
    let without = objects("service", &[ON, "inference.route=false"]);
    assert_eq!(
        find(&without, "Service", "inception")["metadata"]["annotations"],
        Value::Null
    );
}

#[test]
fn a_model_comes_from_one_place() {
    let plain = pod(&[]);
    assert_eq!(plain["volumes"], Value::Null);
    for (value, volume) in [
        (
            "inference.model.volume.hostPath.path=/srv",
            json!({"hostPath": {"path": "/srv"}}),
        ),
        (
            "inference.model.claim=mine",
            json!({"persistentVolumeClaim": {"claimName": "mine", "readOnly": true}}),
        ),
        (
            "inference.model.image=here/model:1",
            json!({"image": {"reference": "here/model:1", "pullPolicy": "IfNotPresent"}}),
        ),
    ] {
        let pod = pod(&[value, "inference.model.subPath=models"]);
        let mut expected = volume;
        expected["name"] = json!("model");
        assert_eq!(pod["volumes"], json!([expected]));
        let mount = json!({"name": "model", "mountPath": "/models/inception", "readOnly": true, "subPath": "models"});
        assert_eq!(pod["containers"][0]["volumeMounts"], json!([mount]));
        assert_eq!(pod["initContainers"], Value::Null);
    }
    let both = [
        ON,
        "inference.model.claim=mine",
        "inference.model.image=here/model:1",
    ];
    let refused = template("deployment", "kubeflow", &both).unwrap_err();
    assert!(refused.contains("not from claim and image"), "{refused}");
}

#[test]
fn files_are_fetched_before_the_server_starts() {
    let sha256 = "0".repeat(64);
    let files = format!(
        r#"inference.model.files=[{{"name":"model.onnx","url":"https://models.test/a,b.onnx","sha256":"{sha256}"}},{{"name":"manifest.json","text":"{{\"labels\": [\"a\"]}}"}}]"#
    );
    let values = [&*files, "inference.model.version=3"];
    let pod = pod(&values);
    assert_eq!(pod["volumes"][0]["emptyDir"], json!({"sizeLimit": "16Gi"}));
    let first = &pod["initContainers"][0];
    assert_eq!(first["image"], pod["containers"][0]["image"]);
    assert_eq!(first["securityContext"]["readOnlyRootFilesystem"], true);
    let arguments = arguments(first);
    let fetch = Fetching::parse_from(arguments).fetch;
    assert_eq!(fetch.to, Path::new("/models/inception/3"));
    assert_eq!(fetch.most_bytes, 16 << 30);
    let told = format!("{:?}", fetch.files);
    assert!(
        told.contains("a,b.onnx") && told.contains(r#"{\"labels\": [\"a\"]}"#),
        "{told}"
    );
    let small = self::pod(&[&*files, "inference.model.sizeLimitGi=2"]);
    let emptied = &small["volumes"][0]["emptyDir"];
    assert_eq!(*emptied, json!({"sizeLimit": "2Gi"}));
    let arguments = self::arguments(&small["initContainers"][0]);
    assert_eq!(Fetching::parse_from(arguments).fetch.most_bytes, 2 << 30);
    let policy = objects("networkpolicy", &[&[ON], &values[..]].concat());
    let egress = policy[0]["spec"]["egress"].as_array().unwrap();
    assert!(!egress.is_empty());
    let closed = objects("networkpolicy", &[ON]);
    assert_eq!(closed[0]["spec"]["egress"], json!([]));
}

#[test]
fn a_configuration_and_tokens_are_files() {
    let config = r#"inference.config={"models":[{"name":"a","base_path":"/models/a","batching":{"max_size":8,"max_delay_us":100}}]}"#;
    let values = [ON, config, "inference.tokensSecret=readers"];
    let all = objects("deployment", &values);
    let written = &find(&all, "ConfigMap", "inception-models")["data"]["models.yaml"];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("models.yaml");
    std::fs::write(&file, written.as_str().unwrap()).unwrap();
    let read = carrel_model_server::config::Config::read(&file).unwrap();
    assert_eq!(read.models[0].batching.unwrap().max_size, 8);
    let pod = pod(&values[1..]);
    let container = &pod["containers"][0];
    let options = options(container);
    let mounts = container["volumeMounts"].as_array().unwrap();
    for file in [options.model_config_file, options.tokens] {
        let file = file.unwrap();
        let mut mounts = mounts.iter();
        assert!(mounts.any(|mount| file.starts_with(mount["mountPath"].as_str().unwrap())));
    }
}

#[test]
fn pods_are_as_many_as_asked_or_as_needed() {
    let two = objects("deployment", &[ON, "inference.replicas=2"]);
    assert_eq!(
        find(&two, "Deployment", "inception-v1")["spec"]["replicas"],
        2
    );
    find(&two, "PodDisruptionBudget", "inception-v1");
    let scaled = objects(
        "deployment",
        &[
            ON,
            "inference.autoscaling.enabled=true",
            "inference.autoscaling.maxReplicas=7",
        ],
    );
    assert_eq!(
        find(&scaled, "Deployment", "inception-v1")["spec"]["replicas"],
        Value::Null
    );
    let scaler = &find(&scaled, "HorizontalPodAutoscaler", "inception-v1")["spec"];
    assert_eq!(scaler["scaleTargetRef"]["name"], "inception-v1");
    assert_eq!(
        (&scaler["minReplicas"], &scaler["maxReplicas"]),
        (&json!(1), &json!(7))
    );
    assert_eq!(
        scaler["metrics"][0]["resource"]["target"]["averageUtilization"],
        70
    );
}

#[test]
fn pods_are_closed() {
    let pod = pod(&[]);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["automountServiceAccountToken"], false);
    let container = &pod["containers"][0];
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(
        container["securityContext"]["capabilities"]["drop"],
        json!(["ALL"])
    );
    assert_eq!(
        container["readinessProbe"]["httpGet"]["path"],
        "/v2/health/ready"
    );
    assert_eq!(container["livenessProbe"]["httpGet"]["path"], "/healthz");
}

/// KServe puts the name of an InferenceService into the arguments of its runtime.
#[test]
fn a_serving_runtime_stands_alone() {
    let values = ["inference.servingRuntime.enabled=true"];
    assert_eq!(objects("deployment", &values), [Value::Null; 0]);
    let all = objects("servingruntime", &values);
    let runtime = &find(&all, "ServingRuntime", "carrel-onnx")["spec"];
    assert_eq!(runtime["supportedModelFormats"][0]["name"], "onnx");
    let protocols = runtime["protocolVersions"].as_array().unwrap();
    assert!(protocols.contains(&json!("v1")) && protocols.contains(&json!("v2")));
    let mut container = runtime["containers"][0].clone();
    assert_eq!(container["name"], "kserve-container");
    let text = container["args"].to_string().replace("{{.Name}}", "digits");
    container["args"] = serde_json::from_str(&text).unwrap();
    let options = options(&container);
    assert_eq!(options.model_name, "digits");
    assert_eq!(options.model_base_path.unwrap(), Path::new("/mnt/models"));
    let port = &container["ports"][0]["containerPort"];
    assert_eq!(*port, options.rest_api_port);
    let wide = [values[0], "inference.servingRuntime.clusterWide=true"];
    assert_eq!(
        objects("servingruntime", &wide)[0]["kind"],
        "ClusterServingRuntime"
    );
}
