//! What is stored of a server in a pod, and how it is found in the pod itself.

use k8s_openapi::api::core::v1::Pod;
use serde::{Deserialize, Serialize};
use url::Url;

use super::objects::{CLAIM, CONTAINER, SERVERNAME, START_ID, USERNAME};
use super::options::KubeOptions;
use super::plan::{self, Names};
use crate::{Error, SpawnerState, Started};

/// The first fields are those of KubeSpawner's own state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) pod_name: String,
    pub(super) namespace: String,
    pub(super) pvc_name: String,
    pub(super) start_id: String,
    pub(super) port: u16,
    /// `KubeSpawner.pod_connect_ip`, filled in.
    pub(super) host: Option<String>,
    /// The pod's IP address, once it has one.
    #[serde(default)]
    pub(super) ip: Option<String>,
}

impl State {
    pub(super) fn new(names: &Names, start_id: &str, port: u16, host: Option<String>) -> Self {
        Self {
            pod_name: names.pod.clone(),
            namespace: names.namespace.clone(),
            pvc_name: names.pvc.clone(),
            start_id: start_id.to_owned(),
            port,
            host,
            ip: None,
        }
    }

    pub(super) fn read(state: &SpawnerState) -> Result<Self, Error> {
        serde_json::from_value(state.0.clone()).map_err(|error| Error::State(error.to_string()))
    }

    /// Of a pod that some Hub started.
    pub(super) fn of_pod(pod: &Pod, options: &KubeOptions, hub_namespace: &str) -> Option<Self> {
        let annotation = |name: &str| Some(pod.metadata.annotations.as_ref()?.get(name)?.as_str());
        let user = annotation(USERNAME)?;
        let server = annotation(SERVERNAME)?;
        let start_id = start_id(pod)?;
        let claim = annotation(CLAIM).map(str::to_owned);
        let (mut names, fields) =
            plan::names(options, user, server, start_id, claim, hub_namespace);
        names.pod = pod.metadata.name.clone()?;
        let containers = &pod.spec.as_ref()?.containers;
        let server = containers
            .iter()
            .find(|container| container.name == CONTAINER)?;
        let port = server.ports.as_ref()?.first()?.container_port;
        let host = options
            .pod_connect_ip
            .as_ref()
            .map(|host| fields.expand(host));
        Some(Self::new(&names, start_id, u16::try_from(port).ok()?, host))
    }

    /// Whether the pod is this server's, and not that of an earlier or later start with the same name.
    pub(super) fn is_of(&self, pod: &Pod) -> bool {
        match start_id(pod) {
            Some(start_id) => start_id == self.start_id,
            // No pod of this spawner lacks the label, so that this is the one that was there before.
            None => self.start_id.starts_with(IMPORTED),
        }
    }

    pub(super) fn saved(&self) -> Result<SpawnerState, Error> {
        let state = serde_json::to_value(self).map_err(|error| Error::State(error.to_string()))?;
        Ok(SpawnerState(state))
    }

    pub(super) fn started(&self, ip: &str) -> Result<Started, Error> {
        let host = match &self.host {
            Some(host) => host.clone(),
            None if ip.contains(':') => format!("[{ip}]"),
            None => ip.to_owned(),
        };
        let url = Url::parse(&format!("http://{host}:{}", self.port));
        let mut state = self.clone();
        state.ip = Some(ip.to_owned());
        Ok(Started {
            url: url.map_err(|error| Error::State(format!("{host}: {error}")))?,
            state: state.saved()?,
        })
    }
}

/// The claim that a server had at its start before, of the state of this spawner or of a JupyterHub's; nothing where that
/// is not to be remembered, or was in another namespace.
pub(super) fn remembered(
    before: Option<&SpawnerState>,
    options: &KubeOptions,
    hub_namespace: &str,
) -> Option<String> {
    let before = &before.filter(|_| options.remember_pvc_name)?.0;
    let namespace = options.namespace.as_deref().unwrap_or(hub_namespace);
    if before["namespace"]
        .as_str()
        .is_some_and(|was| was != namespace)
    {
        return None;
    }
    let claim = before["pvc_name"].as_str();
    claim.filter(|claim| !claim.is_empty()).map(str::to_owned)
}

/// How names of starts begin whose pods a JupyterHub made.
const IMPORTED: &str = "jupyterhub-";

/// The state of a server that the KubeSpawner of a JupyterHub started, and the name of its start; `None` where `state` is
/// that of another spawner.
pub fn imported(
    state: &serde_json::Value,
    port: u16,
    ip: Option<&str>,
) -> Option<(String, SpawnerState)> {
    let text = |key: &str| state[key].as_str().map(str::to_owned);
    let pod_name = text("pod_name")?;
    let start_id = format!("{IMPORTED}{pod_name}");
    let state = State {
        namespace: text("namespace")?,
        pvc_name: text("pvc_name").unwrap_or_default(),
        host: None,
        ip: ip.map(str::to_owned),
        start_id: start_id.clone(),
        port,
        pod_name,
    };
    Some((start_id, state.saved().ok()?))
}

/// The start that a pod was made by; `None` where it is not a Hub's.
pub(super) fn start_id(pod: &Pod) -> Option<&str> {
    Some(pod.metadata.labels.as_ref()?.get(START_ID)?.as_str())
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    use super::*;

    #[test]
    fn the_pod_of_a_jupyterhub_is_known_and_no_later_one() {
        let old = json!({
            "pod_name": "jupyter-alice",
            "namespace": "hub",
            "dns_name": "jupyter-alice.hub",
            "pvc_name": "claim-alice",
            "kubespawner_version": "7.0.0",
        });
        let (start_id, state) = imported(&old, 8888, Some("10.0.0.7")).unwrap();
        let state = State::read(&state).unwrap();
        assert_eq!(state.start_id, start_id);
        assert_eq!(
            (state.pod_name.as_str(), state.namespace.as_str()),
            ("jupyter-alice", "hub")
        );
        assert_eq!((state.pvc_name.as_str(), state.port), ("claim-alice", 8888));
        let mut pod = Pod::default();
        assert!(state.is_of(&pod));
        let label = (START_ID.to_owned(), String::from("another"));
        pod.metadata.labels = Some([label].into());
        assert!(!state.is_of(&pod));
        assert!(imported(&json!({ "pid": 7 }), 8888, None).is_none());
    }
}
