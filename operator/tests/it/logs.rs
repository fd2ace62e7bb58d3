//! Ends of logs that are kept of pods that go. The API server here is a stand-in that has what pods said.

use carrel_operator::reconcile::ReconcileError;
use serde_json::{Value, json};

use crate::plan::tf;
use crate::reconcile::Site;

const KEPT: &str = "/api/v1/namespaces/default/configmaps/job-logs";

/// A pod that ends so at that time; it was made ten seconds before.
fn ends(phase: &str, code: i32, minute: u8) -> impl FnOnce(&mut Value) {
    move |pod: &mut Value| {
        pod["metadata"]["creationTimestamp"] = json!(format!("2026-01-01T00:{minute:02}:00Z"));
        let ended =
            json!({ "exitCode": code, "finishedAt": format!("2026-01-01T00:{minute:02}:10Z") });
        pod["spec"]["nodeName"] = json!("n");
        pod["status"] = json!({ "phase": phase, "containerStatuses": [{
            "name": "tensorflow", "image": "i", "imageID": "", "ready": false, "restartCount": 0,
            "state": { "terminated": ended },
        }] });
    }
}

async fn site(restart: &str, limit: Option<usize>) -> Result<Site, ReconcileError> {
    let mut object = tf("v1", &[("Worker", 2)], restart);
    object["spec"]["runPolicy"] = json!({ "cleanPodPolicy": "All" });
    let mut site = Site::new(&object).await;
    site.set(|context| context.keep_logs = limit);
    site.look().await?;
    Ok(site)
}

fn pod(site: &Site, name: &str) -> Value {
    site.api
        .get(&format!("/api/v1/namespaces/default/pods/{name}"))
}

/// Each pod that ends has an entry, those that were made anew too; it goes with the job.
#[tokio::test]
async fn ends_of_logs_outlive_their_pods() {
    let site = site("ExitCode", Some(8 << 10)).await.unwrap();
    let say = |pod: &'static str, log: &[u8]| {
        site.api
            .with(|kept| kept.logs.insert(pod, Some(log.to_vec())))
    };
    say("job-worker-0", b"first\r\n\xff\x00\n");
    site.tell("job-worker-0", ends("Failed", 137, 1)).await;
    let failed = pod(&site, "job-worker-0");
    site.look().await.unwrap();
    assert_eq!(pod(&site, "job-worker-0"), Value::Null, "it is made anew");
    site.tell_gone(failed).await;
    site.look().await.unwrap();
    let long = format!("{}last\n", "line\n".repeat(4000));
    say("job-worker-0", long.as_bytes());
    say("job-worker-1", b"other\n");
    site.tell("job-worker-1", ends("Succeeded", 0, 2)).await;
    site.tell("job-worker-0", ends("Succeeded", 0, 3)).await;
    site.look().await.unwrap();
    assert_eq!(site.job()["status"]["state"], "Succeeded");
    assert_eq!(pod(&site, "job-worker-1"), Value::Null);
    let kept = site.api.get(KEPT);
    assert_eq!(kept["metadata"]["ownerReferences"][0]["uid"], "the-uid");
    assert_eq!(kept["metadata"]["labels"]["carrel.dev/holds"], "logs");
    let data = kept["data"].as_object().unwrap();
    assert_eq!(data["job-worker-0.20260101T000100Z"], "first\n\u{fffd}\n");
    assert_eq!(data["job-worker-1.20260101T000200Z"], "other\n");
    let end = data["job-worker-0.20260101T000300Z"].as_str().unwrap();
    assert!(end.ends_with("line\nlast\n"));
    assert_eq!(data.len(), 3);
    let size: usize = data
        .iter()
        .map(|(key, text)| key.len() + text.as_str().unwrap().len())
        .sum();
    assert!((3500..=8 << 10).contains(&size), "{size}");
}

/// A node that is gone holds up nobody: the pods go, and who looks at the job is told.
#[tokio::test]
async fn a_node_that_does_not_answer_is_told_and_not_waited_for() {
    let site = site("Never", Some(8 << 10)).await.unwrap();
    site.api.with(|kept| {
        kept.logs.insert("job-worker-0", None);
        kept.logs.insert("job-worker-1", Some(b"said".to_vec()));
    });
    site.tell("job-worker-1", ends("Succeeded", 0, 1)).await;
    site.tell("job-worker-0", ends("Succeeded", 0, 1)).await;
    let begun = tokio::time::Instant::now();
    site.look().await.unwrap();
    assert!(begun.elapsed().as_secs() < 10);
    assert_eq!(pod(&site, "job-worker-0"), Value::Null);
    let kept = site.api.get(KEPT);
    let entries: Vec<_> = kept["data"].as_object().unwrap().keys().collect();
    assert_eq!(entries, ["job-worker-1.20260101T000100Z"]);
    assert!(site.api.events().contains(&"LogNotKept".to_owned()));
}

/// Another's ConfigMap of that name stays as it is; the job ends all the same.
#[tokio::test]
async fn what_belongs_to_somebody_else_is_not_touched() {
    let site = site("Never", Some(8 << 10)).await.unwrap();
    let theirs = json!({ "metadata": { "name": "job-logs" }, "data": { "a": "b" } });
    site.api.put(KEPT, theirs);
    let before = site.api.get(KEPT);
    site.api
        .with(|kept| kept.logs.insert("job-worker-0", Some(b"said".to_vec())));
    site.tell("job-worker-0", ends("Succeeded", 0, 1)).await;
    site.look().await.unwrap();
    assert_eq!(site.api.get(KEPT), before);
    assert_eq!(pod(&site, "job-worker-0"), Value::Null);
    assert!(site.api.events().contains(&"LogNotKept".to_owned()));
}

#[tokio::test]
async fn nothing_is_read_unless_asked() {
    let site = site("Never", None).await.unwrap();
    site.tell("job-worker-0", ends("Succeeded", 0, 1)).await;
    site.look().await.unwrap();
    assert_eq!(site.job()["status"]["state"], "Succeeded");
    assert_eq!(pod(&site, "job-worker-0"), Value::Null);
    assert_eq!(site.api.count("GET log"), 0);
    assert_eq!(site.api.get(KEPT), Value::Null);
}
