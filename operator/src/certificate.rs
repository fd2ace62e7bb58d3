//! The certificate of the webhook: made by this operator, kept in a Secret that all its replicas read, and made anew long
//! before it is over. Its authority outlives it by far: pods of TrainJobs believe the one that was there when they were made.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, date_time_ymd};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

use crate::refusal::unless_conflict;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How long a certificate counts, and after which time it is made anew.
const VALID: Duration = DAY.saturating_mul(365);
const RENEW: Duration = DAY.saturating_mul(240);
/// The same of its authority. The one before it is believed along with it.
const AUTHORITY_VALID: Duration = DAY.saturating_mul(3650);
const AUTHORITY_RENEW: Duration = DAY.saturating_mul(2920);
const AUTHORITY_RENEW_AFTER: &str = "carrel.dev/authority-renew-after";
const RENEW_AFTER: &str = "carrel.dev/renew-after";
/// The key of the authority, in the Secret.
const SIGNER: &str = "ca.key";
/// The names that a certificate is for.
const NAMES: &str = "carrel.dev/names";
/// How long the certificate before is served after a renewal: all look at the Secret and the API server learns whom to
/// believe until then.
const HANDOVER: Duration = Duration::from_secs(5 * 60);
/// The longest that the API server may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at the Secret.
const PAUSE: Duration = Duration::from_secs(60);
const RETRY: Duration = Duration::from_secs(5);

/// A certificate with its key, and whom to believe about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// One or two authorities, the newest first.
    pub authorities: String,
    certificate: String,
    key: String,
    /// What signs the next one; none of a Secret that is older than this program.
    signer: Option<Signer>,
}

/// The key of an authority, and until when it signs.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Signer {
    key: String,
    renew_after: Timestamp,
}

#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    #[error("could not make a certificate")]
    Make(#[from] rcgen::Error),
    #[error("could not use the Secret of the certificate")]
    Api(#[from] Box<kube::Error>),
    #[error("there was no answer within {} s about the Secret of the certificate", PATIENCE.as_secs())]
    Late,
    #[error("the certificate in the Secret cannot be used, delete the Secret: {0}")]
    Use(String),
}

/// Where a certificate is kept.
pub struct Keeper {
    pub secrets: Api<Secret>,
    pub secret: String,
    /// Names and addresses under which the webhook is reached.
    pub names: Vec<String>,
}

/// What is served with now.
pub struct Loaded {
    pub certificate: Certificate,
    pub config: Arc<ServerConfig>,
}

impl Keeper {
    /// Keeps `loaded` up to date, for ever.
    pub async fn keep(self, loaded: &watch::Sender<Option<Arc<Loaded>>>) {
        let mut renewed = None;
        loop {
            let known = loaded.borrow().clone();
            let before = known.as_ref().map(|known| &known.certificate);
            let current = timeout(PATIENCE, self.current(before, Timestamp::now())).await;
            let next = current
                .unwrap_or(Err(CertificateError::Late))
                .and_then(|certificate| {
                    next(known.as_deref(), certificate, &mut renewed, Instant::now())
                });
            let pause = match next {
                Ok(None) => PAUSE,
                Ok(Some(next)) => {
                    loaded.send_replace(Some(Arc::new(next)));
                    PAUSE
                }
                Err(error) => {
                    let source = std::error::Error::source(&error).map(ToString::to_string);
                    tracing::error!(source, "{error}");
                    RETRY
                }
            };
            sleep(pause).await;
        }
    }

    /// The certificate in the Secret; a new one where there is none, it is old, or it is for other names. Who believes a
    /// new one believes that of the Secret too, or where there is none `before`.
    ///
    /// # Errors
    /// When the API server does not let it.
    pub async fn current(
        &self,
        before: Option<&Certificate>,
        now: Timestamp,
    ) -> Result<Certificate, CertificateError> {
        loop {
            let secret = self.secrets.get_opt(&self.secret).await.map_err(Box::new)?;
            let kept = secret.as_ref().and_then(read);
            if let Some(kept) = &kept
                && now < kept.renew_after
                && kept.names == self.names.join(",")
            {
                return Ok(kept.certificate.clone());
            }
            // Whoever takes the Secret away wants another authority.
            let before = before.cloned().map(Certificate::without_signer);
            let before = kept.map(|kept| kept.certificate).or(before);
            let certificate = make(&self.names, before.as_ref(), now)?;
            if self.write(secret, &certificate, now).await? {
                return Ok(certificate);
            }
        }
    }

    /// Whether it is written; false: another was faster.
    async fn write(
        &self,
        secret: Option<Secret>,
        certificate: &Certificate,
        now: Timestamp,
    ) -> Result<bool, CertificateError> {
        let is_new = secret.is_none();
        let mut secret = secret.unwrap_or_else(|| Secret {
            metadata: ObjectMeta {
                name: Some(self.secret.clone()),
                ..ObjectMeta::default()
            },
            type_: Some("kubernetes.io/tls".to_owned()),
            ..Secret::default()
        });
        let renew_after = now.checked_add(RENEW).unwrap_or(now).to_string();
        let annotations = secret.metadata.annotations.get_or_insert_default();
        annotations.insert(RENEW_AFTER.to_owned(), renew_after);
        annotations.insert(NAMES.to_owned(), self.names.join(","));
        let bytes = |text: &str| ByteString(text.as_bytes().to_vec());
        let mut data = BTreeMap::from([
            ("ca.crt".to_owned(), bytes(&certificate.authorities)),
            ("tls.crt".to_owned(), bytes(&certificate.certificate)),
            ("tls.key".to_owned(), bytes(&certificate.key)),
        ]);
        if let Some(signer) = &certificate.signer {
            data.insert(SIGNER.to_owned(), bytes(&signer.key));
            let renew_after = signer.renew_after.to_string();
            annotations.insert(AUTHORITY_RENEW_AFTER.to_owned(), renew_after);
        }
        secret.data = Some(data);
        let parameters = PostParams::default();
        let written = if is_new {
            self.secrets.create(&parameters, &secret).await
        } else {
            self.secrets
                .replace(&self.secret, &parameters, &secret)
                .await
        };
        unless_conflict(written).map_err(|error| Box::new(error).into())
    }
}

/// What is served next, where `certificate` is what the Secret holds: at once who is to be believed, and after a while what
/// they believe. `renewed` is since when the Secret holds one that is not served yet.
///
/// # Errors
/// When it cannot be used.
pub fn next(
    known: Option<&Loaded>,
    certificate: Certificate,
    renewed: &mut Option<Instant>,
    now: Instant,
) -> Result<Option<Loaded>, CertificateError> {
    let config = match (known, *renewed) {
        (Some(known), None) if known.certificate == certificate => return Ok(None),
        (Some(known), Some(since)) if known.certificate == certificate => {
            if now.duration_since(since) < HANDOVER {
                return Ok(None);
            }
            *renewed = None;
            Arc::new(certificate.config()?)
        }
        (Some(known), _) => {
            certificate.config()?;
            *renewed = Some(now);
            Arc::clone(&known.config)
        }
        (None, _) => Arc::new(certificate.config()?),
    };
    Ok(Some(Loaded {
        certificate,
        config,
    }))
}

/// What a Secret holds.
struct Kept {
    certificate: Certificate,
    names: String,
    renew_after: Timestamp,
}

fn read(secret: &Secret) -> Option<Kept> {
    let data = secret.data.as_ref()?;
    let text = |name: &str| String::from_utf8(data.get(name)?.0.clone()).ok();
    let annotations = secret.metadata.annotations.as_ref()?;
    Some(Kept {
        certificate: Certificate {
            authorities: text("ca.crt")?,
            certificate: text("tls.crt")?,
            key: text("tls.key")?,
            signer: text(SIGNER).and_then(|key| {
                let renew_after = annotations.get(AUTHORITY_RENEW_AFTER)?.parse().ok()?;
                Some(Signer { key, renew_after })
            }),
        },
        names: annotations.get(NAMES)?.clone(),
        renew_after: annotations.get(RENEW_AFTER)?.parse().ok()?,
    })
}

/// A certificate for `names`, of the authority of the one before while that signs; who believes a new one believes that too.
///
/// # Errors
/// When no key can be made or read, or a name is none.
pub fn make(
    names: &[String],
    before: Option<&Certificate>,
    now: Timestamp,
) -> Result<Certificate, CertificateError> {
    let signer = before.and_then(|before| before.signer.clone());
    let (authorities, signer) = match (before, signer) {
        (Some(before), Some(signer)) if now < signer.renew_after => {
            (before.authorities.clone(), signer)
        }
        _ => {
            let key = KeyPair::generate()?;
            let certificate = authority(now)?.self_signed(&key)?;
            let newest = before.map(|before| first(&before.authorities));
            let signer = Signer {
                key: key.serialize_pem(),
                renew_after: now.checked_add(AUTHORITY_RENEW).unwrap_or(now),
            };
            (certificate.pem() + newest.unwrap_or_default(), signer)
        }
    };
    let issuer = Issuer::new(authority(now)?, KeyPair::from_pem(&signer.key)?);
    let mut leaf = CertificateParams::new(names)?;
    counts(&mut leaf, now, VALID);
    let key = KeyPair::generate()?;
    Ok(Certificate {
        authorities,
        certificate: leaf.signed_by(&key, &issuer)?.pem(),
        key: key.serialize_pem(),
        signer: Some(signer),
    })
}

/// An authority that is made at this time. Its name never changes, by which certificates that it signs are known.
fn authority(now: Timestamp) -> Result<CertificateParams, rcgen::Error> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    authority
        .distinguished_name
        .push(DnType::CommonName, "carrel-operator");
    counts(&mut authority, now, AUTHORITY_VALID);
    Ok(authority)
}

/// From when on, and until when.
fn counts(certificate: &mut CertificateParams, now: Timestamp, long: Duration) {
    let seconds = u64::try_from(now.as_second()).unwrap_or_default();
    let now = date_time_ymd(1970, 1, 1) + Duration::from_secs(seconds);
    // From yesterday on, for clocks differ.
    (certificate.not_before, certificate.not_after) = (now - DAY, now + long);
}

/// The first certificate of several.
fn first(certificates: &str) -> &str {
    const END: &str = "-----END CERTIFICATE-----";
    match certificates.find(END) {
        Some(end) => &certificates[..end + END.len()],
        None => "",
    }
}

impl Certificate {
    fn without_signer(self) -> Self {
        Self {
            signer: None,
            ..self
        }
    }

    /// What a server needs.
    ///
    /// # Errors
    /// When it is not what this program wrote.
    pub fn config(&self) -> Result<ServerConfig, CertificateError> {
        let unusable = |error: String| CertificateError::Use(error);
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(self.certificate.as_bytes()).collect();
        let chain = chain.map_err(|error| unusable(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes());
        let key = key.map_err(|error| unusable(error.to_string()))?;
        let provider = Arc::new(crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let config = config.map_err(|error| unusable(error.to_string()))?;
        let config = config.with_no_client_auth().with_single_cert(chain, key);
        config.map_err(|error| unusable(error.to_string()))
    }
}
