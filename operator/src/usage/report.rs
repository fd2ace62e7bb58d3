//! What the usage report holds. Of what people have chosen, such as names and labels, it reads nothing.

use std::collections::BTreeMap;

use axum::http::Request;
use carrel_jobs::kind::Kind;
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use kube::Client;
use kube::api::{Api, ListParams};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::refusal::is;
use crate::resource::resource;

/// Objects that are read at a time; jobs may be large.
const PAGE: u32 = 100;
/// All that operators write; who may write a status could write anything.
const STATES: [&str; 8] = [
    "Waiting",
    "Created",
    "Running",
    "Restarting",
    "Suspended",
    "Succeeded",
    "Complete",
    "Failed",
];
/// A state that is none of those.
const OTHER: &str = "Other";
/// No operator has looked at the job.
const NEW: &str = "New";

#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Report {
    /// As whoever runs the cluster calls it here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<String>,
    /// The version of Carrel.
    pub carrel: &'static str,
    /// The version of the API server.
    pub kubernetes: String,
    pub nodes: Vec<Nodes>,
    /// By kind, then state.
    pub jobs: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
}

/// Nodes of one size.
#[derive(Clone, Debug, Serialize, PartialEq, Eq)]
pub struct Nodes {
    pub count: u64,
    /// Capacities as Kubernetes writes them.
    pub cpu: String,
    pub memory: String,
}

#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    #[error("could not read {what}")]
    Read {
        what: &'static str,
        #[source]
        source: Box<kube::Error>,
    },
    #[error("could not write the report")]
    Write(#[from] serde_json::Error),
}

/// Asks the API server for all of it.
///
/// # Errors
/// When it does not tell.
pub async fn gather(client: &Client, cluster: Option<String>) -> Result<Report, ReportError> {
    let failed = |what| {
        move |source| ReportError::Read {
            what,
            source: Box::new(source),
        }
    };
    let version = client.apiserver_version().await;
    let nodes = nodes(client).await.map_err(failed("nodes"))?;
    let mut jobs = BTreeMap::new();
    for kind in Kind::ALL {
        let of_kind = states(client, kind).await.map_err(failed(kind.plural()))?;
        jobs.extend(of_kind.map(|states| (kind.name(), states)));
    }
    Ok(Report {
        cluster,
        carrel: env!("CARGO_PKG_VERSION"),
        kubernetes: version.map_err(failed("the version"))?.git_version,
        nodes,
        jobs,
    })
}

async fn nodes(client: &Client) -> kube::Result<Vec<Nodes>> {
    let api: Api<Node> = Api::all(client.clone());
    let mut sizes: BTreeMap<(String, String), u64> = BTreeMap::new();
    let mut asked = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&asked).await?;
        for node in page.items {
            let capacity = node.status.and_then(|status| status.capacity);
            let capacity = capacity.unwrap_or_default();
            let of = |name| capacity.get(name).map_or("0", |Quantity(text)| text);
            let size = (of("cpu").to_owned(), of("memory").to_owned());
            *sizes.entry(size).or_default() += 1;
        }
        match page.metadata.continue_.filter(|more| !more.is_empty()) {
            Some(more) => asked = asked.continue_token(&more),
            None => break,
        }
    }
    let nodes = sizes.into_iter();
    let nodes = nodes.map(|((cpu, memory), count)| Nodes { count, cpu, memory });
    Ok(nodes.collect())
}

/// A page of jobs, and of each no more than is counted.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMeta,
    items: Vec<Item>,
}

#[derive(Default, Deserialize)]
struct PageMeta {
    #[serde(default, rename = "continue")]
    more: String,
}

#[derive(Deserialize)]
struct Item {
    #[serde(default)]
    status: Option<ItemStatus>,
}

#[derive(Deserialize)]
struct ItemStatus {
    #[serde(default)]
    state: Option<String>,
}

/// How many jobs are in which state; nothing where the cluster does not know the kind.
async fn states(client: &Client, kind: Kind) -> kube::Result<Option<BTreeMap<&'static str, u64>>> {
    let path = format!("/apis/{}/{}", kind.api_version(), resource(kind).plural);
    let mut states = BTreeMap::new();
    let mut more = String::new();
    loop {
        let page = page::<Page>(client, &path, &more).await;
        let page = match page {
            Err(error) if is(&error, 404) => return Ok(None),
            page => page?,
        };
        for item in page.items {
            let state = item.status.and_then(|status| status.state);
            let known = |state: String| STATES.into_iter().find(|known| *known == state);
            let state = state.map_or(NEW, |state| known(state).unwrap_or(OTHER));
            *states.entry(state).or_default() += 1;
        }
        more = page.metadata.more;
        if more.is_empty() {
            return Ok(Some(states));
        }
    }
}

async fn page<T: DeserializeOwned>(client: &Client, path: &str, more: &str) -> kube::Result<T> {
    let mut asked = ListParams::default().limit(PAGE);
    if !more.is_empty() {
        asked = asked.continue_token(more);
    }
    let request = kube::core::Request::new(path).list(&asked);
    let request: Request<Vec<u8>> = request.map_err(kube::Error::BuildRequest)?;
    client.request(request).await
}
