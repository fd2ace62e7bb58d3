//! Targets that speak TLS: their certificates are verified unless an option says otherwise.

use std::net::SocketAddr;

use carrel_gateway::table::Trusts;
use carrel_proxy::{Proxy, Routes, ServeOptions, Tls, Trust, serve};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::rustls::RootCertStore;

use crate::harness::{TestGateway, World, mapping, named, options};

/// A target with a certificate for `host`, and who trusts it.
async fn secure(host: &str) -> (SocketAddr, RootCertStore) {
    let made = rcgen::generate_simple_self_signed([host.to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (key, certificate) = (folder.path().join("key"), folder.path().join("certificate"));
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    let routes = Routes::new();
    let inner = format!("http://{}", named("secure").await);
    routes.add("/", inner.parse().unwrap()).unwrap();
    let options = ServeOptions {
        tls: Some(Tls::open(key, certificate).unwrap()),
        ..ServeOptions::default()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let proxy = Proxy::new(routes, axum::Router::new());
    tokio::spawn(serve(listener, proxy, std::future::pending(), options));
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    (address, roots)
}

fn trusts(roots: RootCertStore) -> Trusts {
    Trusts {
        verified: Trust::roots(roots).unwrap(),
        blind: Trust::blind().unwrap(),
    }
}

#[tokio::test]
async fn a_certificate_is_verified_by_the_name_of_the_service() {
    let (address, roots) = secure("m.a.svc").await;
    for (place, roots, arguments, status) in [
        ("a/m", roots.clone(), &[][..], 200),
        ("b/m", roots, &[][..], 503),
        ("a/m", RootCertStore::empty(), &[][..], 503),
        (
            "a/m",
            RootCertStore::empty(),
            &["--unverified", "m.b"][..],
            503,
        ),
        (
            "a/m",
            RootCertStore::empty(),
            &["--unverified", "m.a"][..],
            200,
        ),
    ] {
        let mut world = World::default();
        let text = mapping("m", address.port(), "prefix: /m/\ntls: true");
        let spec = json!({ "clusterIP": "127.0.0.1", "ports": [{ "port": address.port() }] });
        let annotations = json!({ "getambassador.io/config": text });
        world.raw_service(
            place,
            &json!({ "metadata": { "annotations": annotations }, "spec": spec }),
        );
        let gateway = TestGateway::trusting(trusts(roots), options(arguments), &world.seen).await;
        let (given, text) = gateway.text("/m/x").await;
        assert_eq!(given, status, "{place} {arguments:?} {text}");
        assert_eq!(text == "secure GET /x", status == 200);
    }
}

#[tokio::test]
async fn the_dashboard_of_kubernetes_may_have_made_its_own() {
    let (address, _) = secure("whoever").await;
    let url = format!("https://{address}");
    for (more, status) in [(&[][..], 503), (&["--unverified", "127.0.0.1"][..], 200)] {
        let mut arguments = vec!["--kubernetes-dashboard", &url];
        arguments.extend(more);
        let gateway = World::default().start(&arguments).await;
        assert_eq!(gateway.get("/k8s/ui/").await.status(), status);
    }
}
