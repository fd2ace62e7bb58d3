//! The claim of a server's files: made once, kept over stops, and gone for good before its name is anybody else's.

use std::time::Duration;

use k8s_openapi::api::core::v1::PersistentVolumeClaim;
use tokio::time::{Instant, sleep};

use super::Inner;
use super::owner::{INSTANCE, Owner};
use super::{plan, state};
use crate::{Error, SpawnerState};

/// How long a claim that is being deleted may take to go, for those who wait for it.
const GONE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);

/// Makes the claim, or finds that of this server.
pub(super) async fn ensure(inner: &Inner, claim: &PersistentVolumeClaim) -> Result<(), Error> {
    let name = claim.metadata.name.as_deref().unwrap_or_default();
    let attempted = format!("make the claim {name}");
    let owner = Owner::of(&claim.metadata);
    let deadline = Instant::now() + GONE;
    loop {
        let failed = match inner.cluster.create_claim(claim).await {
            Ok(()) => return Ok(()),
            // A quota that is used up refuses before it looks whether the claim exists.
            Err(failed) if failed.is_conflict() || failed.is_forbidden() => failed,
            Err(failed) => return Err(failed.into_error(&attempted)),
        };
        match inner.cluster.claim(name).await {
            Ok(Some(found)) if !owner.may_use(&found.metadata) => {
                tracing::error!(
                    claim = name,
                    ?owner,
                    found = ?Owner::of(&found.metadata),
                    "A claim with the name of a server's is another's"
                );
                return Err(Error::Start(format!(
                    "There is a claim {name} already that belongs to another user, server or Hub"
                )));
            }
            Ok(Some(found)) if found.metadata.deletion_timestamp.is_none() => return Ok(()),
            Ok(Some(_)) if Instant::now() < deadline => {}
            Ok(Some(_)) => {
                return Err(Error::Start(format!(
                    "The claim {name} of an earlier server is still being deleted; try again in a minute"
                )));
            }
            // It has gone in between.
            Ok(None) if failed.is_conflict() && Instant::now() < deadline => {}
            Ok(None) => return Err(failed.into_error(&attempted)),
            Err(_) if failed.is_forbidden() => return Err(failed.into_error(&attempted)),
            Err(failed) => return Err(failed.into_error(&format!("look at the claim {name}"))),
        }
        sleep(PAUSE).await;
    }
}

/// Deletes the claim of a server and waits until it is gone; what has its name and is another's stays.
pub(super) async fn forget(
    inner: &Inner,
    user: &str,
    server: &str,
    before: Option<&SpawnerState>,
) -> Result<(), Error> {
    let options = &inner.options;
    let claim = state::remembered(before, options, &inner.namespace);
    let (names, fields) = plan::names(options, user, server, "", claim, &inner.namespace);
    let labels = [&options.storage_extra_labels, &options.common_labels];
    let instance = labels.iter().find_map(|labels| labels.get(INSTANCE));
    let owner = Owner {
        user: Some(user.to_owned()),
        server: Some(server.to_owned()),
        instance: instance.map(|text| fields.expand(text)),
    };
    let attempted = format!("delete the claim {}", names.pvc);
    let deadline = Instant::now() + GONE;
    loop {
        let found = inner.cluster.claim(&names.pvc).await;
        let Some(found) = found.map_err(|failed| failed.into_error(&attempted))? else {
            return Ok(());
        };
        if !owner.may_use(&found.metadata) {
            tracing::warn!(
                claim = names.pvc,
                user,
                server,
                "A claim with the name of a deleted server's is another's and stays"
            );
            return Ok(());
        }
        if found.metadata.deletion_timestamp.is_none() {
            let deleted = inner.cluster.delete_claim(&found).await;
            deleted.map_err(|failed| failed.into_error(&attempted))?;
        } else if Instant::now() >= deadline {
            return Err(Error::Cluster {
                attempted,
                message: String::from("it is still in use"),
            });
        }
        sleep(PAUSE).await;
    }
}
