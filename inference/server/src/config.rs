//! Which models are served and how: what the configuration file has for each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use carrel_inference::{Choice, LoadOptions};
use serde::Deserialize;

/// The whole file.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub models: Vec<ModelConfig>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    pub name: String,
    /// The folder with a folder for each version, named by its number.
    pub base_path: PathBuf,
    #[serde(default)]
    pub version_policy: VersionPolicy,
    /// Names for versions, such as `stable: 3`.
    #[serde(default)]
    pub version_labels: BTreeMap<String, i64>,
    #[serde(default)]
    pub engine: Choice,
    /// Threads that share the work of one operator; 0 for one per core.
    #[serde(default)]
    pub threads: usize,
    /// Requests that are computed at a time, each with memory of its own for the network.
    #[serde(default = "one")]
    pub instances: usize,
    /// Requests that may wait for their turn; more are refused.
    #[serde(default = "queue")]
    pub queue: usize,
    /// The longest that a request may take, waiting included, in milliseconds.
    #[serde(default = "timeout")]
    pub timeout_ms: u64,
    /// Computes a new version once on zeros before it is served.
    #[serde(default = "yes")]
    pub warm_up: bool,
    #[serde(default)]
    pub batching: Option<Batching>,
    #[serde(default)]
    pub load: Load,
    /// Of a lazy model: after how many seconds without a request it is unloaded.
    #[serde(default)]
    pub unload_after_s: Option<u64>,
}

/// When a model is loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Load {
    /// At the start, and each new version once it is there.
    #[default]
    Eager,
    /// When somebody asks for it.
    Lazy,
}

/// Requests that are computed together, as rows of one batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batching {
    /// Rows of one batch.
    pub max_size: usize,
    /// How long the first of a batch waits for others, in microseconds.
    pub max_delay_us: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum VersionPolicy {
    /// So many of the highest numbers.
    Latest(usize),
    All,
    Specific(Vec<i64>),
}

impl Default for VersionPolicy {
    fn default() -> Self {
        Self::Latest(1)
    }
}

const fn one() -> usize {
    1
}

const fn queue() -> usize {
    256
}

const fn timeout() -> u64 {
    30_000
}

const fn yes() -> bool {
    true
}

impl Config {
    /// # Errors
    /// Where the file cannot be read or says what cannot be.
    pub fn read(file: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read_to_string(file);
        let text = text.with_context(|| format!("could not read {}", file.display()))?;
        let wrong = || format!("{} is wrong", file.display());
        let config: Self = serde_saphyr::from_str(&text).with_context(wrong)?;
        config.check().with_context(wrong)?;
        Ok(config)
    }

    /// # Errors
    /// Where a name is there twice or can be no part of an address.
    pub fn check(&self) -> anyhow::Result<()> {
        for (index, model) in self.models.iter().enumerate() {
            let name = &model.name;
            let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
            anyhow::ensure!(
                !name.is_empty() && name.chars().all(plain),
                "the model {name:?} has a name with other characters than letters, digits, '.', '_' and '-'"
            );
            let twice = self.models[..index].iter().any(|other| other.name == *name);
            anyhow::ensure!(!twice, "the model {name:?} is there twice");
            anyhow::ensure!(
                model.unload_after_s.is_none() || model.load == Load::Lazy,
                "{name:?} has unload_after_s, which is for models with load: lazy"
            );
            if let Some(batching) = model.batching {
                anyhow::ensure!(batching.max_size > 0, "batches of {name:?} have no rows");
            }
        }
        Ok(())
    }
}

impl ModelConfig {
    /// A model with all else as it is by default.
    #[must_use]
    pub fn new(name: impl Into<String>, base_path: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            base_path: base_path.into(),
            version_policy: VersionPolicy::default(),
            version_labels: BTreeMap::new(),
            engine: Choice::Auto,
            threads: 0,
            instances: one(),
            queue: queue(),
            timeout_ms: timeout(),
            warm_up: yes(),
            batching: None,
            load: Load::Eager,
            unload_after_s: None,
        }
    }

    #[must_use]
    pub const fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms)
    }

    #[must_use]
    pub const fn load_options(&self) -> LoadOptions {
        LoadOptions {
            threads: self.threads,
            instances: self.instances,
        }
    }
}
