//! The process: models, those who watch their folders, and the ports.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use carrel_inference::Engines;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::config::{Config, ModelConfig};
use crate::http;
use crate::models::Models;
use crate::options::Options;
use crate::repository::stamp;
use crate::service::Service;

/// Runs until it is asked to end.
///
/// # Errors
/// When the configuration is wrong or a port is taken.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let config = config(&options)?;
    let engines = Engines::new(options.onnxruntime.clone());
    let models = Arc::new(Models::new(engines, config));
    let service = Arc::new(Service::new(models, options.largest_body));
    let http = bind(&options, options.rest_api_port).await?;
    info!("Listening at {} for HTTP", http.local_addr()?);
    let period = Duration::from_secs(options.file_system_poll_wait_seconds.max(1));
    let file = options.model_config_file.clone();
    let watching = tokio::spawn(watch(Arc::clone(&service), file, period));
    let (stop, mut stopped) = watch::channel(false);
    let serving = tokio::spawn({
        let router = http::router(Arc::clone(&service));
        let stopped = async move {
            // An error is that nobody can ask for it any more.
            let _ = stopped.wait_for(|stop| *stop).await;
        };
        axum::serve(http, router)
            .with_graceful_shutdown(stopped)
            .into_future()
    });
    end_is_asked_for().await?;
    info!("Ending once the requests that run are answered");
    service.drain();
    watching.abort();
    let _ = stop.send(true);
    let patience = Duration::from_secs(options.drain_seconds);
    match tokio::time::timeout(patience, serving).await {
        Ok(served) => served??,
        Err(_) => warn!(
            "Requests that still ran after {} s were given up",
            options.drain_seconds
        ),
    }
    Ok(())
}

async fn end_is_asked_for() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        interrupted = tokio::signal::ctrl_c() => interrupted?,
    }
    Ok(())
}

/// The models that the options name.
fn config(options: &Options) -> anyhow::Result<Config> {
    let config = match (&options.model_config_file, &options.model_base_path) {
        (Some(file), _) => Config::read(file)?,
        (None, Some(base)) => Config {
            models: vec![ModelConfig::new(&options.model_name, base)],
        },
        (None, None) => anyhow::bail!("neither --model-base-path nor --model-config-file is there"),
    };
    config.check()?;
    Ok(config)
}

async fn bind(options: &Options, port: u16) -> anyhow::Result<TcpListener> {
    let address = SocketAddr::new(options.address, port);
    let bound = match TcpListener::bind(address).await {
        // A machine without IPv6.
        Err(_) if options.address == Ipv6Addr::UNSPECIFIED => {
            TcpListener::bind(("0.0.0.0", port)).await
        }
        bound => bound,
    };
    bound.with_context(|| format!("could not listen on {address}"))
}

/// Looks at the folders of all models and at the configuration, again and again.
pub async fn watch(service: Arc<Service>, file: Option<PathBuf>, period: Duration) {
    let mut known = file.as_deref().map(modified);
    loop {
        service.models.update_all().await;
        service.has_started();
        tokio::time::sleep(period).await;
        let Some(file) = &file else { continue };
        let now = Some(modified(file));
        if now != known {
            known = now;
            reconfigure(&service, file).await;
        }
    }
}

async fn reconfigure(service: &Service, file: &Path) {
    match Config::read(file) {
        Ok(config) => {
            service.models.reconfigure(config).await;
            info!("The models are those of {}", file.display());
        }
        Err(error) => error!("The models stay as they are: {error:#}"),
    }
}

/// A configuration of Kubernetes is a link in its folder to another each time.
fn modified(file: &Path) -> (Option<PathBuf>, (usize, Option<std::time::SystemTime>)) {
    let real = std::fs::canonicalize(file).ok();
    let folder = file.parent().unwrap_or(Path::new("."));
    let time = std::fs::metadata(file).and_then(|metadata| metadata.modified());
    (real, (stamp(folder).0, time.ok()))
}
