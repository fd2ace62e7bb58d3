//! Networks that cells have trained, behind a model server that they start. Needs it among the prepared programs.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use carrel_skip::{Need, skip};

use crate::notebook::Notebook;

const PATIENCE: Duration = Duration::from_secs(30);

/// A network of one's own, trained on random items.
const TRAINED: &str = "
let x = Tensor::rand(-1f32, 1.0, (256, 1, 2, 2), &Device::Cpu)?;
let y = x.flatten_from(1)?.narrow(1, 0, 2)?.argmax(1)?;
let data = DataLoader::new(TensorDataset::new(x.clone(), y)?, 16).shuffle(1);
let mut trainer = Trainer::new(sequential![Flatten, Linear::new(4, 8)?, Relu, Linear::new(8, 2)?])
    .data(data).optimizer(|parameters| AdamW::new(parameters, 0.01))?.epochs(1);
trainer.fit()?;
let server = trainer.serve(\"signs\")?;";

/// How far the server's answer is from the network's own.
const DISTANCE: &str = "(server.predict(&x)? - trainer.model().predict(&x)?)?.abs()?.max_all()?.to_scalar::<f32>()? < 1e-5";

fn are_there() -> bool {
    let prelude = std::env::var_os("CARREL_PRELUDE_DIR").unwrap_or_default();
    let is_there = Path::new(&prelude).join("carrel-model-server").is_file();
    if !is_there {
        let reason =
            "$CARREL_PRELUDE_DIR holds no carrel-model-server; `make test` builds and prepares it";
        skip(Need::Prepared, reason);
    }
    is_there
}

async fn text(notebook: &mut Notebook, of: &str) -> String {
    let shown = notebook.value(of).await;
    // As a string shows itself.
    shown.trim_matches('"').to_owned()
}

#[tokio::test]
async fn a_network_of_ones_own_is_served_and_replaced_and_stopped() {
    if !are_there() {
        return;
    }
    let mut notebook = Notebook::open();
    notebook.ok(TRAINED).await;
    assert_eq!(notebook.value(DISTANCE).await, "true");
    // One input without a batch.
    let one = notebook
        .value("server.predict(&x.get(0)?)?.dims().to_vec()")
        .await;
    assert_eq!(one, "[2]");
    let url = text(&mut notebook, "server.url()").await;
    let shown = notebook.value("server").await;
    assert!(
        shown.starts_with(&format!("signs, version 1, at {url} (gRPC: 127.0.0.1:")),
        "{shown}"
    );
    // The line that is shown works in a terminal.
    let curl = shown.lines().last().unwrap();
    let ran = Command::new("sh")
        .args(["-c", &format!("{curl} -fsS")])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(said.contains("predictions"), "{curl}: {ran:?}");
    // Nobody asks without the token.
    let ran = Command::new("curl").args(["-sS", &url]).output().unwrap();
    assert!(
        String::from_utf8_lossy(&ran.stdout).contains("error"),
        "{ran:?}"
    );

    // More training, then another version at the same address.
    notebook
        .ok("let mut trainer = trainer.epochs(3); trainer.fit()?;")
        .await;
    assert_eq!(
        notebook.value("server.replace(trainer.model())?").await,
        "2"
    );
    assert_eq!(notebook.value(DISTANCE).await, "true");
    // A cell that runs again.
    notebook.ok("let server = trainer.serve(\"signs\")?;").await;
    assert_eq!(notebook.value("server.version()").await, "3");
    assert_eq!(text(&mut notebook, "server.url()").await, url);

    let listed = notebook.ok("Server::list()").await;
    let table = listed.value("Server::list()");
    assert!(
        table.contains(&url) && table.starts_with("model  version  address"),
        "{table}"
    );
    assert!(listed.data("text/html").unwrap().contains("<td>signs</td>"));
    assert_eq!(
        notebook.value("Server::attach(\"signs\")?.version()").await,
        "3"
    );

    let failure = notebook
        .run("server.predict(&Tensor::zeros((1, 3), DType::F32, &Device::Cpu)?)?")
        .await;
    let failure = failure.failure.unwrap();
    assert!(failure.evalue.contains("input"), "{}", failure.evalue);
    notebook.ok("server.stop();").await;
    let failure = notebook.run("server.predict(&x)?").await.failure.unwrap();
    assert!(failure.evalue.contains("is stopped"), "{}", failure.evalue);
    assert_eq!(notebook.value("Server::list().len()").await, "0");
    assert_eq!(text(&mut notebook, "server").await, "signs: stopped");
}

/// By the walkthrough's recipe, where its data are.
#[tokio::test]
async fn digits_are_served() {
    if !are_there() {
        return;
    }
    let Some(data) = std::env::var_os("CARREL_DATA") else {
        skip(Need::Mnist, "$CARREL_DATA names no folder");
        return;
    };
    let jobs = tempfile::tempdir().unwrap();
    let mut notebook = Notebook::open();
    let submit = format!(
        "let jobs = carrel_training::job::Jobs {{ folder: {:?}.into(), program: None }};
         let recipe = Mnist {{ data: Some({:?}.into()), pictures: Some(512), ..Mnist::default() }}.epochs(1);
         let job = jobs.submit(TrainJob::new(\"digits\").recipe(recipe).ranks(1))?;
         job.watch()?;
         let data = MnistData::load_from(Some(std::path::Path::new({:?})), &mut |_| ())?;",
        jobs.path(),
        Path::new(&data),
        Path::new(&data),
    );
    notebook.ok(&submit).await;
    notebook
        .ok("let model = job.model()?; let server = model.serve(\"digits\")?;")
        .await;
    notebook
        .ok("use carrel_training::data::Dataset; let (pictures, _) = data.test.batch(&[0, 1, 2])?;")
        .await;
    let same = "(server.predict(&pictures)? - model.predict(&pictures)?)?.abs()?.max_all()?.to_scalar::<f32>()? < 1e-4";
    assert_eq!(notebook.value(same).await, "true");
    let image = "let image = pictures.get(0)?; server.predict(&image)?.dims().to_vec()";
    assert_eq!(notebook.value(image).await, "[10]");
}

#[tokio::test]
async fn what_cannot_be_served_is_said() {
    let mut notebook = Notebook::open();
    notebook
        .ok("let net = sequential![Flatten, Linear::new(4, 2)?];")
        .await;
    for (code, reason) in [
        (
            "net.serve(\"net\")?",
            "serving::serve(&network, (1, 28, 28), \"net\")",
        ),
        (
            "serving::serve(&net, (2, 2), \"a b\")?",
            "no name for a model",
        ),
        ("serving::serve(&net, (2, 3), \"net\")?", "items of [2, 3]"),
        ("Server::attach(\"net\")?", "no model \"net\" is served"),
    ] {
        let failure = notebook.run(code).await.failure.unwrap();
        assert!(
            failure.evalue.contains(reason),
            "{code}: {}",
            failure.evalue
        );
    }
}

/// However the kernel ends.
#[tokio::test]
async fn a_server_ends_with_the_notebook() {
    if !are_there() {
        return;
    }
    let mut notebook = Notebook::open();
    notebook
        .ok("let net = Linear::new(4, 2)?; let server = net.serve(\"net\")?;")
        .await;
    let address = text(&mut notebook, "server.grpc()").await;
    let header = text(&mut notebook, "server.curl()").await;
    let header = header
        .split(['@', '\''])
        .find(|part| part.ends_with("/header"))
        .unwrap();
    let folder = Path::new(header).parent().unwrap().to_owned();
    assert!(folder.is_dir());
    // As a crash of the worker.
    let _ = notebook.run("std::process::abort()").await;
    drop(notebook);
    let begun = Instant::now();
    while folder.exists() || std::net::TcpStream::connect(&address).is_ok() {
        assert!(begun.elapsed() < PATIENCE, "it still runs");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
