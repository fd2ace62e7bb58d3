//! The options of KubeSpawner 7, under its own names; the configuration, profiles and groups all set these.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{
    Container, Lifecycle, NodeSelectorTerm, PodAffinityTerm, PodSecurityContext, PodSpec,
    PreferredSchedulingTerm, SecurityContext, Toleration, Volume, VolumeMount,
    WeightedPodAffinityTerm,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::{Map, Value};

use super::merge::merge;
use super::mistake::Mistake;
use super::overrides::{GroupOverride, PodPatch};
use super::profiles::{self, Profile};
use super::table::{self, OptionKey, options};
use super::template::SlugScheme;
use super::values::{
    Cpu, EnvValue, Expected, ListOrMap, Memory, Partial, PullPolicy, Seconds, Words, expected,
};

options! {
    /// Servers as pods of a Kubernetes cluster. In texts, `{username}`, `{servername}`, `{user_server}`, their
    /// `safe_`, `escaped_` and `unescaped_` forms, `{pod_name}`, `{pvc_name}`, `{namespace}` and `{hubnamespace}`
    /// stand for what the pod is made for.
    KubeOptions {
        /// Image of the server.
        image: String = "quay.io/jupyterhub/singleuser:latest".to_owned();
        /// When a node pulls the image anew.
        image_pull_policy: PullPolicy = PullPolicy::IfNotPresent;
        /// Names of the secrets with which images are pulled.
        image_pull_secrets: Vec<String> = Vec::new();
        /// Arguments of the image's entry point, in place of its own command; `Spawner.cmd`, if the file gives it.
        cmd: Option<Words> = None;
        /// Further arguments of `cmd`.
        args: Vec<String> = Vec::new();
        /// Folder in which the server starts, in place of the image's.
        working_dir: Option<String> = None;
        /// Folder that the server shows; `Spawner.notebook_dir`, if the file gives it.
        notebook_dir: Option<String> = None;
        /// Page of the server that a user sees first; `Spawner.default_url`, if the file gives it.
        default_url: Option<String> = None;
        /// Address at which the server listens in its pod; `::` where pods have IPv6 addresses only.
        ip: IpAddr = IpAddr::from([0, 0, 0, 0]);
        /// Port at which the server listens in its pod.
        port: u16 = 8888;
        /// Environment variables of the server; they win over `Spawner.environment`, not over those of the Hub.
        environment: BTreeMap<String, EnvValue> = BTreeMap::new();

        /// Namespace of all pods; that in which the Hub runs, or that of the kubeconfig's context.
        namespace: Option<String> = None;
        /// Name of a server's pod.
        pod_name_template: String = "jupyter-{user_server}".to_owned();
        /// Name of a server's claim.
        pvc_name_template: String = "claim-{user_server}".to_owned();
        /// How names become parts of objects' names: `safe`, or `escape` as before KubeSpawner 7.
        slug_scheme: SlugScheme = SlugScheme::Safe;
        /// Host at which the proxy reaches a pod, in place of its IP address.
        pod_connect_ip: Option<String> = None;

        /// Make a claim (PersistentVolumeClaim) for each server, and keep it over stops.
        storage_pvc_ensure: bool = false;
        /// Size of the claim.
        storage_capacity: Option<Quantity> = None;
        /// Storage class of the claim; the cluster's default one without it.
        storage_class: Option<String> = None;
        /// Access modes of the claim.
        storage_access_modes: Vec<String> = vec!["ReadWriteOnce".to_owned()];
        /// Which volumes the claim may bind.
        storage_selector: Option<LabelSelector> = None;
        /// Further labels of the claim.
        storage_extra_labels: BTreeMap<String, String> = BTreeMap::new();
        /// Further annotations of the claim.
        storage_extra_annotations: BTreeMap<String, String> = BTreeMap::new();
        /// Delete the claim together with its user or named server.
        delete_pvc: bool = true;
        /// A server keeps the claim that it had, also where `pvc_name_template` gives another name by now.
        remember_pvc_name: bool = true;
        /// Volumes of the pod.
        volumes: ListOrMap<Volume> = ListOrMap::default();
        /// Where the server's container mounts them.
        volume_mounts: ListOrMap<VolumeMount> = ListOrMap::default();

        /// User ID of the server; the image's own without it, which must be a number other than 0.
        uid: Option<i64> = None;
        /// Group ID of the server.
        gid: Option<i64> = None;
        /// Group to which volumes belong.
        fs_gid: Option<i64> = None;
        /// Further groups of the server.
        supplemental_gids: Vec<i64> = Vec::new();
        /// Security context of the pod, merged over what the options above give.
        pod_security_context: Partial<PodSecurityContext> = Partial::default();
        /// Security context of the container, merged over the defaults: not root, no capabilities, the runtime's seccomp
        /// profile.
        container_security_context: Partial<SecurityContext> = Partial::default();
        /// Give the container all rights on its node.
        privileged: bool = false;
        /// Let a program gain more rights than the one that started it.
        allow_privilege_escalation: bool = false;
        /// Service account of the pod; setting it mounts its token.
        service_account: Option<String> = None;
        /// Mount the token of the service account; only where `service_account` is set, if this is not given.
        automount_service_account_token: Option<bool> = None;

        /// Most cores that the server may use.
        cpu_limit: Option<Cpu> = None;
        /// Cores that the server has for sure.
        cpu_guarantee: Option<Cpu> = None;
        /// Most memory that the server may use.
        mem_limit: Option<Memory> = None;
        /// Memory that the server has for sure.
        mem_guarantee: Option<Memory> = None;
        /// Limits of other resources, such as `nvidia.com/gpu`.
        extra_resource_limits: BTreeMap<String, Quantity> = BTreeMap::new();
        /// Requests of other resources.
        extra_resource_guarantees: BTreeMap<String, Quantity> = BTreeMap::new();

        /// Labels that a node must have.
        node_selector: BTreeMap<String, String> = BTreeMap::new();
        /// Taints of nodes that the pod tolerates.
        tolerations: Vec<Toleration> = Vec::new();
        /// Nodes that the pod prefers.
        node_affinity_preferred: Vec<PreferredSchedulingTerm> = Vec::new();
        /// Nodes that the pod needs; one of the terms must hold.
        node_affinity_required: Vec<NodeSelectorTerm> = Vec::new();
        /// Pods that the pod prefers to be near.
        pod_affinity_preferred: Vec<WeightedPodAffinityTerm> = Vec::new();
        /// Pods that the pod must be near.
        pod_affinity_required: Vec<PodAffinityTerm> = Vec::new();
        /// Pods that the pod prefers to be away from.
        pod_anti_affinity_preferred: Vec<WeightedPodAffinityTerm> = Vec::new();
        /// Pods that the pod must be away from.
        pod_anti_affinity_required: Vec<PodAffinityTerm> = Vec::new();
        /// Scheduler of the pod.
        scheduler_name: Option<String> = None;
        /// Priority class of the pod.
        priority_class_name: Option<String> = None;

        /// Containers that run before the server.
        init_containers: ListOrMap<Container> = ListOrMap::default();
        /// Containers beside the server.
        extra_containers: ListOrMap<Container> = ListOrMap::default();
        /// Further fields of the server's container, in Kubernetes' own form.
        extra_container_config: Partial<Container> = Partial::default();
        /// Further fields of the pod's `spec`, in Kubernetes' own form.
        extra_pod_config: Partial<PodSpec> = Partial::default();
        /// What the node does after the container's start and before its end.
        lifecycle_hooks: Option<Lifecycle> = None;
        /// Labels of all objects.
        common_labels: BTreeMap<String, String> = common_labels();
        /// Further labels of the pod.
        extra_labels: BTreeMap<String, String> = BTreeMap::new();
        /// Further annotations of the pod.
        extra_annotations: BTreeMap<String, String> = BTreeMap::new();

        /// Kinds of servers that users choose from.
        profile_list: Vec<Profile> = Vec::new();
        /// Options for members of groups; applied in the order of the keys, before the profile.
        group_overrides: BTreeMap<String, GroupOverride> = BTreeMap::new();
        /// Changes of the finished pod, in place of Python's `modify_pod_hook`; applied in order.
        pod_patches: Vec<PodPatch> = Vec::new();

        /// Seconds that a server has to end by itself.
        delete_grace_period: Seconds = Seconds(1.0);
        /// Delete pods of servers that ended by themselves; otherwise they stay for a look until the next start.
        delete_stopped_pods: bool = true;
        /// Show Kubernetes' events to those who wait for a start.
        events_enabled: bool = true;
        /// Seconds until a request to the API server is given up.
        k8s_api_request_timeout: Seconds = Seconds(3.0);
        /// Seconds in which a request that failed is tried again.
        k8s_api_request_retry_timeout: Seconds = Seconds(30.0);
    }
}

expected! {
    Volume: "a volume of Kubernetes";
    VolumeMount: "a volume mount of Kubernetes";
    Toleration: "a toleration of Kubernetes";
    PreferredSchedulingTerm: "a preferred scheduling term of Kubernetes";
    NodeSelectorTerm: "a node selector term of Kubernetes";
    WeightedPodAffinityTerm: "a weighted pod affinity term of Kubernetes";
    PodAffinityTerm: "a pod affinity term of Kubernetes";
    Container: "a container of Kubernetes";
    LabelSelector: "a label selector of Kubernetes";
    Lifecycle: "`postStart` and `preStop` of Kubernetes";
    Partial<PodSecurityContext>: "fields of a pod's securityContext";
    Partial<SecurityContext>: "fields of a container's securityContext";
    Partial<Container>: "fields of a container";
    Partial<PodSpec>: "fields of a pod's spec";
    SlugScheme: "`safe` or `escape`";
}

fn common_labels() -> BTreeMap<String, String> {
    let labels = [
        ("app.kubernetes.io/name", "jupyterhub"),
        ("app.kubernetes.io/managed-by", "kubespawner"),
    ];
    labels
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// Options that an override may not set: they belong to the Hub, not to one server.
const OF_THE_HUB: [&str; 10] = [
    "profile_list",
    "group_overrides",
    "namespace",
    "pvc_name_template",
    "events_enabled",
    "delete_pvc",
    "remember_pvc_name",
    "k8s_api_request_timeout",
    "k8s_api_request_retry_timeout",
    "pod_name_template",
];

impl KubeOptions {
    /// Options given as JSON, as far as they are right, and all that is wrong with them.
    pub fn from_json(given: &Value) -> (Self, Vec<Mistake>) {
        let mut options = Self::default();
        let mut mistakes = Vec::new();
        for (key, value) in given.as_object().into_iter().flatten() {
            let found = options.set(key, &value.to_string());
            let found = found.unwrap_or_else(|| vec![Mistake::new("unknown key")]);
            mistakes.extend(found.into_iter().map(|mistake| mistake.within(key)));
        }
        mistakes.extend(options.check());
        (options, mistakes)
    }

    /// Mistakes that no option has by itself.
    pub fn check(&self) -> Vec<Mistake> {
        let mut mistakes = profiles::check(self);
        for (name, group) in &self.group_overrides {
            let found = self.clone().apply(&group.spawner_override).into_iter();
            let path = ["spawner_override", name, "group_overrides"];
            mistakes.extend(found.map(|mistake| mistake.within_all(path)));
        }
        for (name, template) in [
            ("pod_name_template", &self.pod_name_template),
            ("pvc_name_template", &self.pvc_name_template),
        ] {
            let some_each = template.contains("username}") && template.contains("servername}");
            if is_unique(template) {
                continue;
            }
            if some_each {
                let message = "two servers may share a name; named servers are refused until it has `{user_server}`, or \
                               `{username}--{servername}`";
                mistakes.push(Mistake::warning(message).within(name));
            } else {
                let message = "expected `{user_server}` in it, so that no two servers share a name";
                mistakes.push(Mistake::new(message).within(name));
            }
        }
        mistakes
    }

    /// The name of the option whose template may give this server the name of another's objects. The default server of a
    /// user shares its name with named servers only, which are the ones that are refused.
    pub(super) fn ambiguous_template(&self, server: &str) -> Option<&'static str> {
        let templates = [
            ("pod_name_template", &self.pod_name_template),
            ("pvc_name_template", &self.pvc_name_template),
        ];
        let mut ambiguous = templates
            .into_iter()
            .filter(|(_, template)| !is_unique(template));
        ambiguous
            .next()
            .map(|(name, _)| name)
            .filter(|_| !server.is_empty())
    }

    /// Sets the options that `overrides` names: mappings are merged, `null` brings the default back.
    pub fn apply(&mut self, overrides: &Map<String, Value>) -> Vec<Mistake> {
        let mut mistakes = Vec::new();
        for (key, over) in overrides {
            let found = match self.get(key) {
                _ if OF_THE_HUB.contains(&key.as_str()) => {
                    vec![Mistake::new("this cannot differ between servers")]
                }
                None => vec![Mistake::new("unknown key")],
                Some(_) if over.is_null() => {
                    let default = Self::default().get(key).unwrap_or_default();
                    self.set(key, &default.to_string()).unwrap_or_default()
                }
                Some(mut value) => {
                    merge(&mut value, over);
                    self.set(key, &value.to_string()).unwrap_or_default()
                }
            };
            mistakes.extend(found.into_iter().map(|mistake| mistake.within(key)));
        }
        mistakes
    }
}

/// Whether no two servers have one name by this template. Names of users and servers hold no `--` once they are plain, so
/// that it tells where one ends; nothing and single hyphens do not: server `a-b` of `c`, server `b` of `c-a`.
fn is_unique(template: &str) -> bool {
    ["", "safe_", "escaped_"].iter().any(|form| {
        template.contains(&format!("{{{form}user_server}}"))
            || template.contains(&format!("{{{form}username}}--{{{form}servername}}"))
    })
}
