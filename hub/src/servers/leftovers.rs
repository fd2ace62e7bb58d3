//! What the spawner keeps of deleted servers, such as claims: deleted again and again until it is gone. Until then nobody
//! can start a server of that name.

use carrel_spawner::SpawnerState;
use tracing::{error, info};

use crate::app::App;
use crate::db::leftovers::Leftover;

/// Tries for all that is left.
pub async fn clear(app: &App) {
    let leftovers = match app.db.leftovers().await {
        Ok(leftovers) => leftovers,
        Err(error) => return error!(%error, "Could not look for what deleted servers have left"),
    };
    for leftover in leftovers {
        clear_one(app, &leftover).await;
    }
}

async fn clear_one(app: &App, leftover: &Leftover) {
    let Leftover {
        user,
        server,
        last_state,
    } = leftover;
    // One at a time: what comes late would delete what a new server of that name has made.
    let Some(_busy) = app.busy.enter_alone(&format!("leftover {user}/{server}")) else {
        return;
    };
    match app.db.take_leftover(leftover).await {
        Ok(true) => {}
        Ok(false) => return,
        Err(error) => return error!(%error, "Could not look for what deleted servers have left"),
    }
    let before = last_state.clone().map(SpawnerState);
    if let Err(cause) = app.spawner.forget(user, server, before.as_ref()).await {
        let cause = crate::chain::chain(&cause);
        return error!(
            user,
            server, cause, "Could not remove what a deleted server kept; trying again later"
        );
    }
    match app.db.leftover_is_gone(leftover).await {
        Ok(()) => info!(user, server, "Nothing is left of a deleted server"),
        Err(error) => error!(%error, "Could not write down that nothing is left of a server"),
    }
}
