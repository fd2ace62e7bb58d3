//! What the cluster shows: Services, and the objects of the Gateway API where it is installed, now or later.

use std::hash::Hash;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
use crate::plan::{Problem, Seen};

/// The kinds of the Gateway API that are watched, by the version that has them.
const KINDS: [(&str, &str); 4] = [
    ("v1", "HTTPRoute"),
    ("v1", "Gateway"),
    ("v1", "GatewayClass"),
    ("v1beta1", "ReferenceGrant"),
];

/// The resource of a kind, at the version of most.
pub fn of_kind(kind: &str) -> ApiResource {
    resource(("v1", kind))
}

fn resource((version, kind): (&str, &str)) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(GROUP, version, kind))
}

fn plural(kind: &str) -> String {
    let end = if kind.ends_with('s') { "es" } else { "s" };
    format!("{kind}{end}")
}

/// What the watches keep.
pub struct Watched {
    services: Vec<Store<Service>>,
    others: Vec<Store<DynamicObject>>,
    of_services: Vec<Arc<Lists>>,
    of_others: Vec<Arc<Lists>>,
    pub changed: Arc<Notify>,
}

/// What a watch reads first, and how far that is.
struct Lists {
    /// `Services of models`
    what: String,
    /// Codes by which the API server may refuse it, so that the others go on without.
    refusals: &'static [u16],
    /// Whether a cluster does without.
    is_optional: bool,
    state: Mutex<State>,
}

enum State {
    /// For this, where anything is known.
    Waits(String),
    Read,
    Refused(String),
}

/// Watches these namespaces, or all where none is named. The future is the watches themselves, for ever.
pub fn start(client: &Client, namespaces: &[String]) -> (Watched, BoxFuture<'static, ()>) {
    let changed = Arc::new(Notify::new());
    let mut watched = Watched {
        services: Vec::new(),
        others: Vec::new(),
        of_services: Vec::new(),
        of_others: Vec::new(),
        changed: Arc::clone(&changed),
    };
    let mut watches = Vec::new();
    let of_namespaces = namespaces.iter().map(|namespace| {
        let api = Api::<Service>::namespaced(client.clone(), namespace);
        (api, format!("Services of {namespace}"), &[403][..])
    });
    let mut apis: Vec<_> = of_namespaces.collect();
    if apis.is_empty() {
        apis.push((Api::all(client.clone()), "Services".to_owned(), &[]));
    }
    for (api, what, refusals) in apis {
        let (store, writer) = reflector::store();
        let lists = Lists::new(what, refusals, false);
        watched.services.push(store);
        watched.of_services.push(Arc::clone(&lists));
        let events = watch(api, watcher::Config::default());
        watches.push(keep(events, writer, lists, Arc::clone(&changed)).boxed());
    }
    for kind in KINDS {
        let resource = resource(kind);
        let writer = Writer::new(resource.clone());
        let lists = Lists::new(plural(kind.1), &[403, 404], true);
        watched.others.push(writer.as_reader());
        watched.of_others.push(Arc::clone(&lists));
        let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
        let events = watch(api, watcher::Config::default());
        watches.push(keep(events, writer, lists, Arc::clone(&changed)).boxed());
    }
    (watched, join_all(watches).map(drop).boxed())
}

impl Watched {
    /// Whether all Services are known that may be.
    pub fn is_read(&self) -> bool {
        self.of_services.iter().all(|lists| lists.is_told())
    }

    /// Whether all is known that there is.
    pub fn is_complete(&self) -> bool {
        self.is_read() && self.of_others.iter().all(|lists| lists.is_told())
    }

    /// What is not known; of that which may still come, where it is `late`.
    pub fn unread(&self, late: bool) -> impl Iterator<Item = Problem> {
        let all = self.of_services.iter().chain(&self.of_others);
        all.filter_map(move |lists| lists.problem(late))
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

impl Lists {
    fn new(what: String, refusals: &'static [u16], is_optional: bool) -> Arc<Self> {
        Arc::new(Self {
            what,
            refusals,
            is_optional,
            state: Mutex::new(State::Waits(String::new())),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_told(&self) -> bool {
        !matches!(*self.state(), State::Waits(_))
    }

    /// Whether it is not waited for any more. What was read once stays so.
    fn fail(&self, code: Option<u16>, text: &str) -> bool {
        let mut state = self.state();
        let is_refused = code.is_some_and(|code| self.refusals.contains(&code));
        match (&*state, is_refused) {
            (State::Read, _) => {}
            (_, true) => *state = State::Refused(text.to_owned()),
            (State::Waits(_), false) => *state = State::Waits(text.to_owned()),
            (State::Refused(_), false) => {}
        }
        is_refused
    }

    fn problem(&self, late: bool) -> Option<Problem> {
        let text = match &*self.state() {
            State::Waits(why) if late && why.is_empty() => {
                "the API server sends no list".to_owned()
            }
            State::Waits(why) if late => why.clone(),
            State::Refused(why) if !self.is_optional => why.clone(),
            _ => return None,
        };
        Some(Problem {
            about: self.what.clone(),
            text,
            advice: "Look whether the API server answers, and what the role of the gateway permits.",
        })
    }
}

async fn keep<K>(
    events: impl Stream<Item = watcher::Result<Event<K>>> + Send,
    writer: Writer<K>,
    lists: Arc<Lists>,
    changed: Arc<Notify>,
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
                    *lists.state() = State::Read;
                }
            }
            Err(error) => {
                let refused = refusal(&error);
                // Once, however often it is tried again.
                let text = error.to_string();
                if text != failure && refused != Some(404) {
                    let kind = &lists.what;
                    tracing::warn!(kind, error = text, "A watch failed and begins again");
                    failure.clone_from(&text);
                }
                if !lists.fail(refused, &text) {
                    continue;
                }
            }
        }
        changed.notify_one();
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
