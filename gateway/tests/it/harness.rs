//! A gateway between real servers and real clients. What Kubernetes would show, the test says; a Service is at loopback.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use carrel_gateway::admin::{Admin, router};
use carrel_gateway::health::Health;
use carrel_gateway::options::Options;
use carrel_gateway::plan::{Plan, Seen, plan};
use carrel_gateway::switch::Chooser;
use carrel_gateway::table::{Tables, Trusts};
use carrel_proxy::{Gateway, ServeOptions, Trust, serve};
use clap::Parser;
use reqwest::redirect::Policy;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::rustls::RootCertStore;

/// Bound of every wait; no test comes near it unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    options: Options,
}

pub fn options(arguments: &[&str]) -> Options {
    let program = ["carrel-gateway", "--home", "kubeflow"].iter();
    Program::parse_from(program.chain(arguments)).options
}

/// What a cluster has.
#[derive(Default)]
pub struct World {
    pub seen: Seen,
    count: i64,
}

impl World {
    /// An object in the namespace of `place`, `namespace/name`, younger than all before it.
    pub fn object(&mut self, kind: &str, place: &str, rest: &Value) -> Value {
        let (namespace, name) = place.split_once('/').unwrap();
        self.count += 1;
        let created = format!("2026-01-01T00:00:{:02}Z", self.count);
        let mut object = json!({
            "apiVersion": "v1", "kind": kind,
            "metadata": {
                "name": name, "namespace": namespace, "creationTimestamp": created, "generation": 1,
                "resourceVersion": self.count.to_string(),
            },
        });
        merge(&mut object, rest);
        object
    }

    /// A Service whose port is that of a server of the test.
    pub fn service(&mut self, place: &str, address: SocketAddr, annotation: &str) {
        let rest = json!({
            "metadata": { "annotations": { "getambassador.io/config": annotation } },
            "spec": { "clusterIP": "127.0.0.1", "ports": [{ "port": address.port() }] },
        });
        self.raw_service(place, &rest);
    }

    pub fn raw_service(&mut self, place: &str, rest: &Value) {
        let object = self.object("Service", place, rest);
        let service = serde_json::from_value(object).unwrap();
        self.seen.services.push(Arc::new(service));
    }

    /// A Service with a Mapping of one prefix to itself.
    pub fn mapped(&mut self, place: &str, address: SocketAddr, fields: &str) {
        let name = place.split_once('/').unwrap().1;
        let text = mapping(name, address.port(), fields);
        self.service(place, address, &text);
    }

    /// A Gateway of our class, with this `spec`'s listeners.
    pub fn gateway(&mut self, place: &str, listeners: &Value) {
        let class = self.object(
            "GatewayClass",
            "none/carrel",
            &json!({
                "spec": { "controllerName": "carrel.dev/gateway" },
            }),
        );
        let gateway = self.object(
            "Gateway",
            place,
            &json!({
                "spec": { "gatewayClassName": "carrel", "listeners": listeners },
            }),
        );
        self.seen
            .classes
            .push(Arc::new(serde_json::from_value(class).unwrap()));
        self.seen
            .gateways
            .push(Arc::new(serde_json::from_value(gateway).unwrap()));
    }

    /// An HTTPRoute of the Gateway kubeflow/public.
    pub fn route(&mut self, place: &str, spec: &Value) {
        let mut rest =
            json!({ "spec": { "parentRefs": [{ "name": "public", "namespace": "kubeflow" }] } });
        merge(&mut rest["spec"], spec);
        let route = self.object("HTTPRoute", place, &rest);
        self.seen
            .routes
            .push(Arc::new(serde_json::from_value(route).unwrap()));
    }

    pub fn plan(&self, arguments: &[&str]) -> Plan {
        plan(&options(arguments).routes, &self.seen)
    }

    pub async fn start(&self, arguments: &[&str]) -> TestGateway {
        TestGateway::start(options(arguments), &self.seen).await
    }
}

pub fn mapping(name: &str, port: u16, fields: &str) -> String {
    format!(
        "---\napiVersion: ambassador/v0\nkind: Mapping\nname: {name}\nservice: {name}:{port}\n{fields}\n"
    )
}

/// Puts what `more` has into `into`, objects into objects.
fn merge(into: &mut Value, more: &Value) {
    let Value::Object(more) = more else {
        *into = more.clone();
        return;
    };
    for (key, value) in more {
        merge(&mut into[key], value);
    }
}

pub struct TestGateway {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub health: Arc<Health>,
    tables: Tables,
    options: Options,
    client: Client,
}

impl TestGateway {
    async fn start(options: Options, seen: &Seen) -> Self {
        let trusts = Trusts {
            verified: Trust::roots(RootCertStore::empty()).unwrap(),
            blind: Trust::blind().unwrap(),
        };
        Self::trusting(trusts, options, seen).await
    }

    pub async fn trusting(trusts: Trusts, options: Options, seen: &Seen) -> Self {
        let tables = Tables::new(trusts);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let chooser = Chooser::new(tables.clone(), &options.trusted_proxies);
        let serving = ServeOptions::default();
        tokio::spawn(serve(
            listener,
            Gateway(chooser),
            std::future::pending(),
            serving,
        ));
        let health = Arc::new(Health::default());
        let page = router(Admin {
            tables: tables.clone(),
            health: health.clone(),
        });
        let gateway = Self {
            address,
            admin: server(page).await,
            health,
            tables,
            options,
            client: Client::builder().redirect(Policy::none()).build().unwrap(),
        };
        gateway.show(seen);
        gateway
    }

    /// The cluster has changed.
    pub fn show(&self, seen: &Seen) {
        let plan = plan(&self.options.routes, seen);
        self.tables.set(plan.rules, plan.problems);
    }

    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let url = format!("http://{}{path}", self.address);
        let request = self.client.request(method.parse().unwrap(), url);
        request.timeout(PATIENCE)
    }

    pub async fn get(&self, path: &str) -> Response {
        self.request("GET", path).send().await.unwrap()
    }

    /// Status and text.
    pub async fn text(&self, path: &str) -> (u16, String) {
        read(self.get(path).await).await
    }

    /// The same at a host.
    pub async fn text_at(&self, host: &str, path: &str) -> (u16, String) {
        let request = self.request("GET", path).header("host", host);
        read(request.send().await.unwrap()).await
    }

    pub async fn of_admin(&self, path: &str) -> (u16, String) {
        let url = format!("http://{}{path}", self.admin);
        read(self.client.get(url).timeout(PATIENCE).send().await.unwrap()).await
    }
}

pub async fn read(response: Response) -> (u16, String) {
    (response.status().as_u16(), response.text().await.unwrap())
}

pub async fn server(router: Router) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await });
    address
}

/// A server whose answers tell its name and what it was asked for.
pub async fn named(name: &'static str) -> SocketAddr {
    server(Router::new().fallback(async move |request: Request| {
        format!("{name} {} {}", request.method(), request.uri())
    }))
    .await
}

/// A server that keeps the headers of the last request.
pub async fn listening() -> (SocketAddr, Arc<Mutex<HeaderMap>>) {
    let heard = Arc::new(Mutex::new(HeaderMap::new()));
    let kept = heard.clone();
    let router = Router::new().fallback(async move |request: Request<Body>| {
        *kept.lock().unwrap() = request.headers().clone();
        "heard"
    });
    (server(router).await, heard)
}

/// An address where nobody listens.
pub async fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}
