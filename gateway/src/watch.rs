//! What the cluster shows: Services, and the objects of the Gateway API where it is installed, now or later.

use std::hash::Hash;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::future::{BoxFuture, join_all};
use futures_util::{FutureExt as _, Stream, StreamExt as _};
use k8s_openapi::api::core::v1::Service;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind};
use kube::runtime::reflector::store::Writer;
use kube::runtime::reflector::{self, Store};
use kube::runtime::watcher::{self, Event};
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, Client, Resource, ResourceExt};
use tokio::sync::Notify;

use crate::api::GROUP;
use crate::plan::Seen;

/// The kinds of the Gateway API that are watched, by the version that has them.
const KINDS: [(&str, &str); 4] = [
    ("v1", "HTTPRoute"),
    ("v1", "Gateway"),
    ("v1", "GatewayClass"),
    ("v1beta1", "ReferenceGrant"),
];

/// The resource of HTTPRoutes.
pub fn http_routes() -> ApiResource {
    resource(KINDS[0])
}

fn resource((version, kind): (&str, &str)) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, version, kind))
}

/// What the watches keep.
pub struct Watched {
    services: Vec<Store<Service>>,
    others: Vec<Store<DynamicObject>>,
    /// Of each watch: whether it has read all that there is.
    services_read: Vec<Arc<AtomicBool>>,
    /// Of each watch: whether it has read all, or there is nothing to read.
    others_told: Vec<Arc<AtomicBool>>,
    pub changed: Arc<Notify>,
}

/// Watches these namespaces, or all where none is named. The future is the watches themselves, for ever.
pub fn start(client: &Client, namespaces: &[String]) -> (Watched, BoxFuture<'static, ()>) {
    let changed = Arc::new(Notify::new());
    let mut watched = Watched {
        services: Vec::new(),
        others: Vec::new(),
        services_read: Vec::new(),
        others_told: Vec::new(),
        changed: Arc::clone(&changed),
    };
    let mut watches = Vec::new();
    let apis: Vec<Api<Service>> = match namespaces {
        [] => vec![Api::all(client.clone())],
        some => some
            .iter()
            .map(|namespace| Api::namespaced(client.clone(), namespace))
            .collect(),
    };
    for api in apis {
        let (store, writer) = reflector::store();
        let read = Arc::new(AtomicBool::new(false));
        watched.services.push(store);
        watched.services_read.push(Arc::clone(&read));
        let events = watch(api, watcher::Config::default());
        let told = Told {
            name: "Service",
            may_lack: false,
            complete: read,
            changed: Arc::clone(&changed),
        };
        watches.push(keep(events, writer, told).boxed());
    }
    for kind in KINDS {
        let resource = resource(kind);
        let writer = Writer::new(resource.clone());
        let read = Arc::new(AtomicBool::new(false));
        watched.others.push(writer.as_reader());
        watched.others_told.push(Arc::clone(&read));
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let events = watch(api, watcher::Config::default());
        let told = Told {
            name: kind.1,
            may_lack: true,
            complete: read,
            changed: Arc::clone(&changed),
        };
        watches.push(keep(events, writer, told).boxed());
    }
    (watched, join_all(watches).map(drop).boxed())
}

impl Watched {
    /// Whether all Services are known.
    pub fn is_read(&self) -> bool {
        is_set(&self.services_read)
    }

    /// Whether all is known that there is.
    pub fn is_complete(&self) -> bool {
        self.is_read() && is_set(&self.others_told)
    }

    pub fn seen(&self) -> Seen {
        let of = |index: usize| self.others.get(index).map(Store::state).unwrap_or_default();
        Seen {
            services: self.services.iter().flat_map(Store::state).collect(),
            routes: of(0),
            gateways: of(1),
            classes: of(2),
            grants: of(3),
        }
    }
}

fn is_set(flags: &[Arc<AtomicBool>]) -> bool {
    flags.iter().all(|flag| flag.load(Ordering::Relaxed))
}

/// Who hears of a watch.
struct Told {
    name: &'static str,
    /// Whether the cluster may do without the kind, or keep it from this program.
    may_lack: bool,
    complete: Arc<AtomicBool>,
    changed: Arc<Notify>,
}

async fn keep<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send,
    writer: Writer<K>,
    told: Told,
) where
    K: Resource<DynamicType: Eq + Hash + Clone + Send + Sync> + Clone + Send + Sync + 'static,
{
    let events = events.default_backoff().modify(light).reflect(writer);
    let mut events = pin!(events);
    let mut failure = String::new();
    while let Some(event) = events.next().await {
        match event {
            Ok(event) => {
                failure.clear();
                if matches!(event, Event::InitDone) {
                    told.complete.store(true, Ordering::Relaxed);
                }
            }
            Err(error) => {
                let refused = refusal(&error);
                // Once, however often it is tried again.
                let text = error.to_string();
                if text != failure && refused != Some(404) {
                    let kind = told.name;
                    tracing::warn!(kind, error = text, "A watch failed and begins again");
                    failure = text;
                }
                // Services are waited for in any case.
                if !told.may_lack || !matches!(refused, Some(403 | 404)) {
                    continue;
                }
                told.complete.store(true, Ordering::Relaxed);
            }
        }
        told.changed.notify_one();
    }
}

/// Nobody reads who has set which field.
fn light(object: &mut impl ResourceExt) {
    object.managed_fields_mut().clear();
}

/// The code by which the API server refuses: 404 for a kind that it does not know. It is asked again, for that may be installed
/// later.
fn refusal(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status)) => Some(status.code),
        _ => None,
    }
}
