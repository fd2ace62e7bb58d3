//! A network behind a model server, from a cell. The server is a process beside the notebook's, and ends with it.
//!
//! ```ignore
//! let server = trainer.serve("digits")?;
//! let scores = server.predict(&picture)?;
//! ```

mod folder;
mod infer;
mod list;
mod process;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread;
use std::time::Duration;

use candle_core::{DType, Shape, Tensor};

pub use list::ServerList;

use crate::nn::Layer;
use crate::onnx::{self, OnnxError};
use crate::trainer::{Trainer, unwind_if_interrupted};
use folder::Folder;
use process::Process;

/// Names the program, in place of the one beside the running program or on `$PATH`.
pub const SERVER_VARIABLE: &str = "CARREL_MODEL_SERVER";

/// Those that run, by their models' names.
static SERVERS: Mutex<BTreeMap<String, Server>> = Mutex::new(BTreeMap::new());

/// Whose turn it is to serve: two at once would start two servers of a name.
static TURN: Mutex<()> = Mutex::new(());

/// What networks have beside their layers: a server of their own.
pub trait Serve {
    /// Puts the network as it is now behind a model server. Where one of this name runs, it is a new version behind the same
    /// address, so a cell may run again. An interrupt ends the waiting; the server may take the version yet.
    ///
    /// # Errors
    /// When the network does not say what shape one input has, as those do not that begin with a convolution
    /// ([`serve`] and [`Trainer::serve`] need no such word), it cannot be exported, or the server does not start.
    fn serve(&self, name: &str) -> Result<Server, ServeError>;
}

impl<L: Layer> Serve for L {
    fn serve(&self, name: &str) -> Result<Server, ServeError> {
        let item = self.input_shape();
        serve(
            self,
            item.ok_or_else(|| ServeError::NoShape(name.to_owned()))?,
            name,
        )
    }
}

impl<M: Layer> Trainer<M> {
    /// Puts the model as it is now behind a model server; one input has the shape of those in the data. See [`Serve::serve`].
    ///
    /// # Errors
    /// When there are no data, the model cannot be exported, or the server does not start.
    pub fn serve(&self, name: &str) -> Result<Server, ServeError> {
        let item = self.item_shape();
        let item = item.ok_or_else(|| ServeError::NoData(name.to_owned()))??;
        serve(self.model(), item, name)
    }
}

/// Puts a network behind a model server; `item` is the shape of one input without the batch. See [`Serve::serve`].
///
/// # Errors
/// When the network cannot be exported, or the server does not start.
pub fn serve(
    network: &dyn Layer,
    item: impl Into<Shape>,
    name: &str,
) -> Result<Server, ServeError> {
    if !carrel_report::is_name(name) {
        return Err(ServeError::Name(name.to_owned()));
    }
    let model = Model::of(network, item.into())?;
    let _turn = wait_for(&TURN);
    if let Ok(server) = Server::attach(name) {
        server.bring(model)?;
        return Ok(server);
    }
    let server = Server::start(name, model)?;
    lock(&SERVERS).insert(name.to_owned(), server.clone());
    Ok(server)
}

/// A network as it is exported.
struct Model {
    bytes: Vec<u8>,
    item: Shape,
    dtype: DType,
}

impl Model {
    fn of(network: &dyn Layer, item: Shape) -> Result<Self, OnnxError> {
        Ok(Self {
            bytes: onnx::encode(network, item.clone())?,
            item,
            dtype: onnx::of_network(network).0,
        })
    }
}

/// A model server of this notebook, for one model. It runs until [`Server::stop`], or until the kernel ends, whatever becomes of
/// the variable; clones are the same server.
#[derive(Clone)]
pub struct Server(Arc<Inner>);

struct Inner {
    name: String,
    // Ends before its folder goes.
    process: Process,
    folder: Folder,
    served: Mutex<Served>,
    /// The number of the newest version, whatever became of it; held while one is brought.
    newest: Mutex<u64>,
}

/// What is served.
#[derive(Clone)]
struct Served {
    version: u64,
    /// The shape of one input.
    item: Shape,
}

impl Server {
    fn start(name: &str, model: Model) -> Result<Self, ServeError> {
        let folder = Folder::new(name).map_err(io_error(&std::env::temp_dir()))?;
        let process = Process::start(name, &folder)?;
        let served = Served {
            version: 0,
            item: model.item.clone(),
        };
        let server = Self(Arc::new(Inner {
            name: name.to_owned(),
            folder,
            process,
            served: Mutex::new(served),
            newest: Mutex::new(0),
        }));
        // One that serves nothing ends as it is dropped.
        server.bring(model)?;
        Ok(server)
    }

    /// The server of a model that runs; also after the variable is gone.
    ///
    /// # Errors
    /// When there is none.
    pub fn attach(name: &str) -> Result<Self, ServeError> {
        let servers = lock(&SERVERS);
        let server = servers.get(name).filter(|server| server.is_running());
        server
            .cloned()
            .ok_or_else(|| ServeError::Unknown(name.to_owned()))
    }

    /// All servers of this notebook that run, by their names.
    pub fn list() -> ServerList {
        let servers = lock(&SERVERS);
        let running = servers.values().filter(|server| server.is_running());
        running.cloned().collect()
    }

    /// The name of the model.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The number of the version that answers.
    pub fn version(&self) -> u64 {
        self.served().version
    }

    /// The model's address by TensorFlow Serving's protocol over HTTP. `/v2/models/NAME` of the same host is KServe's.
    pub fn url(&self) -> String {
        format!("{}/v1/models/{}", self.0.process.http(), self.0.name)
    }

    /// HOST:PORT of the same protocols over gRPC.
    pub fn grpc(&self) -> String {
        self.0.process.grpc()
    }

    /// Requests must have it: `Authorization: Bearer TOKEN`. Other people of the machine reach the port too.
    pub fn token(&self) -> &str {
        self.0.folder.token()
    }

    /// A command that asks the model, in a terminal of this machine.
    pub fn curl(&self) -> String {
        let (header, example) = (self.0.folder.header(), self.0.folder.example());
        let (header, example) = (header.display(), example.display());
        format!("curl -H '@{header}' -d '@{example}' {}:predict", self.url())
    }

    /// What the server has logged.
    pub fn log(&self) -> String {
        self.0.folder.log_text()
    }

    pub fn is_running(&self) -> bool {
        self.0.process.is_running()
    }

    /// What the network answers to one input, or to a batch of them. It is computed by the server.
    ///
    /// # Errors
    /// When the input does not fit, or the server does not answer.
    pub fn predict(&self, x: &Tensor) -> Result<Tensor, ServeError> {
        let one = x.rank() == self.served().item.rank();
        let batch = if one { x.unsqueeze(0)? } else { x.clone() };
        let request = infer::request(&batch)?;
        let path = format!("/v2/models/{}/infer", self.0.name);
        let answer = self.0.process.ask("POST", &path, &self.0.folder, request);
        let answer = infer::answer(&answer.map_err(|error| self.explain(error))?, x.device())?;
        Ok(if one { answer.squeeze(0)? } else { answer })
    }

    /// Serves another network in the place of this one, or the same after more training, as the next version; gives its number.
    /// Requests that run are answered by the one before. An interrupt ends the waiting; the server may take the version yet.
    ///
    /// # Errors
    /// When the network cannot be exported or loaded; the one before is served then.
    pub fn replace(&self, network: &dyn Layer) -> Result<u64, ServeError> {
        let item = network.input_shape();
        let item = item.unwrap_or_else(|| self.served().item);
        self.bring(Model::of(network, item)?)
    }

    /// Ends the server; requests that run have five seconds.
    pub fn stop(&self) {
        self.0.process.stop();
        self.0.folder.remove();
        let mut servers = lock(&SERVERS);
        // Another may have its name by now.
        if servers
            .get(&self.0.name)
            .is_some_and(|server| Arc::ptr_eq(&server.0, &self.0))
        {
            servers.remove(&self.0.name);
        }
    }

    /// Makes a network the next version.
    fn bring(&self, model: Model) -> Result<u64, ServeError> {
        let Inner {
            name,
            folder,
            process,
            served,
            newest,
        } = &*self.0;
        if !self.is_running() {
            return Err(ServeError::Stopped(name.clone()));
        }
        let mut newest = wait_for(newest);
        // The server may know the number, even where it did not load it.
        *newest += 1;
        let version = *newest;
        folder
            .put(name, version, &model)
            .map_err(io_error(folder.path()))?;
        let loaded = process.load(name, version, folder);
        if let Err(error) = loaded {
            folder.forget(version);
            return Err(self.explain(error));
        }
        let item = model.item;
        let last = mem::replace(&mut *lock(served), Served { version, item });
        // One can go back by hand to the last.
        folder.keep(&[last.version, version]);
        Ok(version)
    }

    fn served(&self) -> Served {
        lock(&self.0.served).clone()
    }

    /// Why nobody answers.
    fn explain(&self, error: ServeError) -> ServeError {
        let name = &self.0.name;
        match error {
            ServeError::Unreachable { .. } if self.0.process.was_stopped() => {
                ServeError::Stopped(name.clone())
            }
            ServeError::Unreachable { .. } if !self.is_running() => ServeError::Ended {
                name: name.clone(),
                log: self.log(),
            },
            error => error,
        }
    }
}

/// Where it answers, and how to ask it.
impl fmt::Display for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.0.name;
        if !self.is_running() {
            return write!(formatter, "{name}: stopped");
        }
        let (version, url, grpc) = (self.version(), self.url(), self.grpc());
        writeln!(
            formatter,
            "{name}, version {version}, at {url} (gRPC: {grpc})"
        )?;
        formatter.write_str(&self.curl())
    }
}

/// A value is shown by it.
impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    #[error("{0:?} is no name for a model: use letters, digits and `-`")]
    Name(String),
    #[error(
        "this network does not say what shape one input has: serving::serve(&network, (1, 28, 28), {0:?}) does, and trainer.serve({0:?})"
    )]
    NoShape(String),
    #[error(
        "the trainer has no data, which would say what shape one input has: serving::serve(trainer.model(), (1, 28, 28), {0:?}) does"
    )]
    NoData(String),
    #[error(
        "carrel-model-server is neither beside the running program nor on $PATH: build it with `cargo build --release -p carrel-model-server`, or name it by ${SERVER_VARIABLE}"
    )]
    NoProgram,
    #[error("no model {0:?} is served by this notebook")]
    Unknown(String),
    #[error("the server of {0:?} is stopped")]
    Stopped(String),
    #[error("the server of {name:?} ended:\n{log}")]
    Ended { name: String, log: String },
    #[error("the server at {url} does not answer: {reason}")]
    Unreachable { url: String, reason: String },
    /// In the server's words.
    #[error("{0}")]
    Refused(String),
    #[error("tensors of {0:?} cannot be sent to a server")]
    DType(DType),
    #[error("the server's answer cannot be read: {0}")]
    Answer(String),
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error(transparent)]
    Onnx(#[from] OnnxError),
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

fn io_error(path: &Path) -> impl FnOnce(io::Error) -> ServeError {
    let path = path.to_owned();
    |source| ServeError::Io { path, source }
}

/// What a panic left is as good as before: nothing is half done under these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same of a lock that is held long. An interrupt ends the waiting.
fn wait_for<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    loop {
        match mutex.try_lock() {
            Ok(guard) => return guard,
            Err(TryLockError::Poisoned(error)) => return error.into_inner(),
            Err(TryLockError::WouldBlock) => thread::sleep(Duration::from_millis(10)),
        }
        unwind_if_interrupted();
    }
}
