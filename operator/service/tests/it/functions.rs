//! Functions of notebooks: whose objects are taken and kept, who gets them, what pods run, and whose results come back.

use std::collections::HashSet;

use axum::body::Body;
use carrel_jobs_service::files::{Files, Of};
use carrel_jobs_service::objects::job;
use carrel_jobs_service::submission;
use carrel_report::{SIGNATURE_HEADER, Work, sign};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::site::{QUOTAS, Site, answered, keys, record, settings};

fn digest(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// What a notebook sends, with one object of these bytes.
fn body(object: &[u8]) -> Value {
    json!({
        "name": "mean",
        "ranks": 2,
        "function": {
            "program": [["", digest(b"program")]],
            "objects": [{ "name": "libcell_1.so", "sha256": digest(object) }],
            "function": ["libcell_1.so", 4096],
            "call": ["libcell_1.so", 8192],
        },
    })
}

async fn put(site: &Site, user: &str, object: &'static [u8]) -> (u16, Value) {
    let path = format!("/objects/{}", digest(object));
    let request = site.request(Method::PUT, &path).bearer_auth(user);
    answered(request.body(object)).await
}

#[tokio::test]
async fn objects_are_handed_over_once_and_lie_in_wait_for_the_job_s_ranks() {
    let site = Site::new(None).await;
    let place = format!("/objects/{}", digest(b"cell"));
    let (status, said) = site.ask("ada", Method::POST, "/jobs", body(b"cell")).await;
    assert_eq!(status, 409, "{said}");
    let words = format!(
        "the object libcell_1.so is not here: put it at objects/{} first",
        digest(b"cell")
    );
    assert_eq!(said["message"], words);
    assert_eq!(
        site.ask("ada", Method::HEAD, &place, Value::Null).await.0,
        404
    );
    assert_eq!(put(&site, "ada", b"cell").await.0, 204);
    assert_eq!(
        site.ask("ada", Method::HEAD, &place, Value::Null).await.0,
        200
    );
    // Those of others are nobody's business.
    assert_eq!(
        site.ask("bob", Method::GET, &place, Value::Null).await.0,
        404
    );
    assert_eq!(
        site.ask("bob", Method::POST, "/jobs", body(b"cell"))
            .await
            .0,
        409
    );
    let (status, made) = site.ask("ada", Method::POST, "/jobs", body(b"cell")).await;
    assert_eq!(status, 201, "{made}");
    let id = made["id"].as_str().unwrap();
    let get = |token: String, object: &[u8]| {
        let path = format!("/jobs/{id}/objects/{}", digest(object));
        answered(site.request(Method::GET, &path).bearer_auth(token))
    };
    assert_eq!(get(keys().token(id), b"cell").await, (200, json!("cell")));
    assert_eq!(get(keys().token("other"), b"cell").await.0, 403);
    assert_eq!(get("ada".to_owned(), b"cell").await.0, 403);
    // What is the user's, and none of this job.
    assert_eq!(put(&site, "ada", b"another").await.0, 204);
    assert_eq!(get(keys().token(id), b"another").await.0, 404);
}

#[tokio::test]
async fn an_object_is_what_its_digest_says_and_no_more_than_there_is_room_for() {
    let site = Site::new(None).await;
    let path = format!("/objects/{}", digest(b"one"));
    let wrong = site
        .request(Method::PUT, &path)
        .bearer_auth("ada")
        .body("other");
    let (status, said) = answered(wrong).await;
    assert_eq!(
        (status, &said["message"]),
        (
            400,
            &json!(format!("the object's SHA-256 is not {}", digest(b"one")))
        )
    );
    for bad in ["x", "..%2F..%2Fx", &digest(b"one").to_uppercase()] {
        let path = format!("/objects/{bad}");
        assert_eq!(
            site.ask("ada", Method::PUT, &path, json!("one")).await.0,
            400,
            "{bad}"
        );
        assert_eq!(
            site.ask("ada", Method::GET, &path, Value::Null).await.0,
            400,
            "{bad}"
        );
    }
    assert_eq!(put(&site, "ada", &[1; 1001]).await.0, 413);
}

#[tokio::test]
async fn objects_that_no_job_needs_make_room() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::open(folder.path(), &QUOTAS).unwrap();
    let take = async |user: &str, object: &'static [u8]| {
        let (used, own) = ([digest(&[1; 400])].into(), digest(object));
        let taken = files.take(user, &own, Body::from(object), &used);
        taken.await.is_ok()
    };
    assert!(take("ada", &[1; 400]).await && take("ada", &[2; 400]).await);
    assert!(take("bob", &[3; 900]).await);
    assert!(take("ada", &[4; 500]).await);
    let is_there = async |object: &[u8]| files.object("ada", &digest(object)).await.is_ok();
    assert!(is_there(&[1; 400]).await && !is_there(&[2; 400]).await && is_there(&[4; 500]).await);
    // The job's own stay.
    assert!(!take("ada", &[5; 700]).await);
    assert!(is_there(&[1; 400]).await);
}

#[tokio::test]
async fn nobody_waits_for_what_somebody_else_hands_over() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::open(folder.path(), &QUOTAS).unwrap();
    let none = HashSet::new();
    let slow = || Body::from_stream(futures_util::stream::pending::<std::io::Result<Vec<u8>>>());
    let own = digest(b"never");
    let many = (0..8).map(|_| files.take("ada", &own, slow(), &none));
    let other = digest(b"bob's");
    tokio::select! {
        biased;
        _ = futures_util::future::join_all(many) => panic!("they have no end"),
        taken = files.take("bob", &other, Body::from("bob's"), &none) => assert!(taken.is_ok()),
    }
}

/// As where the service is killed in the midst of it, or the client leaves.
#[tokio::test]
async fn what_was_not_taken_whole_takes_no_room() {
    let folder = tempfile::tempdir().unwrap();
    let files = Files::open(folder.path(), &QUOTAS).unwrap();
    let none = HashSet::new();
    let endless = futures_util::stream::pending::<std::io::Result<Vec<u8>>>();
    let parts = futures_util::stream::iter([Ok(vec![1; 900])]);
    let body = Body::from_stream(futures_util::StreamExt::chain(parts, endless));
    let own = digest(b"never");
    {
        let mut taking = std::pin::pin!(files.take("ada", &own, body, &none));
        let begun = async {
            while walk(folder.path()).is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            _ = &mut taking => panic!("it has no end"),
            () = begun => {}
        }
    }
    assert_eq!(walk(folder.path()), [""; 0]);
    let left = folder.path().join("objects/of-somebody/7.unfinished");
    std::fs::create_dir_all(left.parent().unwrap()).unwrap();
    std::fs::write(&left, "half").unwrap();
    Files::open(folder.path(), &QUOTAS).unwrap();
    assert!(!left.exists());
}

/// The names of all files in the folders of objects.
fn walk(folder: &std::path::Path) -> Vec<String> {
    let users = std::fs::read_dir(folder.join("objects")).unwrap().flatten();
    let files = users.flat_map(|user| std::fs::read_dir(user.path()).unwrap().flatten());
    files
        .map(|file| file.file_name().into_string().unwrap())
        .collect()
}

#[tokio::test]
async fn results_are_the_ranks_own_and_go_with_the_job() {
    let site = Site::new(None).await;
    assert_eq!(put(&site, "ada", b"cell").await.0, 204);
    let (_, made) = site.ask("ada", Method::POST, "/jobs", body(b"cell")).await;
    let id = made["id"].as_str().unwrap();
    let hand_over = |rank: usize, attempt: u64, secret: String| {
        let path = format!("/jobs/{id}/ranks/{rank}/result?attempt={attempt}");
        let request = site
            .request(Method::PUT, &path)
            .bearer_auth(keys().token(id));
        let signature = sign(secret.as_bytes(), b"seven");
        answered(request.header(SIGNATURE_HEADER, signature).body("seven"))
    };
    let path = format!("/jobs/{id}/ranks/1/result");
    assert_eq!(
        site.ask("ada", Method::GET, &path, Value::Null).await.0,
        404
    );
    assert_eq!(hand_over(1, 1, "another".to_owned()).await.0, 403);
    assert_eq!(hand_over(1, 2, keys().secret(id)).await.0, 409);
    assert_eq!(hand_over(2, 1, keys().secret(id)).await.0, 404);
    assert_eq!(hand_over(1, 1, keys().secret(id)).await.0, 204);
    assert_eq!(
        site.ask("ada", Method::GET, &path, Value::Null).await,
        (200, json!("seven"))
    );
    assert_eq!(
        site.ask("bob", Method::GET, &path, Value::Null).await.0,
        404
    );
    let files = Files::open(site.folder.path(), &QUOTAS).unwrap();
    let of = |attempt| Of {
        job: id,
        attempt,
        rank: 1,
    };
    assert!(files.result(of(1)).await.is_ok() && files.result(of(2)).await.is_err());
    let gone = site
        .ask("ada", Method::DELETE, &format!("/jobs/{id}"), Value::Null)
        .await;
    assert_eq!(gone.0, 204);
    assert!(files.result(of(1)).await.is_err());
}

#[test]
fn pods_of_a_function_are_of_the_notebook_s_image() {
    let mut record = record(2);
    let function = submission::read(body(b"cell").to_string().as_bytes(), true).unwrap();
    record.kept.description = function;
    assert!(matches!(record.kept.description.work, Work::Function(_)));
    let object = job(&record, &settings(None));
    let specs = &object["spec"]["pytorchReplicaSpecs"];
    for role in ["Master", "Worker"] {
        let pod = &specs[role]["template"]["spec"];
        let container = &pod["containers"][0];
        assert_eq!(container["image"], "localhost/carrel-singleuser");
        let command = json!(["/opt/carrel/prelude/carrel-worker", "run-function", "/job"]);
        assert_eq!(container["command"], command);
        let variables = container["env"].as_array().unwrap();
        let value = |name: &str| {
            let found = variables.iter().find(|one| one["name"] == name);
            found.map_or(Value::Null, |one| one["value"].clone())
        };
        let own = "http://service/services/training/api/v1/jobs/digits-1-0a";
        assert_eq!(value("CARREL_OBJECTS_URL"), format!("{own}/objects"));
        assert_eq!(
            value("CARREL_RESULT_URL"),
            format!("{own}/ranks/{{rank}}/result?attempt=1")
        );
        // The program finds objects by itself: an image may have set this.
        assert_eq!(value("LD_LIBRARY_PATH"), Value::Null);
        let mounts = container["volumeMounts"].as_array().unwrap();
        assert!(
            mounts
                .iter()
                .any(|mount| mount["mountPath"] == "/job/objects")
        );
    }
    // A service without that image says so.
    let refused = submission::read(body(b"cell").to_string().as_bytes(), false).unwrap_err();
    assert!(
        refused.message.contains("--function-image"),
        "{}",
        refused.message
    );
}
