//! What processes of TrainJobs report, and who else tries to.

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode};
use std::sync::Arc;

use carrel_jobs::convert::convert;
use carrel_jobs::kind::{Kind, Role};
use carrel_operator::certificate::{self, Loaded};
use carrel_operator::objects;
use carrel_operator::reports::{Reporting, audience, router};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tower::ServiceExt as _;

use crate::api::Api;
use crate::plan::tf;
use crate::reconcile::Site;
use crate::world::World;

const JOB: &str = "/apis/trainer.kubeflow.org/v1alpha1/namespaces/default/trainjobs/job";
const POD: &str = "/api/v1/namespaces/default/pods/job-node-0-0";

fn user(namespace: &str, pod: &str, uid: &str) -> Value {
    json!({
        "username": format!("system:serviceaccount:{namespace}:default"),
        "extra": {
            "authentication.kubernetes.io/pod-name": [pod],
            "authentication.kubernetes.io/pod-uid": [uid],
        },
    })
}

/// A job with a pod, whose token is `good`; others are wrong in one way each.
fn api() -> Api {
    let api = Api::default();
    api.put(
        JOB,
        json!({ "metadata": { "name": "job", "uid": "u" }, "status": {
        "state": "Running",
        "trainerStatus": { "progressPercentage": 1, "metrics": [{ "name": "a", "value": "1" }] },
    } }),
    );
    let owner = json!([{
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "name": "job",
        "uid": "u",
        "controller": true,
    }]);
    let pod =
        json!({ "metadata": { "name": "job-node-0-0", "uid": "p", "ownerReferences": owner } });
    api.put(POD, pod);
    let foreign = json!({ "metadata": { "name": "foreign", "uid": "f" } });
    api.put("/api/v1/namespaces/default/pods/foreign", foreign);
    let for_us = audience(Kind::TrainJob, "default", "job");
    let found = |user: Value| json!({ "authenticated": true, "audiences": [for_us], "user": user });
    let good = user("default", "job-node-0-0", "p");
    let unbound = json!({ "username": "system:serviceaccount:default:default" });
    let mut elsewhere = found(good.clone());
    elsewhere["audiences"] = json!(["https://kubernetes.default.svc"]);
    api.with(|kept| {
        kept.tokens = [
            ("good", found(good.clone())),
            ("elsewhere", elsewhere),
            ("unbound", found(unbound)),
            ("foreign", found(user("default", "foreign", "f"))),
            ("earlier", found(user("default", "job-node-0-0", "q"))),
            ("gone", found(user("default", "no-such-pod", "p"))),
            ("neighbour", found(user("other", "job-node-0-0", "p"))),
            ("unknown", json!({ "authenticated": false, "user": good })),
        ]
        .into();
    });
    api
}

async fn post(api: &Api, token: &str, body: &str) -> (StatusCode, Value) {
    post_to(router(api.client()), token, body).await
}

async fn post_to(router: axum::Router, token: &str, body: &str) -> (StatusCode, Value) {
    let request = Request::post(format!("{JOB}/status"))
        .header("Authorization", format!("Bearer {token}"))
        .body(Body::from(body.to_owned()));
    let answer = router.oneshot(request.unwrap()).await.unwrap();
    let code = answer.status();
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (code, serde_json::from_slice(&body).unwrap())
}

#[tokio::test]
async fn a_report_takes_the_place_of_the_one_before() {
    let api = api();
    let report = json!({ "trainerStatus": {
        "progressPercentage": 42,
        "lastUpdatedTime": "2026-01-01T00:00:00Z",
    } });
    let (code, answer) = post(&api, "good", &report.to_string()).await;
    assert_eq!((code, &answer), (StatusCode::OK, &report));
    let status = &api.get(JOB)["status"];
    assert_eq!(status["trainerStatus"], report["trainerStatus"]);
    assert_eq!(status["state"], "Running");
    let (code, _) = post(&api, "good", "{}").await;
    assert_eq!(code, StatusCode::OK);
    assert_eq!(
        api.get(JOB)["status"]["trainerStatus"]["progressPercentage"],
        42
    );
}

/// The other kinds' jobs take them too, each for its own name, and their operator leaves them where they are.
#[tokio::test]
async fn a_job_of_another_kind_keeps_what_its_pods_report() {
    let site = Site::new(&tf("v1", &[("Worker", 1)], "Never")).await;
    site.look().await.unwrap();
    let pod = "/api/v1/namespaces/default/pods/job-worker-0";
    let uid = site.api.get(pod)["metadata"]["uid"]
        .as_str()
        .unwrap()
        .to_owned();
    let of = |audience: String| {
        json!({
            "authenticated": true, "audiences": [audience], "user": user("default", "job-worker-0", &uid),
        })
    };
    site.api.with(|kept| {
        kept.tokens = [
            ("good", of(audience(Kind::TfJob, "default", "job"))),
            (
                "of-another-kind",
                of(audience(Kind::PyTorchJob, "default", "job")),
            ),
        ]
        .into();
    });
    let status = json!({
        "progressPercentage": 30, "estimatedRemainingSeconds": 70, "lastUpdatedTime": "2026-01-01T00:00:00Z",
        "metrics": [{ "name": "epoch", "value": "3" }, { "name": "loss", "value": "0.37" }],
    });
    let report = json!({ "trainerStatus": status }).to_string();
    let post = async |token: &str| {
        let request = Request::post(format!("{}/status", site.path))
            .header("Authorization", format!("Bearer {token}"))
            .body(Body::from(report.clone()));
        let answer = router(site.api.client()).oneshot(request.unwrap()).await;
        answer.unwrap().status()
    };
    assert_eq!(post("of-another-kind").await, StatusCode::FORBIDDEN);
    assert_eq!(site.job()["status"].get("trainerStatus"), None);
    assert_eq!(post("good").await, StatusCode::OK);
    assert_eq!(site.job()["status"]["trainerStatus"], status);
    // What the operator writes of its own leaves it there, and a job that is read in its old version has it.
    let mut object = site.job();
    object["spec"]["runPolicy"]["suspend"] = json!(true);
    site.api.put(&site.path, object);
    site.look().await.unwrap();
    let job = site.job();
    assert_eq!(job["status"]["state"], "Suspended");
    let old = convert(&job, "kubeflow.org/v1alpha2").unwrap();
    for job in [job, old] {
        assert_eq!(job["status"]["trainerStatus"], status);
    }
}

/// A template asks for it; TrainJobs always have it.
#[test]
fn pods_have_what_they_need_to_report_where_they_ask() {
    let made = certificate::make(&["host".to_owned()], None, Timestamp::now()).unwrap();
    let loaded = Loaded {
        config: Arc::new(made.config().unwrap()),
        certificate: made,
    };
    let (_sender, loaded) = watch::channel(Some(Arc::new(loaded)));
    let to = Reporting {
        url: "https://operator:8444".to_owned(),
        loaded,
    };
    let mut object = tf("v1", &[("Chief", 1), ("Worker", 1)], "Never");
    let asks = json!({ "annotations": { "carrel.dev/reports": "true" } });
    object["spec"]["tfReplicaSpecs"]["Chief"]["template"]["metadata"] = asks;
    let job = World::new(object).job();
    for (role, asks) in [(Role::Chief, true), (Role::Worker, false)] {
        let mut pod = objects::pod(&job, job.replica(role).unwrap(), 0, None);
        let before = pod.clone();
        objects::reporting::add(&mut pod, &job, &to);
        assert_eq!(pod != before, asks, "{pod}");
        let token = &pod["spec"]["volumes"][0]["projected"]["sources"][0]["serviceAccountToken"];
        let audience = audience(Kind::TfJob, "default", "job");
        assert_eq!(token["audience"] == audience.as_str(), asks);
        let variables = pod["spec"]["containers"][0]["env"].to_string();
        let url = format!("https://operator:8444/apis/{audience}");
        assert_eq!(variables.contains(&url), asks, "{variables}");
    }
}

#[tokio::test]
async fn only_pods_of_the_job_may_report() {
    let api = api();
    let before = api.get(JOB);
    for token in [
        "elsewhere",
        "unbound",
        "foreign",
        "earlier",
        "gone",
        "neighbour",
        "unknown",
        "none",
        "",
    ] {
        let (code, answer) = post(&api, token, r#"{"trainerStatus":{}}"#).await;
        assert_eq!(code, StatusCode::FORBIDDEN, "{token}");
        let said = "only pods of the TrainJob job may report of it";
        assert_eq!(
            (&answer["message"], &answer["code"]),
            (&json!(said), &json!(403))
        );
    }
    assert_eq!(api.get(JOB), before);
}

#[tokio::test]
async fn nonsense_is_refused_with_its_place() {
    let api = api();
    let said = async |body: &str| {
        let (code, answer) = post(&api, "good", body).await;
        assert_eq!(code, StatusCode::UNPROCESSABLE_ENTITY);
        answer["message"].as_str().unwrap().to_owned()
    };
    assert!(said("{").await.starts_with("no JSON: "));
    let metrics = r#"{"trainerStatus":{"metrics":[{"name":"loss","value":0.5}]}}"#;
    let reason = said(metrics).await;
    assert!(
        reason.starts_with("trainerStatus.metrics[0].value: invalid type"),
        "{reason}"
    );
    for (report, place) in [
        (json!({ "progressPercentage": 150 }), "progressPercentage: "),
        (json!({ "progressPercentage": -1 }), "progressPercentage: "),
        (
            json!({ "estimatedRemainingSeconds": -1 }),
            "estimatedRemainingSeconds: ",
        ),
        (json!({ "lastUpdatedTime": "now" }), "lastUpdatedTime: "),
        (
            json!({ "metrics": [{ "name": "", "value": "1" }] }),
            "metrics: ",
        ),
    ] {
        let reason = said(&json!({ "trainerStatus": report }).to_string()).await;
        assert!(
            reason.starts_with(&format!("trainerStatus.{place}")),
            "{reason}"
        );
    }
    let large = format!("{{\"trainerStatus\":\"{}\"}}", "x".repeat(1 << 17));
    assert_eq!(post(&api, "good", &large).await.0, StatusCode::BAD_REQUEST);
}

/// It would stand there as that of the new one.
#[tokio::test]
async fn a_report_of_an_attempt_that_is_over_is_refused() {
    let api = api();
    let mut job = api.get(JOB);
    job["status"]["attempt"] = json!(1);
    api.put(JOB, job.clone());
    let (code, answer) = post(
        &api,
        "good",
        r#"{"trainerStatus":{"progressPercentage":9}}"#,
    )
    .await;
    assert_eq!(code, StatusCode::CONFLICT, "{answer}");
    assert_eq!(answer["message"], "attempt 0 of job is over");
    assert_eq!(api.get(JOB)["status"], job["status"]);
}

/// The next attempt may begin between the look at the job and the report's change of it.
#[tokio::test]
async fn a_report_is_not_written_over_another_attempt() {
    let api = api();
    api.with(|kept| {
        kept.between = Some(Box::new(|kept| {
            let job = kept.objects.get_mut(JOB).unwrap();
            job["status"]["attempt"] = json!(1);
            job["metadata"]["resourceVersion"] = json!("newer");
        }));
    });
    let (code, answer) = post(
        &api,
        "good",
        r#"{"trainerStatus":{"progressPercentage":9}}"#,
    )
    .await;
    assert_eq!(code, StatusCode::CONFLICT, "{answer}");
    assert_eq!(answer["message"], "attempt 0 of job is over");
    let status = &api.get(JOB)["status"];
    assert_eq!(status["trainerStatus"]["progressPercentage"], 1);
    // Any other change of the job is none of the report's.
    api.with(|kept| {
        let job = kept.objects.get_mut(JOB).unwrap();
        job["status"]["attempt"] = json!(0);
        kept.between = Some(Box::new(|kept| {
            let job = kept.objects.get_mut(JOB).unwrap();
            job["metadata"]["resourceVersion"] = json!("newest");
        }));
    });
    let router = router(api.client());
    let (code, _) = post_to(
        router,
        "good",
        r#"{"trainerStatus":{"progressPercentage":9}}"#,
    )
    .await;
    assert_eq!(code, StatusCode::OK);
    let status = &api.get(JOB)["status"];
    assert_eq!(status["trainerStatus"]["progressPercentage"], 9);
}

/// Each is a change of the job, of which all who watch it hear: the last is kept, those between are not.
#[tokio::test]
async fn many_reports_are_few_changes_and_the_last_one_counts() {
    let api = api();
    let router = router(api.client());
    let begun = std::time::Instant::now();
    let percent = |api: &Api| api.get(JOB)["status"]["trainerStatus"]["progressPercentage"].clone();
    for number in 1..=20 {
        let report = json!({ "trainerStatus": { "progressPercentage": number } }).to_string();
        let (code, _) = post_to(router.clone(), "good", &report).await;
        assert_eq!(code, StatusCode::OK);
    }
    if begun.elapsed() < std::time::Duration::from_secs(1) {
        assert_eq!(percent(&api), 1, "the others wait");
    }
    let late = begun + std::time::Duration::from_secs(20);
    while percent(&api) != 20 {
        assert!(std::time::Instant::now() < late, "{}", percent(&api));
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}
