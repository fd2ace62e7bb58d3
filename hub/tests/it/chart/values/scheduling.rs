//! Values of where pods are placed, and of images that are pulled ahead.

use schemars::JsonSchema;
use serde_json::Value;

use super::common::{Image, Items, Labels, Part};

/// Where pods are placed.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Scheduling {
    /// Without effect: the cluster's own scheduler places servers.
    user_scheduler: Part,
    pod_priority: PodPriority,
    user_placeholder: UserPlaceholder,
    core_pods: Pods,
    user_pods: Pods,
}

/// Priority classes.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct PodPriority {
    /// Whether there are any.
    enabled: bool,
    /// Whether pods that name none have that of the Hub.
    global_default: bool,
    /// Of the Hub and of servers.
    default_priority: i32,
    /// Of pods that pull images ahead.
    image_puller_priority: i32,
    /// Of pods that keep places for servers.
    user_placeholder_priority: i32,
}

/// Pods that keep places for servers.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct UserPlaceholder {
    /// Whether there are any.
    enabled: bool,
    /// How many.
    replicas: u32,
    /// An image that waits by itself; singleuser.image without it.
    image: Image,
    /// Their size; that of a server without it.
    resources: Part,
    /// Further labels.
    labels: Labels,
    /// Annotations of the StatefulSet.
    annotations: Labels,
    /// Without effect.
    revision_history_limit: u32,
    /// Without effect.
    container_security_context: Part,
    /// Without effect.
    extra_pod_spec: Part,
}

/// Pods of the Hub, or of users.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Pods {
    /// Taints of nodes that they tolerate.
    tolerations: Items,
    node_affinity: NodeAffinity,
}

/// Nodes with the label hub.jupyter.org/node-purpose.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct NodeAffinity {
    /// What those of the purpose `core` or `user` are to the pods.
    match_node_purpose: MatchNodePurpose,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "lowercase")]
pub enum MatchNodePurpose {
    Ignore,
    Prefer,
    Require,
}

/// Pulling the images of servers before somebody waits for them.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct PrePuller {
    hook: Hook,
    continuous: Continuous,
    /// Images beside those of singleuser.image and singleuser.profileList.
    extra_images: ExtraImages,
    /// Whether the images of singleuser.profileList are pulled too.
    pull_profile_list_images: bool,
    /// Taints of nodes that the pods tolerate, beside those of servers.
    extra_tolerations: Items,
    /// Requests and limits of the pods.
    resources: Part,
    /// Without effect.
    annotations: Labels,
    /// Without effect.
    labels: Labels,
    /// Without effect.
    container_security_context: Part,
    /// Without effect.
    revision_history_limit: u32,
    /// Without effect.
    pause: Part,
}

/// Before an installation or upgrade.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Hook {
    /// Whether it waits for that.
    enabled: bool,
    /// How many nodes pull; each needs a place for one pod.
    nodes: u32,
    /// Without effect.
    pull_only_on_changes: bool,
    /// Without effect.
    image: Part,
    /// Without effect.
    pod_scheduling_wait_duration: i32,
    /// Without effect.
    node_selector: Labels,
    /// Without effect.
    tolerations: Items,
    /// Without effect.
    resources: Part,
    /// Without effect.
    container_security_context: Part,
    /// Without effect.
    service_account: Part,
    /// Without effect.
    service_account_image_puller: Part,
    /// Without effect.
    daemonset_annotations: Labels,
}

/// Images: names with tags, or mappings with `name` and `tag`; as a list or by names of one's own.
#[derive(JsonSchema)]
#[schemars(untagged)]
pub enum ExtraImages {
    List(Vec<Value>),
    Map(Part),
}

/// On every node, new ones too.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Continuous {
    /// Whether there is a DaemonSet for that.
    enabled: bool,
    /// Without effect.
    daemonset_annotations: Labels,
    /// Without effect.
    service_account: Part,
}
