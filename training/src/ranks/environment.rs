//! Who a process is in its job, from the variables that PyTorchJob and TFJob set.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::TcpListener;

use serde::Deserialize;

/// The port of PyTorchJob, where none is given.
const DEFAULT_PORT: u16 = 23456;

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
}

/// A task of a TFJob.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Task {
    #[serde(rename = "type")]
    pub kind: TaskKind,
    pub index: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TaskKind {
    /// Master is its older name.
    #[serde(alias = "master")]
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
                    task: None,
                    tasks: Vec::new(),
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
    /// evaluator is no rank of the others, whether the cluster names it or not: it is alone.
    fn from_tf_config(config: &str) -> Result<Self, EnvironmentError> {
        #[derive(Deserialize)]
        struct Config {
            cluster: BTreeMap<TaskKind, Vec<String>>,
            task: Task,
        }
        let wrong = |reason: String| EnvironmentError::TfConfig(reason);
        let Config { cluster, task } =
            serde_json::from_str(config).map_err(|error| wrong(error.to_string()))?;
        if task.kind == TaskKind::Evaluator {
            return Ok(Self {
                task: Some(task),
                ..Self::alone()
            });
        }
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
        })
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
