//! The API server's questions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode};
use carrel_operator::certificate::{Loaded, make};
use carrel_operator::metrics::Metrics;
use carrel_operator::server::{Tls, conversions, tls};
use carrel_operator::webhook::answer;
use futures_util::future::join_all;
use futures_util::stream;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, crypto};
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

/// One that opens connections and says nothing holds none of the places of others.
#[tokio::test]
async fn a_silent_address_stops_no_other() {
    let names = ["operator.test".to_owned()];
    let certificate = make(&names, None, Timestamp::now()).unwrap();
    let config = Arc::new(certificate.config().unwrap());
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(certificate.authorities.as_bytes());
    roots.add(authority.unwrap()).unwrap();
    let (_sender, loaded) = watch::channel(Some(Arc::new(Loaded {
        certificate,
        config,
    })));
    let listener = TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = Tls {
        listener,
        router: conversions(Arc::new(Metrics::default())),
        keeps: true,
    };
    tokio::spawn(tls(server, loaded));
    let mut silent = Vec::new();
    for _ in 0..600 {
        silent.push(TcpStream::connect(("127.0.0.1", port)).await.unwrap());
    }
    let provider = Arc::new(crypto::ring::default_provider());
    let client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap();
    let client = client.with_root_certificates(roots).with_no_client_auth();
    let other = TcpSocket::new_v4().unwrap();
    other.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let to = format!("127.0.0.1:{port}").parse().unwrap();
    let asked = async {
        let stream = other.connect(to).await.unwrap();
        let name = ServerName::try_from("operator.test").unwrap();
        TlsConnector::from(Arc::new(client))
            .connect(name, stream)
            .await
    };
    // Sooner than any of those is given up.
    let asked = timeout(Duration::from_millis(2500), asked).await;
    asked.unwrap().unwrap();
    drop(silent);
}
