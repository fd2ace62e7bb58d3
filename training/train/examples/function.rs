//! Functions of a program's own as jobs: `function FOLDER mean|train|fail|panic|wait|exact`, with the jobs in FOLDER. Prints
//! what the ranks gave back.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::bail;
use carrel_training::job::{Jobs, Rank, run_function};
use carrel_training::prelude::*;

fn main() -> ExitCode {
    if let Some(code) = run_function() {
        return code;
    }
    match submit() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn submit() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, name] = arguments.as_slice() else {
        bail!("usage: function FOLDER mean|train|fail|panic|wait|exact")
    };
    let jobs = Jobs {
        folder: folder.into(),
        program: None,
    };
    if name == "exact" {
        let job = TrainJob::function("exact", exact).submit_to(&jobs)?;
        println!("{:?}", job.result()?);
        return Ok(());
    }
    let function = match name.as_str() {
        "mean" => TrainJob::function("mean", mean),
        "train" => TrainJob::function("train", train),
        "fail" => TrainJob::function("fail", fail),
        "panic" => TrainJob::function("panic", panics),
        "wait" => TrainJob::function("wait", wait),
        other => bail!("there is no function {other}"),
    };
    let job = function.ranks(3).submit_to(&jobs)?;
    println!("{:?}", job.result()?);
    Ok(())
}

type Exact = (f64, Option<f32>, BTreeMap<(i32, bool), f64>);

/// What JSON does not have: numbers that are none, and keys that are no text.
fn exact(_: &Rank) -> anyhow::Result<Exact> {
    let keyed = [((1, true), f64::NEG_INFINITY), ((2, false), 0.1)];
    Ok((f64::NAN, Some(f32::NAN), keyed.into()))
}

/// The mean of what all ranks know.
fn mean(rank: &Rank) -> anyhow::Result<f32> {
    let mut values = [rank.rank() as f32 + 1.0];
    rank.connect()?.all_reduce_mean(&mut values)?;
    println!("rank {} of {}", rank.rank(), rank.world());
    Ok(values[0] + 10.0 * rank.rank() as f32)
}

/// The loss after some epochs on data that differ from rank to rank.
fn train(rank: &Rank) -> anyhow::Result<f32> {
    let x = Random::new(rank.rank() as u64).uniform_tensor(1.0, (64, 3))?;
    let y = x.matmul(&Tensor::new(&[[1f32], [2.0], [3.0]], &Device::Cpu)?)?;
    let mut trainer = Trainer::new(Linear::new(3, 1)?)
        .data(DataLoader::new(TensorDataset::new(x, y)?, 16))
        .loss(mse_loss)
        .optimizer(|parameters| Sgd::new(parameters, 0.1))?
        .checkpoints(rank.checkpoints())
        .ranks(rank.connect()?)
        .epochs(20);
    Ok(trainer.fit()?.loss() as f32)
}

fn fail(rank: &Rank) -> anyhow::Result<f32> {
    match rank.rank() {
        1 => bail!("there is no number one"),
        _ => Ok(0.0),
    }
}

fn panics(rank: &Rank) -> anyhow::Result<f32> {
    let missing: Option<f32> = None;
    match rank.rank() {
        2 => panic!("rank 2 does not like {missing:?}"),
        _ => Ok(0.0),
    }
}

fn wait(rank: &Rank) -> anyhow::Result<f32> {
    println!("waiting");
    while !rank.is_stopped() {
        thread::sleep(Duration::from_millis(10));
    }
    Ok(0.0)
}
