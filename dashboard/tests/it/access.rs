//! Who sees and does what: what Kubernetes says of them, and nothing more.

use crate::fake::{Fake, kubeconfig};
use crate::fixtures;
use crate::site::{BASE, Site};

async fn site() -> (Fake, Site) {
    let fake = Fake::default();
    fixtures::fill(&fake);
    fixtures::allow(&fake, "ada");
    let site = Site::with(&fake).await;
    (fake, site)
}

#[tokio::test]
async fn each_sees_the_namespaces_that_kubernetes_lets_them() {
    let (fake, site) = site().await;
    let ada = site.person("ada").await;
    ada.get("tfjobs/ui/")
        .await
        .expect(200)
        .says("distributed-mnist")
        .says("fine-tune")
        .hides(">hidden<");
    ada.get("tfjobs/ui/tfjob/secret/hidden/")
        .await
        .expect(403)
        .says("get tfjobs.kubeflow.org in the namespace secret");
    ada.get("tfjobs/ui/?namespace=secret")
        .await
        .expect(200)
        .says("list tfjobs.kubeflow.org in the namespace secret")
        .hides(">hidden<");
    ada.get("tfjobs/api/tfjob/secret")
        .await
        .expect(403)
        .says("in the namespace secret");
    ada.get("tfjobs/api/logs/secret/some-pod")
        .await
        .expect(403)
        .says("get pods/log");
    ada.get("tfjobs/api/namespace")
        .await
        .expect(200)
        .says("\"lab\"")
        .hides("kube-system");
    let bob = site.person("bob").await;
    bob.get("tfjobs/ui/")
        .await
        .expect(200)
        .says("list tfjobs.kubeflow.org")
        .hides("distributed-mnist");
    bob.get("")
        .await
        .expect(200)
        .says("You may not <code>list nodes")
        .hides("distributed-mnist");
    bob.get("tfjobs/ui/pytorchjob/lab/distributed-mnist/")
        .await
        .expect(403);
    // An administrator of Kubernetes sees all.
    fake.allow("bob", "*", "*", "*");
    carrel_tests::wait_for(
        "the new right",
        std::time::Duration::from_secs(20),
        || async {
            let page = bob.get("tfjobs/ui/").await;
            page.text.contains(">hidden<").then_some(())
        },
    )
    .await
    .unwrap();
}

/// Neither a name nor a group of the Hub becomes one of Kubernetes' own.
#[tokio::test]
async fn a_group_of_the_hub_is_no_group_of_the_system() {
    let (fake, site) = site().await;
    site.person("eve").await.get("tfjobs/ui/").await.expect(200);
    site.person("ada").await.get("tfjobs/ui/").await.expect(200);
    let asked = fake.asked();
    assert!(
        asked.contains("eve [\"hub:system:masters\",\"system:authenticated\"]"),
        "{asked:?}"
    );
    assert!(
        asked.contains("ada [\"hub:lab\",\"system:authenticated\"]"),
        "{asked:?}"
    );
}

#[tokio::test]
async fn what_changes_something_needs_the_right_and_a_page_of_this_login() {
    let (fake, site) = site().await;
    let ada = site.person("ada").await;
    ada.get("").await.expect(200);
    let job = "tfjobs/ui/pytorchjob/lab/distributed-mnist/";
    for wrong in ["", "wrong"] {
        ada.send_with(wrong, &format!("{job}delete"), &[])
            .await
            .expect(403)
            .says("another login");
        ada.send_with(wrong, "logout", &[]).await.expect(403);
    }
    let url = ada
        .0
        .url(&format!(
            "{BASE}tfjobs/api/pytorchjob/lab/distributed-mnist"
        ))
        .unwrap();
    let reply = ada.0.client.delete(url).send().await.unwrap();
    assert_eq!(reply.status(), 403);
    let path = "/apis/kubeflow.org/v1/namespaces/lab/pytorchjobs/distributed-mnist";
    assert!(fake.get(path).is_some());
    let bob = site.person("bob").await;
    bob.send("", &format!("{job}delete"), &[])
        .await
        .expect(403)
        .says("delete pytorchjobs.kubeflow.org");
    bob.send("", &format!("{job}yaml"), &[("yaml", "x")])
        .await
        .expect(403);
    assert!(fake.get(path).is_some());
    ada.send(job, &format!("{job}delete"), &[])
        .await
        .expect(200)
        .says("example-job");
    assert!(fake.get(path).is_none());
}

#[tokio::test]
async fn no_address_leads_past_the_names_in_it() {
    let (_fake, site) = site().await;
    let ada = site.person("ada").await;
    for path in [
        "tfjobs/ui/tfjob/lab/..%2F..%2F..%2F..%2Fapi%2Fv1%2Fnodes/",
        "tfjobs/ui/tfjob/..%2Fsecret/hidden/",
        "tfjobs/api/logs/lab/..%2Fx",
        "tfjobs/api/tfjob/lab%2F..%2Fsecret",
        "tfjobs/ui/pod/lab/x/",
        "tfjobs/ui/pytorchjob/lab/distributed-mnist/logs/..%2F..%2Fsecrets%2Fx",
        "static/..%2FCargo.toml",
    ] {
        ada.get(path).await.expect(404);
    }
}

#[tokio::test]
async fn pages_say_that_kubernetes_is_away() {
    let port = carrel_tests::hub::free_port().unwrap();
    let site = Site::on(&kubeconfig(&format!("http://127.0.0.1:{port}"))).await;
    let ada = site.person("ada").await;
    ada.get("tfjobs/ui/")
        .await
        .expect(503)
        .says("Kubernetes does not answer");
    ada.get("")
        .await
        .expect(200)
        .says("Kubernetes does not answer")
        .says("Notebook servers");
    ada.get("tfjobs/api/tfjob")
        .await
        .expect(503)
        .says("Kubernetes does not answer");
}

/// The usage report tells of the nodes: it is for who may list them.
#[tokio::test]
async fn the_usage_report_is_for_who_may_list_nodes() {
    let fake = Fake::default();
    fixtures::fill(&fake);
    fake.allow("ada", "list", "nodes", "");
    let site = Site::with(&fake).await;
    let ada = site.person("ada").await;
    ada.get("").await.expect(200).says("usage/\">Usage report");
    ada.get("usage/").await.expect(200).says("&#34;cpu&#34;");
    let bob = site.person("bob").await;
    bob.get("").await.expect(200).hides("Usage report");
    bob.get("usage/").await.expect(403).says("list nodes");
}
