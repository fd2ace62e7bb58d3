//! A model of the configuration and the lives of its versions. Knows nothing of loading.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use tokio::sync::Mutex;
use tracing::{info, warn};

use crate::config::{Load, ModelConfig, VersionPolicy};
use crate::failure::{Failure, Kind};
use crate::repository;
use crate::served::Served;
use crate::sleep::{Awake, Sleep};

/// Which version of a model is meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Selector {
    /// The highest that is there.
    #[default]
    Latest,
    Number(i64),
    Label(String),
}

impl Selector {
    /// A version as KServe's protocol writes it: a number, a label, or nothing for the newest.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        match (text, text.parse()) {
            ("", _) => Self::Latest,
            (_, Ok(number)) => Self::Number(number),
            (label, Err(_)) => Self::Label(label.to_owned()),
        }
    }
}

/// The life of a version.
#[derive(Clone)]
pub enum Version {
    Loading,
    Available(Arc<Served>),
    /// Why, and what its folder was like then.
    Failed(String, (usize, Option<SystemTime>)),
    Unloaded,
}

impl Version {
    /// The state by Triton's names, and why.
    #[must_use]
    pub fn state(&self) -> (&'static str, &str) {
        match self {
            Self::Available(_) => ("READY", ""),
            Self::Loading => ("LOADING", ""),
            Self::Failed(reason, _) => ("UNAVAILABLE", reason),
            Self::Unloaded => ("UNAVAILABLE", "unloaded"),
        }
    }
}

pub(crate) type Versions = BTreeMap<i64, Version>;

/// A model of the configuration.
pub struct Entry {
    pub config: ModelConfig,
    pub(crate) versions: ArcSwap<Versions>,
    /// Somebody asked for it to be unloaded; of the model by this name, whatever its configuration is.
    pub(crate) unloaded: Arc<AtomicBool>,
    sleep: Arc<Sleep>,
    look: StdMutex<Look>,
    /// One change at a time.
    pub(crate) changing: Mutex<()>,
}

/// The last look at the folder.
#[derive(Default)]
struct Look {
    at: Option<Instant>,
    /// What was there of the versions that the policy asks for.
    wanted: BTreeSet<i64>,
    /// Why it could not be read, so that it is told once.
    error: Option<String>,
}

impl ModelConfig {
    /// Whether a version that was loaded as this says can be served as the other does.
    fn loads_as(&self, other: &Self) -> bool {
        let plain = |config: &Self| Self {
            version_policy: VersionPolicy::All,
            version_labels: BTreeMap::new(),
            load: Load::Eager,
            unload_after_s: None,
            ..config.clone()
        };
        plain(self) == plain(other)
    }
}

impl Entry {
    pub(crate) fn new(config: ModelConfig) -> Self {
        Self {
            sleep: Arc::new(Sleep::new(config.load, config.unload_after_s)),
            config,
            versions: ArcSwap::default(),
            unloaded: Arc::default(),
            look: StdMutex::default(),
            changing: Mutex::new(()),
        }
    }

    /// The same model by another configuration; what is loaded stays where that is of other versions or labels only.
    pub(crate) async fn with(&self, config: ModelConfig) -> Self {
        let _none_is_loading = self.changing.lock().await;
        let versions = match self.config.loads_as(&config) {
            true => self.versions.load_full(),
            false => Arc::default(),
        };
        Self {
            versions: ArcSwap::new(versions),
            unloaded: Arc::clone(&self.unloaded),
            sleep: Arc::new(self.sleep.with(config.load, config.unload_after_s)),
            ..Self::new(config)
        }
    }

    #[must_use]
    pub fn versions(&self) -> Arc<BTreeMap<i64, Version>> {
        self.versions.load_full()
    }

    #[must_use]
    pub fn is_unloaded(&self) -> bool {
        self.unloaded.load(Ordering::Relaxed)
    }

    /// Whether it is not loaded since nobody asks for it.
    #[must_use]
    pub fn sleeps(&self) -> bool {
        self.sleep.is_asleep()
    }

    /// Whether this version is served, or will be once somebody asks.
    #[must_use]
    pub fn is_ready(&self, selector: &Selector) -> bool {
        let has = || self.is_meant(selector, &self.look().wanted);
        self.find(selector).is_ok() || self.sleeps() && !self.is_unloaded() && has()
    }

    /// Keeps it from sleep as long as it is used, if it ever sleeps.
    pub(crate) fn wake(&self) -> Option<Awake> {
        self.sleep.wake()
    }

    /// Whether this version may be served once it is loaded for who asks. Those who ask for what is not there read the
    /// folder once in a while, and wait for nobody.
    pub(crate) fn can_wake(&self, selector: &Selector) -> bool {
        const FRESH: Duration = Duration::from_secs(1);
        if !self.sleep.is_lazy() || self.is_unloaded() {
            return false;
        }
        let mut look = self.look();
        if look.at.is_none_or(|at| at.elapsed() > FRESH) {
            self.read(&mut look);
        }
        self.is_meant(selector, &look.wanted)
    }

    fn is_meant(&self, selector: &Selector, versions: &BTreeSet<i64>) -> bool {
        match selector {
            Selector::Latest => !versions.is_empty(),
            Selector::Number(number) => versions.contains(number),
            Selector::Label(label) => {
                let number = self.config.version_labels.get(label);
                number.is_some_and(|number| versions.contains(number))
            }
        }
    }

    fn look(&self) -> MutexGuard<'_, Look> {
        self.look.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at the folder; says whether it could be read.
    fn read(&self, look: &mut Look) -> bool {
        let (model, base) = (&self.config.name, &self.config.base_path);
        look.at = Some(Instant::now());
        match repository::versions(base) {
            Ok(found) => {
                look.wanted = repository::wanted(&found, &self.config.version_policy);
                if look.error.take().is_some() {
                    info!(model, "{} can be read again", base.display());
                }
                true
            }
            Err(error) => {
                let error = error.to_string();
                if look.error.as_ref() != Some(&error) {
                    warn!(model, error, "Could not read {}", base.display());
                }
                look.error = Some(error);
                false
            }
        }
    }

    /// Puts it to sleep where nobody has asked for long enough.
    pub(crate) fn rest(&self) {
        self.sleep.rest();
    }

    /// The versions that are served, the oldest first.
    #[must_use]
    pub fn available(&self) -> Vec<Arc<Served>> {
        let versions = self.versions.load();
        let served = versions.values().filter_map(|version| match version {
            Version::Available(served) => Some(Arc::clone(served)),
            _ => None,
        });
        served.collect()
    }

    /// # Errors
    /// Where the version is not there, or not loaded now.
    pub fn find(&self, selector: &Selector) -> Result<Arc<Served>, Failure> {
        let name = &self.config.name;
        let versions = self.versions.load();
        let number = match selector {
            Selector::Number(number) => *number,
            Selector::Label(label) => {
                let number = self.config.version_labels.get(label).copied();
                number.ok_or_else(|| {
                    Failure::not_found(format!("the model {name:?} has no label {label:?}"))
                })?
            }
            Selector::Latest => {
                let mut newest = versions.iter().rev();
                let available = newest.find_map(|(number, version)| match version {
                    Version::Available(_) => Some(*number),
                    _ => None,
                });
                let newest = available.or_else(|| versions.keys().next_back().copied());
                newest.ok_or_else(|| {
                    let message = format!("the model {name:?} has no version that is loaded");
                    Failure::new(Kind::Unavailable, message)
                })?
            }
        };
        let unavailable = |why: &str| {
            let message = format!("the model {name:?} has a version {number}, but {why}");
            Failure::new(Kind::Unavailable, message)
        };
        match versions.get(&number) {
            Some(Version::Available(served)) => Ok(Arc::clone(served)),
            Some(Version::Loading) => Err(unavailable("it is being loaded")),
            Some(Version::Failed(reason, _)) => Err(unavailable(reason)),
            Some(Version::Unloaded) => Err(unavailable("it was unloaded")),
            None => {
                let message = format!("the model {name:?} has no version {number}");
                Err(Failure::not_found(message))
            }
        }
    }

    /// The versions that are to be served; none where the folder cannot be read, and all stays as it is.
    pub(crate) fn wanted(&self) -> Option<BTreeSet<i64>> {
        if self.is_unloaded() {
            return Some(BTreeSet::new());
        }
        let wanted = {
            let mut look = self.look();
            self.read(&mut look).then(|| look.wanted.clone())?
        };
        if !self.sleeps() {
            return Some(wanted);
        }
        let known = self.versions.load_full();
        for version in wanted.iter().filter(|one| !known.contains_key(one)) {
            self.set(*version, Version::Unloaded);
        }
        Some(BTreeSet::new())
    }

    /// Without a wanted one that is served, the last that was stays, unless the model was unloaded or its folder is empty.
    pub(crate) fn unload_all_but(&self, wanted: &BTreeSet<i64>) {
        let versions = self.versions.load_full();
        let is_served = |number| matches!(versions.get(number), Some(Version::Available(_)));
        if !wanted.is_empty() && !wanted.iter().any(is_served) {
            return;
        }
        for (number, version) in &*versions {
            if !wanted.contains(number) && !matches!(version, Version::Unloaded) {
                self.set(*number, Version::Unloaded);
                let model = &self.config.name;
                info!(
                    model,
                    version = number,
                    "The model {model} {number} is unloaded"
                );
            }
        }
    }

    /// Forgets the oldest of those that were unloaded, of which there would be ever more.
    pub(crate) fn forget(&self) {
        const KEPT: usize = 16;
        self.versions.rcu(|versions| {
            let mut versions = Versions::clone(versions);
            let unloaded = versions
                .iter()
                .filter(|(_, one)| matches!(one, Version::Unloaded));
            let unloaded: Vec<_> = unloaded.map(|(number, _)| *number).collect();
            for number in unloaded.iter().rev().skip(KEPT) {
                versions.remove(number);
            }
            versions
        });
    }

    pub(crate) fn set(&self, number: i64, version: Version) {
        self.versions.rcu(|versions| {
            let mut versions = Versions::clone(versions);
            versions.insert(number, version.clone());
            versions
        });
    }
}
