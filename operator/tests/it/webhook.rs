//! The API server's questions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use carrel_operator::metrics::Metrics;
use carrel_operator::server::conversions;
use carrel_operator::webhook::answer;
use futures_util::future::join_all;
use futures_util::stream;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::world::EXAMPLE;

fn review(to: &str, objects: Value) -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "ConversionReview",
        "request": { "uid": "the-uid", "desiredAPIVersion": to, "objects": objects },
    })
}

#[test]
fn every_object_is_answered_in_order() {
    let one: Value = serde_saphyr::from_str(EXAMPLE).unwrap();
    let mut two = one.clone();
    two["metadata"]["name"] = json!("two");
    let (answer, count) = answer(&review("kubeflow.org/v1beta1", json!([one, two])));
    assert_eq!(count, 2);
    assert_eq!(answer["response"]["uid"], "the-uid");
    assert_eq!(answer["response"]["result"], json!({ "status": "Success" }));
    let converted = answer["response"]["convertedObjects"].as_array().unwrap();
    let names: Vec<_> = converted
        .iter()
        .map(|one| &one["metadata"]["name"])
        .collect();
    assert_eq!(names, ["example-job", "two"]);
    assert_eq!(converted[0]["apiVersion"], "kubeflow.org/v1beta1");
}

#[test]
fn nonsense_is_refused_with_the_cause() {
    let said = |review: Value| {
        let (answer, count) = answer(&review);
        assert_eq!(count, 0);
        assert_eq!(answer["response"]["result"]["status"], "Failed");
        answer["response"]["result"]["message"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let pod = json!([{ "apiVersion": "v1", "kind": "Pod" }]);
    assert_eq!(
        said(review("v1", pod)),
        "\"Pod\" is no kind of this operator"
    );
    let job = json!([{ "apiVersion": "kubeflow.org/v7", "kind": "TFJob" }]);
    assert_eq!(
        said(review("kubeflow.org/v1", job)),
        "TFJob has no version \"kubeflow.org/v7\""
    );
    assert_eq!(said(review("v1", json!([1]))), "the object has no kind");
}

/// The body comes late: the request ends, and makes room for others.
#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let router = conversions(Arc::new(Metrics::default()));
    let ask = |body: Body| {
        let request = Request::post("/convert").body(body).unwrap();
        router.clone().oneshot(request)
    };
    let silent = || Body::from_stream(stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let late: Vec<_> = (0..4).map(|_| ask(silent())).collect();
    let late = tokio::spawn(join_all(late));
    tokio::task::yield_now().await;
    let begun = Instant::now();
    let nonsense = ask(Body::from("{")).await.unwrap();
    assert_eq!(nonsense.status(), StatusCode::BAD_REQUEST);
    // No more than four are read at a time.
    assert!(begun.elapsed() > Duration::from_secs(5));
    let answered = ask(Body::from(review("v1", json!([])).to_string())).await;
    assert_eq!(answered.unwrap().status(), StatusCode::OK);
    for answer in late.await.unwrap() {
        assert_eq!(answer.unwrap().status(), StatusCode::REQUEST_TIMEOUT);
    }
}
