//! The watch of jobs: all that there are when the service begins, and those that somebody else takes away.

use futures_util::StreamExt as _;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt as _, watcher as watch};
use kube::{Api, Resource as _};

use crate::jobs::now;
use crate::record::Record;
use crate::service::Service;
use crate::watch::ours;

/// Reads all jobs that there are, and hears of those that somebody else takes away. Their files go with them.
pub async fn records(records: Api<ConfigMap>, service: &Service) {
    let (jobs, seen) = (&service.jobs, &service.seen);
    let mut events = std::pin::pin!(watch(records, ours()).default_backoff());
    let (mut listed, mut begun) = (Vec::new(), now());
    while let Some(event) = events.next().await {
        match event {
            Ok(Event::Init) => {
                listed.clear();
                begun = now();
            }
            Ok(Event::InitApply(map)) => listed.extend(read(&map)),
            Ok(Event::InitDone) => {
                // Of a job whose pods are not known yet, nothing could be said.
                seen.wait().await;
                jobs.set_all(std::mem::take(&mut listed), begun);
                service.keep_files().await;
            }
            Ok(Event::Apply(map)) => {
                if let Some(record) = read(&map) {
                    jobs.add_unknown(record);
                }
            }
            Ok(Event::Delete(map)) => {
                if let Some(uid) = &map.meta().uid {
                    jobs.forget(uid);
                }
                if let Some(id) = &map.meta().name {
                    service.forget(id).await;
                }
            }
            Err(error) => tracing::warn!(%error, "The watch of jobs failed and begins again"),
        }
    }
}

fn read(map: &ConfigMap) -> Option<Record> {
    let record = Record::read(map).filter(|_| map.metadata.deletion_timestamp.is_none());
    if record.is_none() {
        let name = map.metadata.name.as_deref().unwrap_or_default();
        tracing::warn!(
            name,
            "The ConfigMap {name} is no job that this service can read"
        );
    }
    record
}
