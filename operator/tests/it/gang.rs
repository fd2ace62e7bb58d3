//! PodGroups for schedulers that start all pods of a job or none. The API server here is a stand-in that keeps any
//! object; no scheduler is there that would read them.

use carrel_operator::objects::gang::Gang;
use serde_json::{Value, json};

use crate::plan::tf;
use crate::reconcile::Site;
use crate::train;

const VOLCANO: &str = "/apis/scheduling.volcano.sh/v1beta1/namespaces/default/podgroups/job";
const COSCHEDULING: &str = "/apis/scheduling.x-k8s.io/v1alpha1/namespaces/default/podgroups/job";
const POD: &str = "/api/v1/namespaces/default/pods/job-worker-1";

fn gang(name: &str) -> Option<Gang> {
    Some(Gang::from_name(name).unwrap())
}

fn policy() -> Value {
    json!({
        "minAvailable": 2, "queue": "research", "priorityClass": "high", "scheduleTimeoutSeconds": 60,
        "minResources": { "cpu": "4" },
    })
}

#[tokio::test]
async fn volcano_finds_the_group_and_its_pods() {
    let mut object = tf("v1", &[("Ps", 1), ("Worker", 2)], "Never");
    let site = Site::with_gang(&object, gang("volcano")).await;
    site.look().await.unwrap();
    let group = site.api.get(VOLCANO);
    assert_eq!(group["kind"], "PodGroup");
    assert_eq!(group["spec"], json!({ "minMember": 3 }));
    assert_eq!(group["metadata"]["ownerReferences"][0]["uid"], "the-uid");
    let pod = site.api.get(POD);
    assert_eq!(pod["spec"]["schedulerName"], "volcano");
    assert_eq!(
        pod["metadata"]["annotations"],
        json!({ "scheduling.k8s.io/group-name": "job", "volcano.sh/task-spec": "worker" })
    );
    let requests = site.api.with(|kept| kept.requests.clone());
    let at = |request: &str| requests.iter().position(|one| one == request).unwrap();
    assert!(at("POST podgroups") < at("POST pods"), "{requests:?}");
    object["spec"]["runPolicy"] = json!({ "schedulingPolicy": policy() });
    let site = Site::with_gang(&object, gang("volcano")).await;
    site.look().await.unwrap();
    assert_eq!(
        site.api.get(VOLCANO)["spec"],
        json!({
            "minMember": 2, "queue": "research", "priorityClassName": "high", "minResources": { "cpu": "4" },
        })
    );
    assert!(!said(&site).contains("schedulingPolicy"));
}

#[tokio::test]
async fn coscheduling_finds_the_group_and_its_pods() {
    let mut object = tf("v1", &[("Worker", 2)], "Never");
    object["spec"]["runPolicy"] = json!({ "schedulingPolicy": policy() });
    let template = &mut object["spec"]["tfReplicaSpecs"]["Worker"]["template"];
    template["spec"]["schedulerName"] = json!("mine");
    let site = Site::with_gang(&object, gang("together")).await;
    site.look().await.unwrap();
    assert_eq!(
        site.api.get(COSCHEDULING)["spec"],
        json!({ "minMember": 2, "minResources": { "cpu": "4" }, "scheduleTimeoutSeconds": 60 })
    );
    let pod = site.api.get(POD);
    assert_eq!(
        pod["metadata"]["labels"]["scheduling.x-k8s.io/pod-group"],
        "job"
    );
    assert_eq!(pod["spec"]["schedulerName"], "mine");
    let site = Site::with_gang(&tf("v1", &[("Worker", 2)], "Never"), gang("together")).await;
    site.look().await.unwrap();
    assert_eq!(site.api.get(POD)["spec"]["schedulerName"], "together");
}

/// A job that wants no place has no group; one that goes on has it again, as large as it is then.
#[tokio::test]
async fn a_group_is_there_while_its_job_wants_a_place() {
    let site = Site::with_gang(&tf("v1", &[("Worker", 2)], "Never"), gang("volcano")).await;
    site.look().await.unwrap();
    let change = |change: &dyn Fn(&mut Value)| {
        let mut object = site.job();
        change(&mut object);
        site.api.put(&site.path, object);
    };
    change(&|job| job["spec"]["runPolicy"]["suspend"] = json!(true));
    site.look().await.unwrap();
    assert_eq!(site.api.get(VOLCANO), Value::Null);
    change(&|job| job["spec"]["runPolicy"]["suspend"] = json!(false));
    change(&|job| job["spec"]["tfReplicaSpecs"]["Worker"]["replicas"] = json!(3));
    // One that is left, as large as it was.
    let left = json!({ "metadata": { "name": "job", "ownerReferences": [{ "uid": "the-uid" }] }, "spec": { "minMember": 2 } });
    site.api.put(VOLCANO, left);
    site.context.memory.forget("the-uid");
    site.look().await.unwrap();
    assert_eq!(site.api.get(VOLCANO)["spec"]["minMember"], 3);
}

/// An operator that died when it had written the end has left the group: the next look of another finds it, and looks for
/// it no more.
#[tokio::test]
async fn a_group_that_is_left_over_goes_at_the_next_look() {
    let site = Site::with_gang(&tf("v1", &[("Worker", 1)], "Never"), gang("volcano")).await;
    site.look().await.unwrap();
    let left = site.api.get(VOLCANO);
    let mut object = site.job();
    object["status"]["conditions"] = json!([
        { "type": "Created", "status": "True", "reason": "TFJobCreated" },
        { "type": "Succeeded", "status": "True", "reason": "TFJobSucceeded" },
    ]);
    object["status"]["state"] = json!("Succeeded");
    site.api.put(&site.path, object);
    site.context.memory.forget("the-uid");
    site.api.put(VOLCANO, left);
    site.look().await.unwrap();
    assert_eq!(site.api.get(VOLCANO), Value::Null);
    let asked = site.api.with(|kept| kept.requests.len());
    site.look().await.unwrap();
    let asked_now = site.api.with(|kept| kept.requests.len());
    assert_eq!(asked_now, asked);
}

fn runtime(policy: &Value) -> Value {
    let mut runtime = train::runtime(0);
    runtime["podGroupPolicy"] = policy.clone();
    let template = &mut runtime["template"];
    template["metadata"]["annotations"]["scheduling.volcano.sh/queue-name"] = json!("research");
    let node = &mut template["spec"]["replicatedJobs"][0]["template"]["spec"];
    node["template"]["spec"]["priorityClassName"] = json!("high");
    json!({ "metadata": { "name": "two" }, "spec": runtime })
}

/// Those of Kubeflow Trainer 2.3, for runtimes that ask for one of this scheduler.
#[tokio::test]
async fn a_trainjob_has_the_group_that_its_runtime_asks_for() {
    let look = async |scheduler: &str, policy: Value| {
        let site = Site::with_gang(&train::job(), gang(scheduler)).await;
        site.api.put(train::RUNTIME, runtime(&policy));
        site.look().await.unwrap();
        site
    };
    let pod = "/api/v1/namespaces/default/pods/job-node-0-1";
    let topology = json!({ "mode": "hard", "highestTierAllowed": 2 });
    let site = look(
        "volcano",
        json!({ "volcano": { "networkTopology": topology } }),
    )
    .await;
    assert_eq!(
        site.api.get(VOLCANO)["spec"],
        json!({ "minMember": 2, "queue": "research", "priorityClassName": "high", "networkTopology": topology })
    );
    assert_eq!(site.api.get(pod)["spec"]["schedulerName"], "volcano");
    let annotations = &site.api.get(pod)["metadata"]["annotations"];
    assert_eq!(annotations["scheduling.k8s.io/group-name"], "job");

    for (policy, seconds) in [
        (json!({}), 60),
        (json!({ "scheduleTimeoutSeconds": 120 }), 120),
    ] {
        let site = look("together", json!({ "coscheduling": policy })).await;
        let spec = json!({ "minMember": 2, "scheduleTimeoutSeconds": seconds });
        assert_eq!(site.api.get(COSCHEDULING)["spec"], spec);
        let labels = &site.api.get(pod)["metadata"]["labels"];
        assert_eq!(labels["scheduling.x-k8s.io/pod-group"], "job");
        assert!(!said(&site).contains("without effect"));
    }

    // For another scheduler, or for none.
    let site = look("volcano", json!({ "coscheduling": {} })).await;
    assert_eq!(site.api.count("POST podgroups"), 0);
    assert!(said(&site).contains("spec.podGroupPolicy of the runtime: it is without effect"));
    assert_eq!(site.api.get(pod)["spec"].get("schedulerName"), None);
    let site = look("volcano", Value::Null).await;
    assert_eq!(site.api.count("POST podgroups"), 0);
    assert_eq!(site.api.count("POST pods"), 2);
}

#[tokio::test]
async fn a_cluster_without_groups_is_said_and_pods_wait() {
    let site = Site::with_gang(&tf("v1", &[("Worker", 2)], "Never"), gang("volcano")).await;
    site.api.with(|kept| kept.refusals.insert("podgroups", 404));
    site.look().await.unwrap();
    let reason = site.job()["status"]["reason"].clone();
    let said = "the cluster knows no PodGroups of scheduling.volcano.sh/v1beta1: is the scheduler installed?";
    assert_eq!(reason, said);
    assert_eq!(site.api.count("POST pods"), 0);
    site.api.with(|kept| kept.refusals.clear());
    site.look().await.unwrap();
    assert_eq!(site.api.count("POST pods"), 2);
}

/// Another's group of that name is neither changed nor deleted.
#[tokio::test]
async fn a_group_of_somebody_else_stays() {
    let site = Site::with_gang(&tf("v1", &[("Worker", 2)], "Never"), gang("volcano")).await;
    let theirs =
        json!({ "metadata": { "name": "job", "uid": "another" }, "spec": { "minMember": 7 } });
    site.api.put(VOLCANO, theirs);
    let before = site.api.get(VOLCANO);
    site.look().await.unwrap();
    let reason = site.job()["status"]["reason"].clone();
    assert_eq!(
        reason,
        "the PodGroup job is there and belongs to something else"
    );
    let mut object = site.job();
    object["spec"]["runPolicy"]["suspend"] = json!(true);
    site.api.put(&site.path, object);
    site.look().await.unwrap();
    assert_eq!(site.job()["status"]["state"], "Suspended");
    assert_eq!(site.api.get(VOLCANO), before);
}

/// Without a scheduler that reads them there are none, and who asks is told.
#[tokio::test]
async fn without_such_a_scheduler_a_policy_is_without_effect() {
    let mut object = tf("v1", &[("Worker", 2)], "Never");
    object["spec"]["runPolicy"] = json!({ "schedulingPolicy": policy() });
    let site = Site::new(&object).await;
    site.look().await.unwrap();
    assert_eq!(site.api.count("POST podgroups"), 0);
    assert!(said(&site).contains("spec.runPolicy.schedulingPolicy: it is without effect"));
    assert_eq!(site.api.get(POD)["spec"].get("schedulerName"), None);
    assert!(Gang::from_name("none").is_err() && Gang::from_name("").is_err());
}

/// What events say.
fn said(site: &Site) -> String {
    site.api.with(|kept| {
        let events = kept
            .objects
            .iter()
            .filter(|(path, _)| path.contains("/events/"));
        events
            .map(|(_, event)| event["message"].to_string())
            .collect()
    })
}
