//! `carrel-model-server fetch`: files of a version from a server of this test.

use std::convert::Infallible;
use std::path::Path;
use std::process::Output;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Redirect;
use axum::routing::get;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::process::Command;

const FILE: &str = "a network";
/// Of [`FILE`].
const SHA256: &str = "2f782beca6c497e09ee1b67bd6a1202048f19e97f7e1364a58d415ce7b3ecd9e";

/// Its address, and how often the file was asked for.
async fn site() -> (String, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let asked = Arc::clone(&count);
    let file = move || async move {
        asked.fetch_add(1, Ordering::Relaxed);
        FILE
    };
    let router = Router::new()
        .route("/file", get(file))
        .route("/elsewhere", get(async || Redirect::temporary("/file")))
        .route("/endless", get(endless))
        .route("/stuck", get(stuck))
        .route("/round", get(async || Redirect::temporary("/round")));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async { axum::serve(listener, router).await });
    (address, count)
}

/// A file that is as long as one reads.
async fn endless() -> Body {
    let parts = stream::repeat(Bytes::from_static(&[7; 4096]));
    Body::from_stream(parts.map(Ok::<_, Infallible>))
}

/// A file whose end never comes.
async fn stuck() -> Body {
    let part = stream::iter([Bytes::from_static(b"a")]).chain(stream::pending());
    Body::from_stream(part.map(Ok::<_, Infallible>))
}

async fn fetch(to: &Path, files: &Value, more: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_carrel-model-server"));
    command.args(["fetch", "--files", &files.to_string()]);
    command.args(more).arg("--to").arg(to);
    command.output().await.unwrap()
}

/// The words of a failure.
async fn refused(to: &Path, files: &Value, more: &[&str]) -> String {
    let output = fetch(to, files, more).await;
    assert!(!output.status.success(), "{files}");
    String::from_utf8(output.stderr).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_brought_once() {
    let (site, count) = site().await;
    let base = TempDir::new().unwrap();
    let to = base.path().join("1");
    let files = json!([
        {"name": "model.onnx", "url": format!("{site}/elsewhere"), "sha256": SHA256},
        {"name": "more/manifest.json", "text": "{}"},
    ]);
    for _ in 0..2 {
        let output = fetch(&to, &files, &[]).await;
        assert!(output.status.success(), "{output:?}");
        assert_eq!(
            std::fs::read_to_string(to.join("model.onnx")).unwrap(),
            FILE
        );
        assert_eq!(std::fs::read(to.join("more/manifest.json")).unwrap(), b"{}");
    }
    assert_eq!(count.load(Ordering::Relaxed), 1);
    // Another file of the same name takes its place.
    std::fs::write(to.join("model.onnx"), "another").unwrap();
    assert!(fetch(&to, &files, &[]).await.status.success());
    assert_eq!(
        std::fs::read_to_string(to.join("model.onnx")).unwrap(),
        FILE
    );
    assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_there_may_be_larger_than_memory() {
    const SIZE: u64 = 1 << 30;
    /// Of so many zeros.
    const OF_ZEROS: &str = "49bc20df15e412a64472421e13fe86ff1c5165e18b2afccf160d4dc19fe68a14";
    let (base, (site, count)) = (TempDir::new().unwrap(), site().await);
    let to = base.path().join("1");
    std::fs::create_dir(&to).unwrap();
    let file = std::fs::File::create(to.join("model.onnx")).unwrap();
    file.set_len(SIZE).unwrap();
    let files = json!([{"name": "model.onnx", "url": format!("{site}/file"), "sha256": OF_ZEROS}]);
    let program = env!("CARGO_BIN_EXE_carrel-model-server");
    let mut command = Command::new("sh");
    // KiB of addresses: less than the file has.
    command.args([
        "-c",
        "ulimit -v 900000; exec \"$@\"",
        "sh",
        program,
        "fetch",
    ]);
    command
        .args(["--files", &files.to_string(), "--to"])
        .arg(&to);
    let output = command.output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(count.load(Ordering::Relaxed), 0);
    assert_eq!(
        std::fs::metadata(to.join("model.onnx")).unwrap().len(),
        SIZE
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_file_is_refused_and_nothing_is_there() {
    let (site, _) = site().await;
    let base = TempDir::new().unwrap();
    let to = base.path().join("1");
    let other = SHA256.replace('c', "d");
    for (path, sha256, reason) in [
        ("/file", &*other, "has the SHA-256"),
        ("/nothing", SHA256, "404"),
        ("/round", SHA256, "sends on without end"),
        ("/file", "12", "64 hexadecimal digits"),
    ] {
        let files =
            json!([{"name": "model.onnx", "url": format!("{site}{path}"), "sha256": sha256}]);
        let said = refused(&to, &files, &[]).await;
        assert!(said.contains(reason), "{said}");
        assert!(!to.exists());
    }
    for (file, reason) in [
        (
            json!({"name": "../model.onnx", "text": ""}),
            "is no file in the folder",
        ),
        (
            json!({"name": "/model.onnx", "text": ""}),
            "is no file in the folder",
        ),
        (
            json!({"name": "model.onnx"}),
            "either url and sha256, or text",
        ),
        (
            json!({"name": "model.onnx", "url": "file:///etc/passwd", "sha256": SHA256}),
            "no address of http",
        ),
        (json!({"name": "model.onnx", "txt": ""}), "unknown field"),
    ] {
        let said = refused(&to, &json!([file]), &[]).await;
        assert!(said.contains(reason), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_end_is_not_kept() {
    let (site, _) = site().await;
    let base = TempDir::new().unwrap();
    let to = base.path().join("1");
    // The version before stays.
    std::fs::create_dir(&to).unwrap();
    std::fs::write(to.join("model.onnx"), "another").unwrap();
    let file = |path: &str| json!({"name": "model.onnx", "url": format!("{site}{path}"), "sha256": SHA256});
    let bound = &["--most-bytes", "100000"][..];
    let timeout = &["--timeout", "1"][..];
    for (path, more, reason) in [
        ("/endless", bound, "more than --most-bytes allows"),
        ("/stuck", timeout, "it takes longer than 1s"),
    ] {
        let said = refused(&to, &json!([file(path)]), more).await;
        assert!(said.contains(reason), "{said}");
        assert_eq!(std::fs::read(to.join("model.onnx")).unwrap(), b"another");
        assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 1);
    }
    // All files together.
    let files =
        json!([file("/file"), {"name": "more", "url": format!("{site}/file"), "sha256": SHA256}]);
    let most = |most: usize| ["--most-bytes".to_owned(), most.to_string()];
    let [option, value] = most(2 * FILE.len() - 1);
    let said = refused(&to, &files, &[&option, &value]).await;
    assert!(said.contains("could not bring more"), "{said}");
    let [option, value] = most(2 * FILE.len());
    let output = fetch(&to, &files, &[&option, &value]).await;
    assert!(output.status.success(), "{output:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_version_is_there_after_a_replacement_that_was_ended() {
    let (site, count) = site().await;
    let base = TempDir::new().unwrap();
    let to = base.path().join("1");
    let old = base.path().join("1.old");
    std::fs::create_dir(&old).unwrap();
    std::fs::write(old.join("model.onnx"), FILE).unwrap();
    let nothing = json!([{"name": "model.onnx", "url": format!("{site}/nothing"), "sha256": SHA256.replace('c', "d")}]);
    refused(&to, &nothing, &[]).await;
    let files = json!([{"name": "model.onnx", "url": format!("{site}/file"), "sha256": SHA256}]);
    let output = fetch(&to, &files, &[]).await;
    assert!(output.status.success(), "{output:?}");
    assert_eq!(count.load(Ordering::Relaxed), 0);
    // What a replacement could not remove goes with the next.
    std::fs::create_dir(&old).unwrap();
    assert!(fetch(&to, &files, &[]).await.status.success());
    assert!(!old.exists());
}
