//! What the service refuses, and whom.

use std::time::Duration;

use carrel_jobs_service::answer::Refusal;
use carrel_jobs_service::record::Record;
use carrel_report::RankState;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use kube::core::Status;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::site::{Site, answered, description, keys};

fn said(body: &Value) -> &str {
    body["message"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn only_a_user_whose_token_leads_here_is_let_in() {
    let site = Site::new(None).await;
    let get = || site.request(Method::GET, "/jobs");
    assert_eq!(answered(get()).await.0, 401);
    for (header, status, words) in [
        ("Basic YTpi", 401, "no token"),
        ("Bearer ", 401, "no token"),
        ("Bearer nobody", 403, "does not know this token"),
        ("Bearer other", 403, "access:services!service=training"),
        ("Bearer service", 403, "of no user"),
        ("Bearer broken", 503, "the Hub does not answer"),
    ] {
        let (found, body) = answered(get().header("authorization", header)).await;
        assert_eq!(found, status, "{header}: {body}");
        assert_eq!(body["status"], status);
        assert!(said(&body).contains(words), "{header}: {body}");
    }
    for header in ["Bearer ada", "token ada", "bearer eve"] {
        let (status, body) = answered(get().header("authorization", header)).await;
        assert_eq!((status, body), (200, json!({ "jobs": [] })), "{header}");
    }
    // Every path but those of ranks asks.
    for (method, path) in [
        (Method::POST, "/jobs"),
        (Method::GET, "/jobs/a"),
        (Method::DELETE, "/jobs/a"),
        (Method::GET, "/jobs/a/ranks/0/log"),
        (Method::GET, "/jobs/a/model"),
        (Method::POST, "/jobs/a/cancel"),
        (Method::POST, "/jobs/a/resume"),
    ] {
        let (status, body) = answered(site.request(method, path)).await;
        assert_eq!(status, 401, "{path}: {body}");
    }
    assert_eq!(answered(site.request(Method::GET, "/none")).await.0, 404);
}

#[tokio::test]
async fn the_hub_is_not_asked_for_every_request() {
    let site = Site::new(None).await;
    for _ in 0..5 {
        site.ask("ada", Method::GET, "/jobs", Value::Null).await;
        site.ask("nobody", Method::GET, "/jobs", Value::Null).await;
    }
    let asked = *site.asked.lock().unwrap();
    assert!((2..10).contains(&asked), "{asked}");
}

fn function(objects: Value) -> Value {
    json!({ "program": [], "objects": objects, "function": ["", 0], "call": ["", 0] })
}

#[tokio::test]
async fn what_is_no_description_is_refused_with_the_place() {
    let site = Site::new(None).await;
    let good = serde_json::to_value(description(1)).unwrap();
    let without = |field: &str| {
        let mut description = good.clone();
        description.as_object_mut().unwrap().remove(field);
        description
    };
    let with = |field: &str, value: Value| {
        let mut description = good.clone();
        description[field] = value;
        description
    };
    for (body, words) in [
        (json!("{"), "no JSON"),
        (json!([]), "no object"),
        (without("name"), "name: it is missing"),
        (with("name", json!("a/b")), "name: use letters"),
        (with("name", json!("")), "name: use letters"),
        (with("name", json!("n".repeat(101))), "name: use letters"),
        (with("name", json!(7)), "name: it is no text"),
        (without("ranks"), "ranks: it is missing"),
        (with("ranks", json!(0)), "ranks: it is no number from 1 on"),
        (with("ranks", json!(-1)), "ranks: it is no number from 1 on"),
        (
            with("ranks", json!(1.5)),
            "ranks: it is no number from 1 on",
        ),
        (without("recipe"), "recipe: it is missing"),
        (
            with("recipe", json!("mnist")),
            "recipe.recipe: it is no text",
        ),
        (
            with("recipe", json!({ "recipe": "x" })),
            "recipe.recipe: there is no such recipe",
        ),
        (
            with(
                "function",
                function(json!([{ "name": "../x", "sha256": "0".repeat(64) }])),
            ),
            "function.objects: \"../x\" with",
        ),
        (
            with("function", function(json!(["cell.so"]))),
            "function.objects: invalid type",
        ),
        (
            with("function", json!({ "objects": [] })),
            "function.program: it is missing",
        ),
    ] {
        let (status, answer) = site.ask("ada", Method::POST, "/jobs", body.clone()).await;
        assert_eq!(status, 400, "{body}: {answer}");
        assert!(said(&answer).contains(words), "{body}: {answer}");
    }
    let large = with(
        "recipe",
        json!({ "recipe": "mnist", "data": "x".repeat(300_000) }),
    );
    assert_eq!(site.ask("ada", Method::POST, "/jobs", large).await.0, 413);
    assert_eq!(site.cluster.names("configmaps"), [""; 0]);
}

#[tokio::test]
async fn quotas_are_kept_for_each_user() {
    let site = Site::new(None).await;
    let ask = async |user: &str, ranks: usize| {
        let body = serde_json::to_value(description(ranks)).unwrap();
        site.ask(user, Method::POST, "/jobs", body).await
    };
    let (status, body) = ask("ada", 5).await;
    assert_eq!(status, 403);
    assert!(said(&body).contains("at most 4"), "{body}");
    let first = site.submit("ada", 4).await;
    let (status, body) = ask("ada", 3).await;
    assert_eq!(status, 429);
    assert!(said(&body).contains("4 ranks that run"), "{body}");
    site.submit("ada", 2).await;
    let (status, body) = ask("ada", 1).await;
    assert_eq!(status, 429);
    assert!(said(&body).contains("2 of your jobs run"), "{body}");
    // Another user has quotas of their own, and ended jobs do not count as running.
    site.submit("bob", 4).await;
    let path = format!("/jobs/{first}");
    assert_eq!(
        site.ask("ada", Method::DELETE, &path, Value::Null).await.0,
        204
    );
    // Pods that end slowly hold what they have.
    site.jobs.let_go(|record| record.id == first);
    assert_eq!(ask("ada", 1).await.0, 429);
    site.jobs.let_go(|_| false);
    site.submit("ada", 1).await;
}

/// What the API server says is passed on as what it is: one that is asked too much is no lack of rights.
#[test]
fn refusals_of_the_cluster_keep_their_meaning() {
    for (code, shown) in [
        (403, 403),
        (404, 404),
        (409, 409),
        (422, 422),
        (429, 429),
        (400, 403),
        (500, 502),
    ] {
        let status = Status::failure("because", "Reason").with_code(code);
        let refusal = Refusal::from(kube::Error::Api(Box::new(status)));
        assert_eq!(refusal.status, shown, "{code}");
    }
}

/// A rank that says it has ended may go on; what its pod holds counts until it has ended.
#[tokio::test]
async fn pods_that_go_on_count_whatever_their_ranks_say() {
    let site = Site::new(Some("claim-{username}")).await;
    let ask = async || {
        let body = serde_json::to_value(description(4)).unwrap();
        site.ask("ada", Method::POST, "/jobs", body).await
    };
    let id = site.submit("ada", 4).await;
    let end = |record: &mut Record| {
        let ends = record.all(RankState::Succeeded, None);
        record.end(&ends);
        Ok(())
    };
    site.jobs.with_job(&id, end).unwrap();
    site.jobs.count_pods(&[(id.clone(), 4)].into());
    let (status, body) = ask().await;
    assert_eq!(status, 429, "{body}");
    assert!(said(&body).contains("4 ranks that run"), "{body}");
    let path = format!("/jobs/{id}");
    let again = format!("{path}/resume");
    let resumed = site.ask("ada", Method::POST, &again, Value::Null);
    assert_eq!(resumed.await.0, 429);
    assert!(site.jobs.alive().contains(&id), "nobody would end them");
    // Nor do they when the job is deleted.
    assert_eq!(
        site.ask("ada", Method::DELETE, &path, Value::Null).await.0,
        204
    );
    assert_eq!(ask().await.0, 429);
    site.jobs.let_go(|_| false);
    assert_eq!(ask().await.0, 201);
}

#[tokio::test]
async fn nobody_sees_or_touches_the_jobs_of_another() {
    let site = Site::new(Some("claim-{username}")).await;
    let id = site.submit("ada", 1).await;
    assert!(id.starts_with("digits-1-"), "{id}");
    for (method, path) in [
        (Method::GET, ""),
        (Method::DELETE, ""),
        (Method::GET, "/ranks/0/log"),
        (Method::GET, "/model"),
        (Method::POST, "/cancel"),
        (Method::POST, "/resume"),
    ] {
        let path = format!("/jobs/{id}{path}");
        let (status, body) = site.ask("bob", method, &path, Value::Null).await;
        assert_eq!(status, 404, "{path}: {body}");
        // As for one that is not there.
        assert_eq!(said(&body), format!("you have no job \"{id}\""));
    }
    let (_, list) = site.ask("bob", Method::GET, "/jobs", Value::Null).await;
    assert_eq!(list["jobs"], json!([]));
    let (_, list) = site.ask("ada", Method::GET, "/jobs", Value::Null).await;
    assert_eq!(list["jobs"][0]["id"], json!(id));
}

#[tokio::test]
async fn a_job_that_runs_is_not_resumed_and_a_deleted_one_is_gone() {
    let site = Site::new(None).await;
    let id = site.submit("ada", 2).await;
    let path = format!("/jobs/{id}");
    let ask = async |method, end: &str| {
        let path = format!("{path}{end}");
        site.ask("ada", method, &path, Value::Null).await
    };
    let (status, body) = ask(Method::POST, "/resume").await;
    assert_eq!(status, 409);
    assert!(said(&body).contains("still runs"), "{body}");
    assert_eq!(ask(Method::GET, "/model").await.0, 204);
    // Nothing of it is on a node yet.
    assert_eq!(ask(Method::GET, "/ranks/1/log").await, (200, json!("")));
    assert_eq!(ask(Method::GET, "/ranks/2/log").await.0, 404);
    assert_eq!(ask(Method::POST, "/cancel").await.0, 202);
    let kept = site.cluster.get("configmaps", &id)["data"]["job.json"].clone();
    assert!(kept.as_str().unwrap().contains("\"cancelled\":1"), "{kept}");
    assert_eq!(ask(Method::DELETE, "").await.0, 204);
    assert_eq!(ask(Method::GET, "").await.0, 404);
    assert_eq!(site.cluster.names("configmaps"), [""; 0]);
}

/// Nothing is read of who is not known: this one promises more than it ever sends.
#[tokio::test]
async fn a_stranger_is_refused_before_anything_is_read() {
    let site = Site::new(None).await;
    let url = reqwest::Url::parse(&site.url).unwrap();
    let address = url.socket_addrs(|| None).unwrap()[0];
    let mut socket = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST {}/jobs HTTP/1.1\r\nhost: a\r\ncontent-length: 9000\r\n\r\n{{",
        url.path()
    );
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    let read = timeout(Duration::from_secs(10), socket.read_exact(&mut answer));
    read.await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 401");
}

/// What ranks of one user send slowly holds no place that another user's requests need.
#[tokio::test]
async fn ranks_that_stall_stop_nobody_but_their_user() {
    let site = Site::new(None).await;
    let (id, other) = (site.submit("eve", 1).await, site.submit("ada", 1).await);
    let url = reqwest::Url::parse(&site.url).unwrap();
    let address = url.socket_addrs(|| None).unwrap()[0];
    let path = format!("{}/jobs/{id}/ranks/0/result?attempt=1", url.path());
    let token = keys().token(&id);
    let head = format!(
        "PUT {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\ncontent-length: 9000\r\n\r\n{{"
    );
    let mut stalled = Vec::new();
    for _ in 0..560 {
        let mut socket = TcpStream::connect(address).await.unwrap();
        socket.write_all(head.as_bytes()).await.unwrap();
        stalled.push(socket);
    }
    // Those that are too many are told so at once; 64 wait for the rest.
    let answers: FuturesUnordered<_> = stalled.iter_mut().map(answer).collect();
    let refused = answers.take(560 - 64).collect::<Vec<_>>();
    let refused = timeout(Duration::from_secs(20), refused).await.unwrap();
    assert!(refused.iter().all(|answer| answer == b"HTTP/1.1 429"));
    let (status, list) = site.ask("ada", Method::GET, "/jobs", Value::Null).await;
    assert_eq!((status, &list["jobs"][0]["id"]), (200, &json!(other)));
    let (status, _) = site.ask("eve", Method::GET, "/jobs", Value::Null).await;
    assert_eq!(status, 200);
}

async fn answer(socket: &mut TcpStream) -> [u8; 12] {
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    answer
}

/// What the operator kept of a pod that is gone is a log still.
#[tokio::test]
async fn a_log_may_outlive_its_pod() {
    let site = Site::new(Some("claim-{username}")).await;
    let id = site.submit("ada", 2).await;
    let log = async |rank: usize| {
        let path = format!("/jobs/{id}/ranks/{rank}/log");
        site.ask("ada", Method::GET, &path, Value::Null).await
    };
    assert_eq!(log(1).await.0, 200, "it may come");
    let mut object = String::new();
    let end = |record: &mut Record| {
        let ends = record.all(RankState::Succeeded, None);
        record.end(&ends);
        object = record.object();
        Ok(())
    };
    site.jobs.with_job(&id, end).unwrap();
    assert_eq!(log(1).await.0, 404);
    let key = |time: &str| format!("{object}-worker-0.20260101T{time}Z");
    let data = json!({ key("000000"): "before\n", key("010000"): "END\n" });
    site.cluster.put(
        "configmaps",
        &format!("{object}-logs"),
        json!({ "data": data }),
    );
    let (status, kept) = log(1).await;
    assert_eq!(status, 200, "{kept}");
    let kept = kept.as_str().unwrap();
    assert!(
        kept.ends_with("\nEND\n") && kept.contains("its log"),
        "{kept}"
    );
    assert_eq!(log(0).await.0, 404);
}
