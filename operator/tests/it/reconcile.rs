//! Looks at jobs, with all that the API server may answer.

use std::sync::Arc;

use carrel_jobs::convert::convert;
use carrel_jobs::kind::Kind;
use carrel_operator::children::{Child, Children, follow};
use carrel_operator::events::Recorder;
use carrel_operator::memory::Memory;
use carrel_operator::metrics::Metrics;
use carrel_operator::objects::gang::Gang;
use carrel_operator::reconcile::{Context, ReconcileError, reconcile};
use carrel_operator::resource::resource;
use futures_util::{StreamExt as _, stream};
use k8s_openapi::api::core::v1::Pod;
use kube::runtime::watcher::Event;
use serde_json::{Value, json};

use crate::api::Api;
use crate::plan::tf;
use crate::world::PYTORCH_EXAMPLE;

pub struct Site {
    pub api: Api,
    pub context: Arc<Context>,
    pub path: String,
}

async fn ready<T: Child>(kind: Kind) -> Arc<Children<T>> {
    let children = Arc::new(Children::new(kind));
    let events = stream::iter([Event::Init, Event::InitDone].map(Ok));
    let owners: Vec<_> = follow(Arc::clone(&children), events).collect().await;
    assert!(owners.is_empty());
    children
}

impl Site {
    /// Where a job is stored.
    pub async fn new(object: &Value) -> Self {
        Self::with_gang(object, None).await
    }

    /// With a scheduler that starts all pods or none.
    pub async fn with_gang(object: &Value, gang: Option<Gang>) -> Self {
        let kind = Kind::from_name(object["kind"].as_str().unwrap()).unwrap();
        let mut stored = match kind {
            Kind::TrainJob => object.clone(),
            _ => convert(object, "kubeflow.org/v1").unwrap(),
        };
        stored["metadata"]["namespace"] = json!("default");
        stored["metadata"]["uid"] = json!("the-uid");
        let name = stored["metadata"]["name"].as_str().unwrap();
        let plural = kind.plural();
        let path = format!(
            "/apis/{}/namespaces/default/{plural}/{name}",
            kind.api_version()
        );
        let api = Api::default();
        api.put(&path, stored);
        let client = api.client();
        let context = Arc::new(Context {
            kind,
            client: client.clone(),
            resource: resource(kind),
            pods: ready(kind).await,
            services: ready(kind).await,
            memory: Memory::default(),
            metrics: Arc::new(Metrics::default()),
            recorder: Recorder {
                client,
                component: "test".to_owned(),
                instance: "one".to_owned(),
            },
            domain: None,
            reporting: None,
            gang,
            start_deadline: 0,
            keep_logs: None,
        });
        Self { api, context, path }
    }

    pub fn job(&self) -> Value {
        self.api.get(&self.path)
    }

    /// What the operator is set up with, beside what is the same for all.
    pub fn set(&mut self, change: impl FnOnce(&mut Context)) {
        let context = Arc::get_mut(&mut self.context);
        change(context.unwrap_or_else(|| panic!("the operator looks")));
    }

    /// The watch tells how the pod of that name is by now.
    pub async fn tell(&self, name: &str, change: impl FnOnce(&mut Value)) {
        let path = format!("/api/v1/namespaces/default/pods/{name}");
        let mut pod = self.api.get(&path);
        change(&mut pod);
        self.api.put(&path, pod.clone());
        self.event(Event::Apply(serde_json::from_value(pod).unwrap()))
            .await;
    }

    /// The watch tells that the pod has gone.
    pub async fn tell_gone(&self, pod: Value) {
        self.event(Event::Delete(serde_json::from_value(pod).unwrap()))
            .await;
    }

    async fn event(&self, event: Event<Pod>) {
        let events = stream::iter([Ok(event)]);
        let owners: Vec<_> = follow(Arc::clone(&self.context.pods), events)
            .collect()
            .await;
        assert_eq!(owners.len(), 1);
    }

    pub async fn look(&self) -> Result<(), ReconcileError> {
        let object = Arc::new(serde_json::from_value(self.job()).unwrap());
        reconcile(object, Arc::clone(&self.context)).await.map(drop)
    }

    fn metric(&self, name: &str) -> bool {
        let text = self.context.metrics.text().unwrap();
        let mut lines = text.lines();
        lines.any(|line| line.starts_with(name) && line.ends_with(" 1"))
    }
}

/// One request a look, until there is room; the job does not change meanwhile, or each change were another look.
#[tokio::test]
async fn a_job_without_room_waits_quietly() {
    let site = Site::new(&tf("v1", &[("Worker", 20)], "Never")).await;
    site.api.with(|kept| kept.refusals.insert("pods", 403));
    site.look().await.unwrap();
    site.look().await.unwrap();
    let before = site.job();
    let reason = before["status"]["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains("is refused"), "{reason}");
    let asked = site.api.count("POST pods");
    for _ in 0..5 {
        site.look().await.unwrap();
    }
    assert_eq!(site.job(), before);
    assert_eq!(site.api.count("POST pods"), asked + 5);
    assert_eq!(site.api.count("POST services"), 20);
    let events = site.api.events();
    let refused = events.iter().filter(|one| *one == "FailedCreatePod");
    assert_eq!(refused.count(), 1);
    site.api.with(|kept| kept.refusals.clear());
    site.look().await.unwrap();
    site.look().await.unwrap();
    assert_eq!(site.job()["status"].get("reason"), None);
}

#[tokio::test]
async fn a_name_that_is_taken_is_said() {
    let site = Site::new(&tf("v1", &[("Worker", 2)], "Never")).await;
    let pod = json!({ "metadata": { "name": "job-worker-1", "uid": "another" } });
    site.api
        .put("/api/v1/namespaces/default/pods/job-worker-1", pod);
    site.look().await.unwrap();
    assert_eq!(
        site.job()["status"]["reason"],
        "the pod job-worker-1 is there and belongs to something else"
    );
    let mut events = site.api.events();
    events.sort();
    assert_eq!(
        events,
        [
            "FailedCreatePod",
            "SuccessfulCreatePod",
            "SuccessfulCreateService",
            "TFJobCreated"
        ]
    );
}

#[tokio::test]
async fn a_pod_that_can_never_be_fails_the_job() {
    let site = Site::new(&tf("v1", &[("Worker", 2)], "Never")).await;
    site.api.with(|kept| kept.refusals.insert("pods", 422));
    site.look().await.unwrap();
    let status = &site.job()["status"];
    assert_eq!(status["state"], "Failed");
    let condition = &status["conditions"][1];
    assert_eq!(condition["reason"], "FailedCreatePod", "{status}");
    assert!(site.metric("training_operator_jobs_failed_total"));
    assert!(site.metric("training_operator_jobs_created_total"));
}

/// What was decided is told though what follows from it fails.
#[tokio::test]
async fn an_error_loses_no_event() {
    let site = Site::new(&tf("v1", &[("Worker", 2)], "Never")).await;
    site.api.with(|kept| kept.refusals.insert("services", 500));
    assert!(site.look().await.is_err());
    assert_eq!(site.api.events(), ["TFJobCreated"]);
    assert_eq!(site.api.count("POST pods"), 0);
    assert!(site.job()["status"]["lastReconcileTime"].is_string());
}

/// Also one that is not valid: that is its own manager's to tell.
#[tokio::test]
async fn jobs_of_others_are_left_alone() {
    let mut object = tf("v1", &[("Boss", 1)], "Never");
    object["spec"]["runPolicy"] = json!({ "managedBy": "kueue.x-k8s.io/multikueue" });
    let site = Site::new(&object).await;
    site.look().await.unwrap();
    assert_eq!(site.api.with(|kept| kept.requests.clone()), [""; 0]);
}

/// One that an operator of 2018 brought to its end, and whose status v1 has no words for.
#[tokio::test]
async fn a_job_that_was_over_does_not_run_again() {
    let mut object: Value = serde_saphyr::from_str(PYTORCH_EXAMPLE).unwrap();
    object["status"] = json!({ "phase": "Done", "state": "Succeeded", "replicaStatuses": [] });
    let site = Site::new(&object).await;
    site.look().await.unwrap();
    assert_eq!(site.api.with(|kept| kept.requests.clone()), [""; 0]);
}

#[tokio::test]
async fn a_status_of_somebody_else_stops_the_job() {
    let mut object = tf("v1", &[("Worker", 1)], "Never");
    object["status"] = json!({ "conditions": [{ "type": "Finished", "status": "True" }] });
    let site = Site::new(&object).await;
    let error = site.look().await.unwrap_err();
    assert!(matches!(error, ReconcileError::Status(_)), "{error}");
    assert_eq!(site.api.with(|kept| kept.requests.clone()), [""; 0]);
}

#[tokio::test]
async fn the_runtime_id_is_written_back() {
    let object: Value = serde_saphyr::from_str(PYTORCH_EXAMPLE).unwrap();
    let site = Site::new(&object).await;
    for _ in 0..3 {
        site.look().await.unwrap();
    }
    let job = convert(&site.job(), "kubeflow.org/v1alpha1").unwrap();
    let id = job["spec"]["RuntimeId"].as_str().unwrap();
    assert_eq!(id.len(), 4);
    let pods = site.api.with(|kept| {
        let paths = kept.objects.keys().filter(|path| path.contains("/pods/"));
        paths.cloned().collect::<Vec<_>>()
    });
    assert_eq!(pods.len(), 4);
    let named = format!("-{id}-");
    assert!(pods.iter().all(|path| path.contains(&named)), "{pods:?}");
}

/// As v1alpha1 says it: phase Failed, state Failed, and why.
#[tokio::test]
async fn a_mistake_is_in_the_status_of_v1alpha1() {
    let mut object: Value = serde_saphyr::from_str(PYTORCH_EXAMPLE).unwrap();
    object["spec"]["terminationPolicy"] = json!({ "master": { "replicaName": "WORKER" } });
    let site = Site::new(&object).await;
    site.look().await.unwrap();
    let job = convert(&site.job(), "kubeflow.org/v1alpha1").unwrap();
    let status = &job["status"];
    assert_eq!(
        (&status["phase"], &status["state"]),
        (&json!("Failed"), &json!("Failed"))
    );
    let reason = status["reason"].as_str().unwrap();
    assert!(reason.contains("spec.terminationPolicy.master"), "{reason}");
    assert_eq!(site.api.count("POST pods"), 0);
}

/// A look at what is older than what the operator made of it does nothing.
#[tokio::test]
async fn a_job_that_changed_meanwhile_is_looked_at_again() {
    let site = Site::new(&tf("v1", &[("Worker", 1)], "Never")).await;
    let old = site.job();
    let mut newer = old.clone();
    newer["metadata"]["labels"] = json!({ "a": "b" });
    site.api.put(&site.path, newer);
    let old = Arc::new(serde_json::from_value(old).unwrap());
    let context = Arc::clone(&site.context);
    reconcile(Arc::clone(&old), context).await.unwrap();
    assert_eq!(site.job().get("status"), None);
    assert_eq!(site.api.count("POST pods"), 0);
    site.look().await.unwrap();
    assert_eq!(site.api.count("POST pods"), 1);
    // The cache of the watch is late.
    reconcile(old, Arc::clone(&site.context)).await.unwrap();
    assert_eq!(site.api.count("POST pods"), 1);
}

/// Jobs of the kinds before TrainJobs have all conditions in one list.
#[tokio::test]
async fn a_condition_that_somebody_else_has_set_stays() {
    let site = Site::new(&crate::plan::tf("v1", &[("Worker", 1)], "Never")).await;
    site.look().await.unwrap();
    let mut object = site.job();
    let queued = json!({ "type": "QuotaReserved", "status": "True" });
    let ours = object["status"]["conditions"].as_array().unwrap().clone();
    object["status"]["conditions"] = json!([ours[0], queued]);
    object["spec"]["runPolicy"]["suspend"] = json!(true);
    site.api.put(&site.path, object);
    site.look().await.unwrap();
    let conditions = &site.job()["status"]["conditions"];
    let types = conditions.as_array().unwrap().iter();
    let types: Vec<_> = types.map(|one| one["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["QuotaReserved", "Created", "Suspended"]);
}
