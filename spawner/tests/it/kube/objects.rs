//! Whole documents, as Kubernetes gets them.

use carrel_spawner::StartRequest;
use carrel_spawner::kube::objects;
use carrel_spawner::kube::plan::{self, Plan};
use carrel_spawner::kube::{KubeOptions, resolve};
use serde_json::json;

use super::{options, request};

/// All documents of a start, with their keys in order.
fn documents(options: &KubeOptions, request: &StartRequest) -> serde_json::Value {
    let options = resolve(options, request).unwrap();
    let (names, fields) = plan::names(
        &options,
        &request.user,
        &request.server,
        &request.start_id,
        None,
        "hub",
    );
    let plan = Plan {
        options: &options,
        request,
        names: &names,
        fields: &fields,
    };
    let pod = objects::pod(&plan).unwrap();
    let secret = objects::secret(&plan, "uid-of-the-pod");
    let mut documents = match options.storage_pvc_ensure {
        true => json!([objects::pvc(&plan).unwrap(), pod, secret]),
        false => json!([pod, secret]),
    };
    documents.sort_all_objects();
    documents
}

#[test]
fn a_pod_of_the_defaults_holds_no_rights_and_no_token() {
    let request = request("alice", "", json!({}));
    let documents = documents(&KubeOptions::default(), &request);
    assert!(
        !documents[0].to_string().contains("the-secret-token"),
        "the token stands in the secret only"
    );
    insta::assert_yaml_snapshot!(documents);
}

#[test]
fn the_first_page_is_that_of_the_profile() {
    let options = options(json!({
        "default_url": "/lab",
        "profile_list": [{
            "display_name": "RStudio",
            "slug": "rstudio",
            "kubespawner_override": { "default_url": "/rstudio" },
        }],
    }));
    let chosen = request("alice", "", json!({ "profile": "rstudio" }));
    let pod = documents(&options, &chosen)[0].to_string();
    assert!(
        pod.contains(r#"{"name":"JUPYTERHUB_DEFAULT_URL","value":"/rstudio"}"#),
        "{pod}"
    );
}

#[test]
fn a_named_server_with_a_claim_gets_its_files() {
    let options = options(json!({
        "image": "carrel/singleuser:1",
        "cmd": "jupyterhub-singleuser",
        "args": ["--debug"],
        "storage_pvc_ensure": true,
        "storage_capacity": "10Gi",
        "storage_class": "fast",
        "storage_extra_labels": { "owner": "{username}" },
        "volumes": { "home": { "name": "home", "persistentVolumeClaim": { "claimName": "{pvc_name}" } } },
        "volume_mounts": { "home": { "name": "home", "mountPath": "/home/jovyan", "subPath": "{username}" } },
        "extra_annotations": { "owner": "{unescaped_username}/{unescaped_servername}" },
        "environment": {
            "GREETING": "hello {username}",
            "ALL": "$(ZULU) and $(JUPYTERHUB_USER)",
            "ZULU": "z",
            "JUPYTERHUB_USER": "somebody else",
            "KEY": { "valueFrom": { "secretKeyRef": { "name": "keys", "key": "one" } } },
        },
    }));
    let request = request("Alice{username}", "gpu", json!({}));
    insta::assert_yaml_snapshot!(documents(&options, &request));
}

#[test]
fn every_option_of_placement_and_resources_arrives() {
    let term = json!({ "matchExpressions": [{ "key": "gpu", "operator": "Exists" }] });
    let pods = json!({ "topologyKey": "kubernetes.io/hostname", "labelSelector": { "matchLabels": { "a": "b" } } });
    let options = options(json!({
        "image_pull_policy": "Always",
        "image_pull_secrets": ["registry"],
        "uid": 1000, "gid": 100, "fs_gid": 100, "supplemental_gids": [200],
        "cpu_limit": 2, "cpu_guarantee": "500m", "mem_limit": "1.5G", "mem_guarantee": "512Mi",
        "extra_resource_limits": { "nvidia.com/gpu": 1 },
        "service_account": "notebook",
        "node_selector": { "pool": "users" },
        "tolerations": [{ "key": "hub.jupyter.org/dedicated", "operator": "Equal", "value": "user" }],
        "node_affinity_required": [term],
        "node_affinity_preferred": [{ "weight": 10, "preference": term }],
        "pod_affinity_preferred": [{ "weight": 5, "podAffinityTerm": pods }],
        "pod_affinity_required": [pods],
        "pod_anti_affinity_preferred": [{ "weight": 5, "podAffinityTerm": pods }],
        "pod_anti_affinity_required": [pods],
        "scheduler_name": "users",
        "priority_class_name": "users",
        "init_containers": [{ "name": "copy", "image": "copy:1", "command": ["cp", "/{username}"] }],
        "extra_containers": [{ "name": "side", "image": "side:1" }],
        "extra_container_config": { "tty": true, "securityContext": { "readOnlyRootFilesystem": true } },
        "extra_pod_config": { "terminationGracePeriodSeconds": 5, "dnsPolicy": "None" },
        "lifecycle_hooks": { "postStart": { "exec": { "command": ["touch", "/tmp/{username}"] } } },
        "pod_security_context": { "fsGroupChangePolicy": "OnRootMismatch" },
        "container_security_context": { "runAsNonRoot": null, "capabilities": { "add": ["NET_BIND_SERVICE"] } },
        "working_dir": "/home/{username}",
        "notebook_dir": "/home/{username}/work",
    }));
    insta::assert_yaml_snapshot!(documents(&options, &request("alice", "", json!({}))));
}

#[test]
fn patches_change_the_finished_pod_of_those_they_are_for() {
    let options = options(json!({
        "pod_patches": [
            { "patch": { "spec": {
                "hostNetwork": false,
                "enableServiceLinks": null,
                "containers": [
                    { "name": "notebook", "env": [{ "name": "JUPYTERHUB_USER", "value": "changed" }] },
                    { "name": "proxy", "image": "proxy:1" },
                ],
            } } },
            { "groups": ["staff"], "json_patch": [
                { "op": "add", "path": "/metadata/labels/staff", "value": "yes" },
                { "op": "test", "path": "/spec/containers/0/name", "value": "notebook" },
            ] },
        ],
        "group_overrides": {
            "10-staff": { "groups": ["staff"], "spawner_override": { "mem_limit": "8G", "environment": { "STAFF": "1" } } },
            "20-others": { "groups": ["others"], "spawner_override": { "mem_limit": "1G" } },
        },
    }));
    let mut request = request("alice", "", json!({}));
    let plain = documents(&options, &request);
    assert_eq!(plain[0]["metadata"]["labels"].get("staff"), None);
    assert_eq!(plain[0]["spec"]["containers"][0].get("resources"), None);
    request.groups = vec![String::from("staff")];
    insta::assert_yaml_snapshot!(documents(&options, &request));
}

#[test]
fn a_patch_that_does_not_apply_is_named() {
    let options = options(json!({
        "pod_patches": [{ "json_patch": [{ "op": "remove", "path": "/spec/nothing" }] }],
    }));
    let request = request("alice", "", json!({}));
    let (names, fields) = plan::names(&options, "alice", "", "1", None, "hub");
    let plan = Plan {
        options: &options,
        request: &request,
        names: &names,
        fields: &fields,
    };
    let error = objects::pod(&plan).unwrap_err().to_string();
    assert!(error.contains("pod_patches: 0:"), "{error}");
}

#[test]
fn root_and_privileges_are_only_for_those_who_ask() {
    let security = |given| {
        let documents = documents(&options(given), &request("alice", "", json!({})));
        documents[0]["spec"]["containers"][0]["securityContext"].clone()
    };
    assert_eq!(security(json!({ "uid": 0 })).get("runAsNonRoot"), None);
    assert_eq!(
        security(json!({ "privileged": true })),
        json!({ "privileged": true, "allowPrivilegeEscalation": true })
    );
}
