//! Checkpoints: a folder for each, with `model.safetensors`, `optimizer.safetensors` and `training.json`. It appears
//! under its name only when all of it is on the disk; the newest one counts.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use candle_core::{Device, Tensor};
use carrel_ranks::lock;
use serde::{Deserialize, Serialize};

use super::{History, exact};
use crate::files;
use crate::nn::{Layer, Part, StateError};
use crate::optim::Optimizer;
use crate::random::Random;

const MODEL: &str = "model.safetensors";
const OPTIMIZER: &str = "optimizer.safetensors";
const TRAINING: &str = "training.json";
/// How many checkpoints stay: the newest, and one more should that one be damaged.
const KEPT: usize = 2;

/// Where training stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// The epoch that is under way, or comes next.
    pub epoch: usize,
    /// Its batches that were done.
    pub batch: usize,
    /// All steps.
    pub steps: usize,
    /// The sum of the losses of its batches.
    #[serde(with = "exact")]
    pub loss: f64,
    /// Seconds that it took so far.
    pub seconds: f64,
    pub history: History,
}

/// All that training needs to go on as if it had never ended.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    pub model: BTreeMap<String, Tensor>,
    pub optimizer: BTreeMap<String, Tensor>,
    pub training: Training,
}

/// The part that is no tensor.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Training {
    pub progress: Progress,
    /// The generators of the model's dropout.
    pub random: BTreeMap<String, Random>,
}

#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    #[error("cannot write the checkpoint {}: {source}; nothing of it is left, and earlier ones are whole", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot read the checkpoint {}: {source}", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("the checkpoint {} is damaged: {reason}", path.display())]
    Damaged { path: PathBuf, reason: String },
    #[error("the checkpoint is that of another model: {0}")]
    Model(#[from] StateError),
    #[error("the checkpoint is that of another training: {0}")]
    Optimizer(candle_core::Error),
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl Checkpoint {
    pub(super) fn of(
        model: &dyn Layer,
        optimizer: &dyn Optimizer,
        progress: &Progress,
    ) -> Result<Self, CheckpointError> {
        let mut random = BTreeMap::new();
        for (name, part) in model.named_parts() {
            if let Part::Random(generator) = part {
                random.insert(name, lock(generator).clone());
            }
        }
        Ok(Self {
            model: model.state()?,
            optimizer: optimizer.state()?,
            training: Training {
                progress: progress.clone(),
                random,
            },
        })
    }

    /// Sets model and optimizer.
    pub(super) fn restore(
        &self,
        model: &dyn Layer,
        optimizer: &mut dyn Optimizer,
    ) -> Result<Progress, CheckpointError> {
        model.load_state(&self.model)?;
        optimizer
            .load_state(&self.optimizer)
            .map_err(CheckpointError::Optimizer)?;
        for (name, part) in model.named_parts() {
            if let (Part::Random(generator), Some(state)) = (part, self.training.random.get(&name))
            {
                *lock(generator) = state.clone();
            }
        }
        Ok(self.training.progress.clone())
    }

    /// Writes it into a new folder in `folder`, and removes old ones.
    ///
    /// # Errors
    /// When the disk is full or the folder cannot be written; nothing is left of it then.
    pub fn save(&self, folder: &Path) -> Result<PathBuf, CheckpointError> {
        let path = folder.join(format!("step-{:010}", self.training.progress.steps));
        let unfinished = path.with_extension("unfinished");
        let failed = |source| CheckpointError::Write {
            path: path.clone(),
            source,
        };
        let files = self.to_files().map_err(failed)?;
        if read(&path).is_ok_and(|there| there == files) {
            return Ok(path);
        }
        // One of the same step is damaged, or of another training.
        let replaced = write(&unfinished, &files).and_then(|()| {
            if path.is_dir() {
                fs::remove_dir_all(&path)?;
            }
            fs::rename(&unfinished, &path)?;
            // Before old ones go: after a power cut one of them is there.
            files::sync(folder)
        });
        if let Err(source) = replaced {
            // What is not there need not be removed.
            let _ = fs::remove_dir_all(&unfinished);
            return Err(failed(source));
        }
        for old in list(folder).iter().rev().skip(KEPT) {
            fs::remove_dir_all(old).map_err(failed)?;
        }
        Ok(path)
    }

    /// The newest one in a folder that is whole, or None where there is none at all. Where a newer one is damaged, that
    /// is said on the standard error.
    ///
    /// # Errors
    /// Of the newest one, when none can be read.
    pub fn newest(folder: &Path) -> Result<Option<Self>, CheckpointError> {
        let mut newest = None;
        for path in list(folder).into_iter().rev() {
            let checkpoint = read(&path).and_then(|files| {
                Self::from_files(&files).map_err(|reason| CheckpointError::Damaged { path, reason })
            });
            match (checkpoint, &newest) {
                (Ok(checkpoint), None) => return Ok(Some(checkpoint)),
                (Ok(checkpoint), Some(error)) => {
                    eprintln!("{error}; training goes on from the one before");
                    return Ok(Some(checkpoint));
                }
                (Err(error), None) => newest = Some(error),
                (Err(_), Some(_)) => {}
            }
        }
        newest.map_or(Ok(None), Err)
    }

    /// The file with the weights of the newest one in a folder.
    pub(crate) fn newest_model(folder: &Path) -> Option<PathBuf> {
        Some(list(folder).pop()?.join(MODEL))
    }

    /// The contents of the three files.
    pub(super) fn to_files(&self) -> io::Result<[Vec<u8>; 3]> {
        let tensors = |tensors: &BTreeMap<String, Tensor>| {
            safetensors::serialize(tensors.iter(), None).map_err(io::Error::other)
        };
        Ok([
            tensors(&self.model)?,
            tensors(&self.optimizer)?,
            serde_json::to_vec_pretty(&self.training)?,
        ])
    }

    pub(super) fn from_files([model, optimizer, training]: &[Vec<u8>; 3]) -> Result<Self, String> {
        let tensors = |name: &str, bytes: &[u8]| {
            candle_core::safetensors::load_buffer(bytes, &Device::Cpu)
                .map(|tensors: HashMap<_, _>| tensors.into_iter().collect())
                .map_err(|error| format!("{name}: {error}"))
        };
        Ok(Self {
            model: tensors(MODEL, model)?,
            optimizer: tensors(OPTIMIZER, optimizer)?,
            training: serde_json::from_slice(training)
                .map_err(|error| format!("{TRAINING}: {error}"))?,
        })
    }
}

/// The files of a checkpoint.
fn read(path: &Path) -> Result<[Vec<u8>; 3], CheckpointError> {
    let read = |name| {
        let path = path.join(name);
        fs::read(&path).map_err(|source| CheckpointError::Read { path, source })
    };
    Ok([read(MODEL)?, read(OPTIMIZER)?, read(TRAINING)?])
}

/// Writes all files of a folder so that they outlive a crash of the machine.
fn write(folder: &Path, files: &[Vec<u8>; 3]) -> io::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    for (name, bytes) in [MODEL, OPTIMIZER, TRAINING].iter().zip(files) {
        let mut file = File::create(folder.join(name))?;
        file.write_all(bytes)?;
        file.sync_all()?;
    }
    files::sync(folder)
}

/// The finished checkpoints, oldest first. None where there is no such folder.
fn list(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries
        .filter(|path| {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            name.strip_prefix("step-")
                .is_some_and(|step| step.bytes().all(|byte| byte.is_ascii_digit()))
        })
        .collect();
    found.sort();
    found
}
