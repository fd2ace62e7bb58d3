//! The controller of one kind: watches jobs, pods and services, and looks at a job whenever something about it changed.

use std::sync::Arc;

use carrel_jobs::kind::Kind;
use carrel_jobs::names;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use k8s_openapi::api::core::v1::{Pod, Service};
use kube::api::{Api, ApiResource};
use kube::runtime::controller::{Config, Error, applier, trigger_self, trigger_with};
use kube::runtime::reflector::store::Writer;
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Client, ResourceExt as _};

use crate::children::{Child, Children, Owner, follow};
use crate::events::Recorder;
use crate::kept::KeptJob;
use crate::memory::Memory;
use crate::metrics::Metrics;
use crate::objects::gang::Gang;
use crate::reconcile::{Context, again, reconcile};
use crate::reports::Reporting;
use crate::resource::resource;
use crate::seen::{SeenPod, SeenService};

/// Jobs that are looked at a time.
const AT_A_TIME: u16 = 32;
/// What a job says that nobody reads here, and that is as long as the job.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// What the controllers of all kinds share.
#[derive(Clone)]
pub struct Settings {
    pub client: Client,
    /// The only namespace whose jobs are run.
    pub namespace: Option<String>,
    pub domain: Option<String>,
    pub metrics: Arc<Metrics>,
    /// Who it is that writes events.
    pub identity: String,
    /// Where processes report.
    pub reporting: Reporting,
    /// Who starts all pods of a job or none.
    pub gang: Option<Gang>,
    /// How long pods may take to start, in seconds; 0: for ever.
    pub start_deadline: u32,
    /// How many bytes of the logs of a job's pods are kept when those are deleted.
    pub keep_logs: Option<usize>,
}

/// Runs the jobs of `kind`; ends only when it is dropped.
pub async fn run(kind: Kind, settings: Settings) {
    let resource = resource(kind);
    let (pods, services) = (
        Arc::new(Children::<SeenPod>::new(kind)),
        Arc::new(Children::<SeenService>::new(kind)),
    );
    let writer = Writer::new(resource.clone());
    let reader = writer.as_reader();
    let jobs: Api<KeptJob> = match &settings.namespace {
        Some(namespace) => Api::namespaced_with(settings.client.clone(), namespace, &resource),
        None => Api::all_with(settings.client.clone(), &resource),
    };
    // Of a job that is nested more than 128 deep the client cannot read a line: none is run until it is deleted. In older
    // versions the webhook refuses such a job.
    let jobs = watcher(jobs, watcher::Config::default())
        .default_backoff()
        .modify(|job| {
            job.managed_fields_mut().clear();
            job.annotations_mut().remove(LAST_APPLIED);
        })
        .reflect(writer)
        .touched_objects();
    let queue = stream::select_all([
        trigger_self(jobs, resource.clone()).boxed(),
        owners::<SeenPod, Pod>(kind, &settings, &resource, &pods),
        owners::<SeenService, Service>(kind, &settings, &resource, &services),
    ]);
    let context = Arc::new(Context {
        kind,
        client: settings.client.clone(),
        recorder: recorder(kind, &settings),
        resource,
        pods,
        services,
        memory: Memory::default(),
        metrics: settings.metrics,
        domain: settings.domain,
        reporting: Some(settings.reporting),
        gang: settings.gang,
        start_deadline: settings.start_deadline,
        keep_logs: settings.keep_logs,
    });
    let config = Config::default().concurrency(AT_A_TIME);
    let looks = |job: Arc<KeptJob>, context: Arc<Context>| Box::pin(reconcile(job, context));
    applier(looks, again, context, reader, queue, config)
        .for_each(|looked| async move {
            match looked {
                // The other ones are told by `again`.
                Ok(_) | Err(Error::ReconcilerFailed(..) | Error::ObjectNotFound(_)) => {}
                Err(error) => tracing::info!(%error, "A watch of {kind}s ended and is begun anew"),
            }
        })
        .await;
}

fn recorder(kind: Kind, settings: &Settings) -> Recorder {
    Recorder {
        client: settings.client.clone(),
        component: kind.operator().to_owned(),
        instance: settings.identity.clone(),
    }
}

type Queue = stream::BoxStream<
    'static,
    Result<kube::runtime::controller::ReconcileRequest<KeptJob>, watcher::Error>,
>;

/// The owners of children that changed.
fn owners<T, K>(
    kind: Kind,
    settings: &Settings,
    resource: &ApiResource,
    children: &Arc<Children<T>>,
) -> Queue
where
    T: Child<Object = K>,
    K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + Send + 'static,
{
    let api: Api<K> = match &settings.namespace {
        Some(namespace) => Api::namespaced(settings.client.clone(), namespace),
        None => Api::all(settings.client.clone()),
    };
    let config = watcher::Config::default().labels(&names::selector(kind));
    let events = watcher(api, config).default_backoff();
    let resource = resource.clone();
    let owners = follow(Arc::clone(children), events).into_stream();
    trigger_with(owners, move |owner: Owner| {
        Some(owner.reference::<KeptJob>(resource.clone()))
    })
    .boxed()
}
