//! Which request goes where.

use carrel_proxy::{NewRoute, RouteError, Routes};
use tokio::net::TcpListener;

use crate::harness::{TestProxy, named};

fn table(prefixes: &[&str]) -> Routes {
    let routes = Routes::new();
    for (port, prefix) in (1..).zip(prefixes) {
        routes
            .add(prefix, format!("http://127.0.0.1:{port}").parse().unwrap())
            .unwrap();
    }
    routes
}

#[tokio::test]
async fn the_longest_prefix_by_whole_segments_gets_the_request() {
    let proxy = TestProxy::start().await;
    for (prefix, name) in [
        ("/user/a/", "a"),
        ("/user/ab/", "ab"),
        ("/user/a/gpu/", "gpu"),
        ("/user/é ü@x/", "é"),
    ] {
        proxy.route(prefix, named(name).await);
    }
    proxy.route("/user/x%2Fy/", named("x/y").await);
    for (path, server) in [
        ("/user/a", "a"),
        ("/user/a/", "a"),
        ("/user/a?next=/user/ab/", "a"),
        ("/user/a/lab/tree/1/2/3/4/5", "a"),
        ("/user/a/gpu/lab", "gpu"),
        ("/user/a/gpux", "a"),
        ("/user/ab/", "ab"),
        ("/user/%61/", "a"),
        ("/user/%61%62/x", "ab"),
        ("/%75ser/a/%67pu", "gpu"),
        ("/user/%C3%A9%20%c3%bc@x/", "é"),
        ("/user/%c3%a9%20%C3%BC%40x/", "é"),
        ("/user/x%2Fy/", "x/y"),
        ("/user/x%2fy", "x/y"),
        // What the target makes of these is its own affair: they cannot come out at another target.
        ("/user/a/../ab/", "a"),
        ("/user/a/%2e%2e/ab/", "a"),
        ("/user/a/..%2Fab/", "a"),
        ("/user/a//gpu", "a"),
    ] {
        assert_eq!(proxy.get(path).await.text(), format!("{server} {path}"));
    }
    for path in [
        "/",
        "/user",
        "/user/",
        "/user/abc",
        "/user/a%2Fgpu",
        "/user%2Fa/",
        "//user/a/",
        "/user/x/y/",
        "/USER/a",
    ] {
        assert_eq!(proxy.get(path).await.text(), format!("fallback for {path}"));
    }
}

#[tokio::test]
async fn a_route_at_the_root_takes_all_others() {
    let proxy = TestProxy::start().await;
    proxy.route("/", named("hub").await);
    proxy.route("/user/a/", named("a").await);
    assert_eq!(proxy.get("/user/b/").await.text(), "hub /user/b/");
    assert_eq!(proxy.get("/user/a/").await.text(), "a /user/a/");
}

#[tokio::test]
async fn a_moved_route_leads_to_the_new_target() {
    let proxy = TestProxy::to(named("old").await).await;
    let mut client = proxy.connect().await;
    assert_eq!(client.get("/user/a/").await.text(), "old /user/a/");
    proxy.route("/user/a/", named("new").await);
    assert_eq!(client.get("/user/a/").await.text(), "new /user/a/");
    assert!(proxy.routes.remove("/user/a/"));
    assert_eq!(client.get("/user/a/").await.text(), "fallback for /user/a/");
}

#[tokio::test]
async fn requests_go_on_while_routes_come_and_go() {
    let proxy = TestProxy::to(named("a").await).await;
    let other = named("other").await;
    let routes = proxy.routes.clone();
    let changes = tokio::task::spawn_blocking(move || {
        for round in 0..500 {
            let prefix = format!("/user/u{}/", round % 50);
            routes
                .add(&prefix, format!("http://{other}").parse().unwrap())
                .unwrap();
            if round % 3 == 0 {
                routes.remove(&prefix);
            }
        }
    });
    let clients: Vec<_> = (0..8)
        .map(|_| async {
            let mut client = proxy.connect().await;
            for _ in 0..100 {
                assert_eq!(client.get("/user/a/x").await.text(), "a /user/a/x");
            }
        })
        .collect();
    futures_util::future::join_all(clients).await;
    changes.await.unwrap();
}

#[test]
fn routes_are_listed_as_they_were_added() {
    let routes = table(&["/user/b/", "/user/a%20b/", "/"]);
    let prefixes: Vec<_> = routes
        .list()
        .into_iter()
        .map(|route| route.prefix)
        .collect();
    assert_eq!(prefixes, ["/", "/user/a%20b/", "/user/b/"]);
    assert_eq!(routes.get("/user/a b").unwrap().target.port(), Some(2));
    assert!(routes.get("/user").is_none());
    assert!(routes.remove("/user/b"));
    assert!(!routes.remove("/user/b/"));
    assert_eq!(routes.list().len(), 2);
}

#[test]
fn only_http_targets_and_absolute_prefixes_are_taken() {
    let routes = Routes::new();
    let target = "http://127.0.0.1:1".parse::<url::Url>().unwrap();
    assert_eq!(
        routes.add("user/a", target),
        Err(RouteError::Prefix("user/a".to_owned()))
    );
    for target in ["https://127.0.0.1:1", "unix:/run/x", "data:,"] {
        let target: url::Url = target.parse().unwrap();
        assert_eq!(
            routes.add("/user/a", target.clone()),
            Err(RouteError::Target(target))
        );
    }
    assert!(routes.list().is_empty());
}

#[tokio::test]
async fn answers_are_activity_of_their_route_alone() {
    let proxy = TestProxy::to(named("a").await).await;
    proxy.route("/user/b/", named("b").await);
    let at_start = proxy.routes.last_activity("/user/b/").unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await; // Activity counts in whole seconds.
    proxy.get("/user/a/").await;
    assert!(proxy.routes.last_activity("/user/a/").unwrap() > at_start);
    assert_eq!(proxy.routes.last_activity("/user/b/"), Some(at_start));
    assert_eq!(proxy.routes.last_activity("/user/c/"), None);
}

#[tokio::test]
async fn a_path_without_a_route_may_find_one() {
    let routes = Routes::new();
    let (backend, table) = (named("late").await, routes.clone());
    let proxy = TestProxy::missing(routes.clone(), move |path| {
        let (path, table) = (path.to_owned(), table.clone());
        path.starts_with("/user/").then_some(async move {
            let found = path.starts_with("/user/late/");
            if found {
                let target = format!("http://{backend}").parse().unwrap();
                table.add("/user/late/", target).unwrap();
            }
            found
        })
    })
    .await;
    for (path, answer) in [
        ("/hub/", "fallback for /hub/"),
        ("/user/other/", "fallback for /user/other/"),
        ("/user/late/x", "late /user/late/x"),
    ] {
        assert_eq!(proxy.get(path).await.text(), answer);
    }
    assert_eq!(routes.list().len(), 1);
}

#[tokio::test]
async fn a_further_target_is_for_when_those_before_cannot_be_connected() {
    let proxy = TestProxy::start().await;
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = |address| format!("http://{address}").parse().unwrap();
    let targets = vec![
        target(closed.local_addr().unwrap()),
        target(named("second").await),
    ];
    drop(closed);
    let new = NewRoute {
        targets,
        data: Default::default(),
        last_activity: None,
    };
    proxy.routes.put("/", new).unwrap();
    for _ in 0..2 {
        assert_eq!(proxy.get("/x").await.text(), "second /x");
    }
}

#[tokio::test]
async fn a_host_may_stand_before_the_path() {
    let proxy = TestProxy::by_host().await;
    proxy.route("/alice.hub.test/user/alice/", named("alice").await);
    proxy.route("/bob.hub.test/user/bob/", named("bob").await);
    let get = async |host: &str, path: &str| {
        let mut client = proxy.connect().await;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        client.send(&request).await;
        client.answer().await
    };
    for (host, path, answer) in [
        (
            "alice.hub.test:8000",
            "/user/alice/lab",
            "alice /user/alice/lab",
        ),
        ("ALICE.hub.test", "/user/alice", "alice /user/alice"),
        ("bob.hub.test", "/user/bob/x", "bob /user/bob/x"),
        ("bob.hub.test", "/user/alice/", "fallback for /user/alice/"),
        ("hub.test", "/user/alice/", "fallback for /user/alice/"),
        (
            "hub.test",
            "/alice.hub.test/user/alice/",
            "fallback for /alice.hub.test/user/alice/",
        ),
        (
            "evil/alice.hub.test",
            "/user/alice/",
            "fallback for /user/alice/",
        ),
    ] {
        assert_eq!(get(host, path).await.text(), answer, "{host} {path}");
    }
}
