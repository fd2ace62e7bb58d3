//! Who tries to take over the routes of others, and does not.

use serde_json::json;

use crate::harness::{World, mapping, named};

/// A gateway with all that is built in.
async fn built_in() -> Vec<String> {
    let mut arguments = Vec::new();
    for (option, name) in [
        ("--hub", "hub"),
        ("--dashboard", "dashboard"),
        ("--jobs-dashboard", "jobs"),
        ("--kubernetes-dashboard", "k8s"),
    ] {
        let name = Box::leak(name.to_owned().into_boxed_str());
        arguments.extend([option.to_owned(), format!("http://{}", named(name).await)]);
    }
    arguments
}

fn strs(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

#[tokio::test]
async fn what_is_built_in_leads_where_the_options_say() {
    let arguments = built_in().await;
    let gateway = World::default().start(&strs(&arguments)).await;
    for (path, text) in [
        ("/", "dashboard GET /"),
        ("/anything", "dashboard GET /anything"),
        ("/hub/login?next=x", "hub GET /hub/login?next=x"),
        ("/hub", "hub GET /hub"),
        ("/user/a/lab", "hub GET /user/a/lab"),
        ("/services/training/", "hub GET /services/training/"),
        ("/tfjobs/ui/", "jobs GET /tfjobs/ui/"),
        ("/k8s/ui/#!/", "k8s GET /"),
    ] {
        assert_eq!(gateway.text(path).await, (200, text.to_owned()), "{path}");
    }
    let mut arguments = arguments;
    arguments.drain(2..4);
    let gateway = World::default().start(&strs(&arguments)).await;
    assert_eq!(gateway.text("/x").await.1, "hub GET /x");
}

#[tokio::test]
async fn nobody_takes_what_is_built_in() {
    let arguments = built_in().await;
    let thief = named("thief").await;
    let mut world = World::default();
    let attempts = [
        "prefix: /hub/",
        "prefix: /hub/login",
        "prefix: /%68ub/",
        "prefix: /user/ada/",
        "prefix: /services/dashboard/",
        "prefix: /tfjobs/",
        "prefix: /k8s/ui/x",
        // It would set cookies and workers for what is below.
        "prefix: /k8s/",
        "prefix: /%6b8s\nhost: hub.test",
        "prefix: /",
        "prefix: ///",
        "prefix: /hub/\nhost: hub.test",
        "prefix: /\nhost: hub.test",
        "prefix: /\nhost: '*.test'",
        "prefix: /hub/\nmethod: POST",
        "prefix: /hub/\nheaders: {x-a: b}",
    ];
    for (number, fields) in attempts.iter().enumerate() {
        // Even beside the gateway.
        let place = ["kubeflow", "students"][number % 2];
        world.mapped(&format!("{place}/thief-{number}"), thief, fields);
    }
    let plan = world.plan(&strs(&arguments));
    assert_eq!(plan.problems.len(), attempts.len(), "{:#?}", plan.problems);
    let held = plan
        .problems
        .iter()
        .all(|problem| problem.text.contains("(built in)"));
    assert!(held, "{:#?}", plan.problems);
    let gateway = world.start(&strs(&arguments)).await;
    for path in [
        "/",
        "/hub/login",
        "/user/ada/",
        "/services/dashboard/",
        "/tfjobs/",
        "/k8s/ui/x",
    ] {
        let (status, text) = gateway.text_at("hub.test", path).await;
        assert_eq!(status, 200);
        assert!(!text.contains("thief"), "{path}: {text}");
    }
}

#[test]
fn no_route_takes_the_start_page_alone_or_what_is_above_the_hub() {
    for (path, holder) in [
        ("/", "/ is held by dashboard (built in)"),
        ("/x", ""),
        ("/jupyter", "/jupyter/hub/ is held by hub (built in)"),
        ("/jupyter/", "/jupyter/hub/ is held by hub (built in)"),
        ("/jupyter/x", ""),
    ] {
        for kind in ["Exact", "PathPrefix"] {
            let options: &[&str] = match path {
                "/" => &["--dashboard", "http://dashboard.test"],
                _ => &["--hub", "http://hub.test", "--hub-base", "/jupyter/"],
            };
            let mut world = World::default();
            world.gateway(
                "kubeflow/public",
                &json!([{ "name": "all", "port": 80, "protocol": "HTTP", "allowedRoutes": { "namespaces": { "from": "All" } } }]),
            );
            world.route(
                "a/r",
                &json!({ "rules": [{ "matches": [{ "path": { "type": kind, "value": path } }] }] }),
            );
            let plan = world.plan(options);
            let texts: Vec<_> = plan
                .problems
                .iter()
                .map(|problem| problem.text.as_str())
                .collect();
            let expected: &[&str] = if holder.is_empty() { &[] } else { &[holder] };
            assert_eq!(texts, expected, "{kind} {path}");
        }
    }
}

#[tokio::test]
async fn the_eldest_holder_of_a_path_keeps_it() {
    let (elder, thief) = (named("elder").await, named("thief").await);
    let mut world = World::default();
    world.mapped("a/elder", elder, "prefix: /models/x/");
    let attempts = [
        "prefix: /models/x/",
        "prefix: /models/x",
        "prefix: /models/x/v1/",
        "prefix: /models/%78/",
        "prefix: /models/x/\nmethod: GET",
        "prefix: /models/x/\nheaders: {user-agent: true}",
        "prefix: /models/x/\nhost: hub.test",
        // It would set cookies and workers for what is below.
        "prefix: /models/",
        "prefix: /models/\nhost: hub.test",
        "prefix: /\nhost: '*.test'",
    ];
    for (number, fields) in attempts.iter().enumerate() {
        world.mapped(&format!("b/thief-{number}"), thief, fields);
    }
    world.mapped("b/beside", thief, "prefix: /models/xy/");
    // A namespace may do so to itself.
    world.mapped("c/first", elder, "prefix: /mine/x/");
    world.mapped("c/above", elder, "prefix: /mine/");
    let problems = world.plan(&[]).problems;
    assert_eq!(problems.len(), attempts.len(), "{problems:#?}");
    for problem in &problems {
        let holder = "is held by Mapping elder of the Service a/elder";
        assert!(problem.text.contains(holder), "{problem:?}");
    }
    let gateway = world.start(&[]).await;
    for path in ["/models/x/", "/models/x/v1/", "/models/x"] {
        for host in ["hub.test", "else"] {
            let text = gateway.text_at(host, path).await.1;
            assert!(text.starts_with("elder"), "{host} {path}: {text}");
        }
    }
    let text = gateway.text("/models/xy/").await.1;
    assert!(text.starts_with("thief"), "{text}");
    assert_eq!(gateway.text("/models/y").await.0, 404);
    let text = gateway.text("/mine/y").await.1;
    assert!(text.starts_with("elder"), "{text}");
}

/// At its host what the elder does not hold would be the younger's, and with it cookies for all below.
#[test]
fn a_route_for_any_host_is_not_above_an_elder_at_its_own() {
    let address = "127.0.0.1:80".parse().unwrap();
    let mut world = World::default();
    world.mapped("a/elder", address, "prefix: /models/x/\nhost: a.test");
    world.mapped("b/above", address, "prefix: /models/");
    world.mapped("b/same", address, "prefix: /models/x/");
    world.mapped("b/below", address, "prefix: /models/x/y/");
    world.mapped("b/elsewhere", address, "prefix: /models/\nhost: b.test");
    let problems = world.plan(&[]).problems;
    let about: Vec<_> = problems.iter().map(|one| one.about.as_str()).collect();
    assert_eq!(about, ["Mapping above of the Service b/above"]);
}

#[tokio::test]
async fn of_one_age_the_name_decides_and_a_namespace_does_not_contest_itself() {
    let target = named("m").await;
    let rest = |name: &str, prefix: &str| {
        let text = mapping(name, target.port(), &format!("prefix: {prefix}"));
        json!({
            "metadata": { "creationTimestamp": "2026-01-01T00:00:00Z", "annotations": { "getambassador.io/config": text } },
            "spec": { "clusterIP": "127.0.0.1", "ports": [{ "port": target.port() }] },
        })
    };
    let mut world = World::default();
    world.raw_service("b/m", &rest("m", "/x/"));
    world.raw_service("a/m", &rest("m", "/x/"));
    world.raw_service("a/n", &rest("n", "/x/deep/"));
    world.raw_service("a/o", &rest("o", "/x/"));
    let problems = world.plan(&[]).problems;
    let about: Vec<_> = problems
        .iter()
        .map(|problem| problem.about.as_str())
        .collect();
    assert_eq!(
        about,
        [
            "Mapping m of the Service b/m",
            "Mapping o of the Service a/o"
        ]
    );
    assert!(problems[1].text.contains("takes the same requests"));
}

#[tokio::test]
async fn with_hosts_of_its_own_the_gateway_leaves_others_to_routes() {
    let mut arguments = built_in().await;
    arguments.extend(["--host".to_owned(), "hub.test".to_owned()]);
    let mut world = World::default();
    world.mapped("a/shop", named("shop").await, "prefix: /\nhost: shop.test");
    world.mapped("a/thief", named("thief").await, "prefix: /\nhost: hub.test");
    world.mapped("a/all", named("all").await, "prefix: /hub/");
    let problems = world.plan(&strs(&arguments)).problems;
    assert_eq!(problems.len(), 1, "{problems:#?}");
    let gateway = world.start(&strs(&arguments)).await;
    assert_eq!(
        gateway.text_at("shop.test", "/hub/").await.1,
        "shop GET /hub/"
    );
    assert_eq!(
        gateway.text_at("hub.test", "/hub/").await.1,
        "hub GET /hub/"
    );
    assert_eq!(
        gateway.text_at("hub.test", "/x").await.1,
        "dashboard GET /x"
    );
    assert_eq!(gateway.text_at("else.test", "/hub/x").await.1, "all GET /x");
}

#[test]
fn one_namespace_asks_for_no_more_rules_than_requests_can_go_through() {
    let many = |from: usize, to: usize| {
        let one = |number| mapping(&format!("m{number}"), 80, &format!("prefix: /m{number}/"));
        (from..to).map(one).collect::<String>()
    };
    let mut world = World::default();
    let address = "127.0.0.1:80".parse().unwrap();
    world.service("a/elder", address, &many(0, 200));
    world.service("a/younger", address, &many(200, 300));
    world.service("b/other", address, &many(300, 400));
    let plan = world.plan(&["--hub", "http://hub.test"]);
    let of = |object: &str| {
        let rules = plan.rules.iter();
        rules.filter(|rule| rule.origin.object == object).count()
    };
    let counts = ["elder", "younger", "other", "hub"].map(of);
    assert_eq!(counts, [200, 56, 100, 4]);
    let texts = plan.problems.iter().map(|problem| problem.to_owned());
    let texts: Vec<_> = texts
        .filter(|problem| problem.text.contains("256"))
        .collect();
    let [surplus] = texts.as_slice() else {
        panic!("{texts:#?}");
    };
    assert_eq!(surplus.about, "Mapping * of the Service a/younger");
}
