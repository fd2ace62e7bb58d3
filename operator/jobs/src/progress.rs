//! What processes of a job report of their progress (KEP-2779 of Kubeflow Trainer).

use schemars::JsonSchema;
use serde::Deserialize;

use crate::schema;

#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TrainerStatus {
    #[schemars(range(min = 0, max = 100))]
    pub progress_percentage: Option<i32>,
    #[schemars(range(min = 0))]
    pub estimated_remaining_seconds: Option<i32>,
    #[serde(default)]
    #[schemars(length(max = 256))]
    pub metrics: Vec<Metric>,
    #[serde(default)]
    #[schemars(schema_with = "schema::time")]
    pub last_updated_time: Option<String>,
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct Metric {
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// A number as text.
    #[schemars(length(min = 1, max = 64))]
    pub value: String,
}
