//! The configuration file.

use carrel_inference::Choice;
use carrel_model_server::config::{Batching, Config, Load, ModelConfig, VersionPolicy};
use tempfile::TempDir;

#[test]
fn a_file_with_everything() -> anyhow::Result<()> {
    let folder = TempDir::new()?;
    let file = folder.path().join("models.yaml");
    std::fs::write(
        &file,
        "models:
- name: inception
  base_path: /models/inception
- name: digits
  base_path: /models/digits
  version_policy: {specific: [3, 5]}
  version_labels: {stable: 3, canary: 5}
  engine: onnxruntime
  threads: 2
  instances: 3
  queue: 10
  timeout_ms: 500
  warm_up: false
  batching: {max_size: 32, max_delay_us: 1000}
  load: lazy
  unload_after_s: 60
- {name: all, base_path: /a, version_policy: all}
- {name: two, base_path: /a, version_policy: {latest: 2}}
",
    )?;
    let models = vec![
        ModelConfig::new("inception", "/models/inception"),
        ModelConfig {
            version_policy: VersionPolicy::Specific(vec![3, 5]),
            version_labels: [("stable".to_owned(), 3), ("canary".to_owned(), 5)].into(),
            engine: Choice::OnnxRuntime,
            threads: 2,
            instances: 3,
            queue: 10,
            timeout_ms: 500,
            warm_up: false,
            batching: Some(Batching {
                max_size: 32,
                max_delay_us: 1000,
            }),
            load: Load::Lazy,
            unload_after_s: Some(60),
            ..ModelConfig::new("digits", "/models/digits")
        },
        ModelConfig {
            version_policy: VersionPolicy::All,
            ..ModelConfig::new("all", "/a")
        },
        ModelConfig {
            version_policy: VersionPolicy::Latest(2),
            ..ModelConfig::new("two", "/a")
        },
    ];
    assert_eq!(Config::read(&file)?, Config { models });
    Ok(())
}
