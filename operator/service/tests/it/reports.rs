//! Reports of ranks, and models that rank 0 hands over.

use carrel_jobs_service::record::Record;
use carrel_jobs_service::reports::take;
use carrel_report::{RankState, RankStatus, Report, sign};
use reqwest::Method;
use serde_json::{Value, json};

use crate::site::{Site, answered, keys, record};

fn report(job: &str, attempt: u64, begun: u64, sequence: u64, loss: f64) -> Report {
    Report {
        job: job.to_owned(),
        attempt,
        rank: 1,
        world: 2,
        begun,
        sequence,
        status: RankStatus {
            state: RankState::Running,
            loss: Some(loss),
            ..RankStatus::default()
        },
        ..Report::default()
    }
}

#[test]
fn late_reports_and_those_of_another_attempt_change_nothing() {
    let mut record = record(2);
    record.kept.attempt = 2;
    let id = record.id.clone();
    let take = |record: &mut Record, one: Report| take(record, 1, one).map_err(|no| no.status);
    let loss = |record: &Record| record.ranks[1].status.loss;
    take(&mut record, report(&id, 2, 100, 2, 0.5)).unwrap();
    assert!(record.is_changed);
    // Late, twice, and of a process that is gone.
    for (begun, sequence) in [(100, 1), (100, 2), (99, 7)] {
        take(&mut record, report(&id, 2, begun, sequence, 9.0)).unwrap();
        assert_eq!(loss(&record), Some(0.5));
    }
    take(&mut record, report(&id, 2, 101, 1, 0.25)).unwrap();
    assert_eq!(loss(&record), Some(0.25));
    assert_eq!(
        take(&mut record, report(&id, 1, 200, 9, 9.0)).unwrap_err(),
        409
    );
    assert_eq!(
        take(&mut record, report(&id, 3, 200, 9, 9.0)).unwrap_err(),
        409
    );
    for wrong in [
        Report {
            job: "other".to_owned(),
            ..report(&id, 2, 200, 1, 9.0)
        },
        Report {
            rank: 0,
            ..report(&id, 2, 200, 1, 9.0)
        },
        Report {
            world: 3,
            ..report(&id, 2, 200, 1, 9.0)
        },
        Report {
            task: Some("evaluator 0".to_owned()),
            ..report(&id, 2, 200, 1, 9.0)
        },
    ] {
        assert_eq!(take(&mut record, wrong).unwrap_err(), 400);
    }
    assert_eq!(loss(&record), Some(0.25));
}

#[test]
fn what_a_report_holds_is_bounded() {
    let mut record = record(2);
    let mut large = report(&record.id.clone(), 1, 1, 1, 0.5);
    large.status.losses = vec![0.5; 30_000];
    large.status.reason = Some("é".repeat(5000));
    take(&mut record, 1, large).unwrap();
    let status = &record.ranks[1].status;
    assert_eq!(status.losses.len(), 20_000);
    assert_eq!(status.reason.as_ref().unwrap().chars().count(), 2000);
}

#[tokio::test]
async fn only_what_the_job_s_secret_has_signed_is_taken() {
    let site = Site::new(None).await;
    let id = site.submit("ada", 2).await;
    let other = site.submit("ada", 2).await;
    let (secret, token) = (keys().secret(&id), keys().token(&id));
    let body = serde_json::to_vec(&report(&id, 1, 1, 1, 0.5)).unwrap();
    let post = |id: &str, token: &str, secret: &str, body: &[u8]| {
        let request = site.request(Method::POST, &format!("/jobs/{id}/ranks/1/status"));
        let signature = sign(secret.as_bytes(), body);
        let request = request.bearer_auth(token);
        request
            .header("X-Carrel-Signature-256", signature)
            .body(body.to_owned())
    };
    let status = async |request| answered(request).await.0;
    assert_eq!(status(post(&id, "ada", &secret, &body)).await, 403);
    assert_eq!(status(post(&id, &token, "wrong", &body)).await, 403);
    assert_eq!(status(post(&other, &token, &secret, &body)).await, 403);
    assert_eq!(status(post(&id, &token, &secret, b"{")).await, 400);
    assert_eq!(
        status(post(&id, &token, &secret, &vec![b' '; 2 << 20])).await,
        413
    );
    let none = site.request(Method::POST, &format!("/jobs/{id}/ranks/1/status"));
    assert_eq!(
        status(none.bearer_auth(&token).body(body.clone())).await,
        403
    );
    // One of a job that was never there is known by nothing but its name.
    let (secret_of_none, token_of_none) = (keys().secret("none"), keys().token("none"));
    let to_none = post("none", &token_of_none, &secret_of_none, &body);
    assert_eq!(status(to_none).await, 404);
    let (_, job) = site
        .ask("ada", Method::GET, &format!("/jobs/{id}"), Value::Null)
        .await;
    assert_eq!(job["status"]["ranks"][1]["state"], "Starting");
    assert_eq!(status(post(&id, &token, &secret, &body)).await, 204);
    let (_, job) = site
        .ask("ada", Method::GET, &format!("/jobs/{id}"), Value::Null)
        .await;
    assert_eq!(job["status"]["ranks"][1]["loss"], 0.5);
}

#[tokio::test]
async fn a_model_is_taken_whole_signed_and_not_too_large() {
    let site = Site::new(None).await;
    let id = site.submit("ada", 2).await;
    let path = format!("/jobs/{id}/model");
    let (secret, token) = (keys().secret(&id), keys().token(&id));
    let put = async |secret: &str, body: &[u8]| {
        let request = site.request(Method::PUT, &path).bearer_auth(&token);
        let signature = sign(secret.as_bytes(), body);
        let request = request.header("X-Carrel-Signature-256", signature);
        answered(request.body(body.to_owned())).await.0
    };
    assert_eq!(put("wrong", b"weights").await, 403);
    assert_eq!(
        site.ask("ada", Method::GET, &path, Value::Null).await.0,
        204
    );
    assert_eq!(put(&secret, b"weights").await, 204);
    // What is refused leaves the one before.
    assert_eq!(put(&secret, &[1; 1001]).await, 413);
    assert_eq!(put("wrong", b"others").await, 403);
    let got = site.ask("ada", Method::GET, &path, Value::Null).await;
    assert_eq!(got, (200, json!("weights")));
    assert_eq!(
        site.ask("bob", Method::GET, &path, Value::Null).await.0,
        404
    );
    // All together have a limit too.
    let other = site.submit("ada", 2).await;
    let request = site.request(Method::PUT, &format!("/jobs/{other}/model"));
    let body = vec![1; 1000];
    let signature = sign(keys().secret(&other).as_bytes(), &body);
    let request = request
        .bearer_auth(keys().token(&other))
        .header("X-Carrel-Signature-256", signature);
    assert_eq!(answered(request.body(body)).await.0, 204);
    assert_eq!(put(&secret, &[1; 600]).await, 413);
}
