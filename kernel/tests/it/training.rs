//! Training from cells: what is shown, what an interrupt leaves, and jobs.

use std::path::Path;
use std::sync::Arc;

use carrel_kernel::engine::Output;
use carrel_skip::{Need, skip};

use crate::interrupts::{interrupt, value};
use crate::notebook::Notebook;

/// A trainer over random items that would take days.
const TRAINER: &str = "
let x = Tensor::rand(-1f32, 1.0, (256, 4), &Device::Cpu)?;
let y = x.narrow(1, 0, 2)?.argmax(1)?;
let data = DataLoader::new(TensorDataset::new(x, y)?, 16).shuffle(1);
let mut trainer = Trainer::new(sequential![Linear::new(4, 8)?, Relu, Linear::new(8, 2)?])
    .data(data.clone()).test(data).optimizer(|parameters| AdamW::new(parameters, 0.01))?.epochs(EPOCHS);";

#[tokio::test]
async fn a_cell_trains_and_shows_a_table() {
    let mut notebook = Notebook::open();
    notebook.ok(&TRAINER.replace("EPOCHS", "3")).await;
    let ran = notebook.ok("trainer.fit()?").await;
    let curves = ran.outputs.iter().filter(|output| match output {
        Output::Display { bundle, .. } => bundle.data.contains_key("image/svg+xml"),
        _ => false,
    });
    assert_eq!(
        curves.count(),
        2,
        "the second and the third epoch: {:?}",
        ran.outputs
    );
    let table = ran.value("trainer.fit()?");
    assert!(
        table.starts_with("epoch    loss    test  accuracy  seconds\n    0  "),
        "{table}"
    );
    assert_eq!(table.lines().count(), 4, "{table}");
    let right = notebook
        .value("trainer.history().epochs[2].accuracy > Some(0.8)")
        .await;
    assert_eq!(right, "true");
    assert_eq!(
        notebook.value("trainer.model().parameters().len()").await,
        "4"
    );
}

#[tokio::test]
async fn an_interrupt_ends_training_and_the_trainer_goes_on_later() {
    let mut notebook = Notebook::open();
    notebook.ok(&TRAINER.replace("EPOCHS", "1_000_000")).await;
    let engine = Arc::new(notebook.engine);
    interrupt(&engine, "trainer.fit()?; println!(\"never\");").await;
    let done = "trainer.history().epochs.len()";
    let before: usize = value(&engine, done).await.parse().unwrap();
    interrupt(&engine, "trainer.fit()?; println!(\"never\");").await;
    let after: usize = value(&engine, done).await.parse().unwrap();
    assert!(after >= before, "{after} after {before}");
    assert_eq!(value(&engine, "trainer.history().ended").await, "Stopped");
}

#[tokio::test]
async fn a_cell_runs_the_seeds_job_on_two_ranks() {
    let Some(data) = std::env::var_os("CARREL_DATA") else {
        skip(Need::Mnist, "$CARREL_DATA names no folder");
        return;
    };
    let jobs = tempfile::tempdir().unwrap();
    let mut notebook = Notebook::open();
    notebook
        .ok(&format!(
            "let jobs = carrel_training::job::Jobs {{ folder: {:?}.into(), program: None }};
             let recipe = Mnist {{ data: Some({:?}.into()), pictures: Some(512), ..Mnist::default() }}.epochs(2);
             let job = jobs.submit(TrainJob::new(\"distributed-mnist\").recipe(recipe).ranks(2))?;",
            jobs.path(),
            Path::new(&data)
        ))
        .await;
    let shown = notebook.value("job.watch()?").await;
    assert!(
        shown.contains("Succeeded\nepoch  0  loss per rank 2."),
        "{shown}"
    );
    let log = notebook
        .value("print!(\"{}\", job.logs(1)?); job.logs(1)?.lines().count()")
        .await;
    assert_eq!(log, "4");
    let found = notebook
        .value("jobs.attach(\"distributed-mnist\")?.model()?.parameters().len()")
        .await;
    assert_eq!(found, "8");
}

#[tokio::test]
async fn a_function_of_cells_runs_on_two_ranks() {
    let jobs = tempfile::tempdir().unwrap();
    let mut notebook = Notebook::open();
    notebook
        .ok("fn scaled(value: usize) -> f32 { let mut sum = 0.0; for _ in 0..value { sum += 10.0; } sum }")
        .await;
    notebook
        .ok("fn mine(rank: &Rank) -> Result<(usize, f32), Box<dyn std::error::Error>> {
                 let mut values = [scaled(rank.rank() + 1)];
                 rank.connect()?.all_reduce_sum(&mut values)?;
                 println!(\"rank {}\", rank.rank());
                 Ok((rank.world(), values[0]))
             }
             fn wrong(rank: &Rank) -> Result<(), String> { Err(format!(\"rank {} cannot\", rank.rank())) }")
        .await;
    notebook
        .ok(&format!(
            "let jobs = carrel_training::job::Jobs {{ folder: {:?}.into(), program: None }};
             let job = TrainJob::function(\"mine\", mine).ranks(2).submit_to(&jobs)?;",
            jobs.path()
        ))
        .await;
    assert_eq!(
        notebook.value("job.result()?").await,
        "[(2, 30.0), (2, 30.0)]"
    );
    assert_eq!(notebook.value("job.logs(1)?").await, "rank 1\n");
    let failed = notebook
        .value(
            "let job = TrainJob::function(\"wrong\", wrong).ranks(1).submit_to(&jobs)?;
             job.result().unwrap_err().to_string().contains(\"rank 0: rank 0 cannot\")",
        )
        .await;
    assert_eq!(failed, "true");
}
