//! Clients as people have them: TensorFlow Serving's stubs and Triton's client of Python, and our own.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use carrel_model_server::client::{Format, Options, classify};
use carrel_model_server::config::ModelConfig;
use carrel_model_server::service::Limits;
use carrel_skip::package_folder;
use reqwest::StatusCode;
use serde_json::json;
use tempfile::TempDir;
use tokio::process::Command;

use crate::networks::{BF16, F16, I64, STRING, data, network, node, python, value};
use crate::server::{Server, all_access, answer, doubling};

/// What a script of `tests/clients` prints.
async fn script(python: &Path, name: &str, arguments: &[&str]) -> String {
    let output = Command::new(python)
        .arg(package_folder().join("tests/clients").join(name))
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name}: {said}");
    String::from_utf8(output.stdout).unwrap()
}

/// A model `m` that doubles, and one of each other type that gives back what it takes.
async fn several() -> Option<(Vec<TempDir>, Server)> {
    let mut folders = vec![TempDir::new().unwrap()];
    doubling(&folders[0].path().join("1"));
    let mut models = vec![ModelConfig::new("m", folders[0].path())];
    for (name, element) in [
        ("text", STRING),
        ("whole", I64),
        ("half", F16),
        ("bf16", BF16),
    ] {
        let base = TempDir::new().unwrap();
        let folder = base.path().join("1");
        std::fs::create_dir(&folder).unwrap();
        let (x, y) = (value("x", element, &[-1]), value("y", element, &[-1]));
        network(
            &folder,
            vec![x],
            vec![y],
            vec![node("Identity", &["x"], "y")],
        );
        models.push(ModelConfig::new(name, base.path()));
        folders.push(base);
    }
    Some((folders, Server::start(models).await?))
}

#[tokio::test(flavor = "multi_thread")]
async fn tensorflow_servings_stubs() {
    let Some(python) = python() else { return };
    let Some((folders, server)) = several().await else {
        return;
    };
    let base = folders[0].path().to_str().unwrap();
    let said = script(&python, "stubs.py", &[&server.grpc, base]).await;
    assert_eq!(said, "all answers were right\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn tritons_clients() {
    let Some(python) = python() else { return };
    let Some((_folders, server)) = several().await else {
        return;
    };
    let http = server.address.strip_prefix("http://").unwrap();
    let said = script(&python, "triton.py", &[http, &server.grpc]).await;
    assert_eq!(said, "all answers were right\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn kserves_clients() {
    let Some(python) = python() else { return };
    let Some((_folders, server)) = several().await else {
        return;
    };
    let http = server.address.strip_prefix("http://").unwrap();
    let said = script(&python, "kserve_sdk.py", &[http, &server.grpc]).await;
    assert_eq!(said, "all answers were right\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn real_networks_are_computed_as_in_python() {
    let Some(python) = python() else { return };
    let files = script(&python, "networks.py", &[]).await;
    let (mut folders, mut models, mut pairs) = (Vec::new(), Vec::new(), Vec::new());
    for (index, file) in files.lines().enumerate() {
        let base = TempDir::new().unwrap();
        let folder = base.path().join("1");
        std::fs::create_dir(&folder).unwrap();
        std::os::unix::fs::symlink(file, folder.join("model.onnx")).unwrap();
        let name = format!("network{index}");
        pairs.push(format!("{name}={file}"));
        models.push(ModelConfig::new(name, base.path()));
        folders.push(base);
    }
    assert!(pairs.len() >= 10, "{files}");
    // A spectrogram in JSON is larger than what other tests send.
    let limits = Limits {
        largest_body: 16 << 20,
        bodies: 64 << 20,
    };
    let Some(server) = Server::start_with(models, limits, all_access()).await else {
        return;
    };
    let http = server.address.strip_prefix("http://").unwrap();
    let mut arguments = vec![http, &server.grpc];
    arguments.extend(pairs.iter().map(String::as_str));
    let said = script(&python, "networks.py", &arguments).await;
    assert_eq!(said, format!("{} networks were right\n", pairs.len()));
}

/// SqueezeNet as the model `inception`, and the folder of the pictures.
async fn inception() -> Option<(TempDir, Server, PathBuf)> {
    let data = data()?;
    let base = TempDir::new().unwrap();
    let folder = base.path().join("1");
    std::fs::create_dir(&folder).unwrap();
    for (from, to) in [("onnx", "model.onnx"), ("labels", "labels.txt")] {
        let from = data
            .join("squeezenet/squeezenet1.1")
            .with_extension(format!("1.{from}"));
        std::os::unix::fs::symlink(from, folder.join(to)).unwrap();
    }
    let manifest = r#"{"labels": "labels.txt", "pictures": {
        "size": [227, 227], "mean": [104, 117, 123], "channels": "bgr"
    }}"#;
    std::fs::write(folder.join("manifest.json"), manifest).unwrap();
    let server = Server::start(vec![ModelConfig::new("inception", base.path())]).await?;
    Some((base, server, data.join("images")))
}

fn options(server: &Server, image: Vec<PathBuf>, format: Format) -> Options {
    Options {
        server: server.grpc.clone(),
        image,
        model: "inception".into(),
        signature: "predict_images".into(),
        top: 2,
        format,
        timeout: 30,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_names_the_animal() {
    let Some((_base, server, images)) = inception().await else {
        return;
    };
    let pictures = vec![images.join("cat_720p.jpg"), images.join("parrot.jpg")];
    let table = classify(&options(&server, pictures.clone(), Format::Table))
        .await
        .unwrap();
    let lines: Vec<_> = table.lines().collect();
    assert_eq!(lines.len(), 6, "{table}");
    assert!(
        lines[1].ends_with("Egyptian cat") && lines[4].ends_with("macaw"),
        "{table}"
    );
    let json = classify(&options(&server, pictures, Format::Json))
        .await
        .unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json[0]["classes"][0]["class"], "Egyptian cat");
    assert_eq!(json[1]["classes"].as_array().map(Vec::len), Some(2));
    let missing = options(&server, vec![images.join("none.jpg")], Format::Text);
    let error = classify(&missing).await.unwrap_err().to_string();
    assert!(error.contains("none.jpg"), "{error}");
    let labels = options(
        &server,
        vec![images.join("imagenet_labels.txt")],
        Format::Text,
    );
    let error = classify(&labels).await.unwrap_err().to_string();
    assert!(
        error.contains(r#"InvalidArgument: the input "images": the picture 0 is no JPEG"#),
        "{error}"
    );
}

/// As Kubeflow's proxy of 2018 was asked, at the address that the walkthrough's gateway passes on.
#[tokio::test(flavor = "multi_thread")]
async fn the_walkthroughs_json_names_the_animal() {
    let Some((_base, server, images)) = inception().await else {
        return;
    };
    let (status, said) = answer(server.get("/").await).await;
    assert_eq!(
        (status, &said["models"][0]["name"]),
        (StatusCode::OK, &json!("inception"))
    );
    let picture = BASE64.encode(std::fs::read(images.join("cat_720p.jpg")).unwrap());
    let body = json!({"instances": [{"image": {"b64": picture}}]});
    for path in [
        "/model/inception:predict",
        "/model/inception/version/1:predict",
    ] {
        let (status, said) = server.json(path, &body).await;
        assert_eq!(status, StatusCode::OK, "{said}");
        let first = &said["predictions"][0];
        assert_eq!(first["classes"][0], "Egyptian cat", "{said}");
        assert!(first["scores"][0].as_f64().unwrap() > 0.7, "{said}");
    }
    let (status, said) = server.json("/model/other:predict", &body).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{said}");
    let (status, said) = server.json("/model/inception", &body).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_client_prints_what_tensorflows_prints() {
    let Some(python) = python() else { return };
    let Some((_base, server, images)) = inception().await else {
        return;
    };
    let pictures = ["sleeping-pepper.jpg", "cat.bmp"].map(|name| images.join(name));
    let ours = options(&server, pictures.to_vec(), Format::Text);
    let ours = classify(&ours).await.unwrap();
    let [pepper, cat] = pictures.each_ref().map(|picture| picture.to_str().unwrap());
    let theirs = script(&python, "inception.py", &[&server.grpc, pepper, cat]).await;
    assert_eq!(parts(&ours), parts(&theirs));
}

/// The fields of a message, sorted: the entries of a map come in any order.
fn parts(text: &str) -> Vec<&str> {
    let mut parts: Vec<_> = text.split_inclusive("\n}\n").collect();
    parts.sort_unstable();
    parts
}
