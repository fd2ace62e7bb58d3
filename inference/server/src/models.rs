//! All models of the process and their versions: found by requests, loaded and unloaded by the watcher.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use arc_swap::ArcSwap;
use carrel_inference::{Engines, Model};
use futures_util::future::join_all;
use tokio::sync::Mutex;
use tokio::time::timeout;
use tracing::{error, info};

use crate::config::{Config, ModelConfig};
pub use crate::entry::{Entry, Selector, Version};
use crate::failure::{Failure, Kind};
use crate::repository;
use crate::served::Served;
use crate::sleep::Awake;
use crate::trace::Traces;
use crate::warm_up::warm_up;

pub struct Models {
    engines: Engines,
    entries: ArcSwap<BTreeMap<String, Arc<Entry>>>,
    reconfiguring: Mutex<()>,
    pub(crate) traces: Arc<Traces>,
}

/// A version that is served, and stays loaded as long as it is used.
pub struct InUse {
    served: Arc<Served>,
    _awake: Option<Awake>,
}

impl Deref for InUse {
    type Target = Served;

    fn deref(&self) -> &Served {
        &self.served
    }
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
            traces: Arc::default(),
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

    /// The same, which is loaded before if it sleeps.
    ///
    /// # Errors
    /// As those of [`Self::find`], and where loading takes longer than a request may.
    pub async fn find_awake(
        self: &Arc<Self>,
        name: &str,
        selector: &Selector,
    ) -> Result<InUse, Failure> {
        let entry = self.entry(name)?;
        if let Err(failure) = entry.find(selector)
            && !entry.can_wake(selector)
        {
            return Err(failure);
        }
        let awake = entry.wake();
        let in_use = |served| InUse {
            served,
            _awake: awake,
        };
        if let Ok(served) = entry.find(selector) {
            return Ok(in_use(served));
        }
        let patience = entry.config.timeout();
        let loaded = timeout(patience, self.update_to_its_end(&entry)).await;
        loaded.map_err(|_| {
            let patience = patience.as_millis();
            let message = format!("the model {name:?} was not loaded in {patience} ms; it is on");
            Failure::new(Kind::DeadlineExceeded, message)
        })??;
        entry.find(selector).map(in_use)
    }

    /// Whether each model has a version that is served, sleeps, or was unloaded on demand.
    #[must_use]
    pub fn are_ready(&self) -> bool {
        let mut entries = self
            .entries
            .load()
            .values()
            .cloned()
            .collect::<Vec<_>>()
            .into_iter();
        entries.all(|entry| entry.is_unloaded() || entry.is_ready(&Selector::Latest))
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
        let entries = Arc::new(entries);
        self.entries.store(Arc::clone(&entries));
        self.traces.keep(|model| entries.contains_key(model));
    }

    /// Loads and unloads until all models are as their folders and policies say.
    pub async fn update_all(self: &Arc<Self>) {
        let entries = self.entries();
        entries.values().for_each(|entry| entry.rest());
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
                return Version::Available(Arc::new(self.served(config, version, model)));
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

    fn served(&self, config: &ModelConfig, version: i64, model: Arc<Model>) -> Served {
        Served::new(config, version, model, Arc::clone(&self.traces))
    }

    /// Loads a model that was unloaded, and what its folder has that is new, even where its caller goes away meanwhile.
    ///
    /// # Errors
    /// Where there is no such model, or no version of it could be loaded.
    pub async fn load_on_demand(self: &Arc<Self>, name: &str) -> Result<(), Failure> {
        let entry = self.entry(name)?;
        entry.unloaded.store(false, Ordering::Relaxed);
        let _awake = entry.wake();
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
