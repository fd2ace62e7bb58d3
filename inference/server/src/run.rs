//! The process: models, those who watch their folders, and the ports.

use std::net::{Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use carrel_inference::{Engines, give_back_memory};
use carrel_tls::{H2, HTTP_1, Tls};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tracing::{error, info, warn};

use crate::auth::Tokens;
use crate::child;
use crate::config::{Config, ModelConfig};
use crate::http::serve::{HEAD, serve};
use crate::models::Models;
use crate::options::Options;
use crate::repository::stamp;
use crate::service::{Access, Limits, Service};
use crate::{grpc, http};

/// How long a look at all models is waited for; what it loads is loaded on.
const LOOK: Duration = Duration::from_secs(60);

/// Runs until it is asked to end.
///
/// # Errors
/// When the configuration is wrong or a port is taken.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let config = config(&options)?;
    let tokens = options.tokens.as_deref().map(Tokens::read).transpose()?;
    let access = Access {
        tokens,
        model_control: options.model_control,
    };
    let limits = Limits {
        largest_body: options.largest_body,
        bodies: options.bodies,
    };
    let (of_http, of_grpc) = (tls(&options, HTTP_1)?, tls(&options, H2)?);
    let engines = Engines::new(options.onnxruntime.clone());
    let models = Arc::new(Models::new(engines, config));
    let service = Arc::new(Service::new(models, limits, access));
    let (https, grpcs) = listeners(&options).await?;
    let period = Duration::from_secs(options.file_system_poll_wait_seconds.max(1));
    let file = options.model_config_file.clone();
    let watching = tokio::spawn(watch(Arc::clone(&service), file, period));
    let (stop, stopped) = watch::channel(false);
    let end = async |mut stopped: watch::Receiver<bool>| {
        // An error is that nobody can ask for it any more.
        let _ = stopped.wait_for(|stop| *stop).await;
    };
    let mut serving = JoinSet::new();
    for listener in https {
        let (router, end) = (http::router(Arc::clone(&service)), end(stopped.clone()));
        let tls = of_http.clone();
        serving.spawn(async {
            serve(listener, router, tls, HEAD, end).await;
            anyhow::Ok(())
        });
    }
    for listener in grpcs {
        serving.spawn(grpc::serve(
            listener,
            Arc::clone(&service),
            of_grpc.clone(),
            end(stopped.clone()),
        ));
    }
    end_is_asked_for(&options).await?;
    info!("Ending once the requests that run are answered");
    service.drain();
    watching.abort();
    let _ = stop.send(true);
    let patience = Duration::from_secs(options.drain_seconds);
    let all = async {
        while let Some(served) = serving.join_next().await {
            served??;
        }
        anyhow::Ok(())
    };
    match tokio::time::timeout(patience, all).await {
        Ok(served) => served?,
        Err(_) => warn!(
            "Requests that still ran after {} s were given up",
            options.drain_seconds
        ),
    }
    if let Some(folder) = &options.child {
        child::remove(folder);
    }
    Ok(())
}

/// What speaks TLS with this protocol, if the options name a certificate.
fn tls(options: &Options, protocol: &[u8]) -> anyhow::Result<Option<Tls>> {
    let (Some(key), Some(certificate)) = (&options.tls_key, &options.tls_certificate) else {
        return Ok(None);
    };
    let tls = Tls::open_for(key.clone(), certificate.clone(), &[protocol])?;
    tokio::spawn(tls.clone().follow_files());
    Ok(Some(tls))
}

/// The ports for HTTP and those for gRPC.
async fn listeners(options: &Options) -> anyhow::Result<(Vec<TcpListener>, Vec<TcpListener>)> {
    let http = bind(options, options.rest_api_port).await?;
    let grpc = bind(options, options.port).await?;
    let (of_http, of_grpc) = (http.local_addr()?, grpc.local_addr()?);
    info!("Listening at {of_http} for HTTP and at {of_grpc} for gRPC");
    if options.child.is_some() {
        child::announce(of_http, of_grpc).context("nobody reads the ports")?;
    }
    let (mut https, mut grpcs) = (vec![http], vec![grpc]);
    if options.alias_ports {
        https.push(bind(options, 8501).await?);
        grpcs.push(bind(options, 8500).await?);
        grpcs.push(bind(options, 8001).await?);
    }
    Ok((https, grpcs))
}

async fn end_is_asked_for(options: &Options) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => {}
        () = child::program_is_gone(), if options.child.is_some() => {}
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
        // One that takes for ever keeps none of the others.
        let _ = tokio::time::timeout(LOOK, service.models.update_all()).await;
        service.has_started();
        if service.is_quiet_again() {
            // Nobody waits for it.
            drop(tokio::task::spawn_blocking(give_back_memory));
        }
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
    let taken = match Config::read(file) {
        Ok(config) => service.models.reconfigure(config).await.map_err(Into::into),
        Err(error) => Err(error),
    };
    match taken {
        Ok(()) => info!("The models are those of {}", file.display()),
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
