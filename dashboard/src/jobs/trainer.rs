//! What a TrainJob tells of its training: progress, the time that is left, and metrics.

use serde_json::Value;

use crate::time;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Progress {
    pub percentage: Option<i64>,
    pub remaining: Option<String>,
    pub metrics: Vec<(String, String)>,
}

impl Progress {
    /// From a job's status; none where it tells nothing.
    pub fn read(status: &Value) -> Option<Self> {
        let told = status.get("trainerStatus")?.as_object()?;
        let number = |name: &str| told.get(name).and_then(Value::as_i64);
        let metrics = told.get("metrics").and_then(Value::as_array);
        let metrics = metrics.into_iter().flatten().map(|one| {
            let name = one["name"].as_str().unwrap_or_default().to_owned();
            // A number for some, a text for others.
            let value = match &one["value"] {
                Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            (name, value)
        });
        Some(Self {
            percentage: number("progressPercentage").map(|percent| percent.clamp(0, 100)),
            remaining: number("estimatedRemainingSeconds").map(time::duration),
            metrics: metrics.collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn progress_is_read() {
        assert_eq!(Progress::read(&json!({})), None);
        let told = Progress::read(&json!({ "trainerStatus": {
            "progressPercentage": 140, "estimatedRemainingSeconds": 300,
            "metrics": [{ "name": "loss", "value": "0.25" }, { "name": "epoch", "value": 3 }],
        } }));
        let told = told.unwrap();
        assert_eq!(
            (told.percentage, told.remaining.as_deref()),
            (Some(100), Some("5m"))
        );
        assert_eq!(told.metrics[1], ("epoch".to_owned(), "3".to_owned()));
    }
}
