//! How many processes a node has room for, by what its container asks for.

use serde_json::Value;

/// `auto` where it has GPUs, which torchrun counts; else as many as CPUs, and one where nothing is said.
pub fn processes(resources: &Value) -> String {
    let has_gpu = |list: &Value| {
        let list = list.as_object();
        list.is_some_and(|list| list.keys().any(|name| is_gpu(name)))
    };
    if has_gpu(&resources["limits"]) || has_gpu(&resources["requests"]) {
        return "auto".to_owned();
    }
    let of = |list: &str| cpus(&resources[list]["cpu"]).filter(|cpus| *cpus > 0);
    let cpus = of("requests").or_else(|| of("limits"));
    cpus.unwrap_or(1).to_string()
}

fn is_gpu(resource: &str) -> bool {
    resource.ends_with("/gpu") || resource.starts_with("nvidia.com/mig-")
}

/// Whole CPUs, rounded up: `1500m` are two.
fn cpus(quantity: &Value) -> Option<u64> {
    let text = match quantity {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let (number, scale) = match text.strip_suffix('m') {
        Some(number) => (number, 1000.0),
        None => (text.as_str(), 1.0),
    };
    let cpus = (number.parse::<f64>().ok()? / scale).ceil();
    // More than a machine has, or none: not a number to start processes by.
    let whole = (0.0..=65536.0).contains(&cpus);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "within these bounds"
    )]
    whole.then_some(cpus as u64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn there_is_a_process_for_each_cpu() {
        let of = |resources| processes(&resources);
        assert_eq!(of(json!({})), "1");
        assert_eq!(of(json!({ "limits": { "cpu": "1500m" } })), "2");
        assert_eq!(
            of(json!({ "limits": { "cpu": 8 }, "requests": { "cpu": "3" } })),
            "3"
        );
        assert_eq!(of(json!({ "requests": { "cpu": "many" } })), "1");
        assert_eq!(
            of(json!({ "limits": { "cpu": 8, "nvidia.com/gpu": 2 } })),
            "auto"
        );
    }
}
