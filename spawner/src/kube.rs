//! Runs servers as pods of a Kubernetes cluster, with the options, names and objects of KubeSpawner 7.

mod api;
mod claim;
pub mod condition;
mod environment;
mod merge;
mod mistake;
mod named;
pub mod objects;
mod options;
mod overrides;
mod owner;
pub mod plan;
mod profiles;
pub mod slug;
mod start;
mod state;
mod stop;
mod table;
pub mod template;
mod values;
mod watch;

use std::sync::Arc;

use async_trait::async_trait;
use k8s_openapi::api::core::v1::Pod;
use kube::Client;
use tokio::sync::broadcast;
use tokio::sync::mpsc::UnboundedSender;

pub use mistake::Mistake;
pub use options::KubeOptions;
pub use overrides::resolve;
pub use profiles::{Profile, form};
pub use state::imported;
pub use table::OptionKey;
pub use values::{Cpu, EnvValue, Memory, Words};

use self::api::{Cluster, Failed};
use self::condition::{Condition, judge};
use self::state::State;
use self::watch::Watch;
use crate::form::Form;
use crate::{Error, Needs, Poll, Spawner, SpawnerState, StartEvent, StartRequest, Started};

/// Servers as pods `jupyter-<user>`. The name of a start, which the Hub writes down before, is a label of the pod: so
/// a pod is found again after a crash at any point, and a pod of another start is never taken for it.
pub struct KubeSpawner(Arc<Inner>);

struct Inner {
    options: KubeOptions,
    namespace: String,
    cluster: Cluster,
    watch: Watch,
}

impl KubeSpawner {
    /// Connects as kubectl does: by `KUBECONFIG`, the user's kubeconfig, or the service account of the Hub's own pod.
    /// The cluster need not answer yet.
    pub async fn connect(options: KubeOptions) -> Result<Self, Error> {
        let unusable = |message: String| Error::Cluster {
            attempted: String::from("find a Kubernetes cluster"),
            message,
        };
        let mut config = kube::Config::infer()
            .await
            .map_err(|error| unusable(error.to_string()))?;
        // Tried again here, where the time for it is known.
        config.default_retry = false;
        let client = Client::try_from(config).map_err(|error| unusable(error.to_string()))?;
        Ok(Self::new(client, options))
    }

    /// Works by a given client; needs an async runtime.
    pub fn new(client: Client, options: KubeOptions) -> Self {
        let namespace = options.namespace.as_deref();
        let namespace = namespace.unwrap_or(client.default_namespace()).to_owned();
        Self(Arc::new(Inner {
            cluster: Cluster::new(client.clone(), &namespace, &options),
            watch: Watch::start(&client, &namespace, options.events_enabled),
            options,
            namespace,
        }))
    }
}

impl Inner {
    /// The pod of this start as the API server has it.
    async fn fetch(&self, state: &State) -> Result<Option<Pod>, Failed> {
        let pod = self.cluster.pod(&state.pod_name).await?;
        Ok(pod.filter(|pod| state.is_of(pod)))
    }

    /// The pod of this start: from the watch where it knows it, else from the API server.
    async fn look(&self, state: &State) -> Result<Option<Arc<Pod>>, Error> {
        match self.watch.pod(&state.pod_name) {
            Some(pod) if state.is_of(&pod) => Ok(Some(pod)),
            _ => {
                let pod = self.fetch(state).await;
                let pod = pod.map_err(|failed| failed.into_error("look at the server's pod"))?;
                Ok(pod.map(Arc::new))
            }
        }
    }

    async fn log_tail(&self, state: &State, lines: usize, previous: bool) -> String {
        self.cluster
            .log_tail(&state.pod_name, lines, previous)
            .await
    }
}

#[async_trait]
impl Spawner for KubeSpawner {
    fn form(&self, groups: &[String]) -> Form {
        profiles::form(&self.0.options.profile_list, groups)
    }

    fn needs(&self, request: &StartRequest) -> Result<Needs, Error> {
        let options = overrides::resolve(&self.0.options, request)?;
        let memory = options.mem_limit.or(options.mem_guarantee);
        let cpu = options.cpu_limit.or(options.cpu_guarantee);
        Ok(Needs {
            memory: memory.map(|memory| memory.0),
            cpu: cpu.map(|cpu| cpu.0),
        })
    }

    async fn start(
        &self,
        request: &StartRequest,
        events: UnboundedSender<StartEvent>,
    ) -> Result<Started, Error> {
        start::start(&self.0, request, &events).await
    }

    async fn settle(&self) {
        self.0.watch.settle().await;
    }

    async fn find(&self, start_id: &str) -> Result<Option<SpawnerState>, Error> {
        let inner = &self.0;
        let pods = inner.cluster.started_pods(Some(start_id)).await;
        let pods = pods.map_err(|failed| failed.into_error("look for the pod of a start"))?;
        let state = pods
            .iter()
            .find_map(|pod| State::of_pod(pod, &inner.options, &inner.namespace));
        state.map(|state| state.saved()).transpose()
    }

    async fn resume(
        &self,
        state: &SpawnerState,
        request: &StartRequest,
        events: UnboundedSender<StartEvent>,
    ) -> Result<Started, Error> {
        start::resume(&self.0, &State::read(state)?, request, &events).await
    }

    async fn poll(&self, state: &SpawnerState) -> Result<Poll, Error> {
        let state = State::read(state)?;
        let Some(pod) = self.0.look(&state).await? else {
            let reason = String::from("The pod of the server was deleted");
            return Ok(Poll::Stopped { reason });
        };
        match judge(&pod) {
            Condition::Over { reason } => {
                let tail = self.0.log_tail(&state, start::REASON_LINES, false).await;
                Ok(Poll::Stopped {
                    reason: stop::with_log(reason, &tail),
                })
            }
            Condition::Running { ip, .. } if state.ip.as_ref().is_some_and(|old| *old != ip) => {
                let Started { url, state } = state.started(&ip)?;
                Ok(Poll::Moved { url, state })
            }
            Condition::Running { .. } | Condition::Waiting | Condition::Troubled { .. } => {
                Ok(Poll::Running)
            }
        }
    }

    async fn stop(&self, state: &SpawnerState) -> Result<(), Error> {
        stop::stop(&self.0, &State::read(state)?).await
    }

    async fn log_tail(&self, state: &SpawnerState, lines: usize) -> String {
        match State::read(state) {
            Ok(state) => self.0.log_tail(&state, lines, false).await,
            Err(_) => String::new(),
        }
    }

    async fn running(&self) -> Result<Vec<String>, Error> {
        let name = |pod: &Pod| {
            let name = state::start_id(pod).filter(|_| !stop::has_ended(pod));
            name.map(str::to_owned)
        };
        if let Some(pods) = self.0.watch.pods() {
            return Ok(pods.iter().filter_map(|pod| name(pod)).collect());
        }
        let pods = self.0.cluster.started_pods(None).await;
        let pods = pods.map_err(|failed| failed.into_error("list the pods of servers"))?;
        Ok(pods.iter().filter_map(name).collect())
    }

    fn ended(&self) -> Option<broadcast::Receiver<String>> {
        Some(self.0.watch.ended())
    }

    async fn forget(
        &self,
        user: &str,
        server: &str,
        before: Option<&SpawnerState>,
    ) -> Result<(), Error> {
        let options = &self.0.options;
        if !options.delete_pvc || !options.storage_pvc_ensure {
            return Ok(());
        }
        claim::forget(&self.0, user, server, before).await
    }
}
