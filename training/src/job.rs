//! Training as a job: processes that go on when the notebook does not, which can be watched from any cell.
//!
//! ```ignore
//! let job = TrainJob::new("distributed-mnist").recipe(Mnist::default().epochs(10)).ranks(4).submit()?;
//! job.watch()?;
//! let model = job.model()?;
//! ```

mod local;
mod report;
mod status;
mod watch;

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use report::{Report, ReportTo, Reporter};
pub use status::{JobState, JobStatus, RankState, RankStatus, StatusFile};

use crate::nn::{Layer, StateError};
use crate::recipes::{MnistNet, Recipe};
use crate::trainer::{Checkpoint, CheckpointError};

/// The folder of all jobs, instead of the one in the user's data.
pub const JOBS_VARIABLE: &str = "CARREL_JOBS";
/// What the ranks of a job know and nobody else.
pub const SECRET_VARIABLE: &str = "CARREL_JOB_SECRET";
/// Names the program that runs a rank.
pub const TRAIN_VARIABLE: &str = "CARREL_TRAIN";
const DESCRIPTION: &str = "job.json";

/// What a job is: written into its folder, from which its processes read it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    pub name: String,
    pub ranks: usize,
    pub recipe: Recipe,
}

/// A job, which runs or has ended, in a folder of its own.
#[derive(Clone, Debug)]
pub struct TrainJob {
    folder: PathBuf,
    description: Description,
    program: Option<PathBuf>,
}

/// Where jobs are kept, and what runs them.
#[derive(Clone, Debug)]
pub struct Jobs {
    pub folder: PathBuf,
    /// Instead of the `carrel-train` that is looked for.
    pub program: Option<PathBuf>,
}

/// A job before it is submitted.
#[derive(Clone, Debug)]
pub struct NewJob {
    name: String,
    recipe: Option<Recipe>,
    ranks: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum JobError {
    #[error("{0:?} is no name for a job: use letters, digits and `-`")]
    Name(String),
    #[error("the job {0} has no recipe: give one, such as .recipe(Mnist::default())")]
    NoRecipe(String),
    #[error("a job needs at least one rank")]
    NoRanks,
    #[error(
        "neither ${JOBS_VARIABLE} nor $XDG_DATA_HOME nor $HOME is set: there is no folder for jobs"
    )]
    NoHome,
    #[error("there is no job {name} in {}", folder.display())]
    Unknown { name: String, folder: PathBuf },
    #[error("carrel-train is neither beside {} nor on $PATH: build it with `cargo build --release -p carrel-train`, or name it by ${TRAIN_VARIABLE}", beside.display())]
    NoProgram { beside: PathBuf },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("{}: {source}", path.display())]
    Json {
        path: PathBuf,
        source: serde_json::Error,
    },
    #[error("the job {0} still runs: cancel it first, or wait for its end")]
    Running(String),
    #[error("the job {0} has no rank {1}")]
    NoRank(String, usize),
    #[error("the job {0} has no model yet: it is written after the first epoch")]
    NoModel(String),
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("the job's model does not fit its network: {0}")]
    Model(#[from] StateError),
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl NewJob {
    #[must_use]
    pub fn recipe(mut self, recipe: impl Into<Recipe>) -> Self {
        self.recipe = Some(recipe.into());
        self
    }

    /// How many processes share the work.
    #[must_use]
    pub fn ranks(mut self, ranks: usize) -> Self {
        self.ranks = ranks;
        self
    }

    /// Starts the job on this machine. It goes on when the notebook's kernel ends.
    ///
    /// # Errors
    /// When the description is not whole, or its processes cannot be started; nothing runs then.
    pub fn submit(self) -> Result<TrainJob, JobError> {
        Jobs::of_user()?.submit(self)
    }
}

impl Jobs {
    /// In `$CARREL_JOBS`, else in the user's data.
    ///
    /// # Errors
    /// When there is no such folder.
    pub fn of_user() -> Result<Self, JobError> {
        let set = |name| env::var_os(name).map(PathBuf::from);
        let folder = set(JOBS_VARIABLE)
            .or_else(|| Some(set("XDG_DATA_HOME")?.join("carrel/jobs")))
            .or_else(|| Some(set("HOME")?.join(".local/share/carrel/jobs")));
        Ok(Self {
            folder: folder.ok_or(JobError::NoHome)?,
            program: set(TRAIN_VARIABLE),
        })
    }

    /// [`NewJob::submit`].
    ///
    /// # Errors
    /// When the description is not whole, or its processes cannot be started; nothing runs then.
    pub fn submit(&self, new: NewJob) -> Result<TrainJob, JobError> {
        let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
        if new.name.is_empty() || !new.name.chars().all(fits) {
            return Err(JobError::Name(new.name));
        }
        if new.ranks == 0 {
            return Err(JobError::NoRanks);
        }
        let Some(recipe) = new.recipe else {
            return Err(JobError::NoRecipe(new.name));
        };
        let id = uuid::Uuid::new_v4().simple().to_string();
        let folder = self.folder.join(format!("{}-{}", new.name, &id[..8]));
        fs::create_dir_all(&folder).map_err(io_error(&folder))?;
        let job = TrainJob {
            folder,
            description: Description {
                name: new.name,
                ranks: new.ranks,
                recipe,
            },
            program: self.program.clone(),
        };
        let path = job.folder.join(DESCRIPTION);
        let json =
            serde_json::to_vec_pretty(&job.description).map_err(|source| JobError::Json {
                path: path.clone(),
                source,
            })?;
        status::replace(&path, &json).map_err(io_error(&path))?;
        if let Err(error) = local::start(&job) {
            // The cause is in the error; a job that never ran is none.
            let _ = fs::remove_dir_all(&job.folder);
            return Err(error);
        }
        Ok(job)
    }

    /// All jobs, oldest first.
    pub fn list(&self) -> Vec<TrainJob> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut jobs: Vec<_> = entries
            .filter_map(|entry| {
                let mut job = TrainJob::open(&entry.path()).ok()?;
                job.program.clone_from(&self.program);
                let made = fs::metadata(job.folder.join(DESCRIPTION))
                    .ok()?
                    .modified()
                    .ok()?;
                Some((made, job))
            })
            .collect();
        jobs.sort_by_key(|(made, _)| *made);
        jobs.into_iter().map(|(_, job)| job).collect()
    }

    /// The newest job of this name, or the one of this id.
    ///
    /// # Errors
    /// When there is none.
    pub fn attach(&self, name: &str) -> Result<TrainJob, JobError> {
        let mut jobs = self.list().into_iter().rev();
        let found = jobs.find(|job| job.id() == name || job.description.name == name);
        found.ok_or_else(|| JobError::Unknown {
            name: name.to_owned(),
            folder: self.folder.clone(),
        })
    }
}

impl TrainJob {
    /// A job of one rank, unless told otherwise.
    #[allow(clippy::new_ret_no_self)]
    pub fn new(name: impl Into<String>) -> NewJob {
        NewJob {
            name: name.into(),
            recipe: None,
            ranks: 1,
        }
    }

    /// The newest job of this name, or the one of this id; also after a restart of the kernel.
    ///
    /// # Errors
    /// When there is none.
    pub fn attach(name: &str) -> Result<Self, JobError> {
        Jobs::of_user()?.attach(name)
    }

    /// All jobs of this user on this machine, oldest first.
    ///
    /// # Errors
    /// When there is no folder for them.
    pub fn list() -> Result<Vec<Self>, JobError> {
        Ok(Jobs::of_user()?.list())
    }

    /// The job in a folder.
    ///
    /// # Errors
    /// When the folder holds none.
    pub fn open(folder: &Path) -> Result<Self, JobError> {
        let path = folder.join(DESCRIPTION);
        let bytes = fs::read(&path).map_err(io_error(&path))?;
        let description =
            serde_json::from_slice(&bytes).map_err(|source| JobError::Json { path, source })?;
        Ok(Self {
            folder: folder.to_owned(),
            description,
            program: None,
        })
    }

    /// The name with a suffix that no other job has.
    pub fn id(&self) -> String {
        let name = self.folder.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Where rank 0 writes checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.folder.join("checkpoints")
    }

    /// Where a rank says how it stands.
    pub fn status_file(&self, rank: usize) -> PathBuf {
        self.folder.join(format!("rank-{rank}.json"))
    }

    fn log_file(&self, rank: usize) -> PathBuf {
        self.folder.join(format!("rank-{rank}.log"))
    }

    /// What a rank printed so far.
    ///
    /// # Errors
    /// When there is no such rank.
    pub fn logs(&self, rank: usize) -> Result<String, JobError> {
        if rank >= self.description.ranks {
            return Err(JobError::NoRank(self.id(), rank));
        }
        let path = self.log_file(rank);
        let bytes = fs::read(&path).map_err(io_error(&path))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// How the job stands.
    pub fn status(&self) -> JobStatus {
        let ranks = (0..self.description.ranks).map(|rank| local::rank_status(self, rank));
        JobStatus {
            id: self.id(),
            ranks: ranks.collect(),
        }
    }

    /// Says how a rank ended; its own process does so last.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn end_rank(
        &self,
        rank: usize,
        state: RankState,
        reason: Option<String>,
    ) -> io::Result<()> {
        status::end(&self.status_file(rank), state, reason)
    }

    /// Asks all ranks to write a checkpoint and end.
    pub fn cancel(&self) {
        local::terminate(self);
    }

    /// Starts a job that has ended again, from its newest checkpoint.
    ///
    /// # Errors
    /// When it runs, or cannot be started.
    pub fn resume(&self) -> Result<(), JobError> {
        if !self.status().state().is_final() {
            return Err(JobError::Running(self.id()));
        }
        local::start(self)
    }

    /// The network with the weights of the newest checkpoint.
    ///
    /// # Errors
    /// When there is none yet.
    pub fn model(&self) -> Result<MnistNet, JobError> {
        let Recipe::Mnist(mnist) = &self.description.recipe;
        let checkpoint = Checkpoint::newest(&self.checkpoints())?;
        let checkpoint = checkpoint.ok_or_else(|| JobError::NoModel(self.id()))?;
        let network = mnist.network()?;
        network.load_state(&checkpoint.model)?;
        Ok(network)
    }
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> JobError {
    let path = path.to_owned();
    |source| JobError::Io { path, source }
}
