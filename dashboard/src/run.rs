//! The process: it listens until it is asked to end.

use anyhow::Context as _;
use carrel_service::bind;
use tokio::signal::unix::{SignalKind, signal};

use crate::app::Parts;
use crate::cluster::Cluster;
use crate::config::Settings;
use crate::router;

/// # Errors
/// When there is no cluster, or the port is taken.
pub async fn run(settings: Settings) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let listener = bind(settings.listen).await?;
    let address = listener.local_addr()?;
    tracing::info!(%address, base = settings.base, "The dashboard listens");
    let cluster = Cluster::find()
        .await
        .context("could not find out where Kubernetes is")?;
    let app = Parts::new(settings, cluster)?;
    let server = axum::serve(listener, router::router(app));
    // Logs that are followed never end by themselves: nothing is waited for.
    tokio::select! {
        served = server => served?,
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}
