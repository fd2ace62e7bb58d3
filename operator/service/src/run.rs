//! The process: watches, what is done about jobs, and the server.

use std::future::IntoFuture as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use carrel_service::bind;
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tracing::info;

use crate::files::Files;
use crate::hub::Hub;
use crate::jobs::{Apis, Jobs};
use crate::keys::Keys;
use crate::objects::{Extra, Settings};
use crate::options::Options;
use crate::router::router;
use crate::service::Service;
use crate::store::Models;
use crate::{records, tend, watch};

/// The longest that the API server may send nothing of a watch or a log that is followed; watches last 290 s, and one whose
/// connection broke without a word would be waited for for ever.
const SILENCE: Duration = Duration::from_secs(300);
/// The longest that it may take for all else: jobs are tended one after the other.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs until it is asked to end.
///
/// # Errors
/// When there is no cluster, the options cannot be used, or the port is taken.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let shortest = Keys::SHORTEST;
    let keys = Keys::new(&options.key);
    let keys = keys.with_context(|| {
        format!("the key (CARREL_JOBS_KEY) has less than {shortest} characters")
    })?;
    let extra = options.pod.as_deref().map(extra).transpose()?;
    let settings = Settings::new(&options, extra.unwrap_or_default(), keys);
    let (models, files) = match options.models.as_deref() {
        Some(folder) => {
            let cannot = || format!("could not use {}", folder.display());
            let models = Models::open(folder, &options.quotas).with_context(cannot)?;
            let files = Files::open(folder, &options.quotas).with_context(cannot)?;
            (Some(models), Some(files))
        }
        None => (None, None),
    };
    let hub = Hub::new(&options.hub, &options.service).context("no certificates")?;
    let config = Config::infer().await?;
    let apis = |longest| -> anyhow::Result<Apis> {
        let mut config = config.clone();
        config.read_timeout = Some(longest);
        Ok(Apis::new(&Client::try_from(config)?, &options.namespace))
    };
    let (watched, apis) = (apis(SILENCE)?, apis(PATIENCE)?);
    let changed = Arc::new(Notify::new());
    let (seen, watches) = watch::start(&watched, &changed);
    let seen = Arc::new(seen);
    let jobs = Arc::new(Jobs::new(apis, settings, options.quotas, changed));
    let service = Service::new(
        Arc::clone(&jobs),
        Arc::clone(&seen),
        hub,
        models,
        files,
        watched.pods,
    );
    let listener = bind(options.listen).await?;
    info!("Listening at {}{}", listener.local_addr()?, options.path());
    let service = Arc::new(service);
    let router = router(options.path(), Arc::clone(&service));
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        served = axum::serve(listener, router).into_future() => served?,
        () = watches => {}
        () = records::records(watched.records, &service) => {}
        () = tend::tend(Arc::clone(&jobs), seen) => {}
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    tend::write_all(&jobs).await;
    Ok(())
}

/// What the configuration adds to pods.
fn extra(path: &Path) -> anyhow::Result<Extra> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("could not read {}", path.display()))?;
    serde_saphyr::from_str(&text).with_context(|| format!("{} is wrong", path.display()))
}
