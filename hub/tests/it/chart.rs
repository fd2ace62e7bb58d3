//! The schema of the Helm chart's values: made of the structs in `values` and of the Hub's own tables of keys.

mod values;

use std::process::Output;

use carrel_hub::config::{Config, ProxyClass, above};
use carrel_skip::package_folder;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

/// `UPDATE=1 cargo test -p carrel-hub --test it chart` writes it anew.
#[test]
fn the_schema_is_up_to_date() {
    let path = package_folder().join("../deploy/chart/values.schema.json");
    let mut schema = schema();
    // A feature of serde_json that other crates' tests turn on keeps keys in the order of the structs.
    schema.sort_all_objects();
    let schema = format!("{schema:#}\n");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &schema).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap(),
        schema,
        "run this test with UPDATE=1 and commit the file"
    );
}

/// What the templates make of values is a configuration that the Hub takes.
#[test]
fn the_hub_takes_what_the_chart_makes_of_values() {
    let image = config_of(&[]).kube_spawner.0.image;
    assert!(image.starts_with("localhost/carrel-singleuser:"), "{image}");
    let profiles = config_of(&[]).kube_spawner.0.profile_list;
    let fields: Vec<_> = profiles[0].profile_options.keys().collect();
    assert_eq!(fields, ["image", "cpu", "memory"]);
    let cores: Vec<_> = profiles[0].profile_options["cpu"].choices.keys().collect();
    assert_eq!(cores, ["any", "c1", "c2"]);
    let none = config_of(&["singleuser.storage.type=none"]);
    assert!(!none.kube_spawner.storage_pvc_ensure);
    assert!(none.kube_spawner.volumes.items().is_empty());
    let dynamic = config_of(&["singleuser.storage.dynamic.storageClass=fast"]);
    assert_eq!(dynamic.kube_spawner.storage_class.as_deref(), Some("fast"));
    let fixed = [
        "singleuser.storage.type=static",
        "singleuser.storage.static.pvcName=homes",
    ];
    let mounts = config_of(&fixed).kube_spawner.volume_mounts.items();
    assert_eq!(mounts[0].sub_path.as_deref(), Some("{username}"));
    let all = config_of(&[
        "hub.baseUrl=/one/",
        "hub.db.type=postgres",
        "hub.db.url=postgresql://db/hub",
        "hub.config.KubeSpawner.image=mine:1",
        "hub.trustedProxies={10.42.0.0/16,192.0.2.7}",
        "imagePullSecrets={registry}",
        "singleuser.cmd=null",
        "singleuser.cpu.limit=0.5",
        "singleuser.memory.limit=1073741824",
        "singleuser.uid=0",
        "singleuser.extraEnv.NAME=value",
        "singleuser.extraLabels.site=north",
        "singleuser.nodeSelector.pool=gpu",
        "singleuser.extraTolerations[0].key=gpu",
        "singleuser.extraResource.limits.gpu=1",
        "singleuser.serviceAccountName=user",
        "singleuser.priorityClassName=high",
        "singleuser.events=false",
        "singleuser.extraPodConfig.runtimeClassName=nvidia",
        "singleuser.lifecycleHooks.preStop.exec.command={sync}",
    ]);
    assert_eq!(
        all.jupyter_hub.db_url.as_ref().map(|url| &*url.0),
        Some("postgresql://db/hub")
    );
    let trusted = &all.jupyter_hub.trusted_downstream_ips;
    let trusted: Vec<_> = trusted.iter().map(ToString::to_string).collect();
    assert_eq!(trusted, ["10.42.0.0/16", "192.0.2.7/32"]);
    assert!(config_of(&[]).jupyter_hub.trusted_downstream_ips.is_empty());
    assert_eq!(all.kube_spawner.image, "mine:1");
    assert_eq!(all.kube_spawner.uid, Some(0));
    assert_eq!(all.kube_spawner.cmd, None);
    assert!(!all.kube_spawner.events_enabled);
}

#[test]
fn several_hubs_need_a_database_that_all_reach() {
    let hubs = "templates/hub/statefulset.yaml";
    let one = helm(hubs, &[]);
    assert!(String::from_utf8_lossy(&one.stdout).contains("replicas: 1\n"));
    let postgres = ["hub.db.type=postgres", "hub.db.url=postgresql://db/hub"];
    let two = helm(hubs, &[&postgres[..], &["hub.replicas=2"]].concat());
    assert!(String::from_utf8_lossy(&two.stdout).contains("replicas: 2\n"));
    let refused = helm(hubs, &["hub.replicas=2"]);
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(
        error.contains("hub.replicas: several Hubs need a database"),
        "{error}"
    );
}

#[test]
fn the_hub_speaks_https_with_a_certificate_of_the_values() {
    let node_port = "proxy.service.nodePorts.https=31443";
    let secret = [
        node_port,
        "proxy.https.enabled=true",
        "proxy.https.type=secret",
        "proxy.https.secret.name=site",
        "proxy.https.secret.crt=chain.pem",
    ];
    let manual = [
        node_port,
        "proxy.https.enabled=true",
        "proxy.https.type=manual",
        "proxy.https.manual.key=the key",
        "proxy.https.manual.cert=the certificate",
    ];
    for (values, crt) in [(secret, "chain.pem"), (manual, "tls.crt")] {
        let hub = config_of(&values).jupyter_hub;
        assert_eq!((hub.port, hub.hub_port), (8443, Some(8000)));
        assert_eq!(
            (hub.redirect_port, hub.redirect_to),
            (Some(8080), Some(31443))
        );
        let certificate = hub.ssl_cert.unwrap().0;
        assert_eq!(
            certificate,
            std::path::Path::new("/etc/carrel-tls").join(crt)
        );
    }
    let pod = text("templates/hub/statefulset.yaml", &secret);
    assert!(pod.contains("secretName: site\n"), "{pod}");
    assert!(pod.contains("containerPort: 8443\n"), "{pod}");
    let made = text("templates/hub/secret.yaml", &manual);
    assert!(made.contains("tls.key: \"the key\"\n"), "{made}");
    let way_in = |values: &[&str]| {
        let services = text("templates/proxy/service.yaml", values);
        services.rsplit("ports:").next().unwrap().to_owned()
    };
    let ports = way_in(&secret);
    assert!(
        ports.contains("port: 443\n      targetPort: https\n"),
        "{ports}"
    );
    assert!(
        ports.contains("port: 80\n      targetPort: redirect\n"),
        "{ports}"
    );
    let alone = [&secret[..], &["proxy.service.disableHttpPort=true"]].concat();
    assert!(!way_in(&alone).contains("port: 80\n"));
    assert_eq!(config_of(&alone).jupyter_hub.redirect_port, None);
    // Where the cluster chooses the port, nobody here knows where to lead to.
    assert!(!way_in(&secret[1..]).contains("port: 80\n"));
    assert_eq!(config_of(&secret[1..]).jupyter_hub.redirect_port, None);
    let balanced = [&secret[1..], &["proxy.service.type=LoadBalancer"]].concat();
    assert_eq!(config_of(&balanced).jupyter_hub.redirect_to, Some(443));
    let offload = ["proxy.https.enabled=true", "proxy.https.type=offload"];
    let ports = way_in(&offload);
    assert!(
        ports.contains("port: 443\n      targetPort: http\n"),
        "{ports}"
    );
    for (values, told) in [
        (&secret[1..3], "proxy.https.secret.name is needed"),
        (&manual[1..4], "proxy.https.manual.cert is needed"),
        (&secret[1..2], "cert-manager"),
        (
            &[&secret[..], &["ingress.enabled=true"]].concat(),
            "an Ingress or a Gateway has the certificate itself",
        ),
    ] {
        let refused = helm("templates/hub/secret.yaml", values);
        let error = String::from_utf8_lossy(&refused.stderr);
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn the_proxy_may_have_pods_of_its_own() {
    let apart = ["proxy.apart.enabled=true", "proxy.apart.replicas=3"];
    let config = config_of(&apart);
    assert_eq!(config.jupyter_hub.proxy_class, ProxyClass::Chp);
    let api = config.configurable_http_proxy.api_url.0[0].to_string();
    assert_eq!(api, "http://tf-hub-proxy-api.default.svc:8001/");
    let servers = config.jupyter_hub.hub_connect_url.unwrap().to_string();
    assert_eq!(servers, "http://tf-hub-hub.default.svc/");

    let pods = text("templates/proxy/deployment.yaml", &apart);
    for line in [
        "replicas: 3\n",
        "- --default-target=http://tf-hub-hub.default.svc\n",
        "- --error-target=http://tf-hub-hub.default.svc/hub/error\n",
        "automountServiceAccountToken: false\n",
        "maxUnavailable: 1\n",
    ] {
        assert!(pods.contains(line), "{line} {pods}");
    }
    assert!(!pods.contains("--host-routing"), "{pods}");
    assert!(config_of(&["proxy.apart=null"]).jupyter_hub.proxy_class == ProxyClass::InProcess);
    let by_host = "hub.config.JupyterHub.subdomain_host=https://hub.test";
    let pods = text("templates/proxy/deployment.yaml", &[apart[0], by_host]);
    assert!(pods.contains("--host-routing"), "{pods}");

    // The way in leads to them, and from there to the Hubs.
    let services = text("templates/proxy/service.yaml", &apart);
    let component = |service: &str| {
        let (_, rest) = services.split_once(&format!("name: {service}\n")).unwrap();
        let (_, rest) = rest.split_once("app.kubernetes.io/component: ").unwrap();
        rest.split('\n').next().unwrap().to_owned()
    };
    let all = [
        "tf-hub-lb",
        "tf-hub-lb-katacoda",
        "tf-hub-hub",
        "tf-hub-proxy-api",
    ];
    assert_eq!(all.map(component), ["proxy", "proxy", "hub", "proxy"]);

    // The token of the API is known to both, and nobody but a Hub reaches its port.
    let hub = text("templates/hub/statefulset.yaml", &apart);
    for pod in [&hub, &pods] {
        assert!(pod.contains("CONFIGPROXY_AUTH_TOKEN"), "{pod}");
    }
    let token = "proxy.secretToken=a-token-of-my-own";
    let secret = text("templates/hub/secret.yaml", &[apart[0], token]);
    assert!(
        secret.contains("proxy-token: \"a-token-of-my-own\"\n"),
        "{secret}"
    );
    let policy = text("templates/proxy/networkpolicy.yaml", &apart);
    let (_, api) = policy.split_once("- from:").unwrap();
    let (api, _) = api.split_once("egress:").unwrap();
    assert!(
        api.contains("component: hub\n") && api.contains("port: api\n"),
        "{policy}"
    );
    let policy = text("templates/singleuser/networkpolicy.yaml", &apart);
    assert_eq!(policy.matches("component: proxy\n").count(), 2, "{policy}");
    let policy = text("templates/hub/networkpolicy.yaml", &apart);
    assert!(policy.contains("from:\n"), "{policy}");

    let refused = helm(
        "templates/proxy/service.yaml",
        &[
            apart[0],
            "proxy.https.enabled=true",
            "proxy.https.type=secret",
            "proxy.https.secret.name=site",
        ],
    );
    let error = String::from_utf8_lossy(&refused.stderr);
    assert!(error.contains("gateway.tlsSecret"), "{error}");
}

/// Which addresses the pods of a gateway have, no chart can know: whoever else was believed could give itself any.
#[test]
fn nobody_is_believed_who_is_not_named() {
    let trusted = |values: &[&str]| -> Vec<String> {
        let hub = config_of(values).jupyter_hub;
        hub.trusted_downstream_ips
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    for enabled in ["gateway.enabled=true", "proxy.apart.enabled=true"] {
        assert_eq!(trusted(&[enabled]), [""; 0]);
        let own = trusted(&[enabled, "hub.trustedProxies={10.42.0.0/16}"]);
        assert_eq!(own, ["10.42.0.0/16"]);
    }
}

#[test]
fn a_key_is_made_for_what_the_hub_encrypts() {
    let hub = "templates/hub/statefulset.yaml";
    let state = "hub.config.GenericOAuthenticator.enable_auth_state=true";
    let secret = text("templates/hub/secret.yaml", &[state]);
    let (_, key) = secret.split_once("crypt-key: \"").unwrap();
    assert_eq!(key.find('"'), Some(32), "{secret}");
    assert!(text(hub, &[state]).contains("JUPYTERHUB_CRYPT_KEY"));
    assert!(!text(hub, &[]).contains("JUPYTERHUB_CRYPT_KEY"));
    let key = "0123456789abcdef0123456789abcdef";
    let keys = format!("hub.config.CryptKeeper.keys={{{key}}}");
    assert!(!text(hub, &[state, &keys]).contains("JUPYTERHUB_CRYPT_KEY"));
    assert_eq!(config_of(&[state, &keys]).crypt_keeper.keys.len(), 1);
}

/// What a template makes of values.
fn text(template: &str, values: &[&str]) -> String {
    let output = helm(template, values);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The configuration in the Secret of `helm template --set VALUE...`.
fn config_of(values: &[&str]) -> Config {
    let output = helm("templates/hub/secret.yaml", values);
    let text = String::from_utf8_lossy(&output.stdout);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{values:?}: {error}");
    let Some((_, config)) = text.split_once("carrel.yaml: |") else {
        panic!("the Secret holds no file: {text}");
    };
    // Further Secrets follow.
    let config = config.split("\n---").next().unwrap_or(config);
    Config::parse("carrel.yaml", config).unwrap_or_else(|errors| panic!("{errors}\n{config}"))
}

/// `helm template --show-only TEMPLATE --set VALUE...`
fn helm(template: &str, values: &[&str]) -> Output {
    let chart = package_folder()
        .join("../deploy/chart")
        .display()
        .to_string();
    let mut helm = std::process::Command::new("helm");
    helm.args(["template", "carrel", &chart, "--show-only", template]);
    for value in values {
        helm.args(["--set", value]);
    }
    helm.output()
        .unwrap_or_else(|error| panic!("helm: {error}; deploy/local/test puts it on PATH"))
}

fn schema() -> Value {
    // The one draft that every version of Helm reads.
    let settings = SchemaSettings::draft07().with(|settings| settings.inline_subschemas = true);
    let mut schema = settings
        .into_generator()
        .into_root_schema_for::<values::Values>()
        .to_value();
    loosen(&mut schema);
    schema["properties"]["hub"]["properties"]["config"] = config();
    schema
}

/// Helm takes `null` as "without the default", so each value may be null, and none has to be there.
fn loosen(schema: &mut Value) {
    if let Some(object) = schema.as_object_mut() {
        object.remove("required");
        for (key, part) in object.iter_mut() {
            match (key.as_str(), part) {
                ("properties", Value::Object(properties)) => {
                    properties.values_mut().for_each(|value| {
                        loosen(value);
                        allow_null(value);
                    });
                }
                ("anyOf" | "oneOf", Value::Array(kinds)) => kinds.iter_mut().for_each(loosen),
                ("items" | "additionalProperties", part) => loosen(part),
                _ => {}
            }
        }
    }
}

fn allow_null(schema: &mut Value) {
    let nothing = json!("null");
    if let Some(kinds) = schema.get_mut("anyOf").and_then(Value::as_array_mut) {
        kinds.push(json!({ "type": nothing }));
    }
    if let Some(constants) = schema.get_mut("oneOf").and_then(Value::as_array_mut) {
        constants.push(json!({ "type": nothing }));
    }
    if let Some(constants) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        constants.push(Value::Null);
    }
    match schema.get_mut("type") {
        Some(Value::Array(kinds)) if !kinds.contains(&nothing) => kinds.push(nothing),
        Some(kind @ Value::String(_)) => *kind = json!([kind.take(), nothing]),
        _ => {}
    }
}

/// `hub.config`: sections and keys of the Hub's configuration. What keys there are, and what one may hold, is the Hub's to
/// check, which names every mistake at once.
fn config() -> Value {
    let all = Config::keys();
    let sections = all.iter().map(|section| {
        // Those of the sections above it may stand in it too.
        let above = all
            .iter()
            .filter(|other| above(section.name).contains(&other.name));
        let keys = above.chain([section]).flat_map(|section| &section.keys);
        let keys: Map<String, Value> = keys
            .map(|key| {
                let description = format!("{} Expected: {}.", key.doc, key.expected);
                (key.name.to_owned(), json!({ "description": description }))
            })
            .collect();
        let schema = json!({
            "description": section.doc,
            "type": ["object", "null"],
            "properties": keys,
        });
        (section.name.to_owned(), schema)
    });
    json!({
        "description": "Sections of the Hub's configuration; they win over what other values give.",
        "type": ["object", "null"],
        "additionalProperties": {"type": ["object", "null"]},
        "properties": sections.collect::<Map<_, _>>(),
    })
}
