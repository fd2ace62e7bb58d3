//! This rank's part of a recipe, by itself or as a job's folder describes it, and how it ended.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use carrel_training::job::{JobFolder, ModelSender, RankState, StatusFile, Work};
use carrel_training::parameter_servers::Updates;
use carrel_training::ranks::Environment;
use carrel_training::recipes::{Recipe, Setting};
use carrel_training::trainer::{Ended, Watcher};
use signal_hook::consts::{SIGINT, SIGTERM};

/// What this rank does of a recipe, and where.
pub struct Part {
    pub environment: Environment,
    pub secret: Vec<u8>,
    pub updates: Updates,
    pub checkpoints: Option<PathBuf>,
    pub watchers: Vec<Box<dyn Watcher>>,
}

pub fn train(recipe: &Recipe, part: Part) -> anyhow::Result<Ended> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGTERM, SIGINT] {
        // The second one ends the process at once, should a step never end.
        signal_hook::flag::register_conditional_default(signal, stop.clone())?;
        signal_hook::flag::register(signal, stop.clone())?;
    }
    let stopping = stop.clone();
    let ended = recipe.run(Setting {
        environment: part.environment,
        secret: part.secret,
        updates: part.updates,
        checkpoints: part.checkpoints,
        stop: Arc::new(move || stopping.load(Ordering::Relaxed)),
        watcher: Some(Box::new(part.watchers)),
        say: Box::new(|line| println!("{line}")),
    });
    match ended {
        Ok(history) => Ok(history.ended),
        // When all ranks are asked to end, some find others gone before they come to their own end.
        Err(_) if stop.load(Ordering::Relaxed) => Ok(Ended::Stopped),
        Err(error) => Err(error.into()),
    }
}

pub fn run_job(
    job: &JobFolder,
    environment: Environment,
    secret: Vec<u8>,
    mut watchers: Vec<Box<dyn Watcher>>,
) -> anyhow::Result<Ended> {
    let path = job.status_file(environment.rank);
    let status = StatusFile::create(path.clone())
        .with_context(|| format!("cannot write {}", path.display()))?;
    watchers.push(Box::new(status));
    let Work::Recipe(recipe) = &job.description().work else {
        bail!("this job is a function: the program that made it runs it");
    };
    let rank = environment.rank;
    let sender = (rank == 0).then(|| ModelSender::from_process(job.checkpoints()));
    let sender = sender.flatten();
    watchers.extend(sender.iter().map(ModelSender::watcher));
    let part = Part {
        environment,
        secret,
        updates: Updates::default(),
        checkpoints: Some(job.checkpoints()),
        watchers,
    };
    let ended = train(recipe, part);
    if let Some(sender) = sender {
        sender.end();
    }
    let (state, reason) = last_word(&ended);
    if let Err(error) = job.end_rank(rank, state, reason) {
        // How training ended is worth more.
        eprintln!("cannot write {}: {error}", path.display());
    }
    ended
}

/// How a rank ended, for others.
pub fn last_word(ended: &anyhow::Result<Ended>) -> (RankState, Option<String>) {
    match ended {
        Ok(Ended::Stopped) => (RankState::Stopped, None),
        Ok(_) => (RankState::Succeeded, None),
        Err(error) => (RankState::Failed, Some(in_full(error))),
    }
}

/// An error with its causes, those left out that it tells itself.
pub fn in_full(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |said, cause| {
        let cause = cause.to_string();
        match said.as_str() {
            "" => cause,
            said if said.contains(&cause) => said.to_owned(),
            said => format!("{said}: {cause}"),
        }
    })
}
