//! What processes of a job report of their progress (KEP-2779 of Kubeflow Trainer).

use k8s_openapi::jiff::Timestamp;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::job::Invalid;
use crate::schema;
use crate::validate::finish;

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

impl TrainerStatus {
    /// What the schema says beside shapes: whoever reports is told at once, and not when it is written.
    ///
    /// # Errors
    /// With the place of what is out of its bounds.
    pub fn check(&self) -> Result<(), Invalid> {
        let is_text = |text: &str| (1..=64).contains(&text.chars().count());
        let metrics = self.metrics.iter();
        let wrong = [
            (
                self.progress_percentage
                    .is_some_and(|it| !(0..=100).contains(&it)),
                "progressPercentage: it is not between 0 and 100",
            ),
            (
                self.estimated_remaining_seconds.is_some_and(|it| it < 0),
                "estimatedRemainingSeconds: it is less than 0",
            ),
            (self.metrics.len() > 256, "metrics: there are more than 256"),
            (
                metrics
                    .clone()
                    .any(|one| !is_text(&one.name) || !is_text(&one.value)),
                "metrics: a name or value has not between 1 and 64 characters",
            ),
            (
                self.last_updated_time
                    .as_ref()
                    .is_some_and(|time| time.parse::<Timestamp>().is_err()),
                "lastUpdatedTime: it is no time",
            ),
        ];
        let wrong = wrong.into_iter().filter(|(is_wrong, _)| *is_wrong);
        finish(
            wrong
                .map(|(_, what)| format!("trainerStatus.{what}"))
                .collect(),
        )
    }
}

#[derive(Clone, Debug, Deserialize, JsonSchema)]
pub struct Metric {
    #[schemars(length(min = 1, max = 64))]
    pub name: String,
    /// A number as text.
    #[schemars(length(min = 1, max = 64))]
    pub value: String,
}
