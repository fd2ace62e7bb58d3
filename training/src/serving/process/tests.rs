//! Servers that take their time, or load nothing: the process is none, its answers are a script's.

use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use candle_core::{DType, Shape};

use super::super::{Inner, Model, SERVERS, Served, Server};
use super::{Body, Folder, PATIENCE, Ports, Process, ServeError, http, lock};
use crate::trainer::{Host, Watcher, set_host};

/// What a request begins with, and the answer's status and body; one without a status is never answered.
type Script = &'static [(&'static str, Option<u16>, &'static str)];

const LOADING: &str =
    r#"{"model_version_status": [{"state": "LOADING", "status": {"error_message": ""}}]}"#;
const AVAILABLE: &str =
    r#"{"model_version_status": [{"state": "AVAILABLE", "status": {"error_message": ""}}]}"#;
const FAILED: &str =
    r#"{"model_version_status": [{"state": "END", "status": {"error_message": "it is none"}}]}"#;
const REFUSED: &str = r#"{"error": "there is no such version"}"#;

thread_local! {
    static INTERRUPTED: Cell<bool> = const { Cell::new(false) };
}

/// A server that answers by a script, and what tells of each request that it was read.
fn server(name: &str, script: Script, patience: Duration) -> (Server, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (read, reads) = channel();
    thread::spawn(move || {
        let mut open = Vec::new();
        for (begin, status, body) in script {
            let mut stream = listener.accept().unwrap().0;
            let head = head(&mut stream);
            assert!(head.starts_with(begin), "{head} in place of {begin}");
            let _ = read.send(());
            match status {
                Some(status) => write!(
                    stream,
                    "HTTP/1.1 {status} X\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
                    body.len()
                )
                .unwrap(),
                None => open.push(stream),
            }
        }
        // Nobody else comes; those who were not answered wait on.
        let _ = listener.accept();
    });
    let child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let agent = http::agent()
        .http_status_as_error(false)
        .timeout_global(Some(patience))
        .build();
    let process = Process {
        ports: Ports {
            http: port,
            grpc: 0,
        },
        agent: agent.into(),
        child: Mutex::new(Some(child)),
    };
    let inner = Inner {
        name: name.to_owned(),
        process,
        folder: Folder::new(name).unwrap(),
        served: Mutex::new(Served {
            version: 0,
            item: Shape::from(1),
        }),
        newest: Mutex::new(0),
    };
    (Server(Arc::new(inner)), reads)
}

fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

fn model() -> Model {
    Model {
        bytes: Vec::new(),
        item: Shape::from(1),
        dtype: DType::F32,
    }
}

fn versions(server: &Server) -> Vec<String> {
    let found = server.0.folder.versions().read_dir().unwrap();
    let names = found.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[test]
fn a_load_that_takes_long_is_waited_for() {
    const SCRIPT: Script = &[
        // Another is loaded before it.
        ("POST /v2/repository/models/slow/load ", None, ""),
        ("GET /v1/models/slow/versions/1 ", Some(404), REFUSED),
        ("POST ", None, ""),
        ("GET ", Some(200), LOADING),
        ("POST ", Some(200), ""),
        ("GET ", Some(200), AVAILABLE),
    ];
    let (server, _reads) = server("slow", SCRIPT, Duration::from_millis(500));
    assert_eq!(server.bring(model()).unwrap(), 1);
    assert_eq!(versions(&server), ["1"]);
}

#[test]
fn a_number_is_never_used_again() {
    const SCRIPT: Script = &[
        ("POST ", Some(200), ""),
        ("GET /v1/models/again/versions/1 ", Some(200), AVAILABLE),
        ("POST ", Some(400), REFUSED),
        ("GET /v1/models/again/versions/2 ", Some(200), FAILED),
        ("POST ", Some(200), ""),
        ("GET /v1/models/again/versions/3 ", Some(200), AVAILABLE),
        ("POST ", Some(200), ""),
        ("GET /v1/models/again/versions/4 ", Some(200), AVAILABLE),
    ];
    let (server, _reads) = server("again", SCRIPT, PATIENCE);
    assert_eq!(server.bring(model()).unwrap(), 1);
    let refused = server.bring(model()).unwrap_err();
    assert!(
        matches!(&refused, ServeError::Refused(said) if said == "it is none"),
        "{refused:?}"
    );
    assert_eq!(server.version(), 1);
    assert_eq!(server.bring(model()).unwrap(), 3);
    // The one before stays.
    assert_eq!(versions(&server), ["1", "3"]);
    assert_eq!(server.bring(model()).unwrap(), 4);
    assert_eq!(versions(&server), ["3", "4"]);
}

#[test]
fn an_interrupt_ends_a_request_and_a_load_whose_number_is_gone() {
    const SCRIPT: Script = &[
        ("POST ", None, ""),
        ("POST ", None, ""),
        ("POST ", Some(200), ""),
        ("GET /v1/models/held/versions/2 ", Some(200), AVAILABLE),
    ];
    set_host(Host {
        interrupted: || INTERRUPTED.get(),
        unwind: || {
            if INTERRUPTED.get() {
                resume_unwind(Box::new("interrupted"));
            }
        },
        watcher: || Box::new(Vec::<Box<dyn Watcher>>::new()),
    });
    let (server, reads) = server("held", SCRIPT, PATIENCE);
    let begun = Instant::now();
    let interrupted = |work: &dyn Fn()| {
        INTERRUPTED.set(true);
        let ended = catch_unwind(AssertUnwindSafe(work));
        INTERRUPTED.set(false);
        assert!(ended.is_err(), "it ended by itself");
        reads.recv_timeout(Duration::from_secs(10)).unwrap();
    };
    let Inner {
        process, folder, ..
    } = &*server.0;
    interrupted(&|| drop(process.ask("POST", "/v2/models/held/infer", folder, Body::default())));
    interrupted(&|| drop(server.bring(model())));
    assert!(begun.elapsed() < PATIENCE);
    assert_eq!(server.version(), 0);
    assert_eq!(server.bring(model()).unwrap(), 2);
    assert_eq!(versions(&server), ["2"]);
}

#[test]
fn others_are_listed_while_one_loads() {
    const SCRIPT: Script = &[("POST ", None, "")];
    let (server, reads) = server("listed", SCRIPT, PATIENCE);
    lock(&SERVERS).insert("listed".to_owned(), server.clone());
    let network = crate::nn::Linear::new(2, 1).unwrap();
    thread::spawn(move || super::super::serve(&network, 2, "listed"));
    reads.recv_timeout(Duration::from_secs(10)).unwrap();
    let (said, hears) = channel();
    thread::spawn(move || {
        let listed = Server::list().iter().any(|one| one.name() == "listed");
        let attached = Server::attach("listed").unwrap();
        let _ = said.send((listed, attached.version()));
    });
    let (listed, version) = hears.recv_timeout(Duration::from_secs(10)).unwrap();
    assert!(listed);
    assert_eq!(version, 0);
    server.stop();
}
