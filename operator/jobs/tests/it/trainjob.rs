//! TrainJobs with their runtimes.

use carrel_jobs::job::{Identity, Job};
use carrel_jobs::kind::Role;
use carrel_jobs::spec::{RestartPolicy, Template};
use carrel_jobs::trainjob::read;
use serde_json::{Value, json};

/// A runtime of 3 nodes.
fn runtime() -> Value {
    json!({
        "mlPolicy": { "numNodes": 3, "torch": {} },
        "template": { "spec": { "replicatedJobs": [{
            "name": "node",
            "template": {
                "metadata": { "labels": { "step": "trainer", "own": "job" } },
                "spec": { "template": {
                    "metadata": { "labels": { "own": "pod" } },
                    "spec": {
                        "nodeSelector": { "disk": "fast" },
                        "containers": [
                            {
                                "name": "node",
                                "image": "of-runtime",
                                "command": ["of-runtime"],
                                "env": [{ "name": "A", "value": "1" }, { "name": "B", "value": "2" }],
                                "resources": { "limits": { "cpu": 2, "memory": "1Gi" } },
                            },
                            { "name": "sidecar", "image": "s" },
                        ],
                    },
                } },
            },
        }] } },
    })
}

fn job_of(spec: Value, runtime: Value) -> Result<Job, String> {
    let mut whole = json!({ "runtimeRef": { "name": "r" } });
    whole
        .as_object_mut()
        .unwrap()
        .extend(spec.as_object().unwrap().clone());
    let identity = Identity {
        name: "job",
        namespace: "default",
        uid: "u",
        original: None,
    };
    let Value::Object(runtime) = runtime else {
        panic!("no object: {runtime}");
    };
    read(&identity, &whole, &runtime, 0).map_err(|wrong| wrong.to_string())
}

fn template(spec: Value) -> Template {
    let job = job_of(spec, runtime()).unwrap();
    job.replica(Role::Node).unwrap().template.clone()
}

#[test]
fn a_job_takes_the_place_of_what_its_runtime_says() {
    let trainer = json!({
        "image": "mine",
        "args": ["--fast"],
        "env": [{ "name": "B", "value": "3" }, { "name": "C", "value": "4" }],
        "numNodes": 4,
        "resourcesPerNode": { "limits": { "memory": "2Gi" }, "requests": { "cpu": "1500m" } },
    });
    let job = job_of(json!({ "trainer": trainer }), runtime()).unwrap();
    let replica = job.replica(Role::Node).unwrap();
    assert_eq!((replica.count, replica.restart), (4, RestartPolicy::Never));
    assert_eq!(job.torch.processes, "2");
    let container = &replica.template["spec"]["containers"][0];
    assert_eq!(
        *container,
        json!({
            "name": "node",
            "image": "mine",
            "command": ["of-runtime"],
            "args": ["--fast"],
            "env": [
                { "name": "A", "value": "1" },
                { "name": "B", "value": "3" },
                { "name": "C", "value": "4" },
            ],
            "resources": { "limits": { "memory": "2Gi" }, "requests": { "cpu": "1500m" } },
        })
    );
    let labels = &replica.template["metadata"]["labels"];
    assert_eq!(*labels, json!({ "step": "trainer", "own": "pod" }));
    let plain = job_of(json!({}), runtime()).unwrap();
    assert_eq!(plain.size(), 3);
    assert_eq!(plain.torch.processes, "2", "as many as CPUs");
    let four = json!({ "trainer": { "numProcPerNode": 4 } });
    assert_eq!(job_of(four, runtime()).unwrap().torch.processes, "4");
}

#[test]
fn patches_are_for_this_job_alone() {
    let patch = |spec: Value| {
        json!({ "runtimePatches": [{
            "manager": "example.com/me",
            "trainingRuntimeSpec": { "template": { "spec": { "replicatedJobs": [{
                "name": "node",
                "template": { "spec": { "template": spec } },
            }] } } },
        }] })
    };
    let patched = template(patch(json!({
        "metadata": { "labels": { "queue": "q" }, "annotations": { "a": "b" } },
        "spec": {
            "serviceAccountName": "trainer",
            "nodeSelector": { "zone": "z" },
            "tolerations": [{ "operator": "Exists" }],
            "imagePullSecrets": [{ "name": "s" }],
            "volumes": [{ "name": "data", "emptyDir": {} }],
            "containers": [
                { "name": "node", "volumeMounts": [{ "name": "data", "mountPath": "/data" }] },
                { "name": "sidecar", "env": [{ "name": "A", "value": "1" }] },
            ],
        },
    })));
    assert_eq!(patched["metadata"]["labels"]["queue"], "q");
    assert_eq!(patched["metadata"]["annotations"], json!({ "a": "b" }));
    let spec = &patched["spec"];
    assert_eq!(spec["serviceAccountName"], "trainer");
    assert_eq!(spec["nodeSelector"], json!({ "disk": "fast", "zone": "z" }));
    assert_eq!(spec["tolerations"], json!([{ "operator": "Exists" }]));
    assert_eq!(spec["volumes"][0]["name"], "data");
    assert_eq!(spec["containers"][0]["image"], "of-runtime");
    assert_eq!(
        spec["containers"][0]["volumeMounts"][0]["mountPath"],
        "/data"
    );
    assert_eq!(spec["containers"][1]["env"][0]["value"], "1");

    let containers = json!([
        { "name": "node", "env": [{ "name": "A", "value": "1" }] },
        { "name": "other" },
    ]);
    let wrong = job_of(
        patch(json!({ "spec": { "containers": containers } })),
        runtime(),
    );
    assert_eq!(
        wrong.unwrap_err(),
        "spec.runtimePatches[0]: the variables of the container node are those of spec.trainer.env; \
         spec.runtimePatches[0]: the runtime has no container \"other\" in containers"
    );
}

#[test]
fn what_cannot_be_run_is_named_with_its_place() {
    let wrong = |spec: Value, change: &dyn Fn(&mut Value)| {
        let mut runtime = runtime();
        change(&mut runtime);
        job_of(spec, runtime).unwrap_err()
    };
    let none = || json!({});
    let node = "/template/spec/replicatedJobs/0";
    assert_eq!(
        wrong(none(), &|runtime| runtime["template"] = json!({})),
        "spec.runtimeRef: the runtime has no job node in spec.template.spec.replicatedJobs"
    );
    assert_eq!(
        wrong(none(), &|runtime| {
            runtime.pointer_mut(node).unwrap()["template"]["spec"]["template"] = json!({});
        }),
        "spec.runtimeRef: in the runtime, replicatedJobs.node.template: there are no containers"
    );
    assert_eq!(
        wrong(none(), &|runtime| {
            let container = format!("{node}/template/spec/template/spec/containers/0/image");
            *runtime.pointer_mut(&container).unwrap() = json!("");
        }),
        "spec.runtimeRef: in the runtime, replicatedJobs.node.template: the container node has no image"
    );
    assert_eq!(
        wrong(none(), &|runtime| {
            runtime["mlPolicy"] = json!({ "mpi": {} });
            let jobs = runtime["template"]["spec"]["replicatedJobs"].as_array_mut();
            jobs.unwrap().push(json!({ "name": "launcher" }));
        }),
        "spec.runtimeRef: the runtime has the policy mpi; this operator knows torch, and runtimes without a policy; \
         spec.runtimeRef: the runtime has the job launcher; this operator runs node alone"
    );
    assert_eq!(
        wrong(none(), &|runtime| runtime["mlPolicy"]["numNodes"] =
            json!("two")),
        "spec.runtimeRef: the runtime's spec.mlPolicy.numNodes: invalid type: string \"two\", expected i32"
    );
    let wrong = |spec: Value| job_of(spec, runtime()).unwrap_err();
    assert_eq!(
        wrong(json!({ "initializer": { "dataset": { "storageUri": "hf://d" } } })),
        "spec.initializer: this operator runs no initializers; mount a volume with the data"
    );
    assert_eq!(
        wrong(json!({ "trainer": { "env": [{ "name": "PET_NNODES", "value": "1" }] } })),
        "spec.trainer.env: PET_NNODES is what this operator sets"
    );
    for count in [0, -1] {
        let said = wrong(json!({ "trainer": { "numNodes": count } }));
        assert_eq!(
            said,
            format!("spec.trainer.numNodes: {count} is less than 1")
        );
    }
    assert!(
        wrong(json!({ "trainer": { "args": "one" } }))
            .starts_with("spec.trainer.args: invalid type")
    );
}

#[test]
fn restarts_are_those_of_the_runtime() {
    let read = |change: &dyn Fn(&mut Value)| {
        let mut runtime = runtime();
        change(&mut runtime["template"]["spec"]);
        job_of(json!({}), runtime).unwrap()
    };
    let job = read(&|_| {});
    assert_eq!((job.train.max_restarts, job.backoff_limit), (0, None));
    let job = read(&|jobset| jobset["failurePolicy"] = json!({ "maxRestarts": 2 }));
    assert_eq!(job.train.max_restarts, 2);
    let job = read(&|jobset| {
        jobset["replicatedJobs"][0]["template"]["spec"]["backoffLimit"] = json!(3);
    });
    assert_eq!((job.train.max_restarts, job.backoff_limit), (3, None));
    // Then it is the node that starts them again.
    let job = read(&|jobset| {
        let pod = &mut jobset["replicatedJobs"][0]["template"]["spec"]["template"]["spec"];
        pod["restartPolicy"] = json!("OnFailure");
    });
    assert_eq!(job.backoff_limit, Some(6));
}

#[test]
fn what_has_no_effect_is_said() {
    let mut runtime = runtime();
    runtime["template"]["spec"]["successPolicy"] = json!({ "operator": "Any" });
    let warnings = job_of(json!({}), runtime).unwrap().warnings;
    assert_eq!(
        warnings,
        ["spec.runtimeRef: spec.template.spec.successPolicy of the runtime is without effect",]
    );
}
