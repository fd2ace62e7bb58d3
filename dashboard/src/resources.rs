//! What the nodes of the cluster have to give, and what of it is asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::core::v1::{Container, Node, Pod};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use crate::cluster::{Cluster, ClusterError};
use crate::kept::Kept;
use crate::quantity;

/// How long what was found holds: all visitors see the same.
const LIFE: Duration = Duration::from_secs(15);

/// One kind of resource on one node, or on all of them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Amount {
    pub has: f64,
    /// None where it is not known.
    pub asked: Option<f64>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeUse {
    pub name: String,
    pub is_ready: bool,
    /// Whether new pods are kept away.
    pub is_closed: bool,
    pub cpu: Amount,
    pub memory: Amount,
    pub gpus: Amount,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resources {
    pub nodes: Vec<NodeUse>,
    pub is_cut: bool,
}

impl Resources {
    pub fn cpu(&self) -> Amount {
        self.total(|node| &node.cpu)
    }

    pub fn memory(&self) -> Amount {
        self.total(|node| &node.memory)
    }

    pub fn gpus(&self) -> Amount {
        self.total(|node| &node.gpus)
    }

    fn total(&self, of: impl Fn(&NodeUse) -> &Amount) -> Amount {
        let amounts = self.nodes.iter().map(of);
        amounts.fold(Amount::default(), |sum, one| Amount {
            has: sum.has + one.has,
            asked: one
                .asked
                .map(|asked| asked + sum.asked.unwrap_or_default())
                .or(sum.asked),
        })
    }
}

pub struct Watched(Kept<bool, Resources>);

impl Default for Watched {
    fn default() -> Self {
        Self(Kept::new(LIFE, 2))
    }
}

impl Watched {
    /// With what pods ask for, if `with_pods`.
    pub async fn look(
        &self,
        cluster: &Cluster,
        with_pods: bool,
    ) -> Result<Resources, ClusterError> {
        if let Some(found) = self.0.get(&with_pods) {
            return Ok(found);
        }
        let nodes = cluster.nodes().await?;
        let pods = match with_pods {
            true => Some(cluster.all_pods().await?),
            false => None,
        };
        let is_cut = nodes.is_cut || pods.as_ref().is_some_and(|pods| pods.is_cut);
        let pods = pods.map(|pods| pods.items);
        let found = Resources {
            nodes: of_nodes(&nodes.items, pods.as_deref()),
            is_cut,
        };
        self.0.put(with_pods, found.clone());
        Ok(found)
    }
}

type Quantities = BTreeMap<String, Quantity>;

fn of_nodes(nodes: &[Node], pods: Option<&[Pod]>) -> Vec<NodeUse> {
    let mut asked: BTreeMap<&str, [f64; 3]> = BTreeMap::new();
    for pod in pods.into_iter().flatten() {
        let Some(spec) = &pod.spec else { continue };
        let Some(node) = &spec.node_name else {
            continue;
        };
        let sum = asked.entry(node).or_default();
        for (sum, amount) in sum.iter_mut().zip(asked_by(pod)) {
            *sum += amount;
        }
    }
    let mut found: Vec<_> = nodes
        .iter()
        .map(|node| {
            let name = node.metadata.name.clone().unwrap_or_default();
            let status = node.status.as_ref();
            let allocatable = status.and_then(|status| status.allocatable.as_ref());
            let has = amounts(allocatable);
            let sum = asked.get(name.as_str()).copied().unwrap_or_default();
            let amount = |index: usize| Amount {
                has: has[index],
                asked: pods.map(|_| sum[index]),
            };
            let conditions = status.and_then(|status| status.conditions.as_ref());
            let mut conditions = conditions.into_iter().flatten();
            let spec = node.spec.as_ref();
            NodeUse {
                is_ready: conditions.any(|one| one.type_ == "Ready" && one.status == "True"),
                is_closed: spec.and_then(|spec| spec.unschedulable) == Some(true),
                cpu: amount(0),
                memory: amount(1),
                gpus: amount(2),
                name,
            }
        })
        .collect();
    found.sort_by(|one, other| one.name.cmp(&other.name));
    found
}

/// Cores, bytes and GPUs of all makes.
fn amounts(quantities: Option<&Quantities>) -> [f64; 3] {
    let mut found = [0.0; 3];
    for (name, quantity) in quantities.into_iter().flatten() {
        let index = match name.as_str() {
            "cpu" => 0,
            "memory" => 1,
            name if name.ends_with("/gpu") => 2,
            _ => continue,
        };
        found[index] += quantity::parse(&quantity.0).unwrap_or_default();
    }
    found
}

/// What the scheduler counts: all containers together, or the largest of those that come first, if that is more.
fn asked_by(pod: &Pod) -> [f64; 3] {
    let Some(spec) = &pod.spec else {
        return [0.0; 3];
    };
    let of = |container: &Container| {
        let resources = container.resources.as_ref();
        amounts(resources.and_then(|resources| resources.requests.as_ref()))
    };
    let mut sum = [0.0; 3];
    let mut first = [0f64; 3];
    let initial = spec.init_containers.iter().flatten();
    let (aside, initial): (Vec<_>, Vec<_>) =
        initial.partition(|one| one.restart_policy.as_deref() == Some("Always"));
    for container in spec.containers.iter().chain(aside) {
        for (sum, amount) in sum.iter_mut().zip(of(container)) {
            *sum += amount;
        }
    }
    for container in initial {
        for (first, amount) in first.iter_mut().zip(of(container)) {
            *first = first.max(amount);
        }
    }
    std::array::from_fn(|index| sum[index].max(first[index]))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn pods_take_from_their_node() {
        let node: Node = read(json!({
            "metadata": { "name": "n1" },
            "status": {
                "allocatable": { "cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "2", "pods": "110" },
                "conditions": [{ "type": "Ready", "status": "True" }],
            },
        }));
        let container = |cpu: &str| json!({ "name": "c", "resources": { "requests": { "cpu": cpu, "memory": "1Gi", "nvidia.com/gpu": "1" } } });
        let pod: Pod = read(json!({
            "spec": { "nodeName": "n1", "containers": [container("500m"), container("250m")],
                "initContainers": [container("1")] },
        }));
        let waits: Pod = read(json!({ "spec": { "containers": [container("9")] } }));
        let found = of_nodes(std::slice::from_ref(&node), Some(&[pod, waits]));
        assert!(found[0].is_ready && !found[0].is_closed);
        assert_eq!(
            found[0].cpu,
            Amount {
                has: 4.0,
                asked: Some(1.0)
            }
        );
        assert_eq!(
            found[0].gpus,
            Amount {
                has: 2.0,
                asked: Some(2.0)
            }
        );
        let all = Resources {
            nodes: found,
            is_cut: false,
        };
        assert_eq!(all.memory().asked, Some(2.0 * 1024f64.powi(3)));
        assert_eq!(of_nodes(&[node], None)[0].cpu.asked, None);
    }
}
