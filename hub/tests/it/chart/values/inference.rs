//! Values of the model server.

use schemars::JsonSchema;

use super::common::{Image, Items, Labels, NetworkPolicy, Part, PullPolicy};

/// Serves a model by TensorFlow Serving's and KServe's protocols.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Inference {
    /// Whether it is installed.
    enabled: bool,
    /// Name of the model and the Service; the Deployment is NAME-v1.
    name: String,
    model: Model,
    /// Several models, or one with other options, as the server's configuration file has them.
    config: Part,
    /// Further arguments of the server.
    arguments: Vec<String>,
    /// A Secret with the key `tokens`: a bearer token in each line, of which requests must have one.
    tokens_secret: String,
    /// Whether the gateway leads /models/NAME/ to it.
    route: bool,
    /// How many pods, without autoscaling.
    replicas: u32,
    autoscaling: Autoscaling,
    serving_runtime: ServingRuntime,
    image: Image,
    /// Annotations of the pods.
    annotations: Labels,
    network_policy: NetworkPolicy,
    /// Requests and limits of the container.
    resources: Part,
    /// Labels that the nodes must have.
    node_selector: Labels,
    /// Taints of nodes that the pods tolerate.
    tolerations: Items,
}

/// Where the versions of the model lie: one of volume, claim, image and files; the server's image without any.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Model {
    /// A volume as pods have them, without a name.
    volume: Part,
    /// Name of a PersistentVolumeClaim.
    claim: String,
    /// Name of an image, as a volume.
    image: String,
    /// When a node pulls it anew.
    pull_policy: PullPolicy,
    /// The folder with the versions in the volume, the claim or the image.
    sub_path: String,
    /// Files of one version, which are brought before the server starts.
    files: Vec<ModelFile>,
    /// The number of that version.
    version: u32,
    /// The most that its files have together, in GiB.
    size_limit_gi: u32,
}

/// A file: from an address, with its digest, or with the text that it has.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
pub struct ModelFile {
    /// In the folder of the version.
    name: String,
    /// Address of http or https.
    url: String,
    /// Its digest, in 64 hexadecimal digits.
    sha256: String,
    /// What it says, in place of an address.
    text: String,
}

/// A HorizontalPodAutoscaler.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct Autoscaling {
    /// Whether there is one, in place of replicas.
    enabled: bool,
    /// The fewest pods.
    min_replicas: u32,
    /// The most pods.
    max_replicas: u32,
    /// What pods are to use of the processors that they request, in percent.
    #[schemars(rename = "targetCPUUtilizationPercentage")]
    target_cpu_utilization_percentage: u32,
    /// Metrics in place of the processors.
    metrics: Items,
    /// How fast pods come and go.
    behavior: Part,
}

/// For KServe, where it is installed.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct ServingRuntime {
    /// Whether there is one.
    enabled: bool,
    /// Its name.
    name: String,
    /// A ClusterServingRuntime, for all namespaces.
    cluster_wide: bool,
}
