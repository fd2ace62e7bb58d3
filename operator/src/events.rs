//! Events about jobs, in the form of the core API: the SDK `kubeflow` passes over events that do not say when they were
//! first seen, and events.k8s.io lets nobody say it.

use k8s_openapi::api::core::v1::{Event, EventSource, ObjectReference};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};

use crate::plan::Notice;

/// The API server takes notes of 1024 bytes.
const LONGEST: usize = 1000;

#[derive(Clone)]
pub struct Recorder {
    pub client: Client,
    /// Who writes them, and which process of its name.
    pub component: String,
    pub instance: String,
}

impl Recorder {
    /// # Errors
    /// When the API server does not take it.
    pub async fn publish(&self, about: &ObjectReference, notice: &Notice) -> kube::Result<()> {
        let now = Timestamp::now();
        let mut note = notice.note.clone();
        if note.len() > LONGEST {
            note.truncate(note.floor_char_boundary(LONGEST));
            note.push('…');
        }
        let name = about.name.as_deref().unwrap_or_default();
        let event = Event {
            metadata: ObjectMeta {
                name: Some(format!("{name}.{:x}", now.as_nanosecond())),
                namespace: about.namespace.clone(),
                ..ObjectMeta::default()
            },
            involved_object: about.clone(),
            type_: Some(
                if notice.is_warning {
                    "Warning"
                } else {
                    "Normal"
                }
                .to_owned(),
            ),
            reason: Some(notice.reason.clone()),
            message: Some(note),
            first_timestamp: Some(Time(now)),
            last_timestamp: Some(Time(now)),
            count: Some(1),
            source: Some(EventSource {
                component: Some(self.component.clone()),
                host: None,
            }),
            reporting_component: Some(self.component.clone()),
            reporting_instance: Some(self.instance.clone()),
            ..Event::default()
        };
        let namespace = about.namespace.as_deref().unwrap_or("default");
        let events: Api<Event> = Api::namespaced(self.client.clone(), namespace);
        events
            .create(&PostParams::default(), &event)
            .await
            .map(drop)
    }
}
