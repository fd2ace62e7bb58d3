//! Notebooks as users of evcxr have them, from the first cell to the last: a tour of the language's cells, and one of figures.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use carrel_kernel::engine::{Cell, Engine, Outcome, Output, StreamName};
use carrel_kernel::rust_engine::RustEngine;
use tokio::sync::mpsc;

use crate::notebook::{LIMIT, Notebook, Ran, plain};

/// A notebook whose crates are built once for all runs of the tests.
fn open() -> Notebook {
    let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dependencies");
    Notebook::over(RustEngine::building_in(cache)).waiting(Duration::from_secs(170))
}

/// The last thing in a format that a cell displayed.
fn shown(ran: &Ran, mime: &str) -> Option<String> {
    let mut outputs = ran.outputs.iter().rev();
    outputs.find_map(|output| match output {
        Output::Display { bundle, .. } => bundle.data.get(mime)?.as_str().map(str::to_owned),
        _ => None,
    })
}

/// In the way of the tour that comes with evcxr: what it shows, in this order, in cells of our own.
#[tokio::test]
async fn a_tour_of_cells_fails_only_where_it_means_to() {
    let mut notebook = open();
    let ran = notebook
        .ok("println!(\"to the one\");\neprintln!(\"to the other\");\nformat!(\"{} both\", \"and to\")")
        .await;
    assert_eq!(ran.stdout(), "to the one\n");
    assert_eq!(ran.printed(StreamName::Stderr), "to the other\n");
    assert_eq!(ran.value(""), "\"and to both\"");

    notebook.ok("let mut words = \"one\".to_owned();").await;
    notebook.ok("words.push_str(\", two\");").await;
    assert_eq!(notebook.value("words").await, "\"one, two\"");

    notebook
        .ok("pub fn steps(n: u32) -> u32 { if n < 2 { 0 } else { steps(n - 1) + steps(n - 2) } }")
        .await;
    let sum = "let all = (0..6).map(steps).collect::<Vec<u32>>();\nall";
    assert_eq!(notebook.value(sum).await, "[0, 0, 0, 0, 0, 0]");
    notebook
        .ok("pub fn steps(n: u32) -> u32 { if n < 2 { 1 } else { steps(n - 1) + steps(n - 2) } }")
        .await;
    assert_eq!(notebook.value(sum).await, "[1, 1, 2, 3, 5, 8]");

    notebook
        .ok("use std::sync::{Arc, Mutex};
            let ticks = Arc::new(Mutex::new(0u64));
            std::thread::spawn({
                let ticks = Arc::clone(&ticks);
                move || loop {
                    *ticks.lock().unwrap() += 1;
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
            });")
        .await;
    notebook.ok("while *ticks.lock()? < 3 {}").await;
    assert_eq!(notebook.value("*ticks.lock()? >= 3").await, "true");
}

#[tokio::test]
async fn a_tour_of_crates_and_displays_fails_only_where_it_means_to() {
    let mut notebook = open();
    let cell = ":dep base64 = \"0.13\"\nbase64::encode(&vec![7, 8, 9])";
    assert_eq!(notebook.value(cell).await, "\"BwgJ\"");
    notebook
        .ok("use std::fmt::Debug;
            pub struct Grid<T> { pub cells: Vec<T>, pub width: usize }
            impl<T: Debug> Grid<T> {
                pub fn evcxr_display(&self) {
                    let rows = self.cells.chunks(self.width).map(|row| {
                        let row: String = row.iter().map(|cell| format!(\"<td>{cell:?}</td>\")).collect();
                        format!(\"<tr>{row}</tr>\")
                    });
                    println!(\"EVCXR_BEGIN_CONTENT text/html\\n<table>{}</table>\\nEVCXR_END_CONTENT\", rows.collect::<String>());
                }
            }")
        .await;
    let ran = notebook
        .ok("let grid = Grid { cells: vec![1, 2, 3, 4], width: 2 };\ngrid")
        .await;
    let html = shown(&ran, "text/html").unwrap();
    assert!(html.starts_with("<table><tr><td>1</td>"), "{html}");

    notebook
        .ok("extern crate base64;
            pub struct Raster(pub Vec<u8>);
            pub trait Shown { fn evcxr_display(&self); }
            impl Shown for Raster {
                fn evcxr_display(&self) {
                    println!(\"EVCXR_BEGIN_CONTENT image/png\\n{}\\nEVCXR_END_CONTENT\", base64::encode(&self.0));
                }
            }")
        .await;
    let ran = notebook.ok("Raster(vec![7, 8, 9])").await;
    assert_eq!(shown(&ran, "image/png").unwrap(), "BwgJ");

    let failure = notebook
        .fails(
            "compile error",
            "let mut s = String::new();\ns.push_str(format!(\"{}\", 1));",
        )
        .await;
    assert!(plain(&failure).contains("expected `&str`, found `String`"));

    notebook
        .ok(":dep tokio = { version = \"1\", features = [\"full\"] }")
        .await;
    let connect =
        "let mut stream: tokio::net::TcpStream = tokio::net::TcpStream::connect(ADDRESS).await?;";
    let failure = notebook
        .fails("Error", &connect.replace("ADDRESS", "\"127.0.0.1:99999\""))
        .await;
    assert_eq!(failure.evalue, "invalid port value");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("\"{}\"", listener.local_addr().unwrap());
    notebook.ok(&connect.replace("ADDRESS", &address)).await;
    let write = "use tokio::io::AsyncWriteExt;\nstream.write(b\"hello\").await?";
    assert_eq!(notebook.value(write).await, "5");
    let ran = notebook.ok(":vars").await;
    let listed = shown(&ran, "text/plain");
    assert!(
        listed
            .as_ref()
            .unwrap()
            .contains("stream  tokio::net::TcpStream"),
        "{listed:?}"
    );
    notebook.ok(":help").await;
}

/// In the way of the notebook that plotters has for evcxr.
#[tokio::test]
async fn figures_of_plotters_are_shown() {
    let mut notebook = open();
    let dep = ":dep plotters = { version = \"^0.3.0\", default_features = false, features = [\"evcxr\", \"all_series\", \"all_elements\"] }";
    for cell in [
        "extern crate plotters;
        use plotters::prelude::*;
        let figure = evcxr_figure((300, 10), |root| { root.fill(&BLUE)?; Ok(()) });
        figure",
        "evcxr_figure((320, 50), |root| {
            root.fill(&GREEN)?;
            root.draw(&Text::new(\"words on green\", (15, 15), (\"Arial\", 20).into_font()))?;
            Ok(())
        })",
        "let points: Vec<(f64, f64)> = (0..50).map(|n| (n as f64 / 50.0, (n as f64 / 8.0).sin())).collect();
        evcxr_figure((640, 480), |root| {
            root.fill(&WHITE)?;
            let areas = root.split_evenly((1, 2));
            for area in areas {
                let mut chart = ChartBuilder::on(&area)
                    .caption(\"a wave\", (\"Arial\", 20).into_font())
                    .margin(5).x_label_area_size(30).y_label_area_size(30)
                    .build_cartesian_2d(0f64..1f64, -1.1f64..1.1f64)?;
                chart.configure_mesh().draw()?;
                chart.draw_series(LineSeries::new(points.iter().copied(), &RED))?
                    .label(\"sin\").legend(|(x, y)| PathElement::new(vec![(x, y), (x + 20, y)], &RED));
                chart.draw_series(points.iter().map(|point| Circle::new(*point, 2, BLUE.filled())))?;
                chart.configure_series_labels().background_style(&WHITE.mix(0.8)).border_style(&BLACK).draw()?;
            }
            Ok(())
        }).style(\"width: 60%\")",
        "fn carpet<DB: DrawingBackend>(depth: u32, area: &DrawingArea<DB, plotters::coord::Shift>) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
            if depth > 0 {
                for (n, part) in area.split_evenly((3, 3)).iter().enumerate() {
                    if n == 4 { part.fill(&WHITE)?; } else { carpet(depth - 1, part)?; }
                }
            }
            Ok(())
        }
        evcxr_figure((243, 243), |root| { root.fill(&BLACK)?; carpet(2, &root)?; Ok(()) })",
    ] {
        let ran = notebook.ok(&format!("{dep}\n{cell}")).await;
        let shown = shown(&ran, "text/html").unwrap_or_else(|| panic!("{cell}: {:?}", ran.outputs));
        assert!(shown.contains("<svg") && shown.contains("</svg>"), "{shown}");
    }
    assert_eq!(notebook.value("points.len()").await, "50");
}

/// The configuration may ask for crates that take minutes to build.
#[tokio::test]
async fn the_first_cell_shows_how_far_the_configuration_is() {
    let folder = tempfile::tempdir().unwrap();
    let slow = folder.path().join("slow");
    fs::create_dir_all(slow.join("src")).unwrap();
    let manifest = "[package]\nname = \"slow\"\nversion = \"0.1.0\"\nedition = \"2024\"\n";
    fs::write(slow.join("Cargo.toml"), manifest).unwrap();
    fs::write(slow.join("src/lib.rs"), "pub fn seven() -> u8 { 7 }").unwrap();
    let script = "fn main() {
        std::fs::write(\"begun\", \"\").unwrap();
        while !std::path::Path::new(\"go\").exists() {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }";
    fs::write(slow.join("build.rs"), script).unwrap();
    let init = format!(":dep slow = {{ path = {slow:?} }}");
    fs::write(folder.path().join("init.evcxr"), init).unwrap();
    let engine = Arc::new(RustEngine::configured_in(folder.path().to_owned()));
    let warming = tokio::spawn({
        let engine = Arc::clone(&engine);
        async move { engine.warm_up().await }
    });
    let begun = async {
        while !slow.join("begun").exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(LIMIT, begun).await.unwrap();
    let cell = Cell {
        number: 1,
        code: "slow::seven()".to_owned(),
        allow_stdin: false,
        parent: Default::default(),
    };
    let (sender, mut outputs) = mpsc::channel(1);
    let running = async { engine.execute(&cell, sender).await };
    let looking = async {
        let mut shown = Vec::new();
        while let Some(output) = outputs.recv().await {
            if shown.is_empty() {
                fs::write(slow.join("go"), "").unwrap();
            }
            shown.push(output);
        }
        shown
    };
    let both = async { tokio::join!(running, looking) };
    let (outcome, shown) = tokio::time::timeout(LIMIT, both).await.unwrap();
    assert!(matches!(outcome, Outcome::Ok), "{outcome:?}");
    let Output::Display { bundle, update, .. } = &shown[0] else {
        panic!("{shown:?}")
    };
    let told = bundle.data["text/plain"].as_str().unwrap();
    assert!(told.contains("slow") && !update, "{told}");
    assert!(
        shown
            .iter()
            .any(|output| matches!(output, Output::Result { .. }))
    );
    warming.await.unwrap();
}

/// What lies in evcxr's folder of configuration runs before the first cell.
#[tokio::test]
async fn the_configuration_of_evcxr_runs_before_the_first_cell() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("init.evcxr"),
        ":opt 1\nfn from_init() -> u8 { 1 }\nlet kept = 2u8;\n",
    )
    .unwrap();
    fs::write(
        folder.path().join("prelude.rs"),
        "let sum = kept + from_init();\nprintln!(\"quiet\");",
    )
    .unwrap();
    let engine = RustEngine::configured_in(folder.path().to_owned());
    engine.warm_up().await;
    let mut notebook = Notebook::over(engine);
    let ran = notebook.ok("(sum, from_init())").await;
    assert_eq!(
        (ran.value(""), ran.stdout()),
        ("(3, 1)".to_owned(), String::new())
    );
    // Again, with what changed meanwhile, before the code of its cell.
    fs::write(
        folder.path().join("init.evcxr"),
        ":load_config\nlet kept = 20u8; fn from_init() -> u8 { 3 }",
    )
    .unwrap();
    assert_eq!(notebook.value(":load_config --quiet\nsum").await, "23");
    // A file that fails is told once, and hinders nothing.
    fs::write(folder.path().join("init.evcxr"), "let kept: u8 = \"a\";").unwrap();
    let engine = RustEngine::configured_in(folder.path().to_owned());
    let mut notebook = Notebook::over(engine);
    let stderr = notebook.ok("1 + 1").await.printed(StreamName::Stderr);
    assert!(
        stderr.contains("mismatched types") && stderr.contains("init.evcxr"),
        "{stderr}"
    );
    assert_eq!(notebook.ok("2").await.printed(StreamName::Stderr), "");
}
