//! Training as a job that goes on when the notebook does not, and can be watched from any cell: processes on this
//! machine, or what a jobs service makes of it (`training/JOBS.md`).
//!
//! ```ignore
//! let job = TrainJob::new("distributed-mnist").recipe(Mnist::default().epochs(10)).ranks(4).submit()?;
//! job.watch()?;
//! let model = job.model()?;
//! ```

mod folder;
mod function;
mod list;
mod local;
mod log;
mod model;
pub mod news;
mod objects;
mod remote;
mod report;
mod status;
mod travel;
mod watch;

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use candle_core::Tensor;

pub use carrel_report::{JobState, JobStatus, RankState, RankStatus, Report, SECRET_VARIABLE};
pub use folder::{JobFolder, Jobs};
pub use function::{Function, FunctionJob, NewFunction, Rank, run_function};
pub use list::JobList;
pub use log::Log;
pub use model::ModelSender;
pub use remote::{JOBS_TOKEN_VARIABLE, JOBS_URL_VARIABLE, RemoteJobs};
pub use report::{ReportTo, Reporter};
pub use status::StatusFile;

use crate::nn::{Layer, StateError};
use crate::recipes::{MnistNet, Recipe};
use crate::trainer::CheckpointError;

/// The folder of all jobs on this machine, instead of the one in the user's data.
pub const JOBS_VARIABLE: &str = "CARREL_JOBS";
/// What a shell reports of a process that SIGTERM ended, and what a rank that was stopped ends with.
pub const STOPPED: u8 = 143;
/// How many threads tensors are computed on; read by rayon and candle.
pub const THREADS_VARIABLE: &str = "RAYON_NUM_THREADS";
/// Names the program that runs a rank.
pub const TRAIN_VARIABLE: &str = "CARREL_TRAIN";

/// What the process knows of [`SECRET_VARIABLE`]; empty where it is not set.
pub fn secret() -> Vec<u8> {
    std::env::var(SECRET_VARIABLE)
        .unwrap_or_default()
        .into_bytes()
}

/// For the beginning of a process of one rank. Otherwise tensors are computed on as many threads as the machine has
/// processors, also where a container may use a few of them only.
#[allow(unsafe_code)]
pub fn heed_cpu_limit() {
    if std::env::var_os(THREADS_VARIABLE).is_none()
        && let Ok(limit) = std::thread::available_parallelism()
    {
        // SAFETY: `main` calls it first, so no other thread can read the environment meanwhile.
        unsafe { std::env::set_var(THREADS_VARIABLE, limit.to_string()) };
    }
}

/// What a job is, for its processes and for a jobs service.
pub type Description = carrel_report::Description<Recipe, Function>;
/// What the ranks of a job do.
pub type Work = carrel_report::Work<Recipe, Function>;
/// A job as a jobs service shows it.
pub type JobView = carrel_report::JobView<Recipe, Function>;

/// A job, which runs or has ended.
#[derive(Clone, Debug)]
pub struct TrainJob {
    id: String,
    description: Description,
    backend: Arc<dyn Backend>,
}

/// Where a job runs.
trait Backend: Debug + Send + Sync {
    fn status(&self) -> Result<JobStatus, JobError>;

    fn logs(&self, rank: usize) -> Result<Log, JobError>;

    fn cancel(&self) -> Result<(), JobError>;

    fn resume(&self) -> Result<(), JobError>;

    fn delete(&self) -> Result<(), JobError>;

    /// What a function gave back on a rank that has succeeded, as CBOR.
    fn result(&self, rank: usize) -> Result<Vec<u8>, JobError>;

    /// The weights of the newest checkpoint; None before the first.
    fn weights(&self) -> Result<Option<BTreeMap<String, Tensor>>, JobError>;

    /// How often to look while somebody watches.
    fn pause(&self) -> Duration;

    fn folder(&self) -> Option<&JobFolder> {
        None
    }
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
    #[error("there is no job {name} in {place}")]
    Unknown { name: String, place: String },
    #[error("carrel-train is neither beside {} nor on $PATH: build it with `cargo build --release -p carrel-train`, or name it by ${TRAIN_VARIABLE}", beside.display())]
    NoProgram { beside: PathBuf },
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    /// What a rank gave back is of another type, or damaged.
    #[error("what rank {rank} of {id} gave back: {reason}")]
    Result {
        id: String,
        rank: usize,
        reason: String,
    },
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
    #[error("the jobs service at {url} cannot be reached: {reason}")]
    Unreachable { url: String, reason: String },
    #[error("the jobs service refused {url} with status {status}: {message}")]
    Refused {
        url: String,
        status: u16,
        message: String,
    },
    #[error("the jobs service answered {url} with something else than a job: {reason}")]
    Answer { url: String, reason: String },
    #[error("the job {0} is no function: it has no results")]
    NoFunction(String),
    #[error("this program cannot run functions as jobs: its main does not call run_function first")]
    NoFunctions,
    #[error("the job {id} has no results: {reason}")]
    Failed { id: String, reason: String },
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    #[error("the job's model does not fit its network: {0}")]
    Model(#[from] StateError),
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

impl NewJob {
    /// What the job trains.
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

    /// Starts the job where `$CARREL_JOBS_URL` says, else on this machine. It goes on when the notebook's kernel ends.
    ///
    /// # Errors
    /// When the description is not whole, the service refuses it, or its processes cannot be started; nothing runs
    /// then.
    pub fn submit(self) -> Result<TrainJob, JobError> {
        match RemoteJobs::from_process() {
            Some(jobs) => jobs.submit(self),
            None => Jobs::of_user()?.submit(self),
        }
    }

    fn description(self) -> Result<Description, JobError> {
        match self.recipe.clone() {
            Some(recipe) => self.description_of(Work::Recipe(recipe)),
            None => Err(JobError::NoRecipe(self.name)),
        }
    }

    fn description_of(self, work: Work) -> Result<Description, JobError> {
        if !carrel_report::is_name(&self.name) {
            return Err(JobError::Name(self.name));
        }
        if self.ranks == 0 {
            return Err(JobError::NoRanks);
        }
        Ok(Description {
            name: self.name,
            ranks: self.ranks,
            work,
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
        match RemoteJobs::from_process() {
            Some(jobs) => jobs.attach(name),
            None => Jobs::of_user()?.attach(name),
        }
    }

    /// All jobs of this user, oldest first.
    ///
    /// # Errors
    /// When there is no folder for them, or the service does not answer.
    pub fn list() -> Result<JobList, JobError> {
        match RemoteJobs::from_process() {
            Some(jobs) => jobs.table(),
            None => Jobs::of_user()?.table(),
        }
    }

    /// The name with a suffix that no other job has.
    pub fn id(&self) -> &str {
        &self.id
    }

    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Where a job on this machine keeps its files.
    pub fn folder(&self) -> Option<&JobFolder> {
        self.backend.folder()
    }

    /// What a rank printed so far.
    ///
    /// # Errors
    /// When there is no such rank, or its log cannot be had.
    pub fn logs(&self, rank: usize) -> Result<Log, JobError> {
        if rank >= self.description.ranks {
            return Err(JobError::NoRank(self.id.clone(), rank));
        }
        self.backend.logs(rank)
    }

    /// How the job stands.
    ///
    /// # Errors
    /// When the jobs service does not say.
    pub fn status(&self) -> Result<JobStatus, JobError> {
        self.backend.status()
    }

    /// Asks all ranks to write a checkpoint and end.
    ///
    /// # Errors
    /// When the jobs service does not take it.
    pub fn cancel(&self) -> Result<(), JobError> {
        self.backend.cancel()
    }

    /// Starts a job that has ended again, from its newest checkpoint.
    ///
    /// # Errors
    /// When it runs, or cannot be started.
    pub fn resume(&self) -> Result<(), JobError> {
        if !self.status()?.state().is_final() {
            return Err(JobError::Running(self.id.clone()));
        }
        self.backend.resume()
    }

    /// Forgets the job with its logs and checkpoints.
    ///
    /// # Errors
    /// When it runs, or the jobs service does not take it.
    pub fn delete(self) -> Result<(), JobError> {
        if !self.status()?.state().is_final() {
            return Err(JobError::Running(self.id));
        }
        self.backend.delete()
    }

    /// The network with the weights of the newest checkpoint.
    ///
    /// # Errors
    /// When there is none yet.
    pub fn model(&self) -> Result<MnistNet, JobError> {
        let Work::Recipe(Recipe::Mnist(mnist)) = &self.description.work else {
            return Err(JobError::NoRecipe(self.id.clone()));
        };
        let weights = self.backend.weights()?;
        let weights = weights.ok_or_else(|| JobError::NoModel(self.id.clone()))?;
        let network = mnist.network()?;
        network.load_state(&weights)?;
        Ok(network)
    }
}

/// The newest job of this name, or the one of this id, among jobs with the oldest first.
fn find(jobs: Vec<TrainJob>, name: &str, place: String) -> Result<TrainJob, JobError> {
    let mut newest_first = jobs.into_iter().rev();
    newest_first
        .find(|job| job.id == name || job.description.name == name)
        .ok_or_else(|| JobError::Unknown {
            name: name.to_owned(),
            place,
        })
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> JobError {
    let path = path.to_owned();
    |source| JobError::Io { path, source }
}
