//! Labels, annotations and names of what belongs to a job.

use std::collections::BTreeMap;

use crate::job::{Job, Replica};
use crate::kind::{Kind, Role, Version};

/// The labels of v1, on the pods and services of every job: they are what this operator and the SDK select by.
pub const JOB_NAME: &str = "training.kubeflow.org/job-name";
pub const REPLICA_TYPE: &str = "training.kubeflow.org/replica-type";
pub const REPLICA_INDEX: &str = "training.kubeflow.org/replica-index";
pub const JOB_ROLE: &str = "training.kubeflow.org/job-role";
pub const OPERATOR_NAME: &str = "training.kubeflow.org/operator-name";

/// What the SDK `kubeflow` selects pods of TrainJobs by.
pub const JOBSET_NAME: &str = "jobset.sigs.k8s.io/jobset-name";
pub const REPLICATED_JOB: &str = "jobset.sigs.k8s.io/replicatedjob-name";
pub const COMPLETION_INDEX: &str = "batch.kubernetes.io/job-completion-index";
/// In which attempt a pod of a TrainJob was made.
pub const ATTEMPT: &str = "jobset.sigs.k8s.io/restart-attempt";

/// The annotation of a job that says how many seconds its pods may take to start; 0: for ever.
pub const START_DEADLINE: &str = "carrel.dev/start-deadline-seconds";

/// The labels by which this operator knows whose a pod or service is.
#[derive(Clone, Copy, Debug)]
pub struct Marks {
    pub operator: &'static str,
    pub job: &'static str,
    pub role: &'static str,
    pub index: &'static str,
}

impl Marks {
    pub fn of(kind: Kind) -> Self {
        match kind {
            Kind::TfJob | Kind::PyTorchJob => Self {
                operator: OPERATOR_NAME,
                job: JOB_NAME,
                role: REPLICA_TYPE,
                index: REPLICA_INDEX,
            },
            Kind::TrainJob => Self {
                operator: "trainer.kubeflow.org/operator-name",
                job: JOBSET_NAME,
                role: REPLICATED_JOB,
                index: COMPLETION_INDEX,
            },
        }
    }
}

/// The longest name of a job that names of PyTorchJobs v1alpha1 hold whole.
const LONGEST: usize = 40;

/// The selector of all pods of `kind`.
pub fn selector(kind: Kind) -> String {
    format!("{}={}", Marks::of(kind).operator, kind.operator())
}

/// The selector of the pods of a role.
pub fn role_selector(job: &Job, role: Role) -> String {
    let marks = Marks::of(job.kind);
    let (name, operator, role) = (&job.name, job.kind.operator(), role.lower());
    format!(
        "{}={name},{}={operator},{}={role}",
        marks.job, marks.operator, marks.role
    )
}

/// The labels of a replica's pod and service.
pub fn labels(job: &Job, replica: &Replica, index: usize) -> BTreeMap<String, String> {
    let mut labels = BTreeMap::new();
    let mut set = |name: &str, value: &str| drop(labels.insert(name.to_owned(), value.to_owned()));
    let (lower, number) = (replica.role.lower(), index.to_string());
    let marks = Marks::of(job.kind);
    set(marks.operator, job.kind.operator());
    set(marks.job, &job.name);
    set(marks.role, lower);
    set(marks.index, &number);
    let is_master = job.is_master(replica.role, index);
    if is_master {
        set(JOB_ROLE, "master");
    }
    match (job.kind, job.origin) {
        (Kind::TrainJob, _) => {
            // All nodes are those of one Job there.
            set("jobset.sigs.k8s.io/job-index", "0");
            set(ATTEMPT, &job.train.attempt.to_string());
        }
        (_, Version::V1) => {}
        (Kind::PyTorchJob, Version::V1Alpha1) => {
            set("kubeflow.org", "");
            set("job_type", &replica.role.name().to_uppercase());
            set("runtime_id", &job.runtime_id);
            set("pytorch_job_name", &job.name);
            set("task_index", &job.rank(replica.role, index).to_string());
        }
        (kind, origin) => {
            let prefix = if kind == Kind::TfJob { "tf" } else { "pytorch" };
            set("group_name", crate::kind::GROUP);
            set(&format!("{prefix}_job_name"), &job.name);
            set(&format!("{prefix}-replica-type"), lower);
            set(&format!("{prefix}-replica-index"), &number);
            if origin != Version::V1Alpha2 {
                set("group-name", crate::kind::GROUP);
                set("job-name", &job.name);
                set(&format!("{prefix}-job-name"), &job.name);
                if is_master {
                    set("job-role", "master");
                }
            }
        }
    }
    labels
}

/// The labels by which the service of a replica finds its pod; that of a TrainJob finds all.
pub fn service_selector(job: &Job, role: Role, index: usize) -> BTreeMap<String, String> {
    let marks = Marks::of(job.kind);
    let mut selector = BTreeMap::from([
        (marks.operator.to_owned(), job.kind.operator().to_owned()),
        (marks.job.to_owned(), job.name.clone()),
        (marks.role.to_owned(), role.lower().to_owned()),
    ]);
    if job.kind != Kind::TrainJob {
        selector.insert(marks.index.to_owned(), index.to_string());
    }
    selector
}

/// The service of a replica; its pod has the same name, or one that begins with it.
pub fn service(job: &Job, role: Role, index: usize) -> String {
    let lower = role.lower();
    if job.kind == Kind::TrainJob {
        job.name.clone()
    } else if job.is_v1alpha1() {
        let name: String = job.name.chars().take(LONGEST).collect();
        format!("{name}-{lower}-{}-{index}", job.runtime_id)
    } else {
        format!("{}-{lower}-{index}", job.name.replace('/', "-"))
    }
}

/// The pod of a replica. What was random in v1alpha1 is made of the job's identity here, so that one that was made a
/// moment ago is not made twice.
pub fn pod(job: &Job, role: Role, index: usize) -> String {
    let service = service(job, role, index);
    if job.is_v1alpha1() {
        let suffix = letters::<5>(&format!("{}/{service}", job.uid));
        format!("{service}-{suffix}")
    } else if job.kind == Kind::TrainJob {
        // The host name of a node there, 0 being its Job.
        format!("{service}-{}-0-{index}", role.lower())
    } else {
        service
    }
}

/// The `RuntimeId` of a job that has none yet.
pub fn runtime_id(uid: &str) -> String {
    letters::<4>(uid)
}

/// Characters as Kubernetes chooses them for names, made of a text.
fn letters<const N: usize>(of: &str) -> String {
    use sha2::Digest as _;
    const ALPHABET: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let digest = sha2::Sha256::digest(of.as_bytes());
    let letters = digest.iter().take(N);
    letters
        .map(|byte| char::from(ALPHABET[usize::from(*byte) % ALPHABET.len()]))
        .collect()
}
