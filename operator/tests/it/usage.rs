//! The usage report: what is in it, that what is shown is what is sent, and that nothing is sent unasked.

use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, Request, StatusCode};
use axum::routing::{get, post};
use carrel_operator::usage::{Options, Usage, address, router};
use kube::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tower::ServiceExt as _;

/// A cluster of three nodes and of jobs that are told one a page; it knows no TrainJobs.
fn cluster() -> Router {
    let node = |cpu: &str| {
        json!({
            "metadata": { "name": "secret-node", "labels": { "team": "secret" } },
            "status": { "capacity": { "cpu": cpu, "memory": "8Gi", "pods": "110" }, "nodeInfo": { "machineID": "secret" } },
        })
    };
    let nodes = json!({ "metadata": {}, "items": [node("4"), node("2"), node("4")] });
    let job = |status: Value| {
        json!({
            "metadata": { "name": "secret-job", "namespace": "secret" }, "spec": { "secret": 1 }, "status": status,
        })
    };
    let states = [
        json!({ "state": "Running", "reason": "secret" }),
        json!({ "state": "Running" }),
        json!({ "state": "secret" }),
        json!({}),
        Value::Null,
    ];
    let states = states.map(job);
    let jobs = async move |Query(query): Query<std::collections::HashMap<String, String>>| {
        let at: usize = query
            .get("continue")
            .map_or(0, |more| more.parse().unwrap());
        let more = (at + 1 < states.len()).then(|| (at + 1).to_string());
        axum::Json(json!({
            "metadata": { "continue": more.unwrap_or_default() }, "items": [states[at]],
        }))
    };
    let version = json!({
        "major": "1", "minor": "34", "gitVersion": "v1.34.4", "gitCommit": "", "gitTreeState": "", "buildDate": "",
        "goVersion": "", "compiler": "", "platform": "",
    });
    let none = json!({ "metadata": {}, "items": [] });
    let answer = |value: Value| get(async move || axum::Json(value));
    Router::new()
        .route("/version", answer(version))
        .route("/api/v1/nodes", answer(nodes))
        .route("/apis/kubeflow.org/v1/tfjobs", get(jobs))
        .route("/apis/kubeflow.org/v1/pytorchjobs", answer(none))
        .fallback(async || {
            let status = json!({ "kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": "" });
            (StatusCode::NOT_FOUND, axum::Json(status))
        })
}

fn usage(cluster: Router, options: Options) -> Arc<Usage> {
    Arc::new(Usage::new(Client::new(cluster, "default"), options).unwrap())
}

async fn ask(usage: &Arc<Usage>, path: &str) -> (StatusCode, String) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let answer = router(Arc::clone(usage)).oneshot(request).await.unwrap();
    let code = answer.status();
    let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (code, String::from_utf8(body.to_vec()).unwrap())
}

/// A server that keeps what comes to it.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Came>>);

#[derive(Default)]
struct Came {
    /// With their type.
    bodies: Vec<(String, String)>,
    /// What it answers; 200 unless given.
    code: u16,
}

impl Sink {
    fn got(&self) -> Vec<(String, String)> {
        self.0.lock().unwrap().bodies.clone()
    }

    fn router(&self) -> Router {
        let take = async |State(sink): State<Self>, headers: HeaderMap, body: String| {
            let mut kept = sink.0.lock().unwrap();
            let kind = headers["content-type"].to_str().unwrap().to_owned();
            kept.bodies.push((kind, body));
            let moved = [("location", "/elsewhere")];
            (StatusCode::from_u16(kept.code.max(200)).unwrap(), moved)
        };
        Router::new()
            .route("/in", post(take))
            .route("/elsewhere", get(take).post(take))
            .with_state(self.clone())
    }

    /// Listens, and says where.
    async fn listen(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = self.router();
        tokio::spawn(async move { axum::serve(listener, router).await });
        format!("http://{address}/in")
    }
}

#[tokio::test]
async fn the_report_has_numbers_and_no_names() {
    let options = Options {
        cluster: Some("lab".to_owned()),
        ..Options::default()
    };
    let usage = usage(cluster(), options);
    let (code, text) = ask(&usage, "/usage.json").await;
    assert_eq!(code, StatusCode::OK);
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        report,
        json!({
            "cluster": "lab",
            "carrel": env!("CARGO_PKG_VERSION"),
            "kubernetes": "v1.34.4",
            "nodes": [
                { "count": 1, "cpu": "2", "memory": "8Gi" },
                { "count": 2, "cpu": "4", "memory": "8Gi" },
            ],
            "jobs": { "PyTorchJob": {}, "TFJob": { "New": 2, "Other": 1, "Running": 2 } },
        })
    );
    let (code, page) = ask(&usage, "/").await;
    assert_eq!(code, StatusCode::OK);
    let shown = page.replace("&#34;", "\"");
    assert!(shown.contains(&text), "{page}");
    assert!(page.contains("sent nowhere"), "{page}");
    let (code, metrics) = ask(&usage, "/metrics").await;
    assert_eq!(code, StatusCode::OK);
    for line in [
        r#"carrel_usage_nodes{cpu="4",memory="8Gi"} 2"#,
        r#"carrel_usage_jobs{kind="TFJob",state="Running"} 2"#,
        "carrel_usage_reports_sent_total 0",
    ] {
        assert!(metrics.lines().any(|one| one == line), "{metrics}");
    }
    assert!(!format!("{text}{page}{metrics}").contains("secret"));
    usage.send().await;
    let (code, _) = ask(&usage, "/sent.json").await;
    assert_eq!(code, StatusCode::NOT_FOUND, "nobody asked to send");
}

#[tokio::test]
async fn what_is_sent_is_what_is_shown_and_the_answer_too() {
    let sink = Sink::default();
    let url = sink.listen().await;
    let options = Options {
        send_to: Some(address(&url).unwrap()),
        every: Duration::from_secs(3600),
        ..Options::default()
    };
    let usage = usage(cluster(), options);
    let (_, page) = ask(&usage, "/").await;
    assert!(
        page.contains(&url) && page.contains("not sent yet"),
        "{page}"
    );
    let (_, shown) = ask(&usage, "/usage.json").await;
    usage.send().await;
    let sent = ("application/json".to_owned(), shown.clone());
    assert_eq!(sink.got(), [sent]);
    assert_eq!(ask(&usage, "/sent.json").await.1, shown);
    let (_, page) = ask(&usage, "/").await;
    assert!(
        page.contains("status 200") && page.contains(">Taken<"),
        "{page}"
    );
    // It goes nowhere else, though it is asked to.
    for code in [307, 500] {
        sink.0.lock().unwrap().code = code;
        usage.send().await;
        let (_, page) = ask(&usage, "/").await;
        let said = format!("status {code}");
        assert!(
            page.contains(&said) && page.contains(">Not taken<"),
            "{page}"
        );
    }
    assert_eq!(sink.got().len(), 3);
    let (_, metrics) = ask(&usage, "/metrics").await;
    for line in [
        "carrel_usage_reports_sent_total 1",
        "carrel_usage_reports_failed_total 2",
    ] {
        assert!(metrics.lines().any(|one| one == line), "{metrics}");
    }
}

#[tokio::test]
async fn a_cluster_that_does_not_tell_is_said_and_nothing_is_sent() {
    let sink = Sink::default();
    let options = Options {
        send_to: Some(address(&sink.listen().await).unwrap()),
        ..Options::default()
    };
    let away = Router::new().fallback(async || StatusCode::FORBIDDEN);
    let usage = usage(away, options);
    let (code, page) = ask(&usage, "/").await;
    assert_eq!(code, StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.contains("could not read nodes"), "{page}");
    usage.send().await;
    assert_eq!(sink.got(), []);
    let (_, page) = ask(&usage, "/").await;
    assert!(page.contains(">Not taken<"), "{page}");
    assert_eq!(ask(&usage, "/sent.json").await.0, StatusCode::NOT_FOUND);
}

#[test]
fn an_address_is_of_http_and_has_no_password() {
    for good in ["http://collector:80/in", "https://[::1]/in?a=b"] {
        assert_eq!(address(good).unwrap().to_string(), good);
    }
    for wrong in [
        "",
        "collector",
        "/in",
        "ftp://collector/",
        "http://a:b@collector/",
    ] {
        assert!(address(wrong).is_err(), "{wrong}");
    }
}

/// The program itself, by HTTPS with a certificate that only it is told of, and not without it.
#[tokio::test]
async fn it_is_sent_by_https_to_whom_a_certificate_names() {
    let sink = Sink::default();
    let key = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let url = tls(&sink, &key).await;
    let api = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let server = format!("http://{}", api.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(api, cluster()).await });
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "c", "cluster": { "server": server } }],
        "users": [{ "name": "u", "user": {} }],
        "contexts": [{ "name": "c", "context": { "cluster": "c", "user": "u" } }],
    });
    let config = write("config", &config.to_string());
    let another = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    for (authority, is_taken) in [(&another.cert, false), (&key.cert, true)] {
        let authority = write("ca.pem", &authority.pem());
        let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_carrel-operator"));
        program.args(["usage", "--listen", "127.0.0.1:0", "--send-to", &url]);
        program
            .env("KUBECONFIG", &config)
            .env("SSL_CERT_FILE", authority);
        program
            .env("RUST_LOG", "info")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut program = program.kill_on_drop(true).spawn().unwrap();
        // It says that it failed; otherwise it comes.
        let came = async {
            while sink.got().is_empty() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let said = said(&mut program);
        let taken = tokio::time::timeout(Duration::from_secs(30), async {
            tokio::select! {
                () = came => true,
                () = said => false,
            }
        });
        assert_eq!(taken.await.unwrap(), is_taken);
        program.kill().await.unwrap();
    }
    let report: Value = serde_json::from_str(&sink.got()[0].1).unwrap();
    assert_eq!(report["kubernetes"], "v1.34.4");
}

/// Waits until a program says that a report was not taken.
async fn said(program: &mut tokio::process::Child) {
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    let mut out = BufReader::new(program.stdout.take().unwrap()).lines();
    let mut err = BufReader::new(program.stderr.take().unwrap()).lines();
    loop {
        let line = tokio::select! {
            Ok(Some(line)) = out.next_line() => line,
            Ok(Some(line)) = err.next_line() => line,
            else => panic!("it ended"),
        };
        if line.contains("was not taken by") {
            assert!(line.contains("certificate"), "{line}");
            return;
        }
    }
}

/// Listens with a certificate, and says where.
async fn tls(sink: &Sink, key: &rcgen::CertifiedKey<rcgen::KeyPair>) -> String {
    use tokio_rustls::rustls::ServerConfig;
    use tokio_rustls::rustls::pki_types::PrivateKeyDer;
    let private = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![key.cert.der().clone()], private)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = sink.router();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let (acceptor, router) = (acceptor.clone(), router.clone());
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else {
                    return;
                };
                let service = hyper_util::service::TowerToHyperService::new(router);
                let stream = hyper_util::rt::TokioIo::new(stream);
                let builder = hyper_util::server::conn::auto::Builder::new(
                    hyper_util::rt::TokioExecutor::new(),
                );
                drop(builder.http1_only().serve_connection(stream, service).await);
            });
        }
    });
    format!("https://localhost:{port}/in")
}
