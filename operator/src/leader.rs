//! Who of several operators runs the jobs of a kind: the holder of a Lease. One that cannot renew it stops before another
//! may take it.

use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::Api;
use kube::api::PostParams;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::refusal::unless_conflict;

/// How long a lease counts that is not renewed.
const LEASE: Duration = Duration::from_secs(15);
/// After this time without renewal its holder stops.
const GIVE_UP: Duration = Duration::from_secs(14);
/// Between two renewals, or looks.
const PAUSE: Duration = Duration::from_secs(2);
/// The longest that the API server may take for one answer.
const PATIENCE: Duration = Duration::from_secs(4);
/// One attempt that gets no answer is none too many.
const _: () = assert!(2 * (PAUSE.as_secs() + PATIENCE.as_secs()) <= GIVE_UP.as_secs());
const _: () = assert!(GIVE_UP.as_secs() < LEASE.as_secs());

pub struct Candidate {
    pub leases: Api<Lease>,
    pub lease: String,
    /// Of this process, or of this pod: then its successors in it go on at once. Nobody else's.
    pub identity: String,
}

/// The lease as it was when it changed last, and when that was by this clock; clocks of others do not count.
type Observed = Option<(String, Instant)>;

impl Candidate {
    /// Says in `leads` whether this process leads, for ever.
    pub async fn stand(self, leads: &watch::Sender<bool>) {
        let mut observed = None;
        let mut renewed = Instant::now();
        loop {
            let begun = Instant::now();
            match timeout(PATIENCE, self.renew(&mut observed)).await {
                Ok(Ok(true)) => {
                    renewed = begun;
                    if !leads.send_replace(true) {
                        tracing::info!(lease = %self.lease, "This operator leads by the lease {}", self.lease);
                    }
                }
                Ok(Ok(false)) => self.lose(leads),
                Ok(Err(error)) => {
                    tracing::warn!(%error, "Could not renew the lease {}", self.lease);
                    self.lose_in_time(renewed, leads);
                }
                Err(_) => self.lose_in_time(renewed, leads),
            }
            sleep(PAUSE).await;
        }
    }

    /// Lets another take the lease at once; without an answer it waits until the lease is over.
    pub async fn release(&self) {
        let _ = timeout(PATIENCE, self.let_go()).await;
    }

    async fn let_go(&self) {
        let Ok(Some(mut lease)) = self.leases.get_opt(&self.lease).await else {
            return;
        };
        let spec = lease.spec.get_or_insert_default();
        if spec.holder_identity.as_deref() == Some(&self.identity) {
            spec.holder_identity = None;
            let _ = self.replace(&lease).await;
        }
    }

    fn lose_in_time(&self, renewed: Instant, leads: &watch::Sender<bool>) {
        if renewed.elapsed() + PAUSE + PATIENCE > GIVE_UP {
            self.lose(leads);
        }
    }

    fn lose(&self, leads: &watch::Sender<bool>) {
        if leads.send_replace(false) {
            tracing::warn!(
                "Another operator has the lease {}, or it could not be renewed",
                self.lease
            );
        }
    }

    async fn renew(&self, observed: &mut Observed) -> Result<bool, kube::Error> {
        let Some(mut lease) = self.leases.get_opt(&self.lease).await? else {
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(self.lease.clone()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.held(&LeaseSpec::default())),
            };
            let created = self.leases.create(&PostParams::default(), &lease).await;
            return unless_conflict(created);
        };
        let spec = lease.spec.clone().unwrap_or_default();
        let holder = spec.holder_identity.as_deref().unwrap_or_default();
        if holder != self.identity && !holder.is_empty() {
            let version = lease.metadata.resource_version.clone().unwrap_or_default();
            match observed {
                Some((known, since)) if *known == version => {
                    if since.elapsed() < LEASE {
                        return Ok(false);
                    }
                }
                _ => {
                    *observed = Some((version, Instant::now()));
                    return Ok(false);
                }
            }
        }
        lease.spec = Some(self.held(&spec));
        self.replace(&lease).await
    }

    async fn replace(&self, lease: &Lease) -> Result<bool, kube::Error> {
        let parameters = PostParams::default();
        let replaced = self.leases.replace(&self.lease, &parameters, lease).await;
        unless_conflict(replaced)
    }

    fn held(&self, before: &LeaseSpec) -> LeaseSpec {
        let now = MicroTime(Timestamp::now());
        let is_same = before.holder_identity.as_deref() == Some(&self.identity);
        let acquired = before.acquire_time.clone().filter(|_| is_same);
        let transitions = before.lease_transitions.unwrap_or_default();
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(LEASE.as_secs()).ok(),
            acquire_time: acquired.or_else(|| Some(now.clone())),
            renew_time: Some(now),
            lease_transitions: Some(transitions + i32::from(!is_same)),
            ..before.clone()
        }
    }
}
