//! What rank 0 reports to the operator of its job over TLS, and that training goes on whatever becomes of it.

use std::net::TcpListener;
use std::path::Path;
use std::process::Output;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::harness::{ended, epochs, free_port, mnist, rank_with, text, write_digits};
use crate::http::{Answer, Request, respond};

const PATH: &str = "/apis/kubeflow.org/v1/namespaces/lab/pytorchjobs/job/status";

/// An authority of the test's own, and what it has signed for localhost.
fn certified() -> (String, Arc<ServerConfig>) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(["localhost".to_owned()]).unwrap();
    let own = own.signed_by(&key, &issuer).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![own.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        );
    (issuer.pem(), Arc::new(config.unwrap()))
}

/// Serves over TLS until the test ends; gives the authority and the address.
fn serve(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> (String, String) {
    let (authority, config) = certified();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let answer = Arc::new(answer);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let (config, answer) = (Arc::clone(&config), Arc::clone(&answer));
            thread::spawn(move || {
                let connection = ServerConnection::new(config).ok()?;
                respond(StreamOwned::new(connection, stream), answer.as_ref())
            });
        }
    });
    (authority, format!("https://localhost:{port}{PATH}"))
}

/// Two ranks that are to report there.
fn two_ranks(folder: &Path, authority: &str, url: &str) -> Vec<Output> {
    let (certificate, token) = (folder.join("ca.crt"), folder.join("token"));
    std::fs::write(&certificate, authority).unwrap();
    std::fs::write(&token, "t0ken\n").unwrap();
    let kept = folder.join("checkpoints");
    let arguments = mnist(folder, "3", &kept, &["--batch", "32"]);
    let port = free_port();
    let variables = [
        ("KUBEFLOW_TRAINER_SERVER_URL", url),
        (
            "KUBEFLOW_TRAINER_SERVER_CA_CERT",
            certificate.to_str().unwrap(),
        ),
        ("KUBEFLOW_TRAINER_SERVER_TOKEN", token.to_str().unwrap()),
    ];
    let ranks: Vec<_> = (0..2)
        .map(|number| rank_with(number, 2, port, &arguments, &variables))
        .collect();
    ranks.into_iter().map(ended).collect()
}

#[test]
fn rank_0_reports_how_far_it_is_with_its_token() {
    let folder = tempfile::tempdir().unwrap();
    write_digits(folder.path(), 1280);
    let reports = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&reports);
    let (authority, url) = serve(move |request| {
        let is_right = request.headers["authorization"] == "Bearer t0ken"
            && [request.method.as_str(), request.path.as_str()] == ["POST", PATH];
        let report: Value = serde_json::from_slice(&request.body).unwrap();
        kept.lock().unwrap().push((is_right, report));
        (200, b"{}".to_vec())
    });
    for output in two_ranks(folder.path(), &authority, &url) {
        let said = text(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert!(!said.contains("cannot report"), "{said}");
    }
    let reports = reports.lock().unwrap();
    assert!(reports.iter().all(|(is_right, _)| *is_right));
    let status: Vec<_> = reports
        .iter()
        .map(|(_, one)| &one["trainerStatus"])
        .collect();
    assert!(status.len() > 1);
    let percent = |one: &&Value| one["progressPercentage"].as_i64();
    assert!(status.is_sorted_by_key(percent), "{status:?}");
    let last = status.last().unwrap();
    assert_eq!(last["progressPercentage"], 100);
    assert_eq!(last["estimatedRemainingSeconds"], 0);
    let metrics = last["metrics"].as_array().unwrap();
    let metric = |name: &str| {
        let metric = metrics.iter().find(|one| one["name"] == name).unwrap();
        metric["value"].as_str().unwrap().parse::<f64>().unwrap()
    };
    assert_eq!(metric("epoch"), 2.0);
    assert!(metric("loss").is_finite() && metric("accuracy") <= 1.0);
}

#[test]
fn an_operator_that_is_not_the_right_one_or_away_does_not_disturb() {
    let (authority, refusing) = serve(|_| (403, Vec::new()));
    let (_, other) = serve(|_| (200, Vec::new()));
    let away = format!("https://localhost:{}/status", free_port());
    // The system accepts for it, and nobody reads.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let silent = format!("https://localhost:{port}/status");
    let cases = [
        (refusing, "403"),
        (other, "certificate"),
        (away, "refused"),
        (silent, ""),
        ("http://localhost:1/status".to_owned(), "https"),
    ];
    thread::scope(|scope| {
        for (url, reason) in &cases {
            let authority = &authority;
            scope.spawn(move || {
                let folder = tempfile::tempdir().unwrap();
                write_digits(folder.path(), 1280);
                let begun = Instant::now();
                let outputs = two_ranks(folder.path(), authority, url);
                assert!(begun.elapsed() < Duration::from_secs(30));
                let said = text(&outputs[0].stderr);
                let told = said.lines().filter(|line| line.contains("cannot report"));
                let told: Vec<_> = told.collect();
                assert!(
                    told.len() == 1 && told[0].contains(url) && told[0].contains(reason),
                    "{said}"
                );
                assert!(!text(&outputs[1].stderr).contains("cannot report"));
                assert!(
                    outputs.iter().all(|output| output.status.success()),
                    "{said}"
                );
                assert_eq!(epochs(0, &text(&outputs[0].stdout)).len(), 3);
            });
        }
    });
}
