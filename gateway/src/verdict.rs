//! What an HTTPRoute is told in its status, in the words of the Gateway API. Pure.

use std::sync::Arc;

use kube::api::DynamicObject;
use serde_json::{Value, json};

use crate::attach::Attached;
use crate::rule::Missing;

/// The conditions of a route, for each of its parents that is ours.
pub struct Verdict {
    pub object: Arc<DynamicObject>,
    parents: Vec<(Value, Vec<Condition>)>,
}

/// What was found out about the rules of a route.
pub struct Findings<'a> {
    pub wrong: &'a [String],
    pub contested: &'a [String],
    pub missing: &'a [Missing],
    /// Whether a rule of it is in force.
    pub stands: bool,
}

#[derive(Debug, Clone)]
pub struct Condition {
    pub kind: &'static str,
    holds: bool,
    reason: &'static str,
    message: String,
}

impl Condition {
    pub fn new(kind: &'static str, holds: bool, reason: &'static str, message: String) -> Self {
        Self {
            kind,
            holds,
            reason,
            message,
        }
    }

    /// As an object of that generation says it; since when, as long as it stays so.
    pub fn show(&self, generation: Option<i64>, before: Option<&Value>, now: &str) -> Value {
        let status = if self.holds { "True" } else { "False" };
        let before = before.filter(|before| before["status"] == status);
        let since = before.and_then(|before| before["lastTransitionTime"].as_str());
        json!({
            "type": self.kind,
            "status": status,
            "reason": self.reason,
            "message": self.message,
            "observedGeneration": generation.unwrap_or_default(),
            "lastTransitionTime": since.unwrap_or(now),
        })
    }
}

impl Verdict {
    pub fn new(object: Arc<DynamicObject>, attached: &[Attached], findings: &Findings<'_>) -> Self {
        let parents = attached.iter();
        let parents = parents.map(|parent| (parent.parent.clone(), conditions(parent, findings)));
        Self {
            object,
            parents: parents.collect(),
        }
    }

    /// Of a route that has no parents of ours.
    pub fn none(object: &Arc<DynamicObject>) -> Self {
        Self {
            object: Arc::clone(object),
            parents: Vec::new(),
        }
    }

    /// The `parents` of a status that says it: entries of other controllers stay. None where it says it already.
    pub fn parents(&self, controller: &str, now: &str) -> Option<Vec<Value>> {
        let known = self.object.data.pointer("/status/parents");
        let known = known.and_then(Value::as_array).cloned().unwrap_or_default();
        let (ours, mut all): (Vec<Value>, Vec<Value>) = known
            .iter()
            .cloned()
            .partition(|entry| entry["controllerName"] == controller);
        for (parent, conditions) in &self.parents {
            let before = ours.iter().find(|entry| entry["parentRef"] == *parent);
            let conditions = conditions.iter().map(|condition| {
                let before = before.and_then(|entry| find(entry, condition.kind));
                condition.show(self.object.metadata.generation, before, now)
            });
            all.push(json!({
                "parentRef": parent,
                "controllerName": controller,
                "conditions": conditions.collect::<Vec<_>>(),
            }));
        }
        // Another order says the same.
        let is_said = all.len() == known.len() && all.iter().all(|entry| known.contains(entry));
        (!is_said).then_some(all)
    }
}

/// Whether a route's status says something of this controller.
pub fn is_told(object: &DynamicObject, controller: &str) -> bool {
    let parents = object.data.pointer("/status/parents");
    let parents = parents.and_then(Value::as_array).into_iter().flatten();
    let mut ours = parents.filter(|entry| entry["controllerName"] == controller);
    ours.next().is_some()
}

fn find<'a>(entry: &'a Value, kind: &str) -> Option<&'a Value> {
    let conditions = entry["conditions"].as_array()?;
    conditions
        .iter()
        .find(|condition| condition["type"] == kind)
}

fn conditions(parent: &Attached, findings: &Findings<'_>) -> Vec<Condition> {
    let resolved = match findings.missing.first() {
        None => Condition::new("ResolvedRefs", true, "ResolvedRefs", String::new()),
        Some(missing) => {
            let reason = match missing {
                Missing::NotFound(_) => "BackendNotFound",
                Missing::NotPermitted(_) => "RefNotPermitted",
                Missing::Unsupported(_) => "InvalidKind",
            };
            Condition::new("ResolvedRefs", false, reason, missing.text().to_owned())
        }
    };
    let mut texts = findings.wrong.to_vec();
    texts.extend(findings.contested.iter().cloned());
    texts.dedup();
    let text = limited(texts.join("; "));
    let reason = match findings.wrong.is_empty() {
        true => "Conflicted",
        false => "UnsupportedValue",
    };
    let accepted = match &parent.hosts {
        Err((reason, text)) => Condition::new("Accepted", false, reason, text.clone()),
        Ok(_) if findings.stands || text.is_empty() => {
            Condition::new("Accepted", true, "Accepted", String::new())
        }
        Ok(_) => Condition::new("Accepted", false, reason, text.clone()),
    };
    let partly = accepted.holds && !text.is_empty();
    let mut conditions = vec![accepted, resolved];
    if partly {
        let text = format!("Dropped Rule: {text}");
        conditions.push(Condition::new("PartiallyInvalid", true, reason, text));
    }
    conditions
}

/// A message has room for 32 KiB.
fn limited(mut text: String) -> String {
    let end = text.floor_char_boundary(2000);
    text.truncate(end);
    text
}
