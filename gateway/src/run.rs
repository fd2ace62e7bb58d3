//! The process: it watches, serves, and ends when it is asked to, after the requests under way.

use std::future::IntoFuture as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use carrel_proxy::{Gateway, ServeOptions, Tls, Trust, serve};
use carrel_service::bind;
use kube::{Client, Config};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use tokio_rustls::rustls::RootCertStore;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tracing::info;

use crate::admin::{self, Admin};
use crate::follow::follow;
use crate::health::Health;
use crate::options::Options;
use crate::plan::{Seen, plan};
use crate::switch::Chooser;
use crate::table::{Tables, Trusts};
use crate::watch;

/// The longest that the API server may send nothing of a watch; watches last 290 s.
const SILENCE: Duration = Duration::from_secs(300);

/// Runs until it is asked to end.
///
/// # Errors
/// When there is no cluster, the options cannot be used, or a port is taken.
pub async fn run(options: Options) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let tls = options.tls_key.clone().zip(options.tls_certificate.clone());
    let tls = tls.map(|(key, certificate)| Tls::open(key, certificate));
    let serving = ServeOptions {
        drain: Duration::from_secs(options.drain),
        tls: tls.transpose()?,
        ..ServeOptions::default()
    };
    let tables = Tables::new(trusts(options.target_ca.as_deref())?);
    let mut config = Config::infer().await.context("there is no cluster")?;
    config.read_timeout = Some(SILENCE);
    let client = Client::try_from(config)?;
    let (public, admin) = (bind(options.listen).await?, bind(options.admin).await?);
    info!(
        "Listening at {}, for administrators at {}",
        public.local_addr()?,
        admin.local_addr()?
    );

    // What is built in is there at once, whether the API server answers or not.
    let built_in = plan(&options.routes, &Seen::default());
    tables.set(built_in.rules, built_in.problems);
    let health = Arc::new(Health::default());
    let (watched, watches) = watch::start(&client, &options.routes.namespace);
    let follows = follow(
        options.routes.clone(),
        Duration::from_secs(options.patience),
        watched,
        tables.clone(),
        health.clone(),
        client,
    );
    let page = admin::router(Admin {
        tables: tables.clone(),
        health: health.clone(),
    });
    let end = async {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = tokio::signal::ctrl_c() => {}
        }
        info!("Ending: others are to hear of it, then requests under way end");
        health.set_ending();
        sleep(Duration::from_secs(options.linger)).await;
    };
    let service = Gateway(Chooser::new(tables, &options.trusted_proxies));
    tokio::select! {
        () = serve(public, service, end, serving) => {}
        served = axum::serve(admin, page).into_future() => served?,
        () = watches => {}
        () = follows => {}
    }
    Ok(())
}

/// The certificates of this system, and those of the file.
fn trusts(file: Option<&Path>) -> anyhow::Result<Trusts> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    for error in system.errors {
        tracing::debug!(%error, "A certificate of the system does not read");
    }
    roots.add_parsable_certificates(system.certs);
    if let Some(file) = file {
        let name = file.display();
        let read =
            CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let read = read.with_context(|| format!("could not read certificates of {name}"))?;
        for certificate in read {
            roots
                .add(certificate)
                .with_context(|| format!("a certificate of {name} cannot be used"))?;
        }
    }
    Ok(Trusts {
        verified: Trust::roots(roots)?,
        blind: Trust::blind()?,
    })
}
