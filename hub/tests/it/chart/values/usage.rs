//! Values of the usage report.

use schemars::JsonSchema;

use super::common::{Items, Part};

/// How many nodes and jobs there are, as a page and as metrics; sent to nobody unless sendTo says.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct UsageReport {
    /// Whether it is installed.
    enabled: bool,
    /// Where it is sent, http://.. or https://..; nowhere without it.
    send_to: String,
    /// Hours between two sendings; the first is when the pod begins.
    #[schemars(range(min = 1, max = 8760))]
    every_hours: u32,
    /// What the report calls the cluster; nothing without it.
    cluster_id: String,
    /// Certificates in PEM by which that of sendTo is checked; https needs them, for the image holds none.
    certificates: String,
    network_policy: UsagePolicy,
    /// Requests and limits of the container.
    resources: Part,
}

/// Who reads the report, and what it reaches.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, rename_all = "camelCase")]
pub struct UsagePolicy {
    /// Whether there is one.
    enabled: bool,
    /// Where the API server is, as rules name peers; without any, anywhere at ports 443 and 6443.
    api_servers: Items,
    /// Rules of egress for sendTo, where it is named; without any, anywhere.
    egress: Items,
    /// Other rules of ingress.
    ingress: Items,
}
