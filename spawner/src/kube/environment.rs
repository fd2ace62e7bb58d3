//! The environment of a pod's server: what the options give, what the Hub gives, and which of it is secret.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;

use serde_json::{Value, json};

use super::options::KubeOptions;
use super::plan::Plan;
use super::values::EnvValue;
use crate::{SERVICE_URL, StartRequest};

/// Variables with the server's own token. They stand in a secret and not in the pod, which many may look at.
const SECRETS: [&str; 2] = ["JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN"];

/// Variables of the options, as a list for a container.
pub(super) fn of_options(options: &KubeOptions) -> Value {
    let folder = options.notebook_dir.iter();
    let variables = folder.map(|folder| variable("JUPYTERHUB_ROOT_DIR", folder));
    let given = options.environment.iter().map(|(name, value)| match value {
        EnvValue::Text(text) => variable(name, text),
        EnvValue::Source { value_from } => json!({ "name": name, "valueFrom": value_from }),
    });
    variables.chain(given).collect()
}

/// Variables of the Hub, and those that only the spawner knows; they win.
pub(super) fn of_hub(plan: &Plan<'_>) -> Vec<Value> {
    let (options, request) = (plan.options, plan.request);
    let image = plan.fields.expand(&options.image);
    let cpu = |cores: Option<super::values::Cpu>| {
        cores.map(|cores| (cores.0 as f64 / 1000.0).to_string())
    };
    let memory = |bytes: Option<super::values::Memory>| bytes.map(|bytes| bytes.0.to_string());
    let address = SocketAddr::new(options.ip, options.port);
    let own = [
        (
            SERVICE_URL,
            Some(format!("http://{address}{}", request.prefix)),
        ),
        (
            "JUPYTERHUB_DEFAULT_URL",
            options
                .default_url
                .as_ref()
                .map(|url| plan.fields.expand(url)),
        ),
        ("JUPYTER_IMAGE", Some(image.clone())),
        ("JUPYTER_IMAGE_SPEC", Some(image)),
        ("CPU_LIMIT", cpu(options.cpu_limit)),
        ("CPU_GUARANTEE", cpu(options.cpu_guarantee)),
        ("MEM_LIMIT", memory(options.mem_limit)),
        ("MEM_GUARANTEE", memory(options.mem_guarantee)),
    ];
    let own = own
        .into_iter()
        .filter_map(|(name, value)| Some(variable(name, &value?)));
    let given = request.environment.iter().map(|(name, value)| {
        if SECRETS.contains(&name.as_str()) {
            let key = json!({ "name": plan.names.secret, "key": name });
            json!({ "name": name, "valueFrom": { "secretKeyRef": key } })
        } else {
            variable(name, value)
        }
    });
    given.chain(own).collect()
}

/// What the secret of a start holds.
pub(super) fn secrets(request: &StartRequest) -> BTreeMap<String, String> {
    let all = request.environment.iter();
    all.filter(|(name, _)| SECRETS.contains(&name.as_str()))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// Each variable once, the Hub's where both have it, and after those that its value names as `$(NAME)`: Kubernetes
/// knows only what stands before.
pub(super) fn sorted(given: Value, hub: Vec<Value>) -> Value {
    let given = given.as_array().cloned().unwrap_or_default();
    let by_name: BTreeMap<String, Value> = given
        .into_iter()
        .chain(hub)
        .map(|variable| (name(&variable).to_owned(), variable))
        .collect();
    let mut order = Order {
        by_name: &by_name,
        seen: HashSet::new(),
        done: Vec::new(),
    };
    for name in by_name.keys() {
        order.visit(name);
    }
    Value::Array(order.done)
}

struct Order<'a> {
    by_name: &'a BTreeMap<String, Value>,
    seen: HashSet<&'a str>,
    done: Vec<Value>,
}

impl<'a> Order<'a> {
    /// Variables that name each other stay in the order of their names.
    fn visit(&mut self, name: &str) {
        let Some((name, variable)) = self.by_name.get_key_value(name) else {
            return;
        };
        if !self.seen.insert(name) {
            return;
        }
        let text = variable["value"].as_str().unwrap_or_default();
        for reference in text
            .split("$(")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            self.visit(reference);
        }
        self.done.push(variable.clone());
    }
}

fn variable(name: &str, value: &str) -> Value {
    json!({ "name": name, "value": value })
}

fn name(variable: &Value) -> &str {
    variable["name"].as_str().unwrap_or_default()
}
