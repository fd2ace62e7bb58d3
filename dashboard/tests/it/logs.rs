//! Logs that are followed.

use std::time::Duration;

use carrel_tests::wait_for;
use futures_util::StreamExt as _;

use crate::fake::Fake;
use crate::fixtures;
use crate::site::{BASE, Site};

const POD: &str = "distributed-mnist-master-0";
const LOG: &str = "tfjobs/ui/pytorchjob/lab/distributed-mnist/logs/distributed-mnist-master-0";

#[tokio::test]
async fn a_log_is_followed_from_where_the_page_ends_until_the_container_ends() {
    let fake = Fake::default();
    fixtures::fill(&fake);
    fixtures::allow(&fake, "ada");
    let site = Site::with(&fake).await;
    let ada = site.person("ada").await;
    let page = ada
        .get(LOG)
        .await
        .expect(200)
        .says("Rank  0 , epoch  6 :  0.275");
    let (_, after) = page.text.split_once("data-after=\"").unwrap();
    let after = after.split('"').next().unwrap().to_owned();
    assert_eq!(after, "2026-01-31T12:00:09.5Z");
    let url = ada
        .0
        .url(&format!(
            "{BASE}{LOG}/stream?container=pytorch&after={after}"
        ))
        .unwrap();
    let reply = ada.0.client.get(url.clone()).send().await.unwrap();
    assert_eq!(reply.headers()["content-type"], "text/event-stream");
    let mut stream = reply.bytes_stream();
    fake.log(POD, "Rank  0 , epoch  7 :  0.2595\n<b>\n");
    let mut text = String::new();
    let read = async {
        while !text.contains("<b>") {
            text.push_str(&String::from_utf8_lossy(
                &stream.next().await.unwrap().unwrap(),
            ));
        }
    };
    tokio::time::timeout(Duration::from_secs(20), read)
        .await
        .unwrap();
    // What the page has is not sent again.
    assert!(!text.contains("epoch  6"), "{text}");
    assert!(
        text.contains("id: 2026-01-31T12:00:10.5Z")
            && text.contains("data: Rank  0 , epoch  7 :  0.2595"),
        "{text}"
    );
    assert_eq!(fake.following(), 1);
    fake.log(POD, "END\n");
    let rest = async {
        while let Some(Ok(part)) = stream.next().await {
            text.push_str(&String::from_utf8_lossy(&part));
        }
    };
    tokio::time::timeout(Duration::from_secs(20), rest)
        .await
        .unwrap();
    assert!(text.contains("event: end"), "{text}");
    assert_eq!(fake.following(), 0);
}

#[tokio::test]
async fn a_browser_that_goes_leaves_nothing_behind_and_one_that_waits_is_told() {
    let fake = Fake::default();
    fixtures::fill(&fake);
    fixtures::allow(&fake, "ada");
    let site = Site::with(&fake).await;
    let ada = site.person("ada").await;
    ada.get("").await.expect(200);
    let url = ada.0.url(&format!("{BASE}{LOG}/stream")).unwrap();
    let reply = ada.0.client.get(url).send().await.unwrap();
    let follows = |count: usize| {
        let fake = fake.clone();
        async move {
            wait_for("the followers", Duration::from_secs(20), || async {
                (fake.following() == count).then_some(())
            })
            .await
            .unwrap();
        }
    };
    follows(1).await;
    drop(reply);
    // A line that cannot be sent shows that nobody is there.
    fake.log(POD, "one\ntwo\n");
    follows(0).await;
    let waits = "tfjobs/ui/pytorchjob/lab/distributed-mnist/logs/distributed-mnist-worker-2";
    ada.get(waits).await.expect(200).says("waiting to start");
    let url = ada.0.url(&format!("{BASE}{waits}/stream")).unwrap();
    let text = ada
        .0
        .client
        .get(url)
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(
        text.contains("event: wait") && text.contains("retry: 2000"),
        "{text}"
    );
    // Without a login, nothing; and no page that a script would take for events.
    let url = format!("http://127.0.0.1:{}{BASE}{LOG}/stream", site.port);
    let reply = reqwest::Client::new()
        .get(url)
        .header("accept", "text/event-stream")
        .send()
        .await
        .unwrap();
    assert_eq!(reply.status(), 401);
}

/// Of a pod that is gone the operator has kept the end; it is shown to who may read both logs and what it is kept in.
#[tokio::test]
async fn the_kept_end_of_a_log_is_shown_when_the_pod_is_gone() {
    const JOB: &str = "tfjobs/ui/pytorchjob/lab/distributed-mnist/";
    let fake = Fake::default();
    fixtures::fill(&fake);
    fixtures::allow(&fake, "ada");
    for (verb, resource) in [
        ("get", "pytorchjobs"),
        ("get", "pods"),
        ("list", "pods"),
        ("get", "pods/log"),
    ] {
        fake.allow("bob", verb, resource, "lab");
    }
    fake.put(fixtures::kept("PyTorchJob"));
    let site = Site::with(&fake).await;
    let ada = site.person("ada").await;
    let gone = format!("{JOB}logs/distributed-mnist-worker-7");
    let page = ada.get(JOB).await.expect(200);
    page.says("Ends of logs of pods that are gone")
        .says("?kept=20260131T120000Z");
    ada.get(&gone)
        .await
        .expect(200)
        .says("is gone. The operator kept the end of its log")
        .says("the second")
        .hides("the first");
    ada.get(&format!("{gone}?kept=20260131T120000Z"))
        .await
        .expect(200)
        .says("the first &#60;b&#62;");
    ada.get(&format!("{gone}?kept=20260131T140000Z"))
        .await
        .expect(404);
    ada.get(&format!("{JOB}logs/distributed-mnist-worker-8"))
        .await
        .expect(404);
    let bob = site.person("bob").await;
    bob.get(&gone).await.expect(404);
    bob.get(JOB).await.expect(200).hides("Ends of logs");
    // Another kind's of that name is none of this job.
    fake.put(fixtures::kept("TFJob"));
    ada.get(&gone).await.expect(404);
}
