//! What Prometheus reads.

use reqwest::Method;

use crate::api::token;
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
        value(&text, &format!("{starts}{{status=\"success\"}}")),
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
    let failed = format!("{starts}{{status=\"failure\"}}");
    crate::harness::wait_for("the failed start", || async {
        let text = read().await;
        text.contains(&failed)
            .then(|| assert_eq!(value(&text, &failed), 1.0))
    })
    .await;
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

#[tokio::test]
async fn metrics_need_their_scope() {
    let three = Three::meet().await;
    get(&three.bob, "/metrics").await.expect(403);
    get(&three.admin, "/metrics").await.expect(200);
}
