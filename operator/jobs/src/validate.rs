//! Mistakes in jobs that no schema can see, and what is particular to PyTorchJobs of v1alpha1.

use serde_json::Value;

use crate::job::{Invalid, Job};
use crate::kind::{Kind, Role, Version};
use crate::names;
use crate::original::Original;
use crate::pytorchjob;
use crate::spec::{MOST_REPLICAS, RestartPolicy};
use crate::template;

/// The backend of the walkthrough, which its container uses.
const BACKEND: &str = "tcp";
/// The longest name of a pod's label value and of a service.
const LONGEST: usize = 63;

/// What holds for every job.
pub(crate) fn job(job: &Job) -> Result<(), Invalid> {
    let mut mistakes = Vec::new();
    let field = job.kind.replicas_field();
    if job.replicas.is_empty() {
        mistakes.push(format!("spec.{field}: there are no replicas"));
    }
    for replica in &job.replicas {
        let at = place(job.kind, replica.role);
        let containers = template::containers(&replica.template);
        let name = job.kind.container();
        if containers.is_empty() {
            mistakes.push(format!("{at}.template: there are no containers"));
        } else if template::container(&replica.template, name).is_none() {
            mistakes.push(format!("{at}.template: there is no container named {name}"));
        }
        for container in containers {
            if container["image"].as_str().unwrap_or_default().is_empty() {
                let container = container["name"].as_str().unwrap_or("without a name");
                mistakes.push(format!(
                    "{at}.template: the container {container} has no image"
                ));
            }
        }
        if replica.role.leads() && replica.count != 1 {
            let (role, count) = (replica.role.name(), replica.count);
            mistakes.push(format!(
                "{at}.replicas: there must be 1 {role}, not {count}"
            ));
        }
    }
    let leaders = job.replicas.iter().filter(|one| one.role.leads()).count();
    if leaders > 1 {
        mistakes.push(format!(
            "spec.{field}: Chief and Master are the same, give one of them"
        ));
    }
    if job.kind == Kind::PyTorchJob {
        // v1 has jobs of workers alone too.
        if leaders == 0 && job.origin != Version::V1 {
            mistakes.push(format!("spec.{field}: there is no Master"));
        }
        if job.size() == 0 && !job.replicas.is_empty() {
            mistakes.push(format!("spec.{field}: all replicas are 0"));
        }
    }
    let most = usize::try_from(MOST_REPLICAS).unwrap_or_default();
    if job.size() > most {
        let size = job.size();
        mistakes.push(format!(
            "spec.{field}: {size} replicas are too many, a job may have {most}"
        ));
    }
    processes(job, &mut mistakes);
    name(job, &mut mistakes);
    finish(mistakes)
}

/// Where a job says what replicas of a role are.
fn place(kind: Kind, role: Role) -> String {
    match kind {
        Kind::TrainJob => "spec.runtimeRef: in the runtime, replicatedJobs.node".to_owned(),
        _ => format!("spec.{}.{}", kind.replicas_field(), role.name()),
    }
}

fn processes(job: &Job, mistakes: &mut Vec<String>) {
    let given = job.torch.processes.as_str();
    let is_known = ["", "auto", "cpu", "gpu"].contains(&given)
        || given.parse::<u32>().is_ok_and(|number| number > 0);
    if !is_known {
        mistakes.push(format!(
            "spec.nprocPerNode: {given:?} is neither auto, cpu, gpu nor a number above 0"
        ));
    }
}

/// Names of services begin with a letter, have lower case letters, digits and `-`, and 63 characters at most.
fn name(job: &Job, mistakes: &mut Vec<String>) {
    let starts = job
        .name
        .starts_with(|first: char| first.is_ascii_lowercase());
    let allowed = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '-';
    if !starts || !job.name.chars().all(allowed) {
        mistakes.push(format!(
            "metadata.name: {:?} must begin with a lower case letter and have only such, digits and -, for services \
             are named after it",
            job.name
        ));
    }
    let longest = job.replicas.iter().filter(|replica| replica.count > 0);
    let longest = longest.map(|replica| names::pod(job, replica.role, replica.count - 1).len());
    let longest = longest.max().unwrap_or_default().max(job.name.len());
    if longest > LONGEST {
        let over = longest - LONGEST;
        mistakes.push(format!(
            "metadata.name: it is {over} characters too long, for pods and services are named after it"
        ));
    }
}

/// Takes what v1 has no place for from the annotation.
pub(crate) fn v1alpha1(job: &mut Job, original: &Original) -> Result<(), Invalid> {
    let rest = original.rest(Version::V1Alpha1);
    let spec = rest.and_then(|rest| rest.get("spec"));
    let field = |name: &str| spec.and_then(|spec| spec.get(name));
    let text = |name: &str| field(name).and_then(Value::as_str);
    let given = text("RuntimeId").filter(|id| !id.is_empty());
    job.runtime_id = given.map_or_else(|| names::runtime_id(&job.uid), str::to_owned);
    job.torch.scheduler = text("schedulerName").map(str::to_owned);
    let entries = rest.and_then(|rest| rest.get("entries")?.as_array());
    let mut mistakes = Vec::new();
    for entry in entries.into_iter().flatten() {
        let rest = &entry["rest"];
        let written = rest["replicaType"].as_str().unwrap_or("MASTER");
        match entry["key"].as_str().and_then(|key| job.kind.role(key)) {
            None if job.kind.role(written).is_some() => {
                mistakes.push(format!("spec.replicaSpecs: {written} is there twice"));
            }
            None => mistakes.push(format!(
                "spec.replicaSpecs: there is no replicaType {written}; there are MASTER and WORKER"
            )),
            Some(role) => port(job, role, &rest["masterPort"], &mut mistakes),
        }
    }
    for replica in &mut job.replicas {
        replica.restart = match template::text(&replica.template, "restartPolicy") {
            Some("Always") => RestartPolicy::Always,
            Some("Never") => RestartPolicy::Never,
            _ => RestartPolicy::OnFailure,
        };
    }
    termination(field("terminationPolicy"), &mut mistakes);
    if let Some(backend) = text("backend").filter(|backend| *backend != BACKEND) {
        job.warnings.push(format!(
            "spec.backend: {backend} is without effect, the container chooses its backend"
        ));
    }
    let used = job.leader().map(|master| master.port);
    let given = field("masterPort").map(|given| (given, pytorchjob::port(given)));
    if let (Some(used), Some((given, port))) = (used, given)
        && port != Some(used)
    {
        job.warnings.push(format!(
            "spec.masterPort: {given} is without effect, the master listens at {used}"
        ));
    }
    finish(mistakes)
}

fn port(job: &mut Job, role: Role, given: &Value, mistakes: &mut Vec<String>) {
    let default = job.kind.port();
    let port = match given {
        Value::Null => Some(default),
        given => pytorchjob::port(given),
    };
    match (port, job.replicas.iter_mut().find(|one| one.role == role)) {
        (Some(port), Some(replica)) => replica.port = port,
        (None, _) => mistakes.push(format!("spec.replicaSpecs: masterPort {given} is no port")),
        (_, None) => {}
    }
}

fn termination(policy: Option<&Value>, mistakes: &mut Vec<String>) {
    let Some(master) = policy.and_then(|policy| policy.get("master")) else {
        return;
    };
    let name = master["replicaName"].as_str().unwrap_or("MASTER");
    let rank = master["replicaRank"].as_i64().unwrap_or(0);
    if name != "MASTER" || rank != 0 {
        mistakes.push(
            "spec.terminationPolicy.master: only replicaName MASTER with replicaRank 0 is known"
                .to_owned(),
        );
    }
}

pub(crate) fn finish(mistakes: Vec<String>) -> Result<(), Invalid> {
    if mistakes.is_empty() {
        Ok(())
    } else {
        Err(Invalid(mistakes))
    }
}
