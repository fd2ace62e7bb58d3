//! A job as it is to be run, whatever version it was made in; nothing is left to default.

use std::time::Duration;

use serde_json::{Map, Value};

use crate::kind::{Kind, Role, Version};
use crate::pytorchjob::ElasticPolicy;
use crate::spec::{CleanPodPolicy, RestartPolicy, SchedulingPolicy, Template};

#[derive(Clone, Debug)]
pub struct Job {
    pub kind: Kind,
    /// The version that it was made in: names, labels, environment and rules are those of that version.
    pub origin: Version,
    pub name: String,
    pub namespace: String,
    pub uid: String,
    /// In the order of their roles.
    pub replicas: Vec<Replica>,
    pub clean: CleanPodPolicy,
    pub ttl_seconds: Option<i32>,
    pub deadline_seconds: Option<i64>,
    pub backoff_limit: Option<i32>,
    /// How long a pod may take to start; for ever, unless given. It is no field: the operator sets it.
    pub start_deadline: Option<Duration>,
    pub suspend: bool,
    /// For schedulers that start all pods or none.
    pub scheduling: Option<SchedulingPolicy>,
    /// Whether such a scheduler is there: pods without a node are in its queue. The operator sets it.
    pub has_gang: bool,
    /// Whether it is another controller's.
    pub is_foreign: bool,
    /// Without a leader: whether all workers decide, and not the first.
    pub all_workers: bool,
    /// Whether workers know only themselves and the parameter servers.
    pub is_dynamic: bool,
    pub torch: Torch,
    pub train: Train,
    /// In names of v1alpha1.
    pub runtime_id: String,
    /// What was given and has no effect, or another than it seems.
    pub warnings: Vec<String>,
}

#[derive(Clone, Debug)]
pub struct Replica {
    pub role: Role,
    pub count: usize,
    pub restart: RestartPolicy,
    pub template: Template,
    pub port: i32,
}

/// What only PyTorchJobs have.
#[derive(Clone, Debug, Default)]
pub struct Torch {
    /// `auto`, `cpu`, `gpu` or a number.
    pub processes: String,
    pub elastic: Option<ElasticPolicy>,
    /// The scheduler of v1alpha1, for all pods.
    pub scheduler: Option<String>,
}

/// What only TrainJobs have.
#[derive(Clone, Debug, Default)]
pub struct Train {
    /// Whether nodes find what torchrun reads in their environment.
    pub is_torch: bool,
    /// Other containers than that which trains that find it too.
    pub containers: Vec<String>,
    /// How often the whole job may start anew after a failure.
    pub max_restarts: i32,
    /// How often it has: each pod says in which attempt it was made.
    pub attempt: i32,
    /// The group of its pods that its runtime asks for.
    pub pod_group: Option<PodGroup>,
}

/// For which scheduler a runtime asks for a group.
#[derive(Clone, Debug, PartialEq)]
pub enum PodGroup {
    Coscheduling,
    Volcano {
        /// As Volcano reads it.
        network_topology: Option<Map<String, Value>>,
    },
}

/// What identifies a job.
#[derive(Clone, Debug, Default)]
pub struct Identity<'a> {
    pub name: &'a str,
    pub namespace: &'a str,
    pub uid: &'a str,
    /// The text of the annotation [`crate::original::ANNOTATION`].
    pub original: Option<&'a str>,
}

/// What is wrong with a job, in words for who wrote it.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{}", .0.join("; "))]
pub struct Invalid(pub Vec<String>);

impl Job {
    pub fn is_v1alpha1(&self) -> bool {
        self.origin == Version::V1Alpha1
    }

    pub fn replica(&self, role: Role) -> Option<&Replica> {
        self.replicas.iter().find(|replica| replica.role == role)
    }

    /// The chief or master, if there is one.
    pub fn leader(&self) -> Option<&Replica> {
        self.replicas.iter().find(|replica| replica.role.leads())
    }

    /// How many pods there are to be.
    pub fn size(&self) -> usize {
        self.replicas.iter().map(|replica| replica.count).sum()
    }

    /// Whether a replica is the one whose log and end are those of the job: the chief or master, else the first worker.
    pub fn is_master(&self, role: Role, index: usize) -> bool {
        match (self.kind, self.leader()) {
            (_, Some(_)) => role.leads(),
            (Kind::TfJob | Kind::PyTorchJob, None) => role == Role::Worker && index == 0,
            (Kind::TrainJob, None) => false,
        }
    }

    /// The rank of a replica in a PyTorchJob.
    pub fn rank(&self, role: Role, index: usize) -> usize {
        if role == Role::Worker && self.leader().is_some() {
            index + 1
        } else {
            index
        }
    }

    /// Whether there is a service for a replica: one by which its pod is found, or for TrainJobs, with the first, one by
    /// which all are.
    pub fn has_service(&self, role: Role, index: usize) -> bool {
        match self.kind {
            Kind::TfJob => true,
            // Those of the betas had one for the master alone.
            Kind::PyTorchJob => match self.origin {
                Version::V1Alpha1 | Version::V1 => true,
                _ => role == Role::Master || self.torch.elastic.is_some(),
            },
            Kind::TrainJob => index == 0,
        }
    }
}
