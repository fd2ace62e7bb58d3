//! A job with pods that exist in this test alone: the operator looks at it and everything it asks for comes true.

use std::sync::Arc;
use std::time::Duration;

use carrel_jobs::convert::convert;
use carrel_jobs::job::{Identity, Job};
use carrel_jobs::kind::Kind;
use carrel_jobs::names;
use carrel_jobs::original::ANNOTATION;
use carrel_jobs::read::read;
use carrel_jobs::status::JobStatus;
use carrel_jobs::trainjob;
use carrel_operator::plan::{Notice, Plan, Seen, plan};
use carrel_operator::seen::{Phase, Place, SeenPod, SeenService, Stage};
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

pub const EXAMPLE: &str = include_str!("../walkthrough/example.yaml");
pub const PYTORCH_EXAMPLE: &str = include_str!("../walkthrough/pytorch_example.yaml");

pub struct World {
    pub object: Value,
    pub status: JobStatus,
    pub seen: Seen,
    pub now: Timestamp,
    pub told: Vec<Notice>,
    pub is_deleted: bool,
    /// What the operator adds to the job.
    pub start_deadline: Option<Duration>,
    pub has_gang: bool,
    pods_made: usize,
}

impl World {
    pub fn new(object: Value) -> Self {
        Self::with_runtime(object, None)
    }

    /// A TrainJob with the spec of its runtime.
    pub fn with_runtime(object: Value, runtime: Option<Value>) -> Self {
        let mut status = JobStatus::default();
        status.train.runtime = runtime.map(|runtime| runtime.as_object().unwrap().clone());
        let mut world = Self {
            object,
            status,
            seen: Seen::default(),
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
            told: Vec::new(),
            is_deleted: false,
            start_deadline: None,
            has_gang: false,
            pods_made: 0,
        };
        world.look();
        world
    }

    pub fn of_yaml(text: &str) -> Self {
        Self::new(serde_saphyr::from_str(text).unwrap())
    }

    pub fn job(&self) -> Job {
        Job {
            start_deadline: self.start_deadline,
            has_gang: self.has_gang,
            ..self.read()
        }
    }

    fn read(&self) -> Job {
        if self.object["kind"] == "TrainJob" {
            return self.train_job();
        }
        let stored = convert(&self.object, "kubeflow.org/v1").unwrap();
        let identity = Identity {
            name: stored["metadata"]["name"].as_str().unwrap(),
            namespace: "default",
            uid: "u",
            original: stored["metadata"]["annotations"][ANNOTATION].as_str(),
        };
        let kind = Kind::from_name(stored["kind"].as_str().unwrap()).unwrap();
        read(kind, &identity, &stored["spec"]).unwrap()
    }

    fn train_job(&self) -> Job {
        let identity = Identity {
            name: self.object["metadata"]["name"].as_str().unwrap(),
            namespace: "default",
            uid: "u",
            original: None,
        };
        let runtime = self.status.train.runtime.clone().unwrap();
        let attempt = self.status.train.attempt;
        trainjob::read(&identity, &self.object["spec"], &runtime, attempt).unwrap()
    }

    pub fn plan(&self) -> Plan {
        plan(&self.job(), &self.status, &self.seen, self.now)
    }

    /// The operator looks and does; once more, it finds nothing to do.
    pub fn look(&mut self) -> Plan {
        let plan = self.plan();
        self.does(&plan);
        let second = self.plan();
        let is_idle = second.delete_pods.is_empty()
            && second.delete_services.is_empty()
            && second.create_pods.is_empty()
            && second.create_services.is_empty();
        assert!(is_idle || !plan.delete_pods.is_empty(), "{second:?}");
        if is_idle {
            assert_eq!(second.status, self.status);
            assert_eq!(second.notices, []);
        }
        plan
    }

    pub fn does(&mut self, plan: &Plan) {
        self.status = plan.status.clone();
        self.told.extend(plan.notices.iter().cloned());
        let gone = |name: &str| plan.delete_pods.iter().any(|pod| pod.name == name);
        self.seen.pods.retain(|pod| !gone(&pod.name));
        let gone = |name: &str| plan.delete_services.iter().any(|one| one.name == name);
        self.seen.services.retain(|service| !gone(&service.name));
        let job = self.job();
        for place in &plan.create_pods {
            self.pods_made += 1;
            let mut pod = pod(*place, Phase::Pending);
            pod.name = names::pod(&job, place.role, place.index);
            pod.uid = format!("pod-{}", self.pods_made);
            pod.created = Some(self.now);
            pod.attempt = self.status.train.attempt;
            self.seen.pods.push(Arc::new(pod));
        }
        for place in &plan.create_services {
            self.seen.services.push(Arc::new(SeenService {
                name: names::service(&job, place.role, place.index),
                uid: "service".to_owned(),
                place: Some(*place),
                is_deleting: false,
            }));
        }
        self.is_deleted |= plan.delete_job;
    }

    /// A pod by the end of its name without what is random: `worker-0`.
    pub fn change(&mut self, task: &str, change: impl FnOnce(&mut SeenPod)) {
        let is = |pod: &&mut Arc<SeenPod>| {
            let place = pod.place.unwrap();
            format!("{}-{}", place.role.lower(), place.index) == task
        };
        let pod = self.seen.pods.iter_mut().find(is);
        change(Arc::make_mut(pod.unwrap_or_else(|| panic!("no {task}"))));
    }

    pub fn run(&mut self, tasks: &[&str]) {
        for task in tasks {
            self.change(task, |pod| pod.phase = Phase::Running);
        }
        self.look();
    }

    pub fn succeed(&mut self, task: &str) -> Plan {
        self.change(task, |pod| {
            pod.phase = Phase::Succeeded;
            pod.exit_code = Some(0);
        });
        self.look()
    }

    pub fn fail(&mut self, task: &str, code: i32) -> Plan {
        let now = self.now;
        self.change(task, |pod| {
            pod.phase = Phase::Failed;
            pod.exit_code = Some(code);
            pod.reason = Some(format!("exit code {code}"));
            pod.ended = Some(now);
        });
        self.look()
    }

    pub fn wait(&mut self, seconds: i64) -> Plan {
        self.now += SignedDuration::from_secs(seconds);
        self.look()
    }

    pub fn state(&self) -> &str {
        self.status.state.as_deref().unwrap_or_default()
    }

    /// `Created TFJobCreated, ..`: the conditions that hold.
    pub fn conditions(&self) -> String {
        let holds = self
            .status
            .conditions
            .iter()
            .filter(|one| one.status == "True");
        let text: Vec<_> = holds.map(|one| one.reason.clone()).collect();
        text.join(" ")
    }

    pub fn pods(&self) -> Vec<String> {
        let mut names: Vec<_> = self.seen.pods.iter().map(|pod| pod.name.clone()).collect();
        names.sort();
        names
    }

    pub fn services(&self) -> Vec<String> {
        let mut names: Vec<_> = self
            .seen
            .services
            .iter()
            .map(|one| one.name.clone())
            .collect();
        names.sort();
        names
    }

    pub fn reasons(&self) -> Vec<&str> {
        self.told
            .iter()
            .map(|notice| notice.reason.as_str())
            .collect()
    }
}

pub fn pod(place: Place, phase: Phase) -> SeenPod {
    SeenPod {
        name: String::new(),
        uid: String::new(),
        place: Some(place),
        attempt: 0,
        phase,
        is_deleting: false,
        exit_code: None,
        restarts: 0,
        reason: None,
        created: None,
        stage: Stage::Unplaced,
        ended: None,
    }
}

/// A job of v1 or a beta with replicas of these roles and a restart policy.
pub fn job(kind: &str, version: &str, roles: &[(&str, i32)], restart: Option<&str>) -> Value {
    let kind = Kind::from_name(kind).unwrap();
    let replicas = roles.iter().map(|(role, count)| {
        let mut replica = json!({
            "replicas": count,
            "template": { "spec": { "containers": [{ "name": kind.container(), "image": "i" }] } },
        });
        if let Some(restart) = restart {
            replica["restartPolicy"] = json!(restart);
        }
        ((*role).to_owned(), replica)
    });
    json!({
        "apiVersion": format!("kubeflow.org/{version}"),
        "kind": kind.name(),
        "metadata": { "name": "job" },
        "spec": { kind.replicas_field(): replicas.collect::<serde_json::Map<_, _>>() },
    })
}
