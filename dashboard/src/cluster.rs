//! The API server: each call has a limit of time and of size, and what goes wrong is either its refusal or its absence.

use std::time::Duration;

use carrel_service::in_full;
use futures_util::io::AsyncBufRead;
use k8s_openapi::api::authorization::v1::SubjectAccessReview;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Namespace, Node, Pod};
use kube::api::{
    Api, DeleteParams, DynamicObject, ListParams, LogParams, PostParams, Preconditions,
};
use kube::core::{ObjectList, Status};
use kube::{Client, Config};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::jobs::kind::{JobKind, Served as _};
use crate::kept::Kept;

/// How long the API server may take to answer.
const LONGEST: Duration = Duration::from_secs(10);
/// The longest that a log that is followed may be silent; the browser then asks for it again.
const SILENCE: Duration = Duration::from_secs(300);
/// Objects in one answer, and answers to one question.
const PAGE: u32 = 500;
const PAGES: usize = 4;
/// Lists and logs that are asked for at a time: each is held in memory.
const LISTS: usize = 32;
const LOGS: usize = 32;

#[derive(Debug, thiserror::Error)]
pub enum ClusterError {
    #[error("Kubernetes does not answer: {0}")]
    Away(String),
    #[error("{}", .0.message)]
    Refused(Box<Status>),
    #[error("Too much is asked for at a time.")]
    Busy,
}

impl ClusterError {
    pub fn is(&self, code: u16) -> bool {
        matches!(self, Self::Refused(status) if status.code == code)
    }
}

impl From<kube::Error> for ClusterError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code < 500 => Self::Refused(status),
            kube::Error::Api(status) => Self::Away(status.message.clone()),
            error => Self::Away(in_full(&error)),
        }
    }
}

type Answer<T> = Result<T, ClusterError>;

/// Objects, and whether there are more that were left out.
pub struct Listed<T> {
    pub items: Vec<T>,
    pub is_cut: bool,
}

pub struct Cluster {
    client: Client,
    served: Kept<(), Vec<JobKind>>,
    lists: Semaphore,
    logs: Semaphore,
}

impl Cluster {
    pub fn new(client: Client) -> Self {
        Self {
            client,
            served: Kept::new(Duration::from_secs(30), 1),
            lists: Semaphore::new(LISTS),
            logs: Semaphore::new(LOGS),
        }
    }

    /// # Errors
    /// When it is not said where the cluster is.
    pub async fn find() -> anyhow::Result<Self> {
        let mut config = Config::infer().await?;
        config.read_timeout = Some(SILENCE);
        Ok(Self::new(Client::try_from(config)?))
    }

    fn jobs(&self, kind: JobKind, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &kind.resource())
    }

    /// The kinds of jobs that the API server has.
    pub async fn kinds(&self) -> Answer<Vec<JobKind>> {
        if let Some(kinds) = self.served.get(&()) {
            return Ok(kinds);
        }
        let mut kinds = Vec::new();
        for kind in JobKind::ALL {
            let version = kind.resource().api_version;
            match within(self.client.list_api_group_resources(&version)).await {
                Ok(list) if list.resources.iter().any(|one| one.name == kind.plural()) => {
                    kinds.push(kind);
                }
                Ok(_) => {}
                Err(error) if error.is(404) => {}
                Err(error) => return Err(error),
            }
        }
        self.served.put((), kinds.clone());
        Ok(kinds)
    }

    pub async fn job(&self, kind: JobKind, namespace: &str, name: &str) -> Answer<DynamicObject> {
        within(self.jobs(kind, namespace).get(name)).await
    }

    /// The jobs of one namespace, or of all.
    pub async fn list(
        &self,
        kind: JobKind,
        namespace: Option<&str>,
    ) -> Answer<Listed<DynamicObject>> {
        let api = match namespace {
            Some(namespace) => self.jobs(kind, namespace),
            None => Api::all_with(self.client.clone(), &kind.resource()),
        };
        self.all(&api, &ListParams::default(), PAGES).await
    }

    /// As one list of the API server, in the shape that it has.
    pub async fn list_object(
        &self,
        kind: JobKind,
        namespace: &str,
    ) -> Answer<ObjectList<DynamicObject>> {
        let _turn = turn(&self.lists).await?;
        within(self.jobs(kind, namespace).list(&ListParams::default())).await
    }

    /// Makes a job in the version that it is written in; with `is_trial` the API server only says whether it would.
    pub async fn create(
        &self,
        kind: JobKind,
        version: &str,
        object: &DynamicObject,
        is_trial: bool,
    ) -> Answer<DynamicObject> {
        let namespace = object.metadata.namespace.as_deref().unwrap_or_default();
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &kind.resource_in(version));
        within(api.create(&parameters(is_trial), object)).await
    }

    pub async fn replace(
        &self,
        kind: JobKind,
        object: &DynamicObject,
        is_trial: bool,
    ) -> Answer<DynamicObject> {
        let metadata = &object.metadata;
        let api = self.jobs(kind, metadata.namespace.as_deref().unwrap_or_default());
        let name = metadata.name.as_deref().unwrap_or_default();
        within(api.replace(name, &parameters(is_trial), object)).await
    }

    /// Deletes a job, with its pods; only that of `uid`, where it is given.
    pub async fn delete(
        &self,
        kind: JobKind,
        namespace: &str,
        name: &str,
        uid: Option<String>,
    ) -> Answer<()> {
        let mut parameters = DeleteParams::background();
        parameters.preconditions = uid.map(|uid| Preconditions {
            uid: Some(uid),
            resource_version: None,
        });
        within(self.jobs(kind, namespace).delete(name, &parameters)).await?;
        Ok(())
    }

    pub async fn pods(&self, namespace: &str, selector: &str) -> Answer<Listed<Pod>> {
        let api = Api::namespaced(self.client.clone(), namespace);
        self.all(&api, &ListParams::default().labels(selector), PAGES)
            .await
    }

    pub async fn pod(&self, namespace: &str, name: &str) -> Answer<Pod> {
        within(Api::namespaced(self.client.clone(), namespace).get(name)).await
    }

    /// None where there is none of that name.
    pub async fn config_map(&self, namespace: &str, name: &str) -> Answer<Option<ConfigMap>> {
        within(Api::namespaced(self.client.clone(), namespace).get_opt(name)).await
    }

    /// Pods of the whole cluster, for what they ask for.
    pub async fn all_pods(&self) -> Answer<Listed<Pod>> {
        let running = "status.phase!=Succeeded,status.phase!=Failed";
        let api = Api::all(self.client.clone());
        self.all(&api, &ListParams::default().fields(running), 10 * PAGES)
            .await
    }

    pub async fn nodes(&self) -> Answer<Listed<Node>> {
        let api = Api::all(self.client.clone());
        self.all(&api, &ListParams::default(), PAGES).await
    }

    pub async fn namespaces(&self) -> Answer<Listed<Namespace>> {
        let api = Api::all(self.client.clone());
        self.all(&api, &ListParams::default(), PAGES).await
    }

    /// Events of one namespace, or of all.
    pub async fn events(&self, namespace: Option<&str>) -> Answer<Listed<Event>> {
        let api: Api<Event> = match namespace {
            Some(namespace) => Api::namespaced(self.client.clone(), namespace),
            None => Api::all(self.client.clone()),
        };
        self.all(&api, &ListParams::default(), PAGES).await
    }

    /// Events about objects of a kind, or one of them: a namespace may have many others.
    pub async fn events_about(
        &self,
        namespace: &str,
        kind: &str,
        name: Option<&str>,
    ) -> Answer<Listed<Event>> {
        let mut fields = format!("involvedObject.kind={kind}");
        if let Some(name) = name {
            fields = format!("{fields},involvedObject.name={name}");
        }
        let api = Api::namespaced(self.client.clone(), namespace);
        self.all(&api, &ListParams::default().fields(&fields), PAGES)
            .await
    }

    pub async fn log(&self, namespace: &str, pod: &str, wanted: &LogParams) -> Answer<String> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        let _turn = turn(&self.logs).await?;
        within(api.logs(pod, wanted)).await
    }

    /// A log that is followed; it is there within the limit, and then lasts.
    pub async fn follow(
        &self,
        namespace: &str,
        pod: &str,
        wanted: &LogParams,
    ) -> Answer<impl AsyncBufRead + Send + use<>> {
        let api: Api<Pod> = Api::namespaced(self.client.clone(), namespace);
        within(api.log_stream(pod, wanted)).await
    }

    async fn all<K: Clone + DeserializeOwned + std::fmt::Debug>(
        &self,
        api: &Api<K>,
        wanted: &ListParams,
        pages: usize,
    ) -> Answer<Listed<K>> {
        let _turn = turn(&self.lists).await?;
        all(api, wanted, pages).await
    }

    pub async fn review(&self, review: &SubjectAccessReview) -> Answer<SubjectAccessReview> {
        let api: Api<SubjectAccessReview> = Api::all(self.client.clone());
        within(api.create(&PostParams::default(), review)).await
    }
}

fn parameters(is_trial: bool) -> PostParams {
    PostParams {
        dry_run: is_trial,
        field_manager: Some("carrel-dashboard".to_owned()),
    }
}

async fn turn(slots: &Semaphore) -> Answer<SemaphorePermit<'_>> {
    let turn = tokio::time::timeout(LONGEST, slots.acquire()).await;
    // It is never closed.
    turn.ok().and_then(Result::ok).ok_or(ClusterError::Busy)
}

async fn all<K: Clone + DeserializeOwned + std::fmt::Debug>(
    api: &Api<K>,
    wanted: &ListParams,
    pages: usize,
) -> Answer<Listed<K>> {
    let mut items = Vec::new();
    let mut wanted = wanted.clone().limit(PAGE);
    for _ in 0..pages {
        let mut list = within(api.list(&wanted)).await?;
        items.append(&mut list.items);
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => wanted = wanted.continue_token(&token),
            None => {
                return Ok(Listed {
                    items,
                    is_cut: false,
                });
            }
        }
    }
    Ok(Listed {
        items,
        is_cut: true,
    })
}

async fn within<T>(call: impl Future<Output = kube::Result<T>>) -> Answer<T> {
    let answer = tokio::time::timeout(LONGEST, call).await;
    let late = |_| ClusterError::Away(format!("no answer in {} s", LONGEST.as_secs()));
    Ok(answer.map_err(late)??)
}
