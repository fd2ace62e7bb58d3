//! What Gateways and their classes are told.

use std::sync::Arc;

use carrel_gateway::plan::Plan;
use serde_json::{Value, json};

use crate::harness::World;

const NOW: &str = "2026-02-02T00:00:00Z";

/// A Gateway with one listener for all namespaces, one for its own, and one that is not of HTTP.
fn world() -> World {
    let mut world = World::default();
    let all = json!({ "namespaces": { "from": "All" } });
    world.gateway(
        "kubeflow/public",
        &json!([
            { "name": "all", "port": 80, "protocol": "HTTP", "allowedRoutes": all },
            { "name": "own", "port": 81, "protocol": "HTTPS" },
            { "name": "other", "port": 53, "protocol": "UDP" },
        ]),
    );
    world
}

fn said(plan: &Plan, kind: &str, now: &str) -> Option<Value> {
    let mut all = plan.gateways.iter().filter(|said| said.kind == kind);
    let status = all.next().unwrap().status(now);
    assert!(all.next().is_none());
    status
}

fn short(conditions: &Value) -> Vec<String> {
    let conditions = conditions.as_array().unwrap().iter();
    let short = conditions.map(|one| {
        let text = |key: &str| one[key].as_str().unwrap().to_owned();
        format!("{} {} {}", text("type"), text("status"), text("reason"))
    });
    short.collect()
}

#[test]
fn a_gateway_is_told_what_is_taken_and_how_many_routes_are_attached() {
    let mut world = world();
    world.route("a/one", &json!({ "rules": [{}] }));
    world.route("kubeflow/two", &json!({ "rules": [{}] }));
    let public = |section: &str| json!({ "name": "public", "namespace": "kubeflow", "sectionName": section });
    // Twice attached, once counted; and one that no listener takes.
    world.route(
        "a/twice",
        &json!({ "parentRefs": [public("all"), public("all")] }),
    );
    world.route("a/none", &json!({ "parentRefs": [public("own")] }));
    let plan = world.plan(&[]);
    let class = said(&plan, "GatewayClass", NOW).unwrap();
    assert_eq!(short(&class["conditions"]), ["Accepted True Accepted"]);
    let status = said(&plan, "Gateway", NOW).unwrap();
    assert_eq!(
        short(&status["conditions"]),
        [
            "Accepted True ListenersNotValid",
            "Programmed True Programmed"
        ]
    );
    let listeners = status["listeners"].as_array().unwrap();
    let counts: Vec<_> = listeners
        .iter()
        .map(|one| (&one["name"], &one["attachedRoutes"]))
        .collect();
    let expected =
        [("all", 3), ("own", 1), ("other", 0)].map(|(name, count)| (json!(name), json!(count)));
    assert_eq!(
        counts,
        expected.each_ref().map(|(name, count)| (name, count))
    );
    assert_eq!(
        short(&listeners[0]["conditions"]),
        [
            "Accepted True Accepted",
            "Programmed True Programmed",
            "ResolvedRefs True ResolvedRefs"
        ]
    );
    assert_eq!(
        short(&listeners[2]["conditions"])[..2],
        [
            "Accepted False UnsupportedProtocol",
            "Programmed False Invalid"
        ]
    );
    assert_eq!(listeners[0]["supportedKinds"][0]["kind"], "HTTPRoute");
}

#[test]
fn a_gateway_without_a_listener_of_ours_is_not_accepted_and_another_class_is_not_ours() {
    let mut world = World::default();
    world.gateway(
        "kubeflow/public",
        &json!([{ "name": "dns", "port": 53, "protocol": "UDP" }]),
    );
    let status = said(&world.plan(&[]), "Gateway", NOW).unwrap();
    assert_eq!(
        short(&status["conditions"]),
        [
            "Accepted False ListenersNotValid",
            "Programmed False Invalid"
        ]
    );
    let plan = world.plan(&["--controller", "other.test/gateway"]);
    assert!(plan.gateways.is_empty());
}

#[test]
fn what_is_said_already_is_not_said_again_and_others_conditions_stay() {
    let mut world = world();
    let set = |world: &mut World, status: Value| {
        let mut gateway = (*world.seen.gateways[0]).clone();
        gateway.data["status"] = status;
        world.seen.gateways[0] = Arc::new(gateway);
    };
    // As the definition of the Gateway API has it from the start, and one of somebody else.
    let theirs = json!({ "type": "Watched", "status": "True", "reason": "Watched", "message": "" });
    let waiting = json!({
        "type": "Accepted", "status": "Unknown", "reason": "Pending", "message": "",
        "lastTransitionTime": "1970-01-01T00:00:00Z",
    });
    set(
        &mut world,
        json!({ "conditions": [waiting, theirs], "addresses": [] }),
    );
    let status = said(&world.plan(&[]), "Gateway", NOW).unwrap();
    let conditions = status["conditions"].as_array().unwrap();
    assert_eq!((conditions.len(), &conditions[0]), (3, &theirs));
    assert_eq!(conditions[1]["lastTransitionTime"], NOW);
    set(&mut world, status);
    assert_eq!(said(&world.plan(&[]), "Gateway", "later"), None);
    world.route("kubeflow/two", &json!({ "rules": [{}] }));
    let status = said(&world.plan(&[]), "Gateway", "later").unwrap();
    assert_eq!(status["listeners"][0]["attachedRoutes"], 1);
    assert_eq!(status["conditions"][1]["lastTransitionTime"], NOW);
}
