//! Pods and services of jobs as their watches tell of them, by the job that owns them, and no more of each than is needed.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::runtime::reflector::ObjectRef;
use kube::runtime::watcher::{self, Event};
use tokio::sync::watch;

/// What is kept of an object.
pub trait Child: Clone + Send + Sync + 'static {
    type Object: kube::Resource;

    fn of(object: &Self::Object) -> Self;
}

/// The children of all jobs of one kind.
#[derive(Debug)]
pub struct Children<T> {
    index: RwLock<Index<T>>,
    ready: watch::Sender<bool>,
}

#[derive(Debug)]
struct Index<T> {
    /// By the identity of the owner, then by name.
    owned: HashMap<String, HashMap<String, Arc<T>>>,
    /// What a list that has begun has told so far.
    listed: Option<HashMap<String, HashMap<String, Arc<T>>>>,
}

/// The job that owns an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Owner {
    pub name: String,
    pub namespace: String,
    pub uid: String,
}

impl<T: Child> Default for Children<T> {
    fn default() -> Self {
        let (ready, _) = watch::channel(false);
        let index = Index {
            owned: HashMap::new(),
            listed: None,
        };
        Self {
            index: RwLock::new(index),
            ready,
        }
    }
}

impl<T: Child> Children<T> {
    /// Waits until all were read once.
    pub async fn ready(&self) {
        // The sender is part of this value.
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
    }

    pub fn of(&self, owner: &str) -> Vec<Arc<T>> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let owned = index.owned.get(owner);
        owned.map_or_else(Vec::new, |owned| owned.values().cloned().collect())
    }

    /// Takes note of an event, and names the job that it is about.
    fn note(&self, event: &Event<T::Object>) -> Option<Owner> {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let (object, is_listed) = match event {
            Event::Init => {
                index.listed = Some(HashMap::new());
                return None;
            }
            Event::InitDone => {
                index.owned = index.listed.take().unwrap_or_default();
                drop(index);
                self.ready.send_replace(true);
                return None;
            }
            Event::InitApply(object) => (object, true),
            Event::Apply(object) | Event::Delete(object) => (object, false),
        };
        let meta = kube::Resource::meta(object);
        let owner = owner(meta)?;
        let name = meta.name.clone().unwrap_or_default();
        let into = if is_listed {
            index.listed.get_or_insert_default()
        } else {
            &mut index.owned
        };
        if matches!(event, Event::Delete(_)) {
            if let Some(owned) = into.get_mut(&owner.uid) {
                owned.remove(&name);
                if owned.is_empty() {
                    into.remove(&owner.uid);
                }
            }
        } else {
            let owned = into.entry(owner.uid.clone()).or_default();
            owned.insert(name, Arc::new(T::of(object)));
        }
        Some(owner)
    }
}

/// Takes note of all that a watch tells; gives the jobs that it is about.
pub fn follow<T, S>(
    children: Arc<Children<T>>,
    events: S,
) -> impl Stream<Item = Result<Owner, watcher::Error>>
where
    T: Child,
    S: Stream<Item = Result<Event<T::Object>, watcher::Error>>,
{
    events.filter_map(move |event| {
        let noted = match event {
            Ok(event) => children.note(&event).map(Ok),
            Err(error) => Some(Err(error)),
        };
        std::future::ready(noted)
    })
}

fn owner(meta: &ObjectMeta) -> Option<Owner> {
    let controls = |owner: &&OwnerReference| owner.controller == Some(true);
    let owner = meta.owner_references.as_ref()?.iter().find(controls)?;
    Some(Owner {
        name: owner.name.clone(),
        namespace: meta.namespace.clone().unwrap_or_default(),
        uid: owner.uid.clone(),
    })
}

impl Owner {
    pub fn reference<K>(&self, kind: K::DynamicType) -> ObjectRef<K>
    where
        K: kube::Resource,
    {
        ObjectRef::new_with(&self.name, kind).within(&self.namespace)
    }
}
