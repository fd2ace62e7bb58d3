//! A function of the user's own as a job: the shared objects that it lies in travel with the job, and every rank loads
//! them into the same program and calls it.

use std::any::Any;
use std::fmt::Display;
use std::fs;
use std::marker::PhantomData;
use std::ops::Deref;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;

use carrel_ranks::{Environment, Meeting, Ranks, RanksError};
use carrel_report::{JOB_VARIABLE, ObjectFile};
use nix::libc::c_int;
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::objects::{self, Object};
use super::{
    JobError, JobFolder, JobState, Jobs, NewJob, RankState, RemoteJobs, ReportTo, Reporter,
    STOPPED, StatusFile, TrainJob, Work, heed_cpu_limit, io_error, secret, status, travel,
};
use crate::http::variable;
use crate::trainer::{Host, Watcher, interrupted, set_host, unwind_if_interrupted};

/// The first argument of a program that is to run a rank of a function's job.
pub(super) const ARGUMENT: &str = "run-function";

/// What a function sees of the rank it runs on.
pub struct Rank {
    environment: Environment,
    meeting: Meeting,
    checkpoints: PathBuf,
}

impl Rank {
    pub fn rank(&self) -> usize {
        self.environment.rank
    }

    /// The number of ranks.
    pub fn world(&self) -> usize {
        self.environment.world
    }

    /// Meets the other ranks, for sums and copies or for `Trainer::ranks`; all of them must call it.
    ///
    /// # Errors
    /// When a rank does not come.
    pub fn connect(&self) -> Result<Ranks, RanksError> {
        Ranks::connect(&self.meeting)
    }

    /// A folder of the job, for `Trainer::checkpoints`.
    pub fn checkpoints(&self) -> &Path {
        &self.checkpoints
    }

    /// Whether the job was cancelled; a trainer looks by itself.
    pub fn is_stopped(&self) -> bool {
        is_stopped()
    }
}

/// Where a function lies, and what must be loaded to call it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Function {
    /// The program and its libraries, by their names, with their SHA-256.
    program: Vec<(String, String)>,
    /// What was loaded since it began: files in the job's folder, in this order.
    objects: Vec<ObjectFile>,
    /// The function itself, and the one that knows its type.
    function: Place,
    call: Place,
}

/// A place in an object, of its name and offset.
type Place = (String, u64);

/// A function, its type forgotten, and the rank; the result as CBOR (RFC 8949), which has numbers that are none, and any
/// keys in maps.
type Call = fn(usize, &Rank) -> Result<Vec<u8>, String>;

/// A job of a function before it is submitted.
pub struct NewFunction<T> {
    new: NewJob,
    function: usize,
    call: Call,
    result: PhantomData<fn() -> T>,
}

/// A job of a function whose results are known to be of a type.
pub struct FunctionJob<T> {
    job: TrainJob,
    result: PhantomData<fn() -> T>,
}

/// What the program consisted of when it began; nothing where its main does not say so.
static BEGINNING: OnceLock<Vec<PathBuf>> = OnceLock::new();

impl TrainJob {
    /// A job whose ranks call a function, which cannot be a closure: it sees nothing of the notebook's variables. Its
    /// results are what the ranks give back.
    pub fn function<T: Serialize, E: Display>(
        name: impl Into<String>,
        function: fn(&Rank) -> Result<T, E>,
    ) -> NewFunction<T> {
        NewFunction {
            new: Self::new(name),
            function: function as usize,
            call: call::<T, E>,
            result: PhantomData,
        }
    }

    /// What the function gave back on each rank, once the job has ended. An interrupt ends the waiting, not the job.
    ///
    /// # Errors
    /// When a rank failed, or its result is of another type.
    pub fn results<T: DeserializeOwned>(&self) -> Result<Vec<T>, JobError> {
        let Work::Function(_) = self.description.work else {
            return Err(JobError::NoFunction(self.id.clone()));
        };
        let status = loop {
            let status = self.status()?;
            if status.state().is_final() {
                break status;
            }
            if interrupted() {
                unwind_if_interrupted();
                return Err(JobError::Running(self.id.clone()));
            }
            thread::sleep(self.backend.pause());
        };
        if status.state() != JobState::Succeeded {
            return Err(JobError::Failed {
                id: self.id.clone(),
                reason: status.to_string(),
            });
        }
        let read = |rank| {
            let bytes = self.backend.result(rank)?;
            ciborium::from_reader(&*bytes).map_err(|error| JobError::Result {
                id: self.id.clone(),
                rank,
                reason: match error {
                    ciborium::de::Error::Semantic(_, reason) => reason,
                    other => other.to_string(),
                },
            })
        };
        (0..self.description.ranks).map(read).collect()
    }
}

#[allow(unsafe_code)]
fn call<T: Serialize, E: Display>(function: usize, rank: &Rank) -> Result<Vec<u8>, String> {
    // SAFETY: `TrainJob::function` pairs this function with one of this type, and both are found again by their places
    // in the same objects, of the same program.
    let function = unsafe { std::mem::transmute::<usize, fn(&Rank) -> Result<T, E>>(function) };
    let result = function(rank).map_err(|error| format!("{error:#}"))?;
    let mut bytes = Vec::new();
    match ciborium::into_writer(&result, &mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) => Err(format!("its result cannot be kept: {error}")),
    }
}

impl<T> NewFunction<T> {
    /// How many processes call the function.
    #[must_use]
    pub fn ranks(mut self, ranks: usize) -> Self {
        self.new = self.new.ranks(ranks);
        self
    }

    /// Starts the job where `$CARREL_JOBS_URL` says, else on this machine.
    ///
    /// # Errors
    /// When the service refuses it, its processes cannot be started, or this program cannot run functions; nothing runs
    /// then.
    pub fn submit(self) -> Result<FunctionJob<T>, JobError> {
        match RemoteJobs::from_process() {
            Some(jobs) => self.submit_to_service(&jobs),
            None => self.submit_to(&Jobs::of_user()?),
        }
    }

    /// [`Self::submit`], with the jobs of another folder.
    ///
    /// # Errors
    /// As there.
    pub fn submit_to(self, jobs: &Jobs) -> Result<FunctionJob<T>, JobError> {
        self.with_files(|new, work, files| {
            let files: Vec<&Path> = files.iter().map(|(_, path)| *path).collect();
            jobs.submit_work(new, work, &files)
        })
    }

    /// [`Self::submit`], with another jobs service.
    ///
    /// # Errors
    /// As there.
    pub fn submit_to_service(self, jobs: &RemoteJobs) -> Result<FunctionJob<T>, JobError> {
        self.with_files(|new, work, files| jobs.submit_work(new, work, files))
    }

    /// What the job is, and the files that its ranks need.
    fn with_files(
        self,
        submit: impl FnOnce(NewJob, Work, &[(ObjectFile, &Path)]) -> Result<TrainJob, JobError>,
    ) -> Result<FunctionJob<T>, JobError> {
        let beginning = BEGINNING.get().ok_or(JobError::NoFunctions)?;
        let all = objects::loaded();
        let find = |address| {
            let place = |object: &Object| Some((object.name(), object.offset(address)?));
            all.iter().find_map(place).ok_or(JobError::NoFunctions)
        };
        let (own, travelling): (Vec<&Object>, Vec<&Object>) = all
            .iter()
            .partition(|object| beginning.contains(&object.path));
        // The system's loader finds its own.
        let travelling: Vec<&Object> = travelling
            .into_iter()
            .filter(|object| object.path.is_file() && !is_of_system(&object.path))
            .collect();
        let mut files = Vec::new();
        for object in &travelling {
            let (name, sha256) = (object.name(), digest(&object.path)?);
            files.push((ObjectFile { name, sha256 }, object.path.as_path()));
        }
        let work = Work::Function(Function {
            program: identity(own.into_iter())?,
            objects: files.iter().map(|(file, _)| file.clone()).collect(),
            function: find(self.function)?,
            call: find(self.call as usize)?,
        });
        Ok(FunctionJob {
            job: submit(self.new, work, &files)?,
            result: PhantomData,
        })
    }
}

impl<T: DeserializeOwned> FunctionJob<T> {
    /// [`TrainJob::results`].
    ///
    /// # Errors
    /// As there.
    pub fn result(&self) -> Result<Vec<T>, JobError> {
        self.job.results()
    }
}

impl<T> Deref for FunctionJob<T> {
    type Target = TrainJob;

    fn deref(&self) -> &TrainJob {
        &self.job
    }
}

/// Whether this program runs a rank when it is started with [`ARGUMENT`].
pub(super) fn runs_functions() -> bool {
    BEGINNING.get().is_some()
}

fn is_of_system(path: &Path) -> bool {
    ["/lib", "/lib64", "/usr/lib", "/usr/lib64"]
        .iter()
        .any(|folder| path.starts_with(folder))
}

/// Names and checksums of the program and of those of its libraries that are not the system's.
fn identity<'a>(own: impl Iterator<Item = &'a Object>) -> Result<Vec<(String, String)>, JobError> {
    let mut all = Vec::new();
    for object in own.filter(|object| !is_of_system(&object.path)) {
        let path = match object.name().as_str() {
            "" => "/proc/self/exe".into(),
            _ => object.path.clone(),
        };
        // Such as what the system maps without a file.
        if path.is_file() {
            all.push((object.name(), digest(&path)?));
        }
    }
    Ok(all)
}

/// SHA-256 of a file, in hexadecimal digits.
fn digest(path: &Path) -> Result<String, JobError> {
    let bytes = fs::read(path).map_err(io_error(path))?;
    Ok(hex::encode(Sha256::digest(&bytes)))
}

/// For the beginning of a program's `main`: lets it start functions as jobs. Where it was itself started to run a rank
/// of one, it does so, and gives back the exit code.
pub fn run_function() -> Option<ExitCode> {
    let loaded = objects::loaded().into_iter().map(|object| object.path);
    // Only the first call is the beginning.
    let _ = BEGINNING.set(loaded.collect());
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next()? != ARGUMENT {
        return None;
    }
    let folder = PathBuf::from(arguments.next()?);
    heed_cpu_limit();
    Some(
        match JobFolder::open(&folder).map_err(|error| error.to_string()) {
            Ok(job) => {
                objects::look_in(&job.objects());
                run_rank(&job)
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        },
    )
}

/// Where this process says how its rank stands.
static STATUS: OnceLock<PathBuf> = OnceLock::new();
/// The same to a jobs service.
static REPORTER: OnceLock<Reporter> = OnceLock::new();
static STOP: AtomicBool = AtomicBool::new(false);

fn is_stopped() -> bool {
    STOP.load(Ordering::Relaxed)
}

extern "C" fn stop(_signal: c_int) {
    STOP.store(true, Ordering::Relaxed);
}

#[allow(unsafe_code)]
fn heed_signals() -> Result<(), String> {
    // The second one ends the process at once, should the function never look.
    let flags = SaFlags::SA_RESETHAND | SaFlags::SA_RESTART;
    let action = SigAction::new(SigHandler::Handler(stop), flags, SigSet::empty());
    for signal in [Signal::SIGTERM, Signal::SIGINT] {
        // SAFETY: the handler does nothing but to set an atomic flag.
        unsafe { sigaction(signal, &action) }.map_err(|error| error.to_string())?;
    }
    Ok(())
}

fn watcher() -> Box<dyn Watcher> {
    let mut watchers: Vec<Box<dyn Watcher>> = Vec::new();
    // On a full disk a function goes on without it.
    if let Some(Ok(status)) = STATUS.get().cloned().map(StatusFile::create) {
        watchers.push(Box::new(status));
    }
    watchers.extend(REPORTER.get().map(Reporter::watcher));
    Box::new(watchers)
}

fn run_rank(job: &JobFolder) -> ExitCode {
    let environment = match Environment::from_process() {
        Ok(environment) => environment,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::FAILURE;
        }
    };
    let rank = environment.rank;
    if let Some(to) = ReportTo::from_process() {
        // A process has one rank.
        let _ = REPORTER.set(Reporter::start(to, &environment));
    }
    let ended = call_function(job, environment);
    let (state, reason, code) = match ended {
        // Some find others gone before they come to their own end.
        _ if is_stopped() => (RankState::Stopped, None, ExitCode::from(STOPPED)),
        Ok(()) => (RankState::Succeeded, None, ExitCode::SUCCESS),
        Err(reason) => {
            eprintln!("{reason}");
            (RankState::Failed, Some(reason), ExitCode::FAILURE)
        }
    };
    if let Err(error) = job.end_rank(rank, state, reason.clone()) {
        eprintln!("cannot write {}: {error}", job.status_file(rank).display());
    }
    if let Some(reporter) = REPORTER.get() {
        reporter.end(state, reason);
    }
    code
}

fn call_function(job: &JobFolder, environment: Environment) -> Result<(), String> {
    let Work::Function(function) = &job.description().work else {
        return Err(format!("the job {} is no function", job.id()));
    };
    heed_signals()?;
    let _ = STATUS.set(job.status_file(environment.rank));
    travel::fetch(&function.objects, &job.objects(), is_stopped)?;
    set_host(Host {
        interrupted: is_stopped,
        unwind: || {},
        watcher,
    });
    let (address, call) = find(function, job)?;
    let path = job.status_file(environment.rank);
    status::tell(&path, RankState::Running, None)
        .map_err(|error| format!("{}: {error}", path.display()))?;
    if let Some(reporter) = REPORTER.get() {
        reporter.begin();
    }
    let rank = Rank {
        meeting: Meeting {
            secret: secret(),
            // The folders of ranks that a service started are their own.
            configuration: variable(JOB_VARIABLE).unwrap_or_else(|| job.id()),
            stop: Arc::new(is_stopped),
            ..Meeting::new(environment.clone())
        },
        environment,
        checkpoints: job.checkpoints(),
    };
    let called = catch_unwind(AssertUnwindSafe(|| call(address, &rank)));
    let result = called.unwrap_or_else(|panic| Err(format!("it panicked: {}", said(&*panic))))?;
    let path = job.result_file(rank.rank());
    status::replace(&path, &result).map_err(|error| format!("{}: {error}", path.display()))?;
    travel::hand_over(&result, rank.rank(), is_stopped)
}

/// Loads what the function needs, once it is sure that this is the program that it was compiled for.
#[allow(unsafe_code)]
fn find(function: &Function, job: &JobFolder) -> Result<(usize, Call), String> {
    let own = identity(objects::loaded().iter()).map_err(|error| error.to_string())?;
    if own != function.program {
        return Err(other_build(&function.program, &own));
    }
    for object in &function.objects {
        objects::open(&job.objects().join(&object.name))?;
    }
    let all = objects::loaded();
    let address = |(name, offset): &Place| {
        let object = all.iter().find(|object| object.name() == *name);
        let address = object.and_then(|object| object.address(*offset));
        address.ok_or_else(|| format!("there is no function in {name:?} at {offset}"))
    };
    let call = address(&function.call)?;
    // SAFETY: `submit_to` took the place of a function of this type, and the objects are the same.
    let call = unsafe { std::mem::transmute::<usize, Call>(call) };
    Ok((address(&function.function)?, call))
}

/// Names the first file that differs between the program that made a job and the one that is to run it.
fn other_build(made: &[(String, String)], own: &[(String, String)]) -> String {
    let named = |files: &[(String, String)], name: &str| {
        let file = files.iter().find(|(other, _)| other == name);
        file.map_or_else(
            || "missing".to_owned(),
            |(_, digest)| digest[..12.min(digest.len())].to_owned(),
        )
    };
    let differs = |(name, digest): &&(String, String)| {
        let same = |(other, theirs): &(String, String)| other == name && theirs == digest;
        !made.iter().any(same) || !own.iter().any(same)
    };
    let first = made.iter().chain(own).find(differs);
    let name = first.map_or("", |(name, _)| name);
    let shown = if name.is_empty() { "the program" } else { name };
    format!(
        "the job was made by another build of this program: submit it again ({shown} is {} there and {} here, by SHA-256)",
        named(made, name),
        named(own, name)
    )
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "without a message".to_owned())
}
