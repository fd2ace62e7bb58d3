//! The definitions of the kinds, as YAML for `kubectl apply` and the chart.

use carrel_jobs::crd::definition;
use carrel_jobs::kind::Kind;

/// The definitions of `kinds`.
///
/// # Errors
/// When they cannot be written as YAML.
pub fn yaml(kinds: &[Kind]) -> anyhow::Result<String> {
    let mut text = "# Written by `carrel-operator crds`.\n".to_owned();
    for kind in kinds {
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&definition(*kind))?);
    }
    Ok(text)
}
