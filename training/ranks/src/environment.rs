//! Who a process is in its job, from the variables that PyTorchJob and TFJob set.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::TcpListener;
use std::time::Duration;

use serde::de::Error;
use serde::{Deserialize, Deserializer};

/// The port of PyTorchJob, where none is given.
const DEFAULT_PORT: u16 = 23456;

/// Seconds that ranks may take to start; 300 unless set.
pub const START_VARIABLE: &str = "CARREL_START_SECONDS";
/// Seconds that a rank may give no sign of life; 5 unless set. More where pods are throttled or suspended.
pub const SILENCE_VARIABLE: &str = "CARREL_SILENCE_SECONDS";

/// The place of a process in its job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    pub rank: usize,
    pub world: usize,
    /// Where rank 0 listens.
    pub host: String,
    pub port: u16,
    /// The task of TF_CONFIG.
    pub task: Option<Task>,
    /// The tasks of all ranks, of TF_CONFIG.
    pub tasks: Vec<Task>,
    /// Where a launcher holds PyTorch's store at `host` and `port`: the key under which rank 0 says where it listens.
    pub store: Option<String>,
    /// How long ranks may take to start.
    pub start_within: Duration,
    /// How long a rank may give no sign of life.
    pub silence: Duration,
}

/// A task of a TFJob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Task {
    pub kind: TaskKind,
    pub index: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskKind {
    Chief,
    Worker,
    Ps,
    Evaluator,
}

#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EnvironmentError {
    #[error("{variable}={value:?} is no {wanted}")]
    Value {
        variable: &'static str,
        value: String,
        wanted: &'static str,
    },
    #[error(
        "{set} is set but {missing} is not: a job of several ranks needs RANK, WORLD_SIZE and MASTER_ADDR"
    )]
    Incomplete {
        set: &'static str,
        missing: &'static str,
    },
    #[error("RANK={rank} is not below WORLD_SIZE={world}")]
    Rank { rank: usize, world: usize },
    #[error("TF_CONFIG is not what a TFJob sets: {0}")]
    TfConfig(String),
}

impl Environment {
    /// One process.
    pub fn alone() -> Self {
        Self {
            rank: 0,
            world: 1,
            host: "localhost".to_owned(),
            port: DEFAULT_PORT,
            task: None,
            tasks: Vec::new(),
            store: None,
            start_within: Duration::from_secs(300),
            silence: Duration::from_secs(5),
        }
    }

    /// From the process's variables: `RANK` and `WORLD_SIZE`, else `TF_CONFIG`, else one process.
    ///
    /// # Errors
    /// When they contradict one another or are no numbers.
    pub fn from_process() -> Result<Self, EnvironmentError> {
        Self::from_variables(|name| std::env::var(name).ok())
    }

    /// The same from `variable`.
    ///
    /// # Errors
    /// When they contradict one another or are no numbers.
    pub fn from_variables(
        variable: impl Fn(&'static str) -> Option<String>,
    ) -> Result<Self, EnvironmentError> {
        let mut environment = Self::place(&variable)?;
        let seconds = |name, default| match variable(name) {
            None => Ok(default),
            Some(text) => match text.trim().parse() {
                Ok(seconds) if seconds >= 2 => Ok(Duration::from_secs(seconds)),
                _ => Err(EnvironmentError::Value {
                    variable: name,
                    value: text,
                    wanted: "number of seconds, of at least 2",
                }),
            },
        };
        environment.start_within = seconds(START_VARIABLE, environment.start_within)?;
        environment.silence = seconds(SILENCE_VARIABLE, environment.silence)?;
        Ok(environment)
    }

    /// Which rank of how many this is, and where the others are.
    fn place(variable: &impl Fn(&'static str) -> Option<String>) -> Result<Self, EnvironmentError> {
        match (variable("RANK"), variable("WORLD_SIZE")) {
            (None, None) => match variable("TF_CONFIG") {
                Some(config) => Self::from_tf_config(&config),
                None => Ok(Self::alone()),
            },
            (Some(_), None) => Err(EnvironmentError::Incomplete {
                set: "RANK",
                missing: "WORLD_SIZE",
            }),
            (None, Some(_)) => Err(EnvironmentError::Incomplete {
                set: "WORLD_SIZE",
                missing: "RANK",
            }),
            (Some(rank), Some(world)) => {
                let rank = number("RANK", &rank)?;
                let world = number("WORLD_SIZE", &world)?;
                if rank >= world {
                    return Err(EnvironmentError::Rank { rank, world });
                }
                let host = match variable("MASTER_ADDR") {
                    Some(host) => host,
                    None if world == 1 => "localhost".to_owned(),
                    None => {
                        return Err(EnvironmentError::Incomplete {
                            set: "WORLD_SIZE",
                            missing: "MASTER_ADDR",
                        });
                    }
                };
                let port = variable("MASTER_PORT").map(|port| number("MASTER_PORT", &port));
                Ok(Self {
                    rank,
                    world,
                    host,
                    port: port.transpose()?.unwrap_or(DEFAULT_PORT),
                    store: agent_store(&variable),
                    ..Self::alone()
                })
            }
        }
    }

    /// How many ranks hold the parameters: the last ones.
    pub fn servers(&self) -> usize {
        let is_server = |task: &&Task| task.kind == TaskKind::Ps;
        self.tasks.iter().filter(is_server).count()
    }

    /// How many ranks train.
    pub fn trainers(&self) -> usize {
        self.world - self.servers()
    }

    pub fn is_server(&self) -> bool {
        self.rank >= self.trainers()
    }

    pub fn is_evaluator(&self) -> bool {
        self.task
            .is_some_and(|task| task.kind == TaskKind::Evaluator)
    }

    /// Ranks in the order chief (or master), workers, parameter servers; rank 0 listens at its own address. An
    /// evaluator is no rank of the others, whether the cluster names it or not: it is alone, as is who has no cluster.
    fn from_tf_config(config: &str) -> Result<Self, EnvironmentError> {
        let wrong = EnvironmentError::TfConfig;
        let TfConfig {
            cluster,
            sparse_cluster,
            task,
        } = serde_json::from_str(config).map_err(|error| wrong(error.to_string()))?;
        if sparse_cluster.is_some() {
            return Err(wrong(
                "it has a sparseCluster, which does not name all tasks: set enableDynamicWorker of the job to false"
                    .to_owned(),
            ));
        }
        let task = match (task.kind, task.index) {
            (Some(kind), index) => Some(Task {
                kind: kind_of(&kind)?,
                index,
            }),
            (None, _) => None,
        };
        let task = match task {
            Some(task) if task.kind == TaskKind::Evaluator || cluster.is_empty() => {
                return Ok(Self {
                    task: Some(task),
                    ..Self::alone()
                });
            }
            Some(task) => task,
            None if cluster.is_empty() => return Ok(Self::alone()),
            None => return Err(wrong("the task has no type".to_owned())),
        };
        let mut kinds = BTreeMap::new();
        for (name, addresses) in cluster {
            if kinds.insert(kind_of(&name)?, addresses).is_some() {
                return Err(wrong(
                    "the cluster has both chief and master, which are one task: give one of them"
                        .to_owned(),
                ));
            }
        }
        Self::of_cluster(task, &kinds)
    }

    fn of_cluster(
        task: Task,
        cluster: &BTreeMap<TaskKind, Vec<String>>,
    ) -> Result<Self, EnvironmentError> {
        let wrong = EnvironmentError::TfConfig;
        let ranks = || {
            cluster
                .iter()
                .filter(|(kind, _)| **kind != TaskKind::Evaluator)
        };
        let tasks: Vec<Task> = ranks()
            .flat_map(|(kind, at)| (0..at.len()).map(|index| Task { kind: *kind, index }))
            .collect();
        let rank = tasks.iter().position(|other| *other == task);
        let rank = rank.ok_or_else(|| wrong(format!("the cluster has no task {task}")))?;
        if tasks
            .first()
            .is_some_and(|first| first.kind == TaskKind::Ps)
        {
            return Err(wrong(
                "the cluster has ps tasks only: nobody trains".to_owned(),
            ));
        }
        let mut addresses = ranks().flat_map(|(_, addresses)| addresses);
        let first = addresses.next().cloned().unwrap_or_default();
        let (host, port) = first
            .rsplit_once(':')
            .and_then(|(host, port)| Some((host.to_owned(), port.parse().ok()?)))
            .ok_or_else(|| wrong(format!("{first:?} is no host:port")))?;
        Ok(Self {
            rank,
            world: tasks.len(),
            host,
            port,
            task: Some(task),
            tasks,
            ..Self::alone()
        })
    }
}

/// What TF_CONFIG holds, in the forms that operators and TensorFlow's own documentation give it.
#[derive(Deserialize)]
struct TfConfig {
    #[serde(default)]
    cluster: BTreeMap<String, Vec<String>>,
    #[serde(default, rename = "sparseCluster")]
    sparse_cluster: Option<serde::de::IgnoredAny>,
    #[serde(default)]
    task: TfTask,
}

#[derive(Default, Deserialize)]
struct TfTask {
    #[serde(rename = "type")]
    kind: Option<String>,
    #[serde(default, deserialize_with = "index")]
    index: usize,
}

/// A number, also as text.
fn index<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Index {
        Number(usize),
        Text(String),
    }
    match Index::deserialize(from) {
        Ok(Index::Number(index)) => Ok(index),
        Ok(Index::Text(text)) => text
            .trim()
            .parse()
            .map_err(|_| D::Error::custom(format!("the task's index {text:?} is no number"))),
        Err(_) => Err(D::Error::custom("the task's index is no number from 0 on")),
    }
}

fn kind_of(name: &str) -> Result<TaskKind, EnvironmentError> {
    match name {
        // Master is its older name.
        "chief" | "master" => Ok(TaskKind::Chief),
        "worker" => Ok(TaskKind::Worker),
        "ps" => Ok(TaskKind::Ps),
        "evaluator" => Ok(TaskKind::Evaluator),
        other => Err(EnvironmentError::TfConfig(format!(
            "there is no task type {other:?}: it is chief, master, worker, ps or evaluator"
        ))),
    }
}

impl fmt::Display for TaskKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Chief => "chief",
            Self::Worker => "worker",
            Self::Ps => "ps",
            Self::Evaluator => "evaluator",
        })
    }
}

impl fmt::Display for Task {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.kind, self.index)
    }
}

/// The key of rank 0's address in the store of torchrun's agent, which holds MASTER_PORT then. The store outlives a
/// restart of the ranks.
fn agent_store(variable: &impl Fn(&'static str) -> Option<String>) -> Option<String> {
    let uses = variable("TORCHELASTIC_USE_AGENT_STORE")?;
    if !["1", "true"].contains(&uses.to_ascii_lowercase().as_str()) {
        return None;
    }
    let run = variable("TORCHELASTIC_RUN_ID").unwrap_or_default();
    let restarts = variable("TORCHELASTIC_RESTART_COUNT").unwrap_or_default();
    Some(format!("carrel/{run}/{restarts}/rank0"))
}

fn number<T: std::str::FromStr>(
    variable: &'static str,
    value: &str,
) -> Result<T, EnvironmentError> {
    value.trim().parse().map_err(|_| EnvironmentError::Value {
        variable,
        value: value.to_owned(),
        wanted: "number",
    })
}

/// A port of this machine that is free now, for the ranks of one job. Another process may take it before rank 0 does,
/// which then says so.
///
/// # Errors
/// When the system gives none.
pub fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
