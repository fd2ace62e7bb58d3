//! All models of the process and their versions: found by requests, loaded and unloaded by the watcher.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use carrel_inference::{Engines, Model};
use futures_util::future::join_all;
use tokio::sync::Mutex;
use tracing::{error, info, warn};

use crate::config::{Config, ModelConfig};
use crate::failure::{Failure, Kind};
use crate::repository;
use crate::served::Served;
use crate::warm_up::warm_up;

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

type Versions = BTreeMap<i64, Version>;

/// A model of the configuration.
pub struct Entry {
    pub config: ModelConfig,
    versions: ArcSwap<Versions>,
    /// Somebody asked for it to be unloaded; of the model by this name, whatever its configuration is.
    unloaded: Arc<AtomicBool>,
    /// One change at a time.
    changing: Mutex<()>,
}

pub struct Models {
    engines: Engines,
    entries: ArcSwap<BTreeMap<String, Arc<Entry>>>,
    reconfiguring: Mutex<()>,
}

impl Models {
    #[must_use]
    pub fn new(engines: Engines, config: Config) -> Self {
        let entries = config.models.into_iter().map(|config| {
            let name = config.name.clone();
            (name, Arc::new(Entry::new(config)))
        });
        Self {
            engines,
            entries: ArcSwap::from_pointee(entries.collect()),
            reconfiguring: Mutex::new(()),
        }
    }

    /// Every model of the configuration, by name.
    #[must_use]
    pub fn entries(&self) -> Arc<BTreeMap<String, Arc<Entry>>> {
        self.entries.load_full()
    }

    /// All versions of all models that are served.
    #[must_use]
    pub fn available(&self) -> Vec<Arc<Served>> {
        let entries = self.entries.load();
        entries
            .values()
            .flat_map(|entry| entry.available())
            .collect()
    }

    /// # Errors
    /// Where there is no model of this name.
    pub fn entry(&self, name: &str) -> Result<Arc<Entry>, Failure> {
        let found = self.entries.load().get(name).cloned();
        found.ok_or_else(|| Failure::not_found(format!("there is no model {name:?}")))
    }

    /// The version that is meant.
    ///
    /// # Errors
    /// Where it is not there, or not loaded now.
    pub fn find(&self, name: &str, selector: &Selector) -> Result<Arc<Served>, Failure> {
        self.entry(name)?.find(selector)
    }

    /// Whether each model has a version that is served, or was unloaded on demand.
    #[must_use]
    pub fn are_ready(&self) -> bool {
        let mut entries = self
            .entries
            .load()
            .values()
            .cloned()
            .collect::<Vec<_>>()
            .into_iter();
        entries.all(|entry| entry.is_unloaded() || entry.find(&Selector::Latest).is_ok())
    }

    /// Takes another configuration: models that stay as they are keep what is loaded. It is done to the end even where
    /// its caller goes away.
    ///
    /// # Errors
    /// Where the server fails.
    pub async fn reconfigure(self: &Arc<Self>, config: Config) -> Result<(), Failure> {
        let models = Arc::clone(self);
        to_its_end(async move { models.take(config).await }).await
    }

    async fn take(&self, config: Config) {
        let _one = self.reconfiguring.lock().await;
        let old = self.entries();
        let mut entries = BTreeMap::new();
        for config in config.models {
            let entry = match old.get(&config.name) {
                Some(known) if known.config == config => Arc::clone(known),
                Some(known) => Arc::new(known.with(config).await),
                None => Arc::new(Entry::new(config)),
            };
            entries.insert(entry.config.name.clone(), entry);
        }
        // What is new is loaded before what is old goes.
        join_all(entries.values().map(|entry| self.update(entry))).await;
        self.entries.store(Arc::new(entries));
    }

    /// Loads and unloads until all models are as their folders and policies say.
    pub async fn update_all(self: &Arc<Self>) {
        let entries = self.entries();
        // One that is being changed will be looked at the next time.
        let idle = entries
            .values()
            .filter(|entry| entry.changing.try_lock().is_ok());
        let updates = idle.map(|entry| self.update_to_its_end(entry));
        // What went wrong is in the log.
        join_all(updates).await;
    }

    /// The same for one model. New versions are served before old ones go, and requests that run keep theirs to the end.
    pub async fn update(&self, entry: &Arc<Entry>) {
        let _one = entry.changing.lock().await;
        let Some(wanted) = entry.wanted() else { return };
        let known = entry.versions.load_full();
        for version in &wanted {
            let folder = repository::folder(&entry.config.base_path, *version);
            let load = match known.get(version) {
                Some(Version::Available(_)) => false,
                Some(Version::Failed(_, stamp)) => *stamp != repository::stamp(&folder),
                // Nobody else loads now: one that is loading broke off.
                Some(Version::Loading | Version::Unloaded) | None => true,
            };
            if load {
                entry.set(*version, Version::Loading);
                let loaded = self.load(&entry.config, *version, &folder).await;
                entry.set(*version, loaded);
            }
        }
        entry.unload_all_but(&wanted);
        entry.forget();
    }

    async fn load(&self, config: &ModelConfig, version: i64, folder: &Path) -> Version {
        let begun = std::time::Instant::now();
        let stamp = repository::stamp(folder);
        let (engines, settings) = (self.engines.clone(), config.clone());
        let path = folder.to_owned();
        let loaded = tokio::task::spawn_blocking(move || {
            let options = settings.load_options();
            Model::load(&path, &engines, settings.engine, &options)
        });
        let name = &config.name;
        let reason = match loaded.await {
            Ok(Ok(model)) => {
                let model = Arc::new(model);
                if config.warm_up {
                    warm_up(&model, config.timeout()).await;
                }
                let duration_ms = begun.elapsed().as_millis();
                let engine = model.engine();
                info!(
                    model = name,
                    version, engine, duration_ms, "The model {name} {version} is loaded"
                );
                return Version::Available(Arc::new(Served::new(config, version, model)));
            }
            Ok(Err(error)) => error.to_string(),
            Err(error) => format!("loading it broke off: {error}"),
        };
        error!(
            model = name,
            version, "The model {name} {version} was not loaded: {reason}"
        );
        Version::Failed(reason, stamp)
    }

    /// Loads a model that was unloaded, and what its folder has that is new, even where its caller goes away meanwhile.
    ///
    /// # Errors
    /// Where there is no such model, or no version of it could be loaded.
    pub async fn load_on_demand(self: &Arc<Self>, name: &str) -> Result<(), Failure> {
        let entry = self.entry(name)?;
        entry.unloaded.store(false, Ordering::Relaxed);
        self.update_to_its_end(&entry).await?;
        entry.find(&Selector::Latest).map(drop)
    }

    /// Unloads all versions of a model, until it is loaded on demand.
    ///
    /// # Errors
    /// Where there is no such model.
    pub async fn unload_on_demand(self: &Arc<Self>, name: &str) -> Result<(), Failure> {
        let entry = self.entry(name)?;
        entry.unloaded.store(true, Ordering::Relaxed);
        self.update_to_its_end(&entry).await
    }

    async fn update_to_its_end(self: &Arc<Self>, entry: &Arc<Entry>) -> Result<(), Failure> {
        let (models, entry) = (Arc::clone(self), Arc::clone(entry));
        to_its_end(async move { models.update(&entry).await }).await
    }
}

/// Waits for a change that goes on where nobody waits for it any more: one that broke off would leave a half.
async fn to_its_end(change: impl Future<Output = ()> + Send + 'static) -> Result<(), Failure> {
    tokio::spawn(change).await.map_err(|error| {
        error!(%error, "A change of the models broke off");
        Failure::internal("the server failed; its log says why")
    })
}

impl ModelConfig {
    /// Whether a version that was loaded as this says can be served as the other does.
    fn loads_as(&self, other: &Self) -> bool {
        let plain = |config: &Self| Self {
            version_policy: crate::config::VersionPolicy::All,
            version_labels: BTreeMap::new(),
            ..config.clone()
        };
        plain(self) == plain(other)
    }
}

impl Entry {
    fn new(config: ModelConfig) -> Self {
        Self {
            config,
            versions: ArcSwap::default(),
            unloaded: Arc::default(),
            changing: Mutex::new(()),
        }
    }

    /// The same model by another configuration; what is loaded stays where that is of other versions or labels only.
    async fn with(&self, config: ModelConfig) -> Self {
        let _none_is_loading = self.changing.lock().await;
        let versions = match self.config.loads_as(&config) {
            true => self.versions.load_full(),
            false => Arc::default(),
        };
        Self {
            versions: ArcSwap::new(versions),
            unloaded: Arc::clone(&self.unloaded),
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
    fn wanted(&self) -> Option<BTreeSet<i64>> {
        if self.is_unloaded() {
            return Some(BTreeSet::new());
        }
        let base = &self.config.base_path;
        match repository::versions(base) {
            Ok(found) => Some(repository::wanted(&found, &self.config.version_policy)),
            Err(error) => {
                let model = &self.config.name;
                warn!(model, %error, "Could not read {}", base.display());
                None
            }
        }
    }

    /// Without a wanted one that is served, the last that was stays, unless the model was unloaded or its folder is empty.
    fn unload_all_but(&self, wanted: &BTreeSet<i64>) {
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
    fn forget(&self) {
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

    fn set(&self, number: i64, version: Version) {
        self.versions.rcu(|versions| {
            let mut versions = Versions::clone(versions);
            versions.insert(number, version.clone());
            versions
        });
    }
}
