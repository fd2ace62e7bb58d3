//! The gateway on a real cluster (`make test-cluster`), from its image, with what the chart gives it. Services are of the test's
//! own, with stand-ins behind them; that of the Hub tells that it has a token.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use carrel_tests::wait_for;
use serde_json::{Value, json};

use crate::chart;

/// Bound of each wait.
const LIMIT: Duration = Duration::from_secs(90);
const NODE_PORT: u16 = 30397;
const HUB: &str = "stand-in, token: true";
const OTHER: &str = "stand-in, token: false";

fn kubectl(arguments: &[&str]) -> String {
    try_kubectl(arguments, "").unwrap_or_else(|error| panic!("kubectl {arguments:?}: {error}"))
}

fn apply(objects: &Value) {
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": objects });
    try_kubectl(&["apply", "-f", "-"], &list.to_string()).unwrap();
}

fn try_kubectl(arguments: &[&str], input: &str) -> Result<String, String> {
    let mut child = Command::new("kubectl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{error}; run this by deploy/local/test-cluster"))?;
    // One that reads nothing has closed it.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

/// The namespaces of the gateway and of somebody else; they go with the test.
struct Place {
    home: String,
    other: String,
    address: String,
    /// The definitions of the Gateway API that the test has made.
    definitions: Vec<String>,
}

impl Place {
    fn new() -> Self {
        let home = format!("carrel-gateway-{}", std::process::id());
        let node = kubectl(&[
            "get",
            "nodes",
            "-o",
            "jsonpath={.items[0].status.addresses[?(@.type==\"InternalIP\")].address}",
        ]);
        let place = Self {
            other: format!("{home}-models"),
            home,
            address: format!("http://{node}:{NODE_PORT}"),
            definitions: Vec::new(),
        };
        for namespace in [&place.home, &place.other] {
            kubectl(&["create", "namespace", namespace]);
        }
        apply(&json!([
            stand_in(&place.home, "hub", "secret"),
            service(&place.home, "tf-hub-lb", "hub", ""),
        ]));
        let values = [
            "gateway.enabled=true",
            &format!("gateway.nodePort={NODE_PORT}"),
        ];
        for name in chart::TEMPLATES {
            let text = chart::template(name, &place.home, &values).unwrap();
            try_kubectl(&["apply", "-n", &place.home, "-f", "-"], &text).unwrap();
        }
        place.rolled_out();
        place
    }

    fn rolled_out(&self) {
        let rollout = [
            "rollout",
            "status",
            "deployment/ambassador",
            "--timeout=90s",
        ];
        let rollout = try_kubectl(&[&["-n", &self.home], &rollout[..]].concat(), "");
        if let Err(error) = rollout {
            let pods = kubectl(&["-n", &self.home, "describe", "pods"]);
            let log = try_kubectl(&["-n", &self.home, "logs", "deployment/ambassador"], "");
            panic!("{error}\n{pods}\n{log:?}");
        }
    }

    /// Waits until a path is answered so.
    async fn answers(&self, path: &str, text: &str) {
        let url = format!("{}{path}", self.address);
        let mut seen = String::new();
        for _ in 0..3 {
            // Several times: any of the three may answer.
            let answered = wait_for(path, LIMIT, || async {
                let answer = reqwest::get(&url).await.ok()?.text().await.ok()?;
                (answer == text).then_some(answer)
            });
            seen = answered
                .await
                .unwrap_or_else(|error| panic!("{error}: {}", self.page()));
        }
        assert_eq!(seen, text);
    }

    /// What the admin page has to tell.
    fn page(&self) -> Value {
        let path = format!(
            "/api/v1/namespaces/{}/services/ambassador-admin:8877/proxy/ambassador/v0/diag.json",
            self.home
        );
        serde_json::from_str(&kubectl(&["get", "--raw", &path])).unwrap()
    }

    /// Waits until a condition of a route has a reason.
    async fn told(&self, route: &str, kind: &str, reason: &str) {
        let path =
            format!("jsonpath={{.status.parents[0].conditions[?(@.type==\"{kind}\")].reason}}");
        let what = format!("{kind} {reason} of {route}");
        let told = wait_for(&what, LIMIT, || async {
            let seen = kubectl(&["-n", &self.other, "get", "httproute", route, "-o", &path]);
            (seen == reason).then_some(())
        });
        if let Err(error) = told.await {
            panic!(
                "{error}\n{}",
                kubectl(&["-n", &self.other, "get", "httproutes", "-o", "yaml"])
            );
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let role = format!("{}:ambassador", self.home);
        let mut all = vec![
            ("namespace", self.home.as_str()),
            ("namespace", &self.other),
            ("clusterrolebinding", &role),
            ("clusterrole", &role),
        ];
        let definitions = self.definitions.iter();
        all.extend(definitions.map(|name| ("customresourcedefinition", name.as_str())));
        for (kind, name) in all {
            let _ = try_kubectl(&["delete", kind, name, "--wait=false"], "");
        }
    }
}

fn stand_in(namespace: &str, name: &str, token: &str) -> Value {
    let image = std::env::var("CARREL_TEST_IMAGE");
    let image = image.unwrap_or_else(|_| panic!("CARREL_TEST_IMAGE names no image"));
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": { "name": name, "namespace": namespace, "labels": { "app": name } },
        "spec": { "terminationGracePeriodSeconds": 0, "containers": [{
            "name": "server", "image": image, "imagePullPolicy": "IfNotPresent",
            "env": [{ "name": "JUPYTERHUB_API_TOKEN", "value": token }],
        }] },
    })
}

/// Port 80 of a stand-in.
fn service(namespace: &str, name: &str, app: &str, annotation: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {
            "name": name, "namespace": namespace, "annotations": { "getambassador.io/config": annotation },
        },
        "spec": { "selector": { "app": app }, "ports": [{ "port": 80, "targetPort": 8888 }] },
    })
}

fn mapping(service: &str, prefix: &str) -> String {
    format!(
        "---\napiVersion: ambassador/v0\nkind: Mapping\nname: {service}\nprefix: {prefix}\nservice: {service}\n"
    )
}

#[tokio::test]
#[ignore = "needs cluster (starts pods)"]
async fn the_gateway_on_a_cluster_leads_where_services_and_routes_say() {
    let mut place = Place::new();
    place.answers("/hub/login", HUB).await;
    annotations(&place).await;
    if let Ok(file) = std::env::var("CARREL_TEST_HTTPROUTE") {
        installs(&mut place, &file);
    }
    let known = try_kubectl(&["get", "crd", "httproutes.gateway.networking.k8s.io"], "");
    if known.is_ok() {
        routes(&place).await;
    }
    restarts(&place).await;
}

async fn annotations(place: &Place) {
    let other = &place.other;
    let deep = "/models/inception/v1/";
    apply(&json!([
        stand_in(other, "model", ""),
        service(
            other,
            "inception",
            "model",
            &mapping("inception", "/models/inception/")
        ),
        service(other, "thief", "model", &mapping("thief", "/hub/")),
    ]));
    place.answers(deep, OTHER).await;
    tokio::time::sleep(Duration::from_millis(1100)).await; // Ages are in whole seconds.
    let late = mapping("late", deep);
    apply(&json!([service(&place.home, "late", "hub", &late)]));
    let held = wait_for("a problem", LIMIT, || async {
        let problems = place.page()["problems"].to_string();
        problems.contains("Mapping late").then_some(())
    });
    held.await.unwrap();
    place.answers(deep, OTHER).await;
    place.answers("/hub/", HUB).await;
    let text = place.page()["problems"].to_string();
    for part in [
        format!("Mapping thief of the Service {other}/thief"),
        "/hub/ is held by hub (built in)".to_owned(),
        format!("/models/inception/ is held by Mapping inception of the Service {other}/inception"),
    ] {
        assert!(text.contains(&part), "{part} is not in {text}");
    }
    // Without the annotation the path is that of all others.
    kubectl(&[
        "-n",
        other,
        "annotate",
        "service",
        "inception",
        "getambassador.io/config-",
    ]);
    place.answers("/models/inception/x", HUB).await;
    // The next eldest has it then.
    place.answers(deep, HUB).await;
}

/// The Gateway API, while the gateway runs.
fn installs(place: &mut Place, file: &str) {
    for kind in [
        "httproutes",
        "gateways",
        "gatewayclasses",
        "referencegrants",
    ] {
        let file = file.replace("_httproutes.yaml", &format!("_{kind}.yaml"));
        if try_kubectl(&["create", "-f", &file], "").is_ok() {
            let name = format!("{kind}.gateway.networking.k8s.io");
            kubectl(&[
                "wait",
                "--for=condition=Established",
                &format!("crd/{name}"),
                "--timeout=60s",
            ]);
            place.definitions.push(name);
        }
    }
}

async fn routes(place: &Place) {
    let Place { home, other, .. } = place;
    let route = |name: &str, rule: Value| {
        json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": { "name": name, "namespace": other },
            "spec": { "parentRefs": [{ "name": "public", "namespace": home }], "rules": [rule] },
        })
    };
    let matched = |path: &str| json!([{ "path": { "type": "PathPrefix", "value": path } }]);
    let (class, api) = (home, "gateway.networking.k8s.io/v1");
    apply(&json!([
        {
            "apiVersion": api, "kind": "GatewayClass", "metadata": { "name": class },
            "spec": { "controllerName": "carrel.dev/gateway" },
        },
        {
            "apiVersion": api, "kind": "Gateway", "metadata": { "name": "public", "namespace": home },
            "spec": { "gatewayClassName": class, "listeners": [{
                "name": "web", "port": 80, "protocol": "HTTP", "allowedRoutes": { "namespaces": { "from": "All" } },
            }] },
        },
        route("good", json!({ "matches": matched("/routed"), "backendRefs": [{ "name": "inception", "port": 80 }] })),
        route("odd", json!({ "matches": [{ "path": { "type": "RegularExpression", "value": "/.*" } }] })),
        route("thief", json!({ "matches": matched("/hub/x"), "backendRefs": [{ "name": "inception", "port": 80 }] })),
        route("far", json!({ "matches": matched("/far"), "backendRefs": [{ "name": "tf-hub-lb", "namespace": home, "port": 80 }] })),
    ]));
    place.told("good", "Accepted", "Accepted").await;
    place.answers("/routed/x", OTHER).await;
    place.told("odd", "Accepted", "UnsupportedValue").await;
    place.told("thief", "Accepted", "Conflicted").await;
    place.answers("/hub/x", HUB).await;
    place.told("far", "ResolvedRefs", "RefNotPermitted").await;
    let told = "jsonpath={.status.conditions[?(@.type==\"Programmed\")].status} {.status.listeners[0].attachedRoutes}";
    let attached = wait_for("the Gateway's status", LIMIT, || async {
        let said = try_kubectl(&["-n", home, "get", "gateway", "public", "-o", told], "");
        said.is_ok_and(|said| said.trim() == "True 4").then_some(())
    });
    attached.await.unwrap();
    let far = reqwest::get(format!("{}/far", place.address))
        .await
        .unwrap();
    assert_eq!(far.status(), 500);
    apply(&json!([{
        "apiVersion": "gateway.networking.k8s.io/v1beta1", "kind": "ReferenceGrant",
        "metadata": { "name": "far", "namespace": home },
        "spec": {
            "from": [{ "group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": other }],
            "to": [{ "group": "", "kind": "Service", "name": "tf-hub-lb" }],
        },
    }]));
    place.told("far", "ResolvedRefs", "ResolvedRefs").await;
    place.answers("/far", HUB).await;
    kubectl(&["delete", "gatewayclass", class]);
    place.answers("/routed/x", HUB).await;
}

/// No request is lost while all three are replaced, though each has a connection of its own.
async fn restarts(place: &Place) {
    let ended = Arc::new(AtomicBool::new(false));
    let asking = tokio::spawn({
        let (url, ended) = (format!("{}/hub/", place.address), ended.clone());
        async move {
            let mut count = 0;
            while !ended.load(Ordering::Relaxed) {
                let client = reqwest::Client::builder().timeout(LIMIT).build().unwrap();
                let answer = client.get(&url).send().await;
                let answer = answer.unwrap_or_else(|error| panic!("request {count}: {error:?}"));
                assert_eq!(answer.status(), 200);
                count += 1;
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            count
        }
    });
    kubectl(&[
        "-n",
        &place.home,
        "rollout",
        "restart",
        "deployment/ambassador",
    ]);
    let home = place.home.clone();
    let waits = tokio::task::spawn_blocking(move || {
        kubectl(&[
            "-n",
            &home,
            "rollout",
            "status",
            "deployment/ambassador",
            "--timeout=90s",
        ]);
        // The old ones go on until they have drained.
        let label = "app.kubernetes.io/component=ambassador";
        let names = || kubectl(&["-n", &home, "get", "pods", "-l", label, "-o", "name"]);
        let begun = std::time::Instant::now();
        while names().lines().count() > 3 {
            assert!(
                begun.elapsed() < LIMIT,
                "the old ones are still there: {}",
                names()
            );
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    waits.await.unwrap();
    ended.store(true, Ordering::Relaxed);
    let count = asking.await.unwrap();
    assert!(count > 50, "only {count} requests were made");
}
