//! The objects of a job, and what of it outlives the service.

use carrel_jobs_service::objects::{Extra, job, record as config_map, secret};
use carrel_jobs_service::record::Record;
use carrel_report::RankState;
use serde_json::{Value, json};

use crate::site::{keys, record, settings};

fn variable<'a>(pod: &'a Value, name: &str) -> &'a Value {
    let variables = pod["containers"][0]["env"].as_array().unwrap();
    variables
        .iter()
        .find(|one| one["name"] == name)
        .unwrap_or(&Value::Null)
}

#[test]
fn a_job_of_several_ranks_is_one_master_and_workers_without_rights() {
    let record = record(3);
    let job = job(&record, &settings(None));
    assert_eq!(
        (&job["apiVersion"], &job["kind"]),
        (&json!("kubeflow.org/v1"), &json!("PyTorchJob"))
    );
    assert_eq!(job["metadata"]["name"], "digits-1-0a-1");
    let owner = &job["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["uid"]),
        (&json!("ConfigMap"), &json!("u"))
    );
    let specs = &job["spec"]["pytorchReplicaSpecs"];
    assert_eq!(
        (&specs["Master"]["replicas"], &specs["Worker"]["replicas"]),
        (&json!(1), &json!(2))
    );
    for (role, has_model) in [("Master", true), ("Worker", false)] {
        assert_eq!(specs[role]["restartPolicy"], "Never");
        let labels = &specs[role]["template"]["metadata"]["labels"];
        assert_eq!(
            (&labels["carrel.dev/user"], &labels["carrel.dev/attempt"]),
            (&json!("ada"), &json!("1"))
        );
        let annotations = &specs[role]["template"]["metadata"]["annotations"];
        assert_eq!(
            annotations["carrel.dev/reports"] == "true",
            role == "Master"
        );
        let pod = &specs[role]["template"]["spec"];
        assert_eq!(pod["automountServiceAccountToken"], false);
        assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
        assert_eq!(
            pod["securityContext"]["seccompProfile"]["type"],
            "RuntimeDefault"
        );
        let container = &pod["containers"][0];
        assert_eq!(container["command"], json!(["carrel-train", "run", "/job"]));
        assert_eq!(
            container["securityContext"]["capabilities"]["drop"],
            json!(["ALL"])
        );
        assert_eq!(
            container["securityContext"]["allowPrivilegeEscalation"],
            false
        );
        let url = "http://service/services/training/api/v1/jobs/digits-1-0a";
        assert_eq!(
            variable(pod, "CARREL_STATUS_URL")["value"],
            format!("{url}/ranks/{{rank}}/status")
        );
        assert_eq!(variable(pod, "CARREL_JOB_ATTEMPT")["value"], "1");
        let model = &variable(pod, "CARREL_MODEL_URL")["value"];
        assert_eq!(*model == json!(format!("{url}/model?attempt=1")), has_model);
        let reference = &variable(pod, "CARREL_JOB_SECRET")["valueFrom"]["secretKeyRef"];
        assert_eq!(
            *reference,
            json!({ "name": "digits-1-0a", "key": "CARREL_JOB_SECRET" })
        );
    }
    // What only ranks know is in the Secret and nowhere else.
    let (secret, token) = (keys().secret(&record.id), keys().token(&record.id));
    let text = job.to_string() + &config_map(&record).to_string();
    assert!(!text.contains(&secret) && !text.contains(&token));
    let one = crate::site::record(1);
    let job = carrel_jobs_service::objects::job(&one, &settings(None));
    assert_eq!(job["spec"]["pytorchReplicaSpecs"]["Worker"], Value::Null);
}

#[test]
fn the_operator_takes_the_job() {
    use carrel_operator::objects::pod;
    let object = job(&record(3), &settings(Some("claim-{username}")));
    let identity = carrel_jobs::job::Identity {
        name: "digits-1-0a-1",
        namespace: "jobs",
        uid: "u",
        original: None,
    };
    let kind = carrel_jobs::kind::Kind::PyTorchJob;
    let read = carrel_jobs::read::read(kind, &identity, &object["spec"]).unwrap();
    assert_eq!(read.warnings, [""; 0]);
    let worker = read
        .replicas
        .iter()
        .find(|replica| replica.count == 2)
        .unwrap();
    let pod = &pod(&read, worker, 1, None)["spec"];
    assert_eq!(variable(pod, "RANK")["value"], "2");
    assert_eq!(variable(pod, "WORLD_SIZE")["value"], "3");
    assert_eq!(
        variable(pod, "MASTER_ADDR")["value"],
        "digits-1-0a-1-master-0"
    );
}

#[test]
fn checkpoints_of_rank_0_are_kept_in_the_user_s_claim() {
    let mut record = record(2);
    record.kept.user = "Zoë".to_owned();
    let job = job(&record, &settings(Some("claim-{username}")));
    let volume = |role: &str| {
        let spec = &job["spec"]["pytorchReplicaSpecs"][role]["template"]["spec"];
        (
            spec["volumes"][0].clone(),
            spec["containers"][0]["volumeMounts"][0].clone(),
        )
    };
    let (volume_of_first, mount) = volume("Master");
    let claim = volume_of_first["persistentVolumeClaim"]["claimName"]
        .as_str()
        .unwrap();
    assert!(
        claim.starts_with("claim-zo") && claim.contains("---"),
        "{claim}"
    );
    assert_eq!(mount["subPath"], ".carrel/jobs/digits-1-0a");
    let (volume, mount) = volume("Worker");
    assert_eq!(
        (&volume["emptyDir"], &mount["subPath"]),
        (&json!({}), &Value::Null)
    );
}

#[test]
fn the_configuration_adds_to_pods_and_takes_no_right_away() {
    let extra: Extra = serde_json::from_value(json!({
        "pod": {
            "automountServiceAccountToken": true,
            "nodeSelector": { "gpu": "yes" },
            "securityContext": { "runAsUser": 5, "runAsNonRoot": false },
            "volumes": [{ "name": "data", "emptyDir": {} }],
        },
        "container": {
            "securityContext": { "privileged": true },
            "resources": { "limits": { "cpu": "2" } },
            "env": [{ "name": "CARREL_DATA", "value": "/data" }],
        },
    }))
    .unwrap();
    let settings = carrel_jobs_service::objects::Settings {
        extra,
        ..settings(None)
    };
    let job = job(&record(1), &settings);
    let pod = &job["spec"]["pytorchReplicaSpecs"]["Master"]["template"]["spec"];
    assert_eq!(pod["nodeSelector"]["gpu"], "yes");
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(
        (
            &pod["securityContext"]["runAsUser"],
            &pod["securityContext"]["runAsNonRoot"]
        ),
        (&json!(5), &json!(true))
    );
    assert_eq!(pod["volumes"].as_array().unwrap().len(), 3);
    let container = &pod["containers"][0];
    assert_eq!(container["resources"]["limits"]["cpu"], "2");
    assert_eq!(container["securityContext"]["privileged"], Value::Null);
    assert_eq!(variable(pod, "CARREL_DATA")["value"], "/data");
    let unknown = serde_json::from_value::<Extra>(json!({ "pods": {} })).unwrap_err();
    assert!(unknown.to_string().contains("pods"), "{unknown}");
}

#[test]
fn a_job_is_read_back_as_it_was_kept() {
    let mut record = record(2);
    record.ranks[1].status.losses = vec![0.5, 0.25];
    record.ranks[1].status.state = RankState::Running;
    let read = |record: &Record| {
        let mut map = config_map(record);
        map["metadata"]["uid"] = json!("u");
        Record::read(&serde_json::from_value(map).unwrap()).unwrap()
    };
    assert_eq!(read(&record), record);
    // Of very long lists the first losses are kept: a ConfigMap is not as large as one likes.
    record.ranks[0].status.losses = vec![0.123_456_789; 100_000];
    assert_eq!(read(&record).ranks[0].status.losses.len(), 100);
    assert!(config_map(&record).to_string().len() < 500_000);
    let description: Value = serde_json::from_str(
        secret(&record, &settings(None))["stringData"]["job.json"]
            .as_str()
            .unwrap(),
    )
    .unwrap();
    assert_eq!(description["recipe"]["epochs"], 3);
}

#[test]
fn names_of_objects_hold_whatever_a_job_is_called() {
    use carrel_jobs_service::submission::id;
    for name in ["a", "-", "7", "A-B", &"x".repeat(100), &"-".repeat(50)] {
        let (one, other) = (id(name), id(name));
        assert_ne!(one, other);
        let longest = format!("{one}-1000-worker-4999");
        assert!(longest.len() <= 63, "{longest}");
        assert!(
            carrel_spawner::kube::slug::is_object_name(&longest),
            "{longest}"
        );
    }
}
