//! A model server in this process, on ports of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use carrel_model_server::config::{Config, ModelConfig};
use carrel_model_server::models::Models;
use carrel_model_server::service::{Access, Limits, Service};
use carrel_model_server::{grpc, http, run};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::networks::{F32, I64, engines, network, node, value};

/// Nothing that is waited for takes longer.
const PATIENCE: Duration = Duration::from_secs(30);
pub const LIMITS: Limits = Limits {
    largest_body: 1 << 20,
    bodies: 64 << 20,
};

/// How long a client may be silent.
pub const HEAD: Duration = Duration::from_secs(5);

/// Everybody may ask for everything.
pub fn all_access() -> Access {
    Access {
        model_control: true,
        ..Access::default()
    }
}

pub struct Server {
    pub service: Arc<Service>,
    pub address: String,
    /// HOST:PORT of gRPC.
    pub grpc: String,
    pub client: reqwest::Client,
}

impl Server {
    /// A server of these models whose first look at them is done; none without ONNX Runtime.
    pub async fn start(models: Vec<ModelConfig>) -> Option<Self> {
        Self::start_with(models, LIMITS, all_access()).await
    }

    /// The same, with other limits, or for others than everybody.
    pub async fn start_with(
        models: Vec<ModelConfig>,
        limits: Limits,
        access: Access,
    ) -> Option<Self> {
        let models = Models::new(engines()?, Config { models });
        let service = Arc::new(Service::new(Arc::new(models), limits, access));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let router = http::router(Arc::clone(&service));
        let never = std::future::pending();
        tokio::spawn(http::serve::serve(listener, router, None, HEAD, never));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let grpc = listener.local_addr().unwrap().to_string();
        let never = std::future::pending();
        tokio::spawn(grpc::serve(listener, Arc::clone(&service), None, never));
        let period = Duration::from_millis(20);
        tokio::spawn(run::watch(Arc::clone(&service), None, period));
        let client = reqwest::Client::new();
        let server = Self {
            service,
            address,
            grpc,
            client,
        };
        server
            .until(async || server.get("/readyz").await.status() == StatusCode::OK)
            .await;
        Some(server)
    }

    /// A server of one model with one version of [`doubling`].
    pub async fn with_doubling() -> Option<(TempDir, Self)> {
        let base = TempDir::new().unwrap();
        doubling(&base.path().join("1"));
        let server = Self::start(vec![ModelConfig::new("m", base.path())]).await?;
        Some((base, server))
    }

    pub async fn get(&self, path: &str) -> Response {
        let sent = self.client.get(format!("{}{path}", self.address)).send();
        sent.await.unwrap()
    }

    pub async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> Response {
        let request = self.client.post(format!("{}{path}", self.address));
        request.body(body).send().await.unwrap()
    }

    pub async fn json(&self, path: &str, body: &Value) -> (StatusCode, Value) {
        answer(self.post(path, body.to_string()).await).await
    }

    /// Waits for a condition.
    pub async fn until(&self, mut condition: impl AsyncFnMut() -> bool) {
        let begun = Instant::now();
        while !condition().await {
            assert!(begun.elapsed() < PATIENCE, "waited for too long");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

/// The status and the JSON of an answer.
pub async fn answer(response: Response) -> (StatusCode, Value) {
    let status = response.status();
    let text = response.text().await.unwrap();
    let value = serde_json::from_str(&text).unwrap_or_else(|_| json!(text));
    (status, value)
}

/// `y = x + x`, any number of rows of two.
pub fn doubling(folder: &Path) {
    with_operator(folder, "Add");
}

/// `y = x * x`.
pub fn squaring(folder: &Path) {
    with_operator(folder, "Mul");
}

/// So many products of squares, each of a millisecond, when it is run once on zeros.
pub fn slow_to_warm_up(folder: &Path, products: usize) {
    const SIDE: i64 = 256;
    std::fs::create_dir_all(folder).unwrap();
    let name = |index: usize| match index {
        0 => "x".to_owned(),
        index if index == products => "y".to_owned(),
        index => format!("product{index}"),
    };
    let nodes = (0..products).map(|one| node("MatMul", &[&name(one), "x"], &name(one + 1)));
    let square = |name: &str| value(name, F32, &[SIDE, SIDE]);
    network(
        folder,
        vec![square("x")],
        vec![square("y")],
        nodes.collect(),
    );
}

/// A network with so many MiB of weights, all 0, of which `x` picks one.
pub fn with_weights(folder: &Path, mib: usize) {
    use carrel_onnx::proto::{GraphProto, ModelProto, OperatorSetIdProto, TensorProto};
    use prost::Message as _;
    let weights = TensorProto {
        dims: vec![(mib << 18) as i64],
        data_type: F32,
        name: "w".into(),
        raw_data: vec![0; mib << 20],
    };
    let model = ModelProto {
        ir_version: 9,
        graph: Some(GraphProto {
            node: vec![node("Gather", &["w", "x"], "y")],
            name: "network".into(),
            initializer: vec![weights],
            input: vec![value("x", I64, &[-1])],
            output: vec![value("y", F32, &[-1])],
        }),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: 20,
        }],
        ..ModelProto::default()
    };
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("model.onnx"), model.encode_to_vec()).unwrap();
}

/// What this process has in memory, in MiB.
pub fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = pages.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096 / (1 << 20)
}

fn with_operator(folder: &Path, operator: &str) {
    let two = |name: &str| value(name, F32, &[-1, 2]);
    let node = node(operator, &["x", "x"], "y");
    // As people bring versions: the folder appears with all its files.
    let temporary = folder.with_extension("tmp");
    std::fs::create_dir_all(&temporary).unwrap();
    network(&temporary, vec![two("x")], vec![two("y")], vec![node]);
    std::fs::rename(&temporary, folder).unwrap();
}
