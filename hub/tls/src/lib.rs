//! TLS of a listener: certificate and key from files, which are read anew when they change.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject as _};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{self, ServerConfig};
use tokio_rustls::server::TlsStream;

/// How soon a new certificate is used.
const LOOK_INTERVAL: Duration = Duration::from_secs(10);
/// The names of HTTP/2 and HTTP/1.1 (RFC 7301).
pub const H2: &[u8] = b"h2";
pub const HTTP_1: &[u8] = b"http/1.1";
/// What browsers may choose from.
const PROTOCOLS: [&[u8]; 2] = [H2, HTTP_1];

/// Clones share one certificate.
#[derive(Clone)]
pub struct Tls(Arc<Inner>);

/// The key stays out of logs.
impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.0.certificate).finish()
    }
}

struct Inner {
    key: PathBuf,
    certificate: PathBuf,
    protocols: Vec<Vec<u8>>,
    config: ArcSwap<ServerConfig>,
    seen: Mutex<Seen>,
}

/// What the files held when they were last looked at.
struct Seen {
    files: Files,
    /// What was wrong with them.
    error: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("could not read {0}")]
    Read(PathBuf, #[source] io::Error),
    #[error("{0} holds no certificate in PEM")]
    Certificate(PathBuf, #[source] Option<pem::Error>),
    #[error("{0} holds no private key in PEM, or an encrypted one")]
    Key(PathBuf, #[source] pem::Error),
    #[error("the certificate {certificate} cannot be used with the key {key}")]
    Unusable {
        certificate: PathBuf,
        key: PathBuf,
        source: rustls::Error,
    },
}

impl Tls {
    /// For both versions of HTTP. Who serves with it [follows the files](Self::follow_files).
    ///
    /// # Errors
    /// Where a file cannot be read, or certificate and key are none that can be used together.
    pub fn open(key: PathBuf, certificate: PathBuf) -> Result<Self, TlsError> {
        Self::open_for(key, certificate, &PROTOCOLS)
    }

    /// The same for these protocols, of which clients choose.
    ///
    /// # Errors
    /// As those of [`Self::open`].
    pub fn open_for(
        key: PathBuf,
        certificate: PathBuf,
        protocols: &[&[u8]],
    ) -> Result<Self, TlsError> {
        let protocols: Vec<_> = protocols.iter().map(|one| one.to_vec()).collect();
        let files = Files::read(&key, &certificate)?;
        let config = ArcSwap::from_pointee(files.config(&key, &certificate, &protocols)?);
        let error = None;
        let seen = Mutex::new(Seen { files, error });
        Ok(Self(Arc::new(Inner {
            key,
            certificate,
            protocols,
            config,
            seen,
        })))
    }

    /// Says hello to a client.
    ///
    /// # Errors
    /// Where the client does not, or breaks off.
    pub async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        TlsAcceptor::from(self.0.config.load_full())
            .accept(stream)
            .await
    }

    /// Takes what is in the files each ten seconds, for ever.
    pub async fn follow_files(self) {
        let mut ticks = interval(LOOK_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let tls = self.clone();
            // Nobody waits for it but this.
            let _ = tokio::task::spawn_blocking(move || tls.reread()).await;
        }
    }

    /// Takes what is in the files. What cannot be used is told once, and the old goes on; so do connections.
    pub fn reread(&self) {
        let inner = &*self.0;
        let mut seen = inner.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let error = match inner.newer(&mut seen.files) {
            Ok(None) => return,
            Ok(Some(config)) => {
                inner.config.store(Arc::new(config));
                let certificate = inner.certificate.display();
                tracing::info!(%certificate, "The certificate was read anew");
                None
            }
            Err(error) => Some(chain(&error)),
        };
        if let Some(cause) = error.as_ref().filter(|_| error != seen.error) {
            tracing::error!(
                cause,
                "The new certificate cannot be used, the old one goes on"
            );
        }
        seen.error = error;
    }
}

impl Inner {
    /// None where the files are as they were.
    fn newer(&self, seen: &mut Files) -> Result<Option<ServerConfig>, TlsError> {
        let files = Files::read(&self.key, &self.certificate)?;
        if files == *seen {
            return Ok(None);
        }
        let config = files.config(&self.key, &self.certificate, &self.protocols);
        *seen = files;
        config.map(Some)
    }
}

#[derive(PartialEq)]
struct Files {
    key: Vec<u8>,
    certificate: Vec<u8>,
}

impl Files {
    fn read(key: &Path, certificate: &Path) -> Result<Self, TlsError> {
        let read = |path: &Path| {
            std::fs::read(path).map_err(|error| TlsError::Read(path.to_owned(), error))
        };
        Ok(Self {
            key: read(key)?,
            certificate: read(certificate)?,
        })
    }

    fn config(
        &self,
        key: &Path,
        certificate: &Path,
        protocols: &[Vec<u8>],
    ) -> Result<ServerConfig, TlsError> {
        let none = |error| TlsError::Certificate(certificate.to_owned(), error);
        let chain = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| none(Some(error)))?;
        if chain.is_empty() {
            return Err(none(None));
        }
        let private = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| TlsError::Key(key.to_owned(), error))?;
        server_config(chain, private, protocols).map_err(|source| TlsError::Unusable {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            source,
        })
    }
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    protocols: &[Vec<u8>],
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    // Sessions are kept by the browsers, however many there are.
    config.ticketer = ring::Ticketer::new()?;
    config.alpn_protocols = protocols.to_vec();
    Ok(config)
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}
