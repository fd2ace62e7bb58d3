//! The pods and services of a job, as JSON: made of plain data, without asking anybody.

pub mod gang;
pub mod logs;
pub mod reporting;

use carrel_jobs::environment::{is_for, variables};
use carrel_jobs::job::{Job, Replica};
use carrel_jobs::kind::{Kind, Role};
use carrel_jobs::names;
use carrel_jobs::template::{self, add_port, object, set_variables};
use serde_json::{Value, json};

/// The pod of a replica. `domain` is that of the cluster, where names of hosts are to hold it.
pub fn pod(job: &Job, replica: &Replica, index: usize, domain: Option<&str>) -> Value {
    let mut pod = replica.template.clone();
    pod.retain(|field, _| field == "metadata" || field == "spec");
    pod.insert("apiVersion".to_owned(), json!("v1"));
    pod.insert("kind".to_owned(), json!("Pod"));
    let metadata = object(&mut pod, "metadata");
    metadata.retain(|field, _| ["annotations", "labels", "finalizers"].contains(&field.as_str()));
    for (name, value) in names::labels(job, replica, index) {
        object(metadata, "labels").insert(name, json!(value));
    }
    let name = names::pod(job, replica.role, index);
    metadata.insert("name".to_owned(), json!(name));
    metadata.insert("namespace".to_owned(), json!(job.namespace));
    metadata.insert("ownerReferences".to_owned(), owner(job));

    if job.kind == Kind::TrainJob {
        let annotations = object(metadata, "annotations");
        annotations.insert(names::COMPLETION_INDEX.to_owned(), json!(index.to_string()));
    }

    let spec = object(&mut pod, "spec");
    if job.kind == Kind::TrainJob {
        // By these others find it, through the service of the job.
        spec.insert(
            "hostname".to_owned(),
            json!(names::pod(job, replica.role, index)),
        );
        let service = names::service(job, replica.role, index);
        spec.insert("subdomain".to_owned(), json!(service));
    }
    spec.insert("restartPolicy".to_owned(), json!(replica.restart.of_pod()));
    if let Some(scheduler) = &job.torch.scheduler {
        spec.insert("schedulerName".to_owned(), json!(scheduler));
    }
    let variables = variables(job, replica, index, domain);
    for field in ["containers", "initContainers"] {
        let containers = spec.get_mut(field).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            // Those that prepare a pod of the other kinds never found them.
            if (field == "containers" || job.kind == Kind::TrainJob) && is_for(job, container) {
                set_variables(container, &variables);
            }
            if field == "containers" && container["name"] == job.kind.container() {
                add_port(container, job.kind.port_name(), replica.port);
            }
        }
    }
    Value::Object(pod)
}

/// The service by which the others find a replica, before it is ready too: who comes early waits for it.
pub fn service(job: &Job, replica: &Replica, index: usize) -> Value {
    let v1alpha1 = job.is_v1alpha1();
    let port_name = if v1alpha1 {
        "tf-port"
    } else {
        job.kind.port_name()
    };
    let mut spec = json!({
        "selector": names::service_selector(job, replica.role, index),
        "ports": [{ "name": port_name, "port": replica.port }],
        "publishNotReadyAddresses": true,
    });
    if !v1alpha1 {
        spec["clusterIP"] = json!("None");
    }
    json!({
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": names::service(job, replica.role, index),
            "namespace": job.namespace,
            "labels": names::labels(job, replica, index),
            "ownerReferences": owner(job),
        },
        "spec": spec,
    })
}

/// The roles whose template says when its pod is started again, to no effect.
pub fn overridden(job: &Job) -> Vec<Role> {
    let says = |replica: &&Replica| {
        let said = template::text(&replica.template, "restartPolicy");
        said.is_some_and(|said| said != replica.restart.of_pod())
    };
    let replicas = job.replicas.iter().filter(says);
    replicas.map(|replica| replica.role).collect()
}

pub(crate) fn owner(job: &Job) -> Value {
    json!([{
        "apiVersion": job.kind.api_version(),
        "kind": job.kind.name(),
        "name": job.name,
        "uid": job.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    }])
}
