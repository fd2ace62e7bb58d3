//! Pods and services of jobs as their watches tell of them, by the job that owns them, and no more of each than is needed.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use carrel_jobs::kind::Kind;
use futures_util::{Stream, StreamExt as _, stream};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
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
    kind: Kind,
    index: RwLock<Index<T>>,
    ready: watch::Sender<bool>,
}

/// By their owner, then by name.
type Owned<T> = HashMap<Owner, HashMap<String, Arc<T>>>;

#[derive(Debug)]
struct Index<T> {
    owned: Owned<T>,
    /// What a list that has begun has told so far.
    listed: Option<Owned<T>>,
}

/// The job that owns an object.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Owner {
    pub name: String,
    pub namespace: String,
    pub uid: String,
}

impl<T: Child> Children<T> {
    pub fn new(kind: Kind) -> Self {
        let (ready, _) = watch::channel(false);
        let index = Index {
            owned: HashMap::new(),
            listed: None,
        };
        Self {
            kind,
            index: RwLock::new(index),
            ready,
        }
    }

    /// Waits until all were read once.
    pub async fn ready(&self) {
        // The sender is part of this value.
        let _ = self.ready.subscribe().wait_for(|ready| *ready).await;
    }

    pub fn of(&self, owner: &Owner) -> Vec<Arc<T>> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let owned = index.owned.get(owner);
        owned.map_or_else(Vec::new, |owned| owned.values().cloned().collect())
    }

    /// Takes note of an event, and names the jobs that it is about.
    fn note(&self, event: &Event<T::Object>) -> Vec<Owner> {
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Init => index.listed = Some(HashMap::new()),
            Event::InitApply(object) => {
                if let Some((owner, name)) = self.owner(object) {
                    let owned = index.listed.get_or_insert_default().entry(owner);
                    owned.or_default().insert(name, Arc::new(T::of(object)));
                }
            }
            Event::InitDone => {
                let listed = index.listed.take().unwrap_or_default();
                let before = std::mem::replace(&mut index.owned, listed);
                // Also those of which something went while there was no watch.
                let owners: HashSet<_> = before
                    .into_keys()
                    .chain(index.owned.keys().cloned())
                    .collect();
                drop(index);
                self.ready.send_replace(true);
                return owners.into_iter().collect();
            }
            Event::Apply(object) => {
                if let Some((owner, name)) = self.owner(object) {
                    let owned = index.owned.entry(owner.clone());
                    owned.or_default().insert(name, Arc::new(T::of(object)));
                    return vec![owner];
                }
            }
            Event::Delete(object) => {
                if let Some((owner, name)) = self.owner(object) {
                    if let Some(owned) = index.owned.get_mut(&owner) {
                        owned.remove(&name);
                        if owned.is_empty() {
                            index.owned.remove(&owner);
                        }
                    }
                    return vec![owner];
                }
            }
        }
        Vec::new()
    }

    /// The job of this kind that controls an object, and the object's name.
    fn owner(&self, object: &T::Object) -> Option<(Owner, String)> {
        let meta = kube::Resource::meta(object);
        let controls = |owner: &&OwnerReference| owner.controller == Some(true);
        let owner = meta.owner_references.as_ref()?.iter().find(controls)?;
        let (group, _) = owner.api_version.split_once('/')?;
        if owner.kind != self.kind.name() || group != self.kind.group() {
            return None;
        }
        let owner = Owner {
            name: owner.name.clone(),
            namespace: meta.namespace.clone().unwrap_or_default(),
            uid: owner.uid.clone(),
        };
        Some((owner, meta.name.clone().unwrap_or_default()))
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
    events.flat_map(move |event| {
        let noted = match event {
            Ok(event) => children.note(&event).into_iter().map(Ok).collect(),
            Err(error) => vec![Err(error)],
        };
        stream::iter(noted)
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
