//! What Prometheus reads.

use std::process::Command;

use reqwest::Method;

use crate::api::token;
use crate::harness::apart::prepared;
use crate::harness::three::{Three, get};
use crate::harness::{Behaviour, TestHub};

/// The value of the line that begins so.
fn value(text: &str, begin: &str) -> f64 {
    let line = text.lines().find(|line| line.starts_with(begin));
    let line = line.unwrap_or_else(|| panic!("no {begin} in {text}"));
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn servers_users_starts_and_requests_are_counted() {
    let hub = TestHub::start().await;
    let admin = hub.admin().await;
    let token = token(&admin, &["read:metrics"]).await;
    admin.spawn_ready("admin").await;
    let read = async || {
        let metrics = admin.request(Method::GET, "/hub/metrics");
        let metrics = metrics.header("authorization", format!("token {token}"));
        crate::harness::Reply::of(metrics).await.expect(200).body
    };
    let text = read().await;
    assert_eq!(value(&text, "jupyterhub_running_servers"), 1.0);
    assert_eq!(value(&text, "jupyterhub_total_users"), 1.0);
    assert_eq!(value(&text, "jupyterhub_active_users{period=\"24h\"}"), 1.0);
    let starts = "jupyterhub_server_spawn_duration_seconds_count";
    assert_eq!(
        value(
            &text,
            &format!("{starts}{{status=\"success\",reason=\"\"}}")
        ),
        1.0
    );
    let logins = "jupyterhub_login_duration_seconds_count{status=\"success\"}";
    assert_eq!(value(&text, logins), 1.0);
    hub.spawner.behave(Behaviour::Refuses);
    admin
        .submit("/hub/home", "/hub/stop/admin", &[])
        .await
        .expect(303);
    admin.spawn().await.expect(303);
    let failed = format!("{starts}{{status=\"failure\",reason=\"\"}}");
    crate::harness::wait_for("the failed start", || async {
        let text = read().await;
        (value(&text, &failed) > 0.0).then(|| assert_eq!(value(&text, &failed), 1.0))
    })
    .await;
    let text = read().await;
    let stops = "jupyterhub_server_stop_seconds_count{status=\"success\"}";
    assert!(value(&text, stops) >= 1.0);
    for done in ["proxy_add", "proxy_delete"] {
        let done = format!("jupyterhub_{done}_duration_seconds_count{{status=\"success\"}}");
        assert!(value(&text, &done) >= 1.0, "{done}");
    }
    for done in ["proxy_poll", "init_spawners", "hub_startup"] {
        let done = format!("jupyterhub_{done}_duration_seconds_count");
        assert!(value(&text, &done) >= 1.0, "{done}");
    }
    // What is no method is no series of its own.
    let nonsense = Method::from_bytes(b"NONSENSE").unwrap();
    let answer = admin.request(nonsense, "/hub/health").send().await.unwrap();
    assert_eq!(answer.status(), 405);
    assert!(!read().await.contains("NONSENSE"));
    // The route, and not each address.
    let text = read().await;
    let stops = "jupyterhub_request_duration_seconds_count{method=\"POST\",handler=\"/hub/stop/{user}\",code=\"303\"}";
    assert_eq!(value(&text, stops), 1.0);
    assert!(text.ends_with("# EOF\n"), "{text}");
}

/// What a JupyterHub measures: kind, name and labels.
const MEASURED: &str = "
import jupyterhub.metrics
for metric in vars(jupyterhub.metrics).values():
    if hasattr(metric, '_labelnames'):
        print(metric._type, metric._name, ','.join(sorted(metric._labelnames)))
";

/// What has no meaning here.
const NOT_MEASURED: [(&str, &str); 1] = [(
    "jupyterhub_event_loop_interval_seconds",
    "there is no loop that all requests wait for: several threads do the work",
)];

#[tokio::test]
async fn whatever_jupyterhub_measures_is_measured() {
    let Some(prepared) = prepared() else { return };
    let python = Command::new(prepared.join("venv/bin/python"))
        .args(["-c", MEASURED])
        .output()
        .unwrap();
    let measured = String::from_utf8(python.stdout).unwrap();
    let error = String::from_utf8_lossy(&python.stderr);
    assert!(measured.lines().count() > 15, "{measured}{error}");
    let three = Three::meet().await;
    let text = get(&three.admin, "/metrics").await.expect(200).body;
    let mut lacking = Vec::new();
    for line in measured.lines() {
        let [kind, name, labels] = *line.split(' ').collect::<Vec<_>>() else {
            panic!("{line}");
        };
        let known = text.contains(&format!("# TYPE {name} {kind}\n"));
        if !known || labels_of(&text, name) != labels {
            lacking.push(name);
        }
    }
    let reasons = NOT_MEASURED.map(|(name, _)| name);
    assert_eq!(lacking, reasons, "{text}");
}

/// Those of a metric's first series, in order.
fn labels_of(text: &str, name: &str) -> String {
    let of = |line: &&str| line.strip_prefix(name).is_some_and(|rest| !rest.is_empty());
    let line = text.lines().find(of).unwrap_or_default();
    let labels = line.split_once('{').map_or("", |(_, labels)| labels);
    let mut names: Vec<&str> = labels
        .split("\",")
        .filter_map(|label| label.split_once('=').map(|(name, _)| name))
        .filter(|name| *name != "le")
        .collect();
    names.sort_unstable();
    names.join(",")
}

#[tokio::test]
async fn metrics_need_their_scope() {
    let three = Three::meet().await;
    get(&three.bob, "/metrics").await.expect(403);
    get(&three.admin, "/metrics").await.expect(200);
}
