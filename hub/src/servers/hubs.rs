//! Several Hubs on one database: this one says that it lives, and knows whether it is the one that does what is to be done
//! once. What a dead one was doing is taken over in [`super::reconcile`].

use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{error, info, warn};

use crate::app::App;
use crate::config::SpawnerClass;
use crate::db;

/// A fifth of the time after which others take a Hub for dead.
const RENEW: Duration = Duration::from_secs(2);

#[derive(Debug, thiserror::Error)]
pub enum EnterError {
    #[error("could not use the database")]
    Db(#[from] db::DbError),
    #[error(
        "another Hub on this database, {0}, runs on another machine: servers that are processes can be watched on their own \
         machine only (JupyterHub.spawner_class; with `kubespawner` several Hubs may run)"
    )]
    OtherMachine(String),
}

/// Writes this Hub down; from now on it must [`live`].
pub async fn enter(app: &App, address: SocketAddr) -> Result<(), EnterError> {
    let (name, machine) = (name(address), machine());
    if app.config.jupyter_hub.spawner_class == SpawnerClass::LocalProcess {
        let live = app.db.live_hubs().await?;
        let other = live
            .into_iter()
            .find(|hub| hub.machine != machine && hub.name != name);
        if let Some(other) = other {
            return Err(EnterError::OtherMachine(other.name));
        }
    }
    app.db.enter_hub(&name, &machine).await?;
    Ok(look_who_leads(app).await?)
}

/// Renews the lease of this Hub, for ever.
pub async fn live(app: App, address: SocketAddr) {
    let mut ticks = interval(RENEW);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut seen = Instant::now();
    loop {
        ticks.tick().await;
        let asked = Instant::now();
        match app.db.renew_hub().await {
            Ok(true) => seen = asked,
            Ok(false) => {
                warn!("Other Hubs have taken this one for dead, and what it was doing over");
                if let Err(error) = app.db.enter_hub(&name(address), &machine()).await {
                    error!(%error, "Could not write down that this Hub lives");
                }
            }
            Err(error) => error!(%error, "Could not write down that this Hub lives"),
        }
        if let Err(error) = look_who_leads(&app).await {
            error!(%error, "Could not look which Hubs live");
        }
        // Until others may take this one for dead, what it led it leads.
        if seen.elapsed() > db::hubs::LEASE {
            app.leads.store(false, Ordering::Relaxed);
        }
    }
}

/// Whether no other Hub lives. Where that is not known, one does.
pub async fn is_alone(app: &App) -> bool {
    let live = app.db.live_hubs().await;
    live.is_ok_and(|live| live.iter().all(|hub| hub.id == app.db.hub()))
}

/// The oldest of those that live leads.
async fn look_who_leads(app: &App) -> db::Result<()> {
    let live = app.db.live_hubs().await?;
    let leads = live.first().is_some_and(|hub| hub.id == app.db.hub());
    if app.leads.swap(leads, Ordering::Relaxed) != leads && leads {
        info!("This Hub culls and cleans up, for all Hubs on its database");
    }
    Ok(())
}

fn name(address: SocketAddr) -> String {
    format!(
        "{}:{} on {}",
        of_kernel("hostname"),
        address.port(),
        machine()
    )
}

fn machine() -> String {
    of_kernel("random/boot_id")
}

/// What the kernel calls this machine (proc(5)); in a container of its own, `hostname` is that of the pod.
fn of_kernel(what: &str) -> String {
    let read = std::fs::read_to_string(format!("/proc/sys/kernel/{what}"));
    read.unwrap_or_default().trim().to_owned()
}
