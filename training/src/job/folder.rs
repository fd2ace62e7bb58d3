//! Jobs on this machine: a folder for each, with its description, and for each rank a log and how it stands.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use candle_core::Tensor;

use super::list::Entry;
use super::{
    Backend, Description, JOBS_VARIABLE, JobError, JobList, JobStatus, Log, NewJob, RankState,
    TRAIN_VARIABLE, TrainJob, Work, find, io_error, local, status,
};
use crate::trainer::Checkpoint;

const DESCRIPTION: &str = "job.json";
/// How long a rank may write after it has told its end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Where jobs on this machine are kept, and what runs them.
#[derive(Clone, Debug)]
pub struct Jobs {
    pub folder: PathBuf,
    /// Instead of the `carrel-train` that is looked for.
    pub program: Option<PathBuf>,
}

/// The folder of a job on this machine, from which its processes read what it is.
#[derive(Clone, Debug)]
pub struct JobFolder {
    path: PathBuf,
    description: Description,
    pub(super) program: Option<PathBuf>,
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

    /// Starts a job on this machine.
    ///
    /// # Errors
    /// When the description is not whole, or its processes cannot be started; nothing runs then.
    pub fn submit(&self, new: NewJob) -> Result<TrainJob, JobError> {
        self.start(new.description()?, &[])
    }

    /// The same, with files that the ranks need.
    pub(super) fn submit_work(
        &self,
        new: NewJob,
        work: Work,
        files: &[&Path],
    ) -> Result<TrainJob, JobError> {
        self.start(new.description_of(work)?, files)
    }

    fn start(&self, description: Description, files: &[&Path]) -> Result<TrainJob, JobError> {
        let id = uuid::Uuid::new_v4().simple().to_string();
        let path = self
            .folder
            .join(format!("{}-{}", description.name, &id[..8]));
        fs::create_dir_all(&path).map_err(io_error(&path))?;
        let folder = JobFolder {
            path,
            description,
            program: self.program.clone(),
        };
        if let Err(error) = folder.begin(files) {
            // The cause is in the error; a job that never ran is none.
            let _ = fs::remove_dir_all(&folder.path);
            return Err(error);
        }
        Ok(folder.into())
    }

    /// All jobs, oldest first.
    pub fn list(&self) -> Vec<TrainJob> {
        let jobs = self.folders().into_iter();
        jobs.map(|(_, job)| job.into()).collect()
    }

    /// The same, with how they stand, as a table.
    ///
    /// # Errors
    /// When a status cannot be had.
    pub fn table(&self) -> Result<JobList, JobError> {
        let entry = |(made, job): (SystemTime, JobFolder)| {
            Ok(Entry {
                status: job.status()?,
                started: Some(made),
                job: job.into(),
            })
        };
        self.folders().into_iter().map(entry).collect()
    }

    /// With the time when each was submitted.
    fn folders(&self) -> Vec<(SystemTime, JobFolder)> {
        let entries = fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let mut jobs: Vec<_> = entries
            .filter_map(|entry| {
                let mut job = JobFolder::open(&entry.path()).ok()?;
                job.program.clone_from(&self.program);
                let made = fs::metadata(job.path.join(DESCRIPTION))
                    .ok()?
                    .modified()
                    .ok()?;
                Some((made, job))
            })
            .collect();
        jobs.sort_by_key(|(made, _)| *made);
        jobs
    }

    /// The newest job of this name, or the one of this id.
    ///
    /// # Errors
    /// When there is none.
    pub fn attach(&self, name: &str) -> Result<TrainJob, JobError> {
        find(self.list(), name, self.folder.display().to_string())
    }
}

impl JobFolder {
    /// The job in a folder.
    ///
    /// # Errors
    /// When the folder holds none.
    pub fn open(path: &Path) -> Result<Self, JobError> {
        let file = path.join(DESCRIPTION);
        let bytes = fs::read(&file).map_err(io_error(&file))?;
        let description = serde_json::from_slice(&bytes)
            .map_err(|source| JobError::Json { path: file, source })?;
        Ok(Self {
            path: path.to_owned(),
            description,
            program: None,
        })
    }

    fn begin(&self, files: &[&Path]) -> Result<(), JobError> {
        for file in files {
            let objects = self.objects();
            fs::create_dir_all(&objects).map_err(io_error(&objects))?;
            let name = file.file_name().unwrap_or_default();
            fs::copy(file, objects.join(name)).map_err(io_error(file))?;
        }
        let path = self.path.join(DESCRIPTION);
        let json =
            serde_json::to_vec_pretty(&self.description).map_err(|source| JobError::Json {
                path: path.clone(),
                source,
            })?;
        status::replace(&path, &json).map_err(io_error(&path))?;
        local::start(self)
    }

    /// The name with a suffix that no other job has.
    pub fn id(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn description(&self) -> &Description {
        &self.description
    }

    /// Where rank 0 writes checkpoints.
    pub fn checkpoints(&self) -> PathBuf {
        self.path.join("checkpoints")
    }

    /// Where a rank says how it stands.
    pub fn status_file(&self, rank: usize) -> PathBuf {
        self.path.join(format!("rank-{rank}.json"))
    }

    /// What a function needs to be loaded.
    pub(super) fn objects(&self) -> PathBuf {
        self.path.join("objects")
    }

    /// What a function gave back, as CBOR.
    pub(super) fn result_file(&self, rank: usize) -> PathBuf {
        self.path.join(format!("result-{rank}.cbor"))
    }

    pub(super) fn log_file(&self, rank: usize) -> PathBuf {
        self.path.join(format!("rank-{rank}.log"))
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
        status::tell(&self.status_file(rank), state, reason)
    }
}

impl From<JobFolder> for TrainJob {
    fn from(folder: JobFolder) -> Self {
        Self {
            id: folder.id(),
            description: folder.description.clone(),
            backend: Arc::new(folder),
        }
    }
}

impl Backend for JobFolder {
    fn status(&self) -> Result<JobStatus, JobError> {
        let ranks = (0..self.description.ranks).map(|rank| local::rank_status(self, rank));
        Ok(JobStatus {
            id: self.id(),
            message: None,
            ranks: ranks.collect(),
        })
    }

    fn logs(&self, rank: usize) -> Result<Log, JobError> {
        let path = self.log_file(rank);
        fs::read(&path).map(Log::from).map_err(io_error(&path))
    }

    fn cancel(&self) -> Result<(), JobError> {
        local::terminate(self);
        Ok(())
    }

    fn resume(&self) -> Result<(), JobError> {
        local::start(self)
    }

    fn delete(&self) -> Result<(), JobError> {
        let end = Instant::now() + LAST_WORDS;
        loop {
            match fs::remove_dir_all(&self.path) {
                // A rank that has said how it ended may still write.
                Err(error)
                    if error.kind() == io::ErrorKind::DirectoryNotEmpty && Instant::now() < end =>
                {
                    std::thread::sleep(Duration::from_millis(10));
                }
                removed => return removed.map_err(io_error(&self.path)),
            }
        }
    }

    fn result(&self, rank: usize) -> Result<Vec<u8>, JobError> {
        let path = self.result_file(rank);
        fs::read(&path).map_err(io_error(&path))
    }

    fn weights(&self) -> Result<Option<BTreeMap<String, Tensor>>, JobError> {
        let newest = Checkpoint::newest(&self.checkpoints())?;
        Ok(newest.map(|checkpoint| checkpoint.model))
    }

    fn pause(&self) -> Duration {
        Duration::from_millis(100)
    }

    fn folder(&self) -> Option<&JobFolder> {
        Some(self)
    }
}
