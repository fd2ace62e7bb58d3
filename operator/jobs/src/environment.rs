//! What the processes of a job find in their environment.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::job::{Job, Replica};
use crate::kind::{Kind, Role, Version};
use crate::names;

pub const TF_CONFIG: &str = "TF_CONFIG";
pub const MASTER_ADDR: &str = "MASTER_ADDR";
pub const MASTER_PORT: &str = "MASTER_PORT";
pub const WORLD_SIZE: &str = "WORLD_SIZE";
pub const RANK: &str = "RANK";

/// The port where elastic workers meet.
const RDZV_PORT: i32 = 29400;

/// The variables of a replica. `domain` is that of the cluster, where names of hosts are to hold it.
pub fn variables(
    job: &Job,
    replica: &Replica,
    index: usize,
    domain: Option<&str>,
) -> Vec<(String, String)> {
    let pairs = match (job.kind, job.origin) {
        (Kind::TfJob, _) => tf(job, replica, index, domain),
        (Kind::PyTorchJob, Version::V1Alpha1) => pytorch_v1alpha1(job, replica, index),
        (Kind::PyTorchJob, _) => pytorch(job, replica, index),
        (Kind::TrainJob, _) => train(job, replica, index),
    };
    let own = |(name, value): (&str, String)| (name.to_owned(), value);
    pairs.into_iter().map(own).collect()
}

/// Whether a container gets them: only that which trains, since v1 for TFJob and in v1alpha1 for PyTorchJob.
pub fn is_for(job: &Job, container: &Value) -> bool {
    let all = match (job.kind, job.origin) {
        (Kind::TfJob, origin) => origin != Version::V1,
        (Kind::PyTorchJob, origin) => origin != Version::V1Alpha1,
        (Kind::TrainJob, _) => {
            let mut named = job.train.containers.iter();
            named.any(|name| container["name"] == name.as_str())
        }
    };
    all || container["name"] == job.kind.container()
}

fn tf(
    job: &Job,
    replica: &Replica,
    index: usize,
    domain: Option<&str>,
) -> Vec<(&'static str, String)> {
    // TensorFlow takes any TF_CONFIG for a distributed job.
    if job.size() <= 1 && job.origin != Version::V1Alpha2 {
        return Vec::new();
    }
    vec![(TF_CONFIG, tf_config(job, replica, index, domain))]
}

/// `TF_CONFIG`, its fields in the order that they always had.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct TfConfig {
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<BTreeMap<&'static str, Vec<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sparse_cluster: Option<Sparse>,
    task: Task,
    #[serde(skip_serializing_if = "Option::is_none")]
    environment: Option<&'static str>,
}

#[derive(Serialize)]
struct Sparse {
    worker: BTreeMap<usize, String>,
    ps: Vec<String>,
}

#[derive(Serialize)]
struct Task {
    r#type: &'static str,
    index: usize,
}

/// `TF_CONFIG` of a replica of a TFJob.
pub fn tf_config(job: &Job, replica: &Replica, index: usize, domain: Option<&str>) -> String {
    let hosts = |replica: &Replica| -> Vec<String> {
        let host = |index| host(job, replica, index, domain);
        (0..replica.count).map(host).collect()
    };
    let mut config = TfConfig {
        cluster: None,
        sparse_cluster: None,
        task: Task {
            r#type: replica.role.lower(),
            index,
        },
        environment: None,
    };
    if job.is_dynamic {
        let own = host(job, replica, index, domain);
        let servers = || job.replica(Role::Ps).map(hosts).unwrap_or_default();
        config.sparse_cluster = Some(match replica.role {
            Role::Worker => Sparse {
                worker: BTreeMap::from([(index, own)]),
                ps: servers(),
            },
            Role::Ps => Sparse {
                worker: BTreeMap::new(),
                ps: vec![own],
            },
            _ => Sparse {
                worker: BTreeMap::new(),
                ps: servers(),
            },
        });
    } else {
        let members = job.replicas.iter();
        let members = members.filter(|member| member.role != Role::Evaluator);
        let cluster = members.map(|member| (member.role.lower(), hosts(member)));
        config.cluster = Some(cluster.collect());
        config.environment = (job.origin != Version::V1Alpha2).then_some("cloud");
    }
    text(&config)
}

/// Texts, numbers and maps of texts are always JSON.
fn text(config: &TfConfig) -> String {
    serde_json::to_string(config).unwrap_or_default()
}

fn host(job: &Job, replica: &Replica, index: usize, domain: Option<&str>) -> String {
    let service = names::service(job, replica.role, index);
    let (namespace, port) = (&job.namespace, replica.port);
    let host = match (job.origin, domain) {
        (Version::V1Alpha2, None) => format!("{service}.{namespace}.svc.cluster.local"),
        (Version::V1, None) => format!("{service}.{namespace}.svc"),
        (Version::V1Alpha2 | Version::V1, Some(domain)) => {
            format!("{service}.{namespace}.svc.{domain}")
        }
        _ => service,
    };
    format!("{host}:{port}")
}

fn pytorch_v1alpha1(job: &Job, replica: &Replica, index: usize) -> Vec<(&'static str, String)> {
    let rank = job.rank(replica.role, index);
    let master = names::service(job, Role::Master, 0);
    let port = job.leader().map_or(replica.port, |master| master.port);
    let address = if rank == 0 { "localhost" } else { &master };
    let hosts = |replica: &Replica| -> Vec<String> {
        let host = |index| {
            format!(
                "{}:{}",
                names::service(job, replica.role, index),
                replica.port
            )
        };
        (0..replica.count).map(host).collect()
    };
    let members = job.replicas.iter();
    let cluster = members.map(|member| (member.role.lower(), hosts(member)));
    let config = TfConfig {
        cluster: Some(cluster.collect()),
        sparse_cluster: None,
        task: Task {
            r#type: replica.role.lower(),
            index,
        },
        environment: Some("cloud"),
    };
    vec![
        // Left over from TFJob; some images read it.
        (TF_CONFIG, text(&config)),
        (MASTER_PORT, port.to_string()),
        (MASTER_ADDR, address.to_owned()),
        (WORLD_SIZE, job.size().to_string()),
        (RANK, rank.to_string()),
        ("PYTHONUNBUFFERED", "0".to_owned()),
    ]
}

fn pytorch(job: &Job, replica: &Replica, index: usize) -> Vec<(&'static str, String)> {
    let rank = job.rank(replica.role, index).to_string();
    let processes = &job.torch.processes;
    let world = job.size() * processes.parse::<usize>().unwrap_or(1);
    let mut variables = vec![("PYTHONUNBUFFERED", "1".to_owned())];
    let mut set = |name, value: &str| variables.push((name, value.to_owned()));
    if let Some(master) = job.leader() {
        let (address, port) = (
            names::service(job, Role::Master, 0),
            master.port.to_string(),
        );
        set(MASTER_ADDR, &address);
        set(MASTER_PORT, &port);
        set("PET_MASTER_ADDR", &address);
        set("PET_MASTER_PORT", &port);
        // Workers alone have no ranks: a script that found some would look for a master.
        set(WORLD_SIZE, &world.to_string());
        set(RANK, &rank);
        set("PET_NODE_RANK", &rank);
    }
    set("PET_NPROC_PER_NODE", processes);
    match &job.torch.elastic {
        None => set("PET_NNODES", &job.size().to_string()),
        Some(_) => variables.extend(elastic(job)),
    }
    variables
}

/// What an indexed Job gives its pods, and what torchrun reads.
fn train(job: &Job, replica: &Replica, index: usize) -> Vec<(&'static str, String)> {
    let mut variables = vec![("JOB_COMPLETION_INDEX", index.to_string())];
    if !job.train.is_torch {
        return variables;
    }
    let service = names::service(job, replica.role, 0);
    let first = names::pod(job, replica.role, 0);
    variables.extend([
        ("PET_NNODES", replica.count.to_string()),
        ("PET_NPROC_PER_NODE", job.torch.processes.clone()),
        ("PET_NODE_RANK", index.to_string()),
        ("PET_MASTER_ADDR", format!("{first}.{service}")),
        ("PET_MASTER_PORT", replica.port.to_string()),
    ]);
    variables
}

/// For torchrun, whose workers may come and go.
fn elastic(job: &Job) -> Vec<(&'static str, String)> {
    let Some(policy) = &job.torch.elastic else {
        return Vec::new();
    };
    let workers = job.replica(Role::Worker).map_or(0, |workers| workers.count);
    let workers = i32::try_from(workers).unwrap_or(i32::MAX);
    let least = policy.min_replicas.unwrap_or(workers);
    let most = policy.max_replicas.unwrap_or(workers);
    let mut variables = vec![("PET_NNODES", format!("{least}:{most}"))];
    if let Some(backend) = policy.rdzv_backend {
        variables.push(("PET_RDZV_BACKEND", backend.name().to_owned()));
    }
    if policy.standalone == Some(true) {
        variables.push(("PET_STANDALONE", "1".to_owned()));
    } else {
        let host = policy.rdzv_host.clone();
        let host = host.unwrap_or_else(|| names::service(job, Role::Worker, 0));
        let port = policy.rdzv_port.unwrap_or(RDZV_PORT);
        variables.push(("PET_RDZV_ENDPOINT", format!("{host}:{port}")));
    }
    let id = policy.rdzv_id.clone().unwrap_or_else(|| job.name.clone());
    variables.push(("PET_RDZV_ID", id));
    let conf = policy.rdzv_conf.iter().flatten();
    let conf: Vec<_> = conf
        .map(|one| {
            let (key, value) = (one.key.as_deref(), one.value.as_deref());
            format!("{}={}", key.unwrap_or_default(), value.unwrap_or_default())
        })
        .collect();
    if !conf.is_empty() {
        variables.push(("PET_RDZV_CONF", conf.join(",")));
    }
    if let Some(restarts) = policy.max_restarts {
        variables.push(("PET_MAX_RESTARTS", restarts.to_string()));
    }
    variables
}
