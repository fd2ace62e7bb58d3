//! A namespace of a test's own on a real cluster, with verbs; it goes with all that is in it. Tests of the Hub take this
//! file too.

#![allow(dead_code)] // Each uses some of the verbs.

use std::time::Duration;

use k8s_openapi::api::core::v1 as core;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

/// The longest that anything in these tests may take.
pub const LIMIT: Duration = Duration::from_secs(60);

pub struct Namespace {
    pub image: String,
    pub name: String,
    pub client: Client,
    volume: Option<String>,
}

/// A volume that only this namespace's claims bind.
pub struct Volume {
    pub class: String,
}

impl Namespace {
    pub async fn new(test: &str) -> Self {
        let image = std::env::var("CARREL_TEST_IMAGE")
            .unwrap_or_else(|_| panic!("run this by deploy/local/test-cluster"));
        let client = Client::try_default().await.unwrap();
        let name = format!("carrel-test-{test}-{}", std::process::id());
        let namespaces: Api<core::Namespace> = Api::all(client.clone());
        let namespace = object(json!({ "metadata": { "name": name } }));
        namespaces
            .create(&PostParams::default(), &namespace)
            .await
            .unwrap();
        let this = Self {
            image,
            name,
            client,
            volume: None,
        };
        // Without it, no pod is admitted.
        let accounts: Api<core::ServiceAccount> = this.api();
        until("the service account", || async {
            accounts.get_opt("default").await.unwrap()
        })
        .await;
        this
    }

    pub async fn pod(&self, name: &str) -> Option<core::Pod> {
        self.api().get_opt(name).await.unwrap()
    }

    pub async fn pods(&self) -> Vec<core::Pod> {
        let pods: Api<core::Pod> = self.api();
        pods.list(&ListParams::default()).await.unwrap().items
    }

    pub async fn delete_pod(&self, name: &str) {
        let pods: Api<core::Pod> = self.api();
        pods.delete(name, &DeleteParams::default()).await.unwrap();
    }

    pub async fn foreign_pod(&self, name: &str) {
        let pod = object(json!({
            "metadata": { "name": name },
            "spec": { "containers": [{ "name": "other", "image": self.image }] },
        }));
        let pods: Api<core::Pod> = self.api();
        pods.create(&PostParams::default(), &pod).await.unwrap();
    }

    pub async fn secrets(&self) -> Vec<String> {
        let secrets: Api<core::Secret> = self.api();
        let list = secrets.list(&ListParams::default()).await.unwrap();
        list.iter().map(|secret| secret.name_any()).collect()
    }

    pub async fn claims(&self) -> Vec<String> {
        let claims: Api<core::PersistentVolumeClaim> = self.api();
        let list = claims.list(&ListParams::default()).await.unwrap();
        list.iter().map(|claim| claim.name_any()).collect()
    }

    pub async fn allow_pods(&self, pods: u32) {
        let quota = object(json!({
            "metadata": { "name": "pods" },
            "spec": { "hard": { "pods": pods.to_string() } },
        }));
        let quotas: Api<core::ResourceQuota> = self.api();
        quotas.create(&PostParams::default(), &quota).await.unwrap();
        until("the quota's state", || async {
            let quota = quotas.get("pods").await.unwrap();
            quota.status.and_then(|status| status.hard)
        })
        .await;
    }

    pub async fn volume(&mut self) -> Volume {
        let class = self.name.clone();
        let volume: core::PersistentVolume = object(json!({
            "metadata": { "name": class },
            "spec": {
                "capacity": { "storage": "1Mi" },
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": class,
                "hostPath": { "path": format!("/tmp/{class}"), "type": "DirectoryOrCreate" },
            },
        }));
        let volumes: Api<core::PersistentVolume> = Api::all(self.client.clone());
        volumes
            .create(&PostParams::default(), &volume)
            .await
            .unwrap();
        self.volume = Some(class.clone());
        Volume { class }
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        Api::namespaced(self.client.clone(), &self.name)
    }
}

impl Drop for Namespace {
    /// Asks for the end of everything, after a failure too. On a thread of its own: the test's is within a runtime.
    fn drop(&mut self) {
        let (name, volume) = (self.name.clone(), self.volume.take());
        let end = move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.unwrap().block_on(async {
                let client = Client::try_default().await.unwrap();
                let namespaces: Api<core::Namespace> = Api::all(client.clone());
                let _ = namespaces.delete(&name, &DeleteParams::default()).await;
                if let Some(volume) = volume {
                    let volumes: Api<core::PersistentVolume> = Api::all(client);
                    let _ = volumes.delete(&volume, &DeleteParams::default()).await;
                }
            });
        };
        drop(std::thread::spawn(end).join());
    }
}

fn object<K: serde::de::DeserializeOwned>(document: Value) -> K {
    serde_json::from_value(document).unwrap()
}

/// Waits until `condition` gives a value.
pub async fn until<T, F: Future<Output = Option<T>>>(
    what: &str,
    mut condition: impl FnMut() -> F,
) -> T {
    let waiting = async {
        loop {
            if let Some(value) = condition().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let waited = tokio::time::timeout(LIMIT, waiting).await;
    waited.unwrap_or_else(|_| panic!("waited in vain for {what}"))
}
