//! Routes to servers: they follow the database, whichever Hub writes to it.

use std::time::Duration;

use carrel_hub::config::Config;
use carrel_hub::proxy::Route;
use carrel_hub::servers;

use crate::harness::{Behaviour, FakeSpawner, TestHub, wait_for};

/// Checks come only when they are asked for.
async fn unchecked() -> TestHub {
    let hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), |config| {
        config.jupyter_hub.proxy_check_interval = Duration::from_secs(3600);
        config.authenticator.allow_all = true;
    })
    .await;
    // The first is at the beginning.
    servers::check_routes(&hub.app).await.unwrap();
    hub
}

async fn routes(hub: &TestHub) -> Vec<(String, String)> {
    let routes = hub.app.routing.proxy.get_all_routes().await.unwrap();
    let routes = routes.into_iter().map(|found| found.route);
    routes
        .map(|route| (route.prefix, route.target.to_string()))
        .collect()
}

fn route(prefix: &str) -> Route {
    Route {
        prefix: prefix.to_owned(),
        target: "http://127.0.0.1:1".parse().unwrap(),
        data: Default::default(),
    }
}

#[tokio::test]
async fn a_check_adds_moves_and_takes_out_routes() {
    let hub = unchecked().await;
    let browser = hub.admin().await;
    browser.spawn_ready("admin").await;
    let good = routes(&hub).await;
    assert_eq!(good.len(), 1);
    let proxy = &hub.app.routing.proxy;

    proxy.delete_route("/user/admin/").await.unwrap();
    proxy.add_route(route("/user/gone/")).await.unwrap();
    servers::check_routes(&hub.app).await.unwrap();
    assert_eq!(routes(&hub).await, good);

    proxy.add_route(route("/user/admin/")).await.unwrap();
    assert_ne!(routes(&hub).await, good);
    servers::check_routes(&hub.app).await.unwrap();
    assert_eq!(routes(&hub).await, good);
    browser.get("/user/admin/lab").await.expect(200);
}

#[tokio::test]
async fn checks_come_by_themselves() {
    let often = |config: &mut Config| {
        config.jupyter_hub.proxy_check_interval = Duration::from_millis(50);
    };
    let hub = TestHub::configured(FakeSpawner::new(Behaviour::Answers), often).await;
    let proxy = &hub.app.routing.proxy;
    proxy.add_route(route("/user/gone/")).await.unwrap();
    wait_for("a check", || async {
        routes(&hub).await.is_empty().then_some(())
    })
    .await;
}

/// The address is there before the server is ready, and must not go in between.
#[tokio::test]
async fn the_route_of_a_server_that_starts_is_left_alone() {
    let hub = TestHub::configured(FakeSpawner::new(Behaviour::Silent), |config| {
        config.spawner.http_timeout = Duration::from_secs(600);
    })
    .await;
    let browser = hub.admin().await;
    browser.spawn().await.expect(303);
    let proxy = &hub.app.routing.proxy;
    proxy.add_route(route("/user/admin/")).await.unwrap();
    servers::check_routes(&hub.app).await.unwrap();
    assert_eq!(routes(&hub).await.len(), 1);
}

#[tokio::test]
async fn a_server_is_served_by_the_hub_that_did_not_start_it() {
    let hub = unchecked().await;
    let other = hub.beside().await;
    servers::check_routes(&other.app).await.unwrap();
    let browser = hub.admin().await;
    let unchecked = other.app.routing.checking.lock().await;
    browser.spawn_ready("admin").await;
    assert_eq!(routes(&other).await, []);

    // The path may be written in another way than the route.
    let reply = other.browser().get("/user/%61dmin/lab").await.expect(200);
    assert_eq!(reply.body, "answer of the server");
    assert_eq!(routes(&other).await, routes(&hub).await);
    let reply = other.browser().get("/user/nobody/lab").await;
    assert_ne!(reply.status, 200);
    drop(unchecked);

    browser
        .submit("/hub/home", "/hub/stop/admin", &[])
        .await
        .expect(303);
    assert_eq!(routes(&hub).await, []);
    servers::check_routes(&other.app).await.unwrap();
    assert_eq!(routes(&other).await, []);
}

#[tokio::test]
async fn a_named_server_is_found_beside_its_users_own() {
    let hub = unchecked().await;
    let other = hub.beside().await;
    let browser = hub.admin().await;
    for path in ["/users/admin/server", "/users/admin/servers/gpu-one"] {
        crate::harness::three::post(&browser, path, serde_json::json!({}))
            .await
            .expect(202);
    }
    wait_for("both servers", || async {
        (routes(&hub).await.len() == 2).then_some(())
    })
    .await;
    let found = async || {
        let reply = other.browser().get("/user/admin/gpu-one/lab").await;
        (reply.status == 200).then_some(())
    };
    wait_for("the named server", found).await;
    wait_for("the same routes", || async {
        servers::check_routes(&other.app).await.unwrap();
        (routes(&other).await == routes(&hub).await).then_some(())
    })
    .await;
}
