//! The definitions of the kinds: as YAML for `kubectl apply` and the chart, and kept up to date on the cluster, with the
//! address of this operator's webhook.

use std::sync::Arc;
use std::time::Duration;

use carrel_jobs::crd::definitions;
use carrel_jobs::kind::Kind;
use futures_util::StreamExt as _;
use k8s_openapi::ByteString;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Patch, PatchParams};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::watch_object;
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::certificate::Loaded;

/// How often the definitions are written though nothing changed.
const AGAIN: Duration = Duration::from_secs(600);
/// The longest that the API server may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two writes.
const PAUSE: Duration = Duration::from_secs(3);

/// The definitions of `kinds`.
///
/// # Errors
/// When they cannot be written as YAML.
pub fn yaml(kinds: &[Kind]) -> anyhow::Result<String> {
    let mut text = "# Written by `carrel-operator crds`.\n".to_owned();
    for mut definition in kinds.iter().copied().flat_map(definitions) {
        // Whatever feature of serde_json another crate asks for.
        definition.sort_all_objects();
        text.push_str("---\n");
        text.push_str(&serde_saphyr::to_string(&definition)?);
    }
    Ok(text)
}

/// Where the API server finds the webhook.
#[derive(Clone, Debug)]
pub enum Address {
    Service { name: String, namespace: String },
    Url(String),
}

impl Address {
    fn client_config(&self, authorities: &str) -> Value {
        let bundle = json!(ByteString(authorities.as_bytes().to_vec()));
        match self {
            Self::Service { name, namespace } => json!({
                "url": null,
                "service": { "name": name, "namespace": namespace, "path": "/convert", "port": 443 },
                "caBundle": bundle,
            }),
            Self::Url(url) => json!({ "url": url, "service": null, "caBundle": bundle }),
        }
    }
}

/// Keeps the definition of `kind` up to date, for ever: also where somebody applies the file anew, or an older one.
pub async fn publish(
    kind: Kind,
    client: Client,
    address: Address,
    mut loaded: watch::Receiver<Option<Arc<Loaded>>>,
) {
    let api: Api<CustomResourceDefinition> = Api::all(client.clone());
    let name = kind.definition();
    let changes = watch_object(api.clone(), &name).default_backoff();
    let mut changes = std::pin::pin!(changes);
    while let Some(authorities) = authorities(&mut loaded).await {
        let written = write(kind, &api, &address, &authorities);
        let written = match timeout(PATIENCE, written).await {
            Ok(written) => written.map_err(|error| error.to_string()),
            Err(late) => Err(late.to_string()),
        };
        if let Err(error) = &written {
            tracing::error!(
                error,
                "Could not update the definition {name}; is it there? (carrel-operator crds | kubectl apply -f -)"
            );
        }
        // Two installations that do not know of each other shall not keep the API server busy.
        sleep(PAUSE).await;
        if written.is_ok() {
            tokio::select! {
                _ = changes.next() => {}
                _ = loaded.changed() => {}
                () = sleep(AGAIN) => {}
            }
        }
    }
}

/// Whom to believe, once there is a certificate.
async fn authorities(loaded: &mut watch::Receiver<Option<Arc<Loaded>>>) -> Option<String> {
    let loaded = loaded.wait_for(Option::is_some).await.ok()?;
    let loaded = loaded.as_ref()?;
    Some(loaded.certificate.authorities.clone())
}

async fn write(
    kind: Kind,
    api: &Api<CustomResourceDefinition>,
    address: &Address,
    authorities: &str,
) -> Result<(), kube::Error> {
    for ours in definitions(kind) {
        let mut spec = json!({
            "names": ours["spec"]["names"],
            "versions": ours["spec"]["versions"],
        });
        if kind.converts() {
            spec["conversion"] = json!({
                "strategy": "Webhook",
                "webhook": {
                    "conversionReviewVersions": ["v1"],
                    "clientConfig": address.client_config(authorities),
                },
            });
        }
        let patch = Patch::Merge(json!({ "spec": spec }));
        let name = ours["metadata"]["name"].as_str().unwrap_or_default();
        api.patch(name, &PatchParams::default(), &patch).await?;
    }
    Ok(())
}
