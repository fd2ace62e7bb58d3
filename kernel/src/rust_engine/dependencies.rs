//! Crates that a notebook asks for with `:dep`. They are built as shared libraries, which the worker loads beside the
//! prepared crates, and which cells use as they use those.
//!
//! Each `:dep` extends the set of the notebook. Its library holds only the crates that the libraries before it lack, so
//! a crate that is there keeps its identity, its statics, and the variables of its types.

mod cache;
mod cargo;
pub mod crate_graph;
mod git;
mod linker;
pub mod metadata;
mod network;
mod progress;
mod provided;
mod request;
mod room;
mod set;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use tokio::sync::mpsc;

use self::cache::{Built, Cache, Held};
use self::git::Heads;
use self::network::Network;
use self::progress::Progress;
pub use self::request::Request;
use self::room::{MIB, default_limit};
pub use self::set::BuildError;
use self::set::{Builder, crate_of, file_name, unchanged};
use crate::engine::Output;
use crate::rust_engine::compiler::rustc::crate_names;
use crate::rust_engine::prebuilt::installation::{NAMED, Prelude};

/// What a notebook asked for, and the libraries that it has for that.
#[derive(Debug, Default)]
pub struct Dependencies {
    /// Where they are built, if not in the user's cache.
    pub folder: Option<PathBuf>,
    /// Variables for the builds.
    pub environment: BTreeMap<String, String>,
    /// Oldest first; each has all that those before it have.
    sets: Vec<Set>,
    heads: Heads,
    pub network: Network,
    /// Bytes that the cache may take, if not as many as by default.
    limit: Option<u64>,
}

#[derive(Debug)]
struct Set {
    requests: BTreeMap<String, Request>,
    built: Built,
    _held: Held,
}

/// Crates as the compiler is to see them.
#[derive(Debug, Default)]
pub struct Crates {
    /// Files by the name that code has for the crate.
    pub named: BTreeMap<String, PathBuf>,
    /// Where the compiler finds the crates that those use.
    pub folders: Vec<PathBuf>,
    /// Names of all of them.
    pub hidden: HashSet<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum DependencyError {
    #[error("{0}")]
    Request(String),
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(
        "neither $XDG_CACHE_HOME nor $HOME is set, so there is no place to build dependencies in"
    )]
    NoCache,
}

impl Dependencies {
    /// Adds to the set; gives the names that mean another crate from now on. Nothing changes if the future is dropped.
    pub async fn add(
        &mut self,
        requests: &[Request],
        prelude: &Prelude,
        outputs: &mpsc::Sender<Output>,
    ) -> Result<Vec<String>, DependencyError> {
        let mut progress = Progress::new(outputs);
        for branch in requests.iter().filter_map(Request::branch) {
            let cache = self.cache(prelude)?;
            let offline = self.network.is_off();
            self.heads
                .ask(&branch, &cache, offline, &mut progress)
                .await;
        }
        match self.build(requests, prelude, &mut progress).await {
            Ok((set, told)) => {
                progress.end(&told).await;
                Ok(set.map_or_else(Vec::new, |set| self.adopt(set)))
            }
            Err(error) => {
                progress.fail().await;
                Err(error)
            }
        }
    }

    /// The set that has the requests too, unless the last one has them, and what to tell the person.
    async fn build(
        &self,
        requests: &[Request],
        prelude: &Prelude,
        progress: &mut Progress<'_>,
    ) -> Result<(Option<Set>, String), DependencyError> {
        let here = std::env::current_dir().map_err(BuildError::Cache)?;
        let last = self.sets.last();
        let mut wanted = last.map_or_else(BTreeMap::new, |last| last.requests.clone());
        let mut told = Vec::new();
        let mut asked = Vec::new();
        for request in requests {
            let request = request
                .clone()
                .resolved(&here)
                .map_err(DependencyError::Request)?;
            match provided::version(&request) {
                Some(version) => told.push(format!("{} {version} (prepared)", request.name)),
                None => {
                    if let Some(reason) = provided::refusal(&request) {
                        return Err(DependencyError::Request(reason));
                    }
                    asked.push(request.package().to_owned());
                    wanted.insert(request.name.clone(), request);
                }
            }
        }
        if asked.is_empty() {
            return Ok((None, told.join(", ")));
        }
        let cache = self.cache(prelude)?;
        // Asked for again: only sources in folders may be others by now.
        let again = last.filter(|last| last.requests == wanted);
        let earlier = self.sets.iter().map(|set| &set.built);
        let branches: Vec<_> = wanted.values().filter_map(Request::branch).collect();
        let builder = Builder {
            cache: &cache,
            rustc: &prelude.rustc,
            host: prelude.host(),
            environment: &self.environment,
            earlier: earlier.take(self.sets.len() - again.iter().len()).collect(),
            commits: branches
                .iter()
                .map(|branch| self.heads.of(branch))
                .collect(),
            network: &self.network,
            limit: self.limit(),
        };
        let (built, held) = builder.build(&wanted, progress).await?;
        let found = built
            .named
            .values()
            .filter(|named| asked.contains(&named.package));
        told.extend(found.map(|named| format!("{} {}", named.package, named.version)));
        let told = told.join(", ");
        if let Some(last) = again {
            unchanged(&last.built.changeable, &built.changeable)?;
            return Ok((None, told));
        }
        let requests = wanted;
        let set = Set {
            requests,
            built,
            _held: held,
        };
        Ok((Some(set), told))
    }

    fn cache(&self, prelude: &Prelude) -> Result<Cache, DependencyError> {
        let folder = self.folder.clone().or_else(Cache::of_user);
        let folder = folder.ok_or(DependencyError::NoCache)?;
        Ok(Cache::open(&folder, &prelude.version).map_err(BuildError::Cache)?)
    }

    fn limit(&self) -> u64 {
        self.limit.unwrap_or_else(default_limit)
    }

    /// What the cache takes, after a new limit in MiB if there is one.
    pub fn room(
        &mut self,
        limit: Option<u64>,
        prelude: &Prelude,
    ) -> Result<String, DependencyError> {
        self.limit = limit.map(|mib| mib.saturating_mul(MIB)).or(self.limit);
        let cache = self.cache(prelude)?;
        Ok(format!(
            "crates of `:dep`, for all notebooks: {} MiB in {}; the oldest go beyond {} MiB",
            cache.size() / MIB,
            cache.folder().display(),
            self.limit() / MIB
        ))
    }

    /// Removes all that no notebook has.
    pub async fn clear_cache(
        &mut self,
        prelude: &Prelude,
        outputs: &mpsc::Sender<Output>,
    ) -> Result<String, DependencyError> {
        let cache = self.cache(prelude)?;
        let mut progress = Progress::new(outputs);
        let locked = cache.lock(&mut progress).await.map_err(BuildError::Cache)?;
        let removed = cache.shrink(0, locked).await.map_err(BuildError::Cache)?;
        if self.sets.is_empty() {
            self.heads.forget();
        }
        progress.close("the other notebook is done").await;
        let told = format!("removed {} MiB of crates", removed / MIB);
        Ok(match cache.size() / MIB {
            0 => told,
            left => format!(
                "{told}; {left} MiB are left, which notebooks have: `:clear` lets go of those of this one"
            ),
        })
    }

    fn adopt(&mut self, set: Set) -> Vec<String> {
        let before = self.crates().named;
        let is_other = |(name, file): &(&String, &PathBuf)| match before.get(*name) {
            Some(before) => before.file_name() != file.file_name(),
            None => NAMED.contains(&name.as_str()),
        };
        self.sets.push(set);
        let named = self.crates().named;
        let changed = named.iter().filter(is_other).map(|(name, _)| name.clone());
        changed.collect()
    }

    /// What was asked for, as it stands in a `Cargo.toml`.
    pub fn requests(&self) -> impl Iterator<Item = String> {
        let requests = self.sets.last().map(|set| set.requests.values());
        requests.into_iter().flatten().map(|request| {
            let detail = toml::Value::Table(request.detail.clone());
            format!("{} = {detail}", request.name)
        })
    }

    /// Forgets all sets but the first, and with all of them what repositories had.
    pub fn keep(&mut self, sets: usize) {
        self.sets.truncate(sets);
        if sets == 0 {
            self.heads.forget();
        }
    }

    /// Libraries in the order in which they must be loaded.
    pub fn libraries(&self) -> impl Iterator<Item = &Path> {
        self.sets.iter().map(|set| &*set.built.library)
    }

    /// A file that says where the sources of the crates are, for the analyzer.
    pub fn sources(&self) -> Option<&Path> {
        self.sets.last().map(|set| &*set.built.sources)
    }

    pub fn crates(&self) -> Crates {
        let mut named = BTreeMap::new();
        if let Some(set) = self.sets.last() {
            let of_code = set.built.named.iter();
            named.extend(of_code.map(|(name, named)| (name.clone(), named.file.clone())));
            // The compiler tells types with the crate's own name, also where the person gave it another.
            for found in set.built.named.values() {
                let own = crate_of(&file_name(&found.file)).to_owned();
                named.entry(own).or_insert_with(|| found.file.clone());
            }
        }
        let folders = self.sets.iter().map(|set| set.built.crates.clone());
        let folders: Vec<PathBuf> = folders.collect();
        // Whoever removes the cache finds it out when a cell is compiled.
        let names = folders.iter().filter_map(|folder| crate_names(folder).ok());
        Crates {
            named,
            hidden: names.flatten().collect(),
            folders,
        }
    }
}
