//! Routes by HTTPRoutes, and what those are told.

use std::sync::Arc;

use carrel_gateway::plan::Plan;
use serde_json::{Value, json};

use crate::harness::{World, listening, named, read};

const CONTROLLER: &str = "carrel.dev/gateway";
const NOW: &str = "2026-02-03T04:05:06Z";

/// A world with the Gateway kubeflow/public, open to all namespaces.
fn open() -> World {
    let mut world = World::default();
    world.gateway("kubeflow/public", &json!([{
        "name": "all", "port": 80, "protocol": "HTTP", "allowedRoutes": { "namespaces": { "from": "All" } },
    }]));
    world
}

fn rule(path: &str, backend: &str, port: u16) -> Value {
    json!({ "rules": [{
        "matches": [{ "path": { "type": "PathPrefix", "value": path } }],
        "backendRefs": [{ "name": backend, "port": port }],
    }] })
}

/// Type, status and reason of the conditions of the only route.
fn conditions(plan: &Plan) -> Vec<(String, String, String)> {
    let parents = plan.verdicts[0].parents(CONTROLLER, NOW).unwrap();
    assert_eq!(parents.len(), 1, "{parents:#?}");
    assert_eq!(parents[0]["controllerName"], CONTROLLER);
    let conditions = parents[0]["conditions"].as_array().unwrap().iter();
    let text = |condition: &Value, key: &str| condition[key].as_str().unwrap().to_owned();
    let read = conditions.map(|one| (text(one, "type"), text(one, "status"), text(one, "reason")));
    read.collect()
}

fn condition(kind: &str, status: &str, reason: &str) -> (String, String, String) {
    (kind.to_owned(), status.to_owned(), reason.to_owned())
}

#[tokio::test]
async fn matches_choose_by_how_much_they_say() {
    let target = named("t").await;
    let mut world = open();
    world.service("a/t", target, "");
    let matched = |matched: Value, to: &str| {
        json!({
            "matches": [matched],
            "filters": [{ "type": "URLRewrite", "urlRewrite": { "path": { "type": "ReplaceFullPath", "replaceFullPath": to } } }],
            "backendRefs": [{ "name": "t", "port": target.port() }],
        })
    };
    world.route("a/r", &json!({ "hostnames": ["app.test", "*.wild.test"], "rules": [
        matched(json!({ "path": { "value": "/" } }), "/root"),
        matched(json!({ "path": { "value": "/a" } }), "/prefix"),
        matched(json!({ "path": { "type": "Exact", "value": "/a/b" } }), "/exact"),
        matched(json!({ "path": { "value": "/a" }, "method": "POST" }), "/post"),
        matched(json!({ "path": { "value": "/a" }, "headers": [{ "name": "x-v", "value": "2" }] }), "/header"),
        matched(json!({ "path": { "value": "/a" }, "queryParams": [{ "name": "q", "value": "1 2" }] }), "/query"),
    ] }));
    assert_eq!(
        conditions(&world.plan(&[])),
        [
            condition("Accepted", "True", "Accepted"),
            condition("ResolvedRefs", "True", "ResolvedRefs"),
        ]
    );
    let gateway = world.start(&[]).await;
    for (method, path, version, target) in [
        ("GET", "/b", "1", "/root"),
        ("GET", "/a", "1", "/prefix"),
        ("GET", "/a/b", "1", "/exact"),
        ("GET", "/a/b/", "1", "/prefix"),
        ("GET", "/ab", "1", "/root"),
        ("POST", "/a/x", "2", "/post"),
        ("GET", "/a/x", "2", "/header"),
        ("GET", "/a?q=1+2", "1", "/query?q=1+2"),
        ("GET", "/a?q=1", "1", "/prefix?q=1"),
    ] {
        for host in ["app.test", "x.y.wild.test"] {
            let request = gateway
                .request(method, path)
                .header("host", host)
                .header("x-v", version);
            let text = request.send().await.unwrap().text().await.unwrap();
            assert_eq!(text, format!("t {method} {target}"), "{path}");
        }
    }
    assert_eq!(gateway.text_at("wild.test", "/a").await.0, 404);
}

#[tokio::test]
async fn weights_share_the_requests() {
    let (one, two, none) = (named("one").await, named("two").await, named("none").await);
    let mut world = open();
    for (place, address) in [("a/one", one), ("a/two", two), ("a/none", none)] {
        world.service(place, address, "");
    }
    world.route(
        "a/r",
        &json!({ "rules": [{ "backendRefs": [
        { "name": "one", "port": one.port(), "weight": 3 },
        { "name": "two", "port": two.port(), "weight": 1 },
        { "name": "none", "port": none.port(), "weight": 0 },
    ] }] }),
    );
    let gateway = world.start(&[]).await;
    let mut first = 0;
    for _ in 0..400 {
        let (status, text) = gateway.text("/").await;
        assert_eq!(status, 200);
        assert!(!text.starts_with("none"), "{text}");
        first += u32::from(text.starts_with("one"));
    }
    // 300 are expected; beyond 8.6 standard deviations either way would be no chance.
    assert!((225..375).contains(&first), "{first}");
}

#[tokio::test]
async fn filters_change_requests_and_redirect() {
    let (target, heard) = listening().await;
    let mut world = open();
    world.service("a/t", target, "");
    let backends = json!([{ "name": "t", "port": target.port() }]);
    world.route("a/r", &json!({ "rules": [
        {
            "matches": [{ "path": { "value": "/edit" } }],
            "filters": [
                { "type": "RequestHeaderModifier", "requestHeaderModifier": {
                    "set": [{ "name": "x-set", "value": "new" }], "add": [{ "name": "x-add", "value": "more" }], "remove": ["x-gone"],
                } },
                { "type": "URLRewrite", "urlRewrite": { "hostname": "inner.test", "path": { "type": "ReplacePrefixMatch", "replacePrefixMatch": "/" } } },
                { "type": "ResponseHeaderModifier", "responseHeaderModifier": { "set": [{ "name": "x-answer", "value": "yes" }] } },
            ],
            "backendRefs": backends,
        },
        {
            "matches": [{ "path": { "value": "/old" } }],
            "filters": [{ "type": "RequestRedirect", "requestRedirect": {
                "scheme": "https", "hostname": "new.test", "statusCode": 301, "path": { "type": "ReplacePrefixMatch", "replacePrefixMatch": "/new" },
            } }],
        },
        { "matches": [{ "path": { "value": "/nothing" } }] },
    ] }));
    let gateway = world.start(&[]).await;
    let request = gateway
        .request("GET", "/edit/x")
        .header("x-set", "old")
        .header("x-gone", "1");
    let answer = request.header("x-add", "some").send().await.unwrap();
    assert_eq!(answer.headers()["x-answer"], "yes");
    let heard = heard.lock().unwrap().clone();
    assert_eq!(
        (&heard["x-set"], &heard["host"]),
        (&"new".parse().unwrap(), &"inner.test".parse().unwrap())
    );
    assert_eq!(heard.get_all("x-add").iter().count(), 2);
    assert!(!heard.contains_key("x-gone"));
    let answer = gateway.get("/old/x?y=1").await;
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["location"]),
        (301, &"https://new.test/new/x?y=1".parse().unwrap())
    );
    // A rule without a backend answers 500, as the Gateway API says.
    assert_eq!(read(gateway.get("/nothing").await).await.0, 500);
}

#[test]
fn what_is_not_supported_is_said_on_the_route() {
    for (change, text) in [
        (
            json!({ "matches": [{ "path": { "type": "RegularExpression", "value": "/.*" } }] }),
            "RegularExpression",
        ),
        (
            json!({ "matches": [{ "headers": [{ "type": "RegularExpression", "name": "a", "value": "b" }] }] }),
            "headers of the type",
        ),
        (
            json!({ "matches": [{ "path": { "value": "/a;b" } }] }),
            "is not a path",
        ),
        (
            json!({ "filters": [{ "type": "RequestMirror", "requestMirror": {} }] }),
            "RequestMirror",
        ),
        (
            json!({ "filters": [{ "type": "RequestHeaderModifier", "requestHeaderModifier": { "set": [{ "name": "Transfer-Encoding", "value": "chunked" }] } }] }),
            "`transfer-encoding` is the gateway's own",
        ),
        (
            json!({ "filters": [{ "type": "ResponseHeaderModifier", "responseHeaderModifier": { "add": [{ "name": "Content-Length", "value": "3" }] } }] }),
            "`content-length` is the gateway's own",
        ),
        (
            json!({ "filters": [{ "type": "ResponseHeaderModifier", "responseHeaderModifier": { "remove": ["Connection"] } }] }),
            "`connection` is the gateway's own",
        ),
        (
            json!({ "filters": [{ "type": "RequestHeaderModifier", "requestHeaderModifier": { "set": [{ "name": "Host", "value": "b.test" }] } }] }),
            "a route has a key for it",
        ),
        (json!({ "retry": { "attempts": 2 } }), "`retry`"),
        (json!({ "sessionPersistence": {} }), "`sessionPersistence`"),
        (json!({ "timeouts": { "request": "soon" } }), "no duration"),
        (
            json!({ "backendRefs": [{ "name": "t", "port": 80, "filters": [{}] }] }),
            "`filters` of a backend",
        ),
    ] {
        let mut world = open();
        world.route("a/r", &json!({ "rules": [change] }));
        let plan = world.plan(&[]);
        assert!(plan.rules.is_empty());
        assert_eq!(
            conditions(&plan)[0],
            condition("Accepted", "False", "UnsupportedValue")
        );
        assert!(plan.problems[0].text.contains(text), "{:?}", plan.problems);
    }
}

#[test]
fn backends_that_cannot_be_used_are_said_on_the_route() {
    for (backend, reason) in [
        (json!({ "name": "missing", "port": 80 }), "BackendNotFound"),
        (json!({ "name": "t", "port": 81 }), "BackendNotFound"),
        (json!({ "name": "t" }), "BackendNotFound"),
        (
            json!({ "name": "t", "namespace": "b", "port": 80 }),
            "RefNotPermitted",
        ),
        (
            json!({ "name": "t", "kind": "Bucket", "group": "x.test", "port": 80 }),
            "InvalidKind",
        ),
    ] {
        let mut world = open();
        for place in ["a/t", "b/t"] {
            world.raw_service(
                place,
                &json!({ "spec": { "clusterIP": "127.0.0.1", "ports": [{ "port": 80 }] } }),
            );
        }
        world.route("a/r", &json!({ "rules": [{ "backendRefs": [backend] }] }));
        let plan = world.plan(&[]);
        assert_eq!(
            conditions(&plan)[0],
            condition("Accepted", "True", "Accepted")
        );
        assert_eq!(
            conditions(&plan)[1],
            condition("ResolvedRefs", "False", reason)
        );
        assert_eq!(plan.problems.len(), 1, "{:?}", plan.problems);
    }
}

#[test]
fn a_reference_grant_opens_another_namespace() {
    for (from, name, granted) in [
        ("a", None, true),
        ("a", Some("t"), true),
        ("a", Some("u"), false),
        ("c", None, false),
    ] {
        let mut world = open();
        world.raw_service(
            "b/t",
            &json!({ "spec": { "clusterIP": "127.0.0.1", "ports": [{ "port": 80 }] } }),
        );
        let to = match name {
            Some(name) => json!({ "group": "", "kind": "Service", "name": name }),
            None => json!({ "group": "", "kind": "Service" }),
        };
        let grant = world.object("ReferenceGrant", "b/g", &json!({ "spec": {
            "from": [{ "group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "namespace": from }], "to": [to],
        } }));
        world
            .seen
            .grants
            .push(Arc::new(serde_json::from_value(grant).unwrap()));
        let backend = json!({ "name": "t", "namespace": "b", "port": 80 });
        world.route("a/r", &json!({ "rules": [{ "backendRefs": [backend] }] }));
        let reason = if granted {
            "ResolvedRefs"
        } else {
            "RefNotPermitted"
        };
        assert_eq!(conditions(&world.plan(&[]))[1].2, reason, "{from} {name:?}");
    }
}

#[test]
fn only_what_listeners_allow_is_taken() {
    let listener = |more: Value| {
        let mut listener = json!({ "name": "web", "port": 80, "protocol": "HTTP" });
        listener
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        json!([listener])
    };
    let all = json!({ "namespaces": { "from": "All" } });
    for (listeners, hosts, reason) in [
        (listener(json!({})), json!([]), "NotAllowedByListeners"),
        (
            listener(json!({ "allowedRoutes": { "namespaces": { "from": "Selector" } } })),
            json!([]),
            "NotAllowedByListeners",
        ),
        (
            listener(json!({ "allowedRoutes": all, "protocol": "TCP" })),
            json!([]),
            "NoMatchingParent",
        ),
        (
            listener(json!({ "allowedRoutes": all, "hostname": "x.test" })),
            json!(["y.test"]),
            "NoMatchingListenerHostname",
        ),
        (
            listener(json!({ "allowedRoutes": all, "hostname": "*.test" })),
            json!(["y.test"]),
            "Accepted",
        ),
    ] {
        let mut world = World::default();
        world.gateway("kubeflow/public", &listeners);
        world.route("a/r", &json!({ "hostnames": hosts, "rules": [{}] }));
        let plan = world.plan(&[]);
        assert_eq!(conditions(&plan)[0].2, reason, "{listeners}");
        assert_eq!(plan.rules.is_empty(), reason != "Accepted");
    }
    // Of another class: not ours to say anything about.
    let mut world = open();
    world.seen.classes.clear();
    world.route("a/r", &json!({ "rules": [{}] }));
    let plan = world.plan(&[]);
    assert!(plan.verdicts.is_empty() && plan.rules.is_empty());
}

#[test]
fn a_contested_path_is_said_on_the_route() {
    let mut world = open();
    for place in ["a/t", "b/t"] {
        world.raw_service(
            place,
            &json!({ "spec": { "clusterIP": "127.0.0.1", "ports": [{ "port": 80 }] } }),
        );
    }
    world.route("b/r", &rule("/hub/x", "t", 80));
    let plan = world.plan(&["--hub", "http://hub"]);
    assert_eq!(
        conditions(&plan)[0],
        condition("Accepted", "False", "Conflicted")
    );
    assert!(plan.rules.iter().all(|rule| rule.origin.object == "hub"));
}

#[test]
fn more_matches_than_are_taken_are_said_on_the_route() {
    let mut world = open();
    let hosts: Vec<_> = (0..16).map(|number| format!("h{number}.test")).collect();
    let paths = (0..10).map(|number| json!({ "path": { "value": format!("/{number}") } }));
    let matches: Vec<_> = paths.collect();
    let rules = json!([{ "matches": matches }, { "matches": matches, "name": "second" }]);
    world.route("a/r", &json!({ "hostnames": hosts, "rules": rules }));
    let plan = world.plan(&[]);
    assert_eq!(plan.rules.len(), 160);
    assert_eq!(
        conditions(&plan)[2],
        condition("PartiallyInvalid", "True", "UnsupportedValue")
    );
    assert!(plan.problems[0].text.contains("rule second: more than 256"));
}

#[test]
fn of_equal_rules_the_first_of_the_list_is_asked_first() {
    let mut world = open();
    let matched = |number: usize| {
        let header = json!({ "name": format!("x-{number}"), "value": "1" });
        json!({ "name": format!("rule-{}", 99 - number), "matches": [{ "headers": [header] }] })
    };
    let rules: Vec<_> = (0..12).map(matched).collect();
    world.route("a/r", &json!({ "rules": rules }));
    let rules = world.plan(&[]).rules;
    let numbers: Vec<_> = rules.iter().map(|rule| rule.origin.number).collect();
    assert_eq!(numbers, (0..12).collect::<Vec<_>>());
}

#[test]
fn a_status_that_says_it_already_stays_and_others_entries_stay_too() {
    let mut world = open();
    world.raw_service(
        "a/t",
        &json!({ "spec": { "clusterIP": "127.0.0.1", "ports": [{ "port": 80 }] } }),
    );
    world.route("a/r", &rule("/x", "t", 80));
    let other = json!({ "controllerName": "other.test/x", "parentRef": { "name": "public", "namespace": "kubeflow" }, "conditions": [] });
    let set = |world: &mut World, parents: &Value| {
        let mut route = (*world.seen.routes[0]).clone();
        route.data["status"] = json!({ "parents": parents });
        world.seen.routes[0] = Arc::new(route);
    };
    set(&mut world, &json!([other]));
    let parents = world.plan(&[]).verdicts[0]
        .parents(CONTROLLER, NOW)
        .unwrap();
    assert_eq!(parents.len(), 2);
    assert_eq!(parents[0], other);
    set(&mut world, &json!(parents));
    assert_eq!(
        world.plan(&[]).verdicts[0].parents(CONTROLLER, "later"),
        None
    );
    // What has changed has the time of the change, what has not keeps its own.
    world.seen.services.clear();
    let parents = world.plan(&[]).verdicts[0]
        .parents(CONTROLLER, "later")
        .unwrap();
    let conditions = &parents[1]["conditions"];
    assert_eq!(conditions[0]["lastTransitionTime"], NOW);
    assert_eq!(
        (
            &conditions[1]["status"],
            &conditions[1]["lastTransitionTime"]
        ),
        (&json!("False"), &json!("later"))
    );
}

#[test]
fn a_route_that_leaves_is_told_nothing_any_more() {
    let mut world = open();
    world.route("a/r", &json!({ "parentRefs": [{ "name": "theirs" }] }));
    assert!(world.plan(&[]).verdicts.is_empty());
    let entry = |controller: &str| json!({ "controllerName": controller, "conditions": [] });
    let other = entry("other.test/x");
    let mut route = (*world.seen.routes[0]).clone();
    route.data["status"] = json!({ "parents": [entry(CONTROLLER), other] });
    world.seen.routes[0] = Arc::new(route);
    let plan = world.plan(&[]);
    let told = plan.verdicts[0].parents(CONTROLLER, NOW);
    assert_eq!((told, plan.problems), (Some(vec![other]), vec![]));
}
