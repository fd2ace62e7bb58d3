//! Functions of a program's own as jobs: `function PLACE mean|train|fail|panic|wait|exact|loaded`, with the jobs in the folder
//! PLACE, or at the jobs service of that address. Prints what the ranks gave back. `$LOAD` is an object to load first.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CString, OsStr, c_char, c_int, c_void};
use std::os::unix::ffi::OsStrExt as _;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{bail, ensure};
use carrel_training::job::{
    FunctionJob, JobError, Jobs, NewFunction, Rank, RemoteJobs, run_function,
};
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
    let [place, name] = arguments.as_slice() else {
        bail!("usage: function PLACE mean|train|fail|panic|wait|exact|loaded")
    };
    if let Some(object) = std::env::var_os("LOAD") {
        load(&object)?;
    }
    match name.as_str() {
        "exact" => {
            let job = submit_to(place, TrainJob::function("exact", exact))?;
            println!("{:?}", job.result()?);
            return Ok(());
        }
        "loaded" => {
            let job = submit_to(place, TrainJob::function("loaded", loaded).ranks(2))?;
            println!("{:?}", job.result()?);
            return Ok(());
        }
        _ => {}
    }
    let function = match name.as_str() {
        "mean" => TrainJob::function("mean", mean),
        "train" => TrainJob::function("train", train),
        "fail" => TrainJob::function("fail", fail),
        "panic" => TrainJob::function("panic", panics),
        "wait" => TrainJob::function("wait", wait),
        other => bail!("there is no function {other}"),
    };
    let job = submit_to(place, function.ranks(3))?;
    println!("{:?}", job.result()?);
    Ok(())
}

fn submit_to<T>(place: &str, function: NewFunction<T>) -> Result<FunctionJob<T>, JobError> {
    if place.starts_with("http://") {
        return function.submit_to_service(&RemoteJobs::new(place, Some("t0ken".to_owned())));
    }
    function.submit_to(&Jobs {
        folder: place.into(),
        program: None,
    })
}

/// As cells are loaded.
#[allow(unsafe_code)]
fn load(object: &OsStr) -> anyhow::Result<()> {
    unsafe extern "C" {
        fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
    }
    let path = CString::new(object.as_bytes())?;
    // SAFETY: the path is a C string, and the object does nothing when it is loaded. 2 is RTLD_NOW.
    let handle = unsafe { dlopen(path.as_ptr(), 2) };
    ensure!(!handle.is_null(), "{} cannot be loaded", object.display());
    Ok(())
}

/// The files of the folder `objects` that a rank has loaded.
fn loaded(_: &Rank) -> anyhow::Result<BTreeSet<String>> {
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let paths = maps
        .lines()
        .filter_map(|line| line.rsplit_once("/objects/"));
    Ok(paths.map(|(_, name)| name.to_owned()).collect())
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
