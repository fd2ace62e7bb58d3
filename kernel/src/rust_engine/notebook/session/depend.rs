//! How a session gets crates: built for `:dep`, and loaded by the worker before the next cell runs.

use std::path::Path;
use std::time::Duration;

use carrel_cell::parse::Parsed;
use carrel_protocol::{Ending, Request};
use tokio::sync::watch;

use super::request::insisted;
use super::{Interrupts, Outputs, Session, print};
use crate::engine::{Failure, StreamName};
use crate::rust_engine::dependencies::Request as DependencyRequest;
use crate::rust_engine::notebook::failure;
use crate::rust_engine::worker::{Event, Worker};

/// How long loading a library may take.
const LOAD_LIMIT: Duration = Duration::from_secs(20);

/// Why the worker does not have a library.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    #[error("{0}")]
    Refused(String),
    /// The worker can load nothing more.
    #[error("{0}")]
    Stuck(String),
}

impl Session {
    /// Builds what cells may name from here on. The worker gets it by [`Session::load`].
    pub(super) async fn depend(
        &mut self,
        requests: &[DependencyRequest],
        title: &str,
        outputs: &Outputs,
    ) -> Result<(), Failure> {
        self.start().await?;
        let Some(tools) = &mut self.tools else {
            return Err(failure::tool("the compiler is not there"));
        };
        let prelude = &tools.toolchain.prelude;
        let added = self.dependencies.add(requests, prelude, outputs).await;
        let changed = added.map_err(|error| failure::dependency(title, &error))?;
        tools.toolchain.dependencies = self.dependencies.crates();
        self.notebook.items.own_json = tools
            .toolchain
            .dependencies
            .named
            .contains_key("serde_json");
        for (variable, name) in self.notebook.crates_changed(&changed) {
            let text = format!(
                "`{variable}` was dropped: `{name}`, the crate of its type, is another one now\n"
            );
            print(outputs, StreamName::Stderr, text).await;
            self.outdated.push(variable);
        }
        Ok(())
    }

    /// Builds the crates that a cell names by `extern crate` and that are not there, as evcxr does.
    pub(super) async fn depend_on_named(
        &mut self,
        cell: &Parsed,
        title: &str,
        outputs: &Outputs,
    ) -> Result<(), Failure> {
        for named in cell.extern_crates() {
            let tools = self.tools.as_ref();
            if tools.is_none_or(|tools| tools.toolchain.has_crate(&named.krate)) {
                continue;
            }
            let request = DependencyRequest::of_crate(&named.krate);
            let built = self
                .depend(std::slice::from_ref(&request), title, outputs)
                .await;
            if let Err(failure) = built {
                let hyphenated = request.hyphenated();
                if !named.krate.contains('_')
                    || self.depend(&[hyphenated], title, outputs).await.is_err()
                {
                    return Err(failure);
                }
            }
        }
        Ok(())
    }

    /// Has the worker load what was built for `:dep`. What it cannot load is forgotten. A first interrupt waits for the
    /// library that is loaded, and a second ends the worker.
    pub async fn load(
        &mut self,
        outputs: &Outputs,
        interrupts: &mut watch::Receiver<Interrupts>,
    ) -> Result<(), Failure> {
        let mut interrupted = false;
        let Some(worker) = &mut self.worker else {
            return Ok(());
        };
        loop {
            let library = self.dependencies.libraries().nth(self.loaded);
            let Some(library) = library.map(Path::to_owned) else {
                return Ok(());
            };
            let outdated = std::mem::take(&mut self.outdated);
            let loaded = tokio::select! {
                loaded = load(worker, &mut self.number, &library, outdated) => loaded,
                () = insisted(outputs, interrupts, &mut interrupted) => {
                    Err(LoadError::Stuck("it did not end when it was interrupted".to_owned()))
                }
            };
            match loaded {
                Ok(()) => self.loaded += 1,
                Err(error) => {
                    self.keep_dependencies(self.loaded);
                    let lost = match error {
                        LoadError::Refused(_) => Vec::new(),
                        LoadError::Stuck(_) => {
                            let lost = self.notebook.lost_all("it was lost with the worker");
                            self.lose_worker(outputs).await;
                            lost
                        }
                    };
                    return Err(failure::unloadable(&error.to_string(), &lost));
                }
            }
            if interrupted {
                return Err(failure::not_begun());
            }
        }
    }

    pub(super) fn keep_dependencies(&mut self, sets: usize) {
        self.dependencies.keep(sets);
        if let Some(tools) = &mut self.tools {
            tools.toolchain.dependencies = self.dependencies.crates();
            let named = &tools.toolchain.dependencies.named;
            self.notebook.items.own_json = named.contains_key("serde_json");
        }
    }
}

/// Loads a library whose code later cells call.
pub(super) async fn load(
    worker: &mut Worker,
    number: &mut u64,
    library: &Path,
    drop_variables: Vec<String>,
) -> Result<(), LoadError> {
    *number += 1;
    let request = Request::Run {
        cell: *number,
        library: library.to_string_lossy().into_owned(),
        entry: None,
        drop_variables,
    };
    let orders = worker.orders();
    orders.run(*number, &request).await;
    let ended = async {
        loop {
            match worker.next().await {
                Event::Ended {
                    ending: Ending::NotLoaded(reason),
                    ..
                } => return Err(LoadError::Refused(reason)),
                Event::Ended { .. } => return Ok(()),
                Event::Died(status) => {
                    return Err(LoadError::Stuck(format!("the worker ended ({status})")));
                }
                Event::Output { .. } => orders.taken().await,
                Event::Question { question, .. } => orders.answer(question, None).await,
                Event::Printed(..) => {}
            }
        }
    };
    let ended = tokio::time::timeout(LOAD_LIMIT, ended).await;
    ended.unwrap_or_else(|_| Err(LoadError::Stuck(format!("no end within {LOAD_LIMIT:?}"))))
}
