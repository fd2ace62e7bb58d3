//! Quotas: what the servers of one user may take together.

use carrel_hub::config::{Config, Quota};
use carrel_spawner::Needs;
use carrel_spawner::kube::Memory;
use reqwest::Method;
use serde_json::json;

use crate::harness::three::{Three, call, delete, post};
use crate::harness::wait_for;

fn quotas(text: &str) -> Config {
    Config::parse("test.yaml", &format!("JupyterHub:\n  quotas:\n{text}")).unwrap()
}

async fn with(quota: &str) -> Three {
    let quotas = quotas(quota).jupyter_hub.quotas;
    Three::configured(|config| config.jupyter_hub.quotas = quotas).await
}

#[tokio::test]
async fn members_of_a_group_have_only_so_many_servers_at_a_time() {
    let three = with("    - {name: class, groups: [students], servers: 1}").await;
    post(&three.admin, "/groups/students", json!({}))
        .await
        .expect(201);
    let members = json!({ "users": ["bob"] });
    post(&three.admin, "/groups/students/users", members)
        .await
        .expect(200);
    post(&three.bob, "/users/bob/server", json!({}))
        .await
        .expect(202);
    let refused = post(&three.bob, "/users/bob/servers/gpu", json!({}))
        .await
        .expect(403);
    let message = refused.json()["message"].to_string();
    assert!(
        message.contains("`class` allows 1 active server"),
        "{message}"
    );
    // Not by the page either, which says so above the form.
    let page = three
        .bob
        .submit("/hub/spawn/bob/gpu", "/hub/spawn/bob/gpu", &[])
        .await;
    assert!(page.expect(403).body.contains("allows 1 active server"));
    // Who is in no such group has as many as before.
    for path in ["/users/carol/server", "/users/carol/servers/gpu"] {
        post(&three.carol, path, json!({})).await.expect(202);
    }
    // Another may be started once the first has stopped.
    wait_for("the end", || async {
        let stopped = delete(&three.bob, "/users/bob/server").await;
        (stopped.status == 204).then_some(())
    })
    .await;
    post(&three.bob, "/users/bob/servers/gpu", json!({}))
        .await
        .expect(202);
}

#[tokio::test]
async fn of_many_starts_at_once_only_so_many_begin() {
    let three = with("    - {name: all, servers: 3}").await;
    let starts = (0..10).map(|number| {
        let path = format!("/users/carol/servers/s{number}");
        let carol = three.carol.clone();
        async move { call(&carol, Method::POST, &path, None).await.status }
    });
    let mut answers = futures_util::future::join_all(starts).await;
    answers.sort_unstable();
    assert_eq!(answers, [vec![202; 3], vec![403; 7]].concat());
}

#[tokio::test]
async fn servers_have_only_so_much_memory_together() {
    let three = with("    - {name: small, users: [bob], memory: 4G}").await;
    let needs = |memory: Option<u64>| {
        *three.hub.spawner.needs.lock().unwrap() = Needs { memory, cpu: None };
    };
    needs(None);
    let refused = post(&three.bob, "/users/bob/server", json!({}))
        .await
        .expect(403);
    assert!(
        refused.body.contains("no bound (mem_limit)"),
        "{}",
        refused.body
    );
    needs(Some(3 << 30));
    post(&three.bob, "/users/bob/server", json!({}))
        .await
        .expect(202);
    needs(Some(2 << 30));
    let refused = post(&three.bob, "/users/bob/servers/gpu", json!({}))
        .await
        .expect(403);
    assert!(
        refused.body.contains("allows 4Gi of memory"),
        "{}",
        refused.body
    );
    needs(Some(1 << 30));
    post(&three.bob, "/users/bob/servers/gpu", json!({}))
        .await
        .expect(202);
}

#[tokio::test]
async fn who_has_used_the_hours_of_the_week_starts_no_server() {
    let three = with("    - {name: week, hours_per_week: 2}").await;
    let hour = 3_600_000;
    let now = carrel_hub::db::now();
    let runs = [("old", 200, 190), ("first", 20, 19), ("second", 5, 4)];
    let mut database = three.hub.database().await;
    for (start, ready, ended) in runs {
        let insert = "INSERT INTO runs (start_id, user_name, server_name, asked, ready, ended) \
                      VALUES ($1, 'bob', '', $2, $2, $3)";
        let (ready, ended) = (now - ready * hour, now - ended * hour);
        let insert = sqlx::query(insert).bind(start).bind(ready).bind(ended);
        insert.execute(&mut database).await.unwrap();
    }
    let refused = post(&three.bob, "/users/bob/server", json!({}))
        .await
        .expect(403);
    assert!(refused.body.contains("ran for 2 hours"), "{}", refused.body);
    post(&three.carol, "/users/carol/server", json!({}))
        .await
        .expect(202);
}

#[test]
fn quotas_are_read_and_mistakes_named() {
    let config = quotas("    - {name: a, memory: 512M, cpu: 500m, hours_per_week: 5}");
    let quota: &Quota = &config.jupyter_hub.quotas[0];
    assert_eq!(quota.memory, Some(Memory(512 << 20)));
    assert!(quota.is_for("anybody", &[]));
    let wrong = Config::parse(
        "test.yaml",
        "JupyterHub:\n  quotas:\n    - {memory: much}\n",
    );
    let wrong = wrong.unwrap_err().to_string();
    assert!(wrong.contains("such as 512M or 2Gi"), "{wrong}");
    assert!(wrong.contains("a quota needs a name"), "{wrong}");
}
