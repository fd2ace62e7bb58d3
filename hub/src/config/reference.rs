//! The reference of the configuration in Markdown, `hub/CONFIGURATION.md`; a test keeps that file equal to it.

use std::fmt::Write as _;

use super::culler::Rule;
use super::custom_scopes::CustomScope;
use super::load::Role;
use super::quota::Quota;
use super::section::SectionKeys;
use super::service::Service;
use super::{Config, OptionsForm};

const HEAD: &str = "# Configuration

The Hub reads one YAML file (`carrel-hub serve --config FILE`). Its sections and keys carry JupyterHub's own names.
All of them may be left out. The file is checked as a whole before anything starts: every mistake is reported at
once, with its line and column, and the Hub ends with exit code 64.

```yaml
JupyterHub:
  bind_url: http://127.0.0.1:8000
Authenticator:
  admin_users: [admin]
Spawner:
  default_url: /lab
  environment:
    GREETING: hello
```
";

const KUBERNETES: &str = r#"
## Servers as pods

With `JupyterHub.spawner_class: kube`, every server is a pod `jupyter-<user>` beside the Hub. The Hub reaches the cluster
as kubectl does: by `KUBECONFIG`, a kubeconfig, or the service account of its own pod.

```yaml
JupyterHub:
  spawner_class: kube
  ip: 0.0.0.0
  hub_connect_url: http://hub:8000      # how pods reach the Hub
  load_groups:
    gpu-users: [ada]
KubeSpawner:
  storage_pvc_ensure: true
  storage_capacity: 10Gi
  volumes: [{name: home, persistentVolumeClaim: {claimName: "{pvc_name}"}}]
  volume_mounts: [{name: home, mountPath: /home/jovyan}]
  profile_list:
    - display_name: Notebook
      profile_options:
        image:
          display_name: Image
          choices:
            latest: {display_name: Latest, default: true, kubespawner_override: {image: "example/notebook:2"}}
          unlisted_choice:
            enabled: true
            validation_regex: "example/.+"
            kubespawner_override: {image: "{value}"}
        memory:
          display_name: Memory
          choices:
            small: {display_name: 2 GB, kubespawner_override: {mem_limit: 2G}}
            large: {display_name: 8 GB, kubespawner_override: {mem_limit: 8G}}
    - display_name: GPU
      groups: [gpu-users]
      kubespawner_override: {extra_resource_limits: {nvidia.com/gpu: 1}}
  group_overrides:
    10-gpu: {groups: [gpu-users], spawner_override: {node_selector: {pool: gpu}}}
  pod_patches:
    - groups: [gpu-users]
      patch: {spec: {runtimeClassName: nvidia}}
    - json_patch: [{op: add, path: /metadata/labels/site, value: north}]
```

- **Profiles** are those of KubeSpawner, with `groups` beside: whoever is in none of them neither sees the profile nor may
  ask for it by the API. Where something sorts the keys of mappings, `profile_options` and `choices` may be lists whose
  items have a `name`. `validation_regex` must match the whole text (KubeSpawner leaves its end open). A start by the API
  gives `{"profile": "notebook", "image": "latest", "memory": "small"}`, for a text of one's own
  `{"image": "unlisted-choice", "image--unlisted-choice": "example/mine:1"}`.
- **Instead of Python hooks**: `group_overrides` sets options for groups, `pod_patches` changes the finished pod, each by a
  strategic merge patch (`patch`), operations of RFC 6902 (`json_patch`), or both.
- **Rights.** Pods get no token of a service account, may not become root, hold no capabilities and run under the
  runtime's seccomp profile, unless the options above say otherwise. The server's own token stands in a secret
  `start-<id>`, which belongs to the pod and goes with it, and not in the pod, which many may look at.
- **The Hub's own role** needs, in the namespace of the pods: `get`, `list`, `watch`, `create` and `delete` for pods, `get`
  for pods/log, `get`, `create` and `delete` for persistentvolumeclaims, `create` for secrets, `list` and `watch` for events.
- **After a crash** pods are found by the label `carrel/start-id`, which the Hub wrote down before it asked for the pod.
"#;

/// All sections and keys, from the same tables that the file is read by.
pub fn reference() -> String {
    let mut text = HEAD.to_owned();
    for section in Config::keys() {
        describe(&mut text, &format!("`{}:`", section.name), &section);
    }
    describe(
        &mut text,
        "Fields of `Spawner.options_form`",
        &OptionsForm::keys(),
    );
    describe(&mut text, "Items of `JupyterHub.load_roles`", &Role::keys());
    describe(&mut text, "Items of `JupyterHub.quotas`", &Quota::keys());
    describe(
        &mut text,
        "Items of `JupyterHub.services`",
        &Service::keys(),
    );
    describe(
        &mut text,
        "Items of `JupyterHub.custom_scopes`",
        &CustomScope::keys(),
    );
    describe(&mut text, "Values of `IdleCuller.groups`", &Rule::keys());
    text.push_str(KUBERNETES);
    text
}

fn describe(text: &mut String, title: &str, section: &SectionKeys) {
    let _ = write!(
        text,
        "\n## {title}\n\n{}\n\n| key | value | default | meaning |\n|---|---|---|---|\n",
        section.doc
    );
    for key in &section.keys {
        let default = if key.default.is_empty() {
            "none".to_owned()
        } else {
            format!("`{}`", key.default)
        };
        let [expected, doc] = [&key.expected, &key.doc].map(|cell| cell.replace('|', "\\|"));
        let _ = writeln!(text, "| `{}` | {expected} | {default} | {doc} |", key.name);
    }
}
