//! Jobs on pages: the list, one of them, making, changing and deleting.

use serde_json::json;

use crate::fake::Fake;
use crate::fixtures;
use crate::site::{Site, Visitor};

async fn ada() -> (Fake, Site, Visitor) {
    let fake = Fake::default();
    fixtures::fill(&fake);
    fixtures::allow(&fake, "ada");
    let site = Site::with(&fake).await;
    let ada = site.person("ada").await;
    (fake, site, ada)
}

#[tokio::test]
async fn the_list_is_filtered() {
    let (_fake, _site, ada) = ada().await;
    let list = |query: &'static str| ada.get(query);
    list("tfjobs/ui/")
        .await
        .expect(200)
        .says("1 Master, 3 Worker")
        .says("OOMKilled, exit code 137");
    list("tfjobs/ui/?state=Failed")
        .await
        .says("too-large")
        .hides("example-job");
    list("tfjobs/ui/?q=MNI")
        .await
        .says("distributed-mnist")
        .hides("too-large");
    list("tfjobs/ui/?kind=trainjob")
        .await
        .says("fine-tune")
        .hides("too-large");
    list("tfjobs/ui/?q=nothing-like-it")
        .await
        .says("No job is like that");
    // A part of the page, for the page that renews itself.
    let part = list("tfjobs/ui/?part=1&state=Failed")
        .await
        .says("too-large")
        .hides("<html");
    assert!(part.text.len() < 10_000);
}

#[tokio::test]
async fn a_job_shows_its_pods_why_they_wait_what_happened_and_its_curves() {
    let (_fake, _site, ada) = ada().await;
    let page = ada
        .get("tfjobs/ui/pytorchjob/lab/distributed-mnist/")
        .await
        .expect(200);
    let page = page
        .says("ImagePullBackOff")
        .says("Back-off pulling image")
        .says("SuccessfulCreatePod");
    let page = page
        .says("Loss by epoch, epochs 0 to 6: rank 0 at 0.275")
        .says("Rank 2")
        .hides("example-job-worker-0");
    assert_eq!(page.text.matches("<polyline class=\"series").count(), 3);
    let page = ada
        .get("tfjobs/ui/trainjob/lab/fine-tune/")
        .await
        .expect(200);
    page.says("62 % done, about 25m left")
        .says("0.4312")
        .says("There are none yet");
    ada.get("tfjobs/ui/tfjob/lab/no-such-job/")
        .await
        .expect(404);
}

/// Kubernetes lists events by their names: those of a job may come after thousands of others.
#[tokio::test]
async fn events_of_a_job_are_found_among_many() {
    let (fake, _site, ada) = ada().await;
    let many = |of: &str, kind, object| {
        for number in 0..2500 {
            let name = format!("{of}-{number:04}");
            fake.put(fixtures::event(
                &name,
                (kind, object),
                "Noise",
                "It is loud.",
                false,
                5,
            ));
        }
    };
    many("a", "ConfigMap", "another");
    let path = "tfjobs/ui/pytorchjob/lab/distributed-mnist/";
    let cut = "There are more events than this page looks through";
    let page = ada.get(path).await.expect(200);
    page.says("SuccessfulCreatePod")
        .says("Back-off pulling image")
        .hides(cut);
    ada.get("").await.expect(200).says(cut);
    many("b", "Pod", "of-another-job");
    ada.get(path)
        .await
        .expect(200)
        .says("SuccessfulCreatePod")
        .says(cut);
}

#[tokio::test]
async fn a_job_is_made_by_the_form_and_mistakes_stand_beside_their_fields() {
    let (fake, _site, ada) = ada().await;
    let fields = |replicas: &'static str, what: &'static str| {
        vec![
            ("kind", "tfjob"),
            ("name", "mine"),
            ("namespace", "lab"),
            ("Worker.image", "image:1"),
            ("Worker.args", "--epochs 2"),
            ("Worker.replicas", replicas),
            ("do", what),
        ]
    };
    let new = "tfjobs/ui/new?kind=tfjob";
    ada.get(new)
        .await
        .expect(200)
        .says("name=\"Worker.image\"")
        .says("name=\"PS.replicas\"");
    let page = ada
        .send(new, "tfjobs/ui/new", &fields("-1", "create"))
        .await
        .expect(422);
    page.says("id=\"error-Worker.replicas\">Invalid value: -1")
        .says("value=\"image:1\"");
    let page = ada
        .send(new, "tfjobs/ui/new", &fields("many", "create"))
        .await
        .expect(422);
    page.says("id=\"error-Worker.replicas\">&#34;many&#34; is no whole number.");
    let path = "/apis/kubeflow.org/v1/namespaces/lab/tfjobs/mine";
    ada.send(new, "tfjobs/ui/new", &fields("2", "check"))
        .await
        .expect(200)
        .says("would take this job");
    assert!(fake.get(path).is_none());
    let page = ada
        .send(new, "tfjobs/ui/new", &fields("2", "create"))
        .await
        .expect(200)
        .says("2 Worker");
    assert!(
        page.url.ends_with("tfjobs/ui/tfjob/lab/mine/"),
        "{}",
        page.url
    );
    let made = fake.get(path).unwrap();
    let container = &made["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]["containers"][0];
    assert_eq!(container["args"], json!(["--epochs", "2"]));
    let page = ada
        .send(new, "tfjobs/ui/new", &fields("2", "create"))
        .await
        .expect(422);
    page.says("id=\"error-name\">There is a job of this name already.");
    // What only the operator would refuse, and a namespace in which ada may not.
    let none = [
        ("kind", "pytorchjob"),
        ("name", "x"),
        ("namespace", "lab"),
        ("Master.replicas", "2"),
        ("Master.image", "i"),
    ];
    ada.send(new, "tfjobs/ui/new", &none)
        .await
        .expect(422)
        .says("there must be 1 Master, not 2");
    let other = [
        ("kind", "tfjob"),
        ("name", "x"),
        ("namespace", "secret"),
        ("Worker.image", "i"),
    ];
    ada.send(new, "tfjobs/ui/new", &other)
        .await
        .expect(422)
        .says("id=\"error-namespace\">Kubernetes does not let ada create tfjobs");
}

#[tokio::test]
async fn a_job_is_made_from_yaml() {
    let (fake, _site, ada) = ada().await;
    let new = "tfjobs/ui/new/yaml";
    let job = "apiVersion: kubeflow.org/v1\nkind: TFJob\nmetadata: {name: written}\nspec:\n  tfReplicaSpecs:\n    Worker:\n      \
               replicas: 1\n      template: {spec: {containers: [{name: tensorflow, image: i}]}}\n";
    let send = async |yaml: &str, what: &str| {
        ada.send(
            new,
            new,
            &[("yaml", yaml), ("namespace", "lab"), ("do", what)],
        )
        .await
    };
    send("a: [", "create")
        .await
        .expect(422)
        .says("This is no YAML");
    send("apiVersion: v1\nkind: Pod\nmetadata: {name: x}", "create")
        .await
        .expect(422)
        .says("no kind of job");
    send(&job.replace("replicas: 1", "replicas: -1"), "create")
        .await
        .expect(422)
        .says("<code>spec.tfReplicaSpecs.Worker.replicas</code>")
        .says("replicas: -1");
    send(&job.replace("tensorflow", "main"), "create")
        .await
        .expect(422)
        .says("there is no container named tensorflow");
    send(&job.replace("written", "../x"), "create")
        .await
        .expect(422)
        .says("metadata.name");
    send(job, "check")
        .await
        .expect(200)
        .says("would take this job");
    let path = "/apis/kubeflow.org/v1/namespaces/lab/tfjobs/written";
    assert!(fake.get(path).is_none());
    send(job, "create").await.expect(200).says("1 Worker");
    assert!(fake.get(path).is_some());
    send(&"x".repeat(3 << 20), "create").await.expect(413);
}

#[tokio::test]
async fn a_job_is_changed_as_yaml_unless_somebody_was_faster() {
    let (fake, _site, ada) = ada().await;
    let at = "tfjobs/ui/tfjob/lab/example-job/yaml";
    let page = ada.get(at).await.expect(200).says("resourceVersion");
    let (_, text) = page.text.split_once("<textarea").unwrap();
    let (_, text) = text.split_once(">\n").unwrap();
    let text = text
        .split("</textarea>")
        .next()
        .unwrap()
        .replace("&#34;", "\"")
        .replace("&#39;", "'");
    let changed = text.replace("replicas: 2", "replicas: 5");
    assert!(changed != text, "{text}");
    let send =
        async |yaml: &str, what: &str| ada.send(at, at, &[("yaml", yaml), ("do", what)]).await;
    send(&text.replace("replicas: 2", "replicas: -2"), "save")
        .await
        .expect(422)
        .says("should be greater");
    send(&text.replace("name: example-job", "name: other"), "save")
        .await
        .expect(422)
        .says("cannot be changed");
    send(&changed, "check")
        .await
        .expect(200)
        .says("would take this change");
    send(&changed, "save").await.expect(200).says("5 Worker");
    let path = "/apis/kubeflow.org/v1/namespaces/lab/tfjobs/example-job";
    assert_eq!(
        fake.get(path).unwrap()["spec"]["tfReplicaSpecs"]["Worker"]["replicas"],
        5
    );
    // Written on what was there before.
    send(&text, "save")
        .await
        .expect(409)
        .says("Somebody else has changed")
        .says("replicas: 2");
    assert_eq!(
        fake.get(path).unwrap()["spec"]["tfReplicaSpecs"]["Worker"]["replicas"],
        5
    );
}
