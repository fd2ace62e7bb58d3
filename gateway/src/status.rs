//! What Gateways and their classes are told in their status, in the words of the Gateway API. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::api::{GROUP, Gateway, Listener};
use crate::attach::{At, Gateways};
use crate::verdict::Condition;

/// Said of each Gateway, for its listeners do not decide it.
const WHERE: &str = "the gateway listens where its own options say, whatever port a listener names";

/// How many HTTPRoutes are attached, by listener: each counts once.
#[derive(Default)]
pub struct Counts(BTreeMap<At, BTreeSet<(String, String)>>);

impl Counts {
    pub fn add(&mut self, at: &At, namespace: &str, route: &str) {
        let route = (namespace.to_owned(), route.to_owned());
        self.0.entry(at.clone()).or_default().insert(route);
    }

    fn of(&self, at: &At) -> usize {
        self.0.get(at).map_or(0, BTreeSet::len)
    }
}

/// An object and what its status is to say.
pub struct Said {
    pub object: Arc<DynamicObject>,
    pub kind: &'static str,
    conditions: Vec<Condition>,
    /// By name, with the routes that are attached; a class has none.
    listeners: Option<Vec<(Listener, usize)>>,
}

/// For all that are ours.
pub fn of(gateways: &Gateways, counts: &Counts) -> Vec<Said> {
    let classes = gateways.classes.iter().map(|object| Said {
        object: Arc::clone(object),
        kind: "GatewayClass",
        conditions: vec![holds("Accepted")],
        listeners: None,
    });
    let gateways = gateways.all().map(|(place, gateway, object)| Said {
        object: Arc::clone(object),
        kind: "Gateway",
        conditions: conditions(gateway),
        listeners: Some(listeners(place, gateway, counts)),
    });
    classes.chain(gateways).collect()
}

fn listeners(
    place: &(String, String),
    gateway: &Gateway,
    counts: &Counts,
) -> Vec<(Listener, usize)> {
    let one = |listener: &Listener| {
        let (namespace, name) = place.clone();
        let at = At {
            namespace,
            gateway: name,
            listener: listener.name.clone(),
        };
        (listener.clone(), counts.of(&at))
    };
    gateway.listeners.iter().map(one).collect()
}

fn conditions(gateway: &Gateway) -> Vec<Condition> {
    let taken = gateway.listeners.iter().any(Listener::is_http);
    let all = gateway.listeners.iter().all(Listener::is_http);
    let text = "a listener is of a protocol other than HTTP and HTTPS".to_owned();
    if !taken {
        let accepted = Condition::new("Accepted", false, "ListenersNotValid", text.clone());
        return vec![
            accepted,
            Condition::new("Programmed", false, "Invalid", text),
        ];
    }
    let (reason, message) = match all {
        true => ("Accepted", String::new()),
        false => ("ListenersNotValid", text),
    };
    let accepted = Condition::new("Accepted", true, reason, message);
    let programmed = Condition::new("Programmed", true, "Programmed", WHERE.to_owned());
    vec![accepted, programmed]
}

fn holds(kind: &'static str) -> Condition {
    Condition::new(kind, true, kind, String::new())
}

fn of_listener(listener: &Listener) -> Vec<Condition> {
    if listener.is_http() {
        return ["Accepted", "Programmed", "ResolvedRefs"]
            .map(holds)
            .to_vec();
    }
    let text = format!(
        "{} is not taken, only HTTP and HTTPS are",
        listener.protocol
    );
    let accepted = Condition::new("Accepted", false, "UnsupportedProtocol", text.clone());
    let programmed = Condition::new("Programmed", false, "Invalid", text);
    vec![accepted, programmed, holds("ResolvedRefs")]
}

impl Said {
    /// The `status` that says it, as a merge patch; conditions of others stay. None where it says it already.
    pub fn status(&self, now: &str) -> Option<Value> {
        let known = self.object.data.get("status").cloned().unwrap_or_default();
        let mut status = json!({
            "conditions": self.merged(&known["conditions"], &self.conditions, now),
        });
        if let Some(listeners) = &self.listeners {
            let all = listeners.iter().map(|(listener, count)| {
                let mut before = known["listeners"].as_array().into_iter().flatten();
                let before = before.find(|before| before["name"] == listener.name.as_str());
                let before = before.map_or(&Value::Null, |before| &before["conditions"]);
                let kinds = match listener.is_http() {
                    true => json!([{ "group": GROUP, "kind": "HTTPRoute" }]),
                    false => json!([]),
                };
                json!({
                    "name": listener.name,
                    "supportedKinds": kinds,
                    "attachedRoutes": count,
                    "conditions": self.merged(before, &of_listener(listener), now),
                })
            });
            status["listeners"] = Value::Array(all.collect());
        }
        let fields = status.as_object().into_iter().flatten();
        let is_said = fields
            .into_iter()
            .all(|(field, value)| known[field] == *value);
        (!is_said).then_some(status)
    }

    /// Ours in the place of those before, and after those of others.
    fn merged(&self, known: &Value, ours: &[Condition], now: &str) -> Vec<Value> {
        let known = known.as_array().cloned().unwrap_or_default();
        let is_ours = |one: &Value| ours.iter().find(|ours| one["type"] == ours.kind);
        let theirs = known.iter().filter(|one| is_ours(one).is_none());
        let mut all: Vec<Value> = theirs.cloned().collect();
        let generation = self.object.metadata.generation;
        all.extend(ours.iter().map(|ours| {
            let before = known.iter().find(|one| one["type"] == ours.kind);
            ours.show(generation, before, now)
        }));
        all
    }
}
