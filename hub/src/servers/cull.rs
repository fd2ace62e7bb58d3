//! Idle culling: ends servers in which nothing has happened for long, and removes users who do not come any more, with
//! the meaning that jupyterhub-idle-culler gives to its options. A kernel that computes counts as something happening.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::iter;
use serde_json::Value;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info};
use url::Url;

use super::{answer, log_db_error, remove, stopping, watch};
use crate::app::App;
use crate::auth::secret;
use crate::config::IdleCuller;
use crate::db::servers::{Server, State};
use crate::db::tokens::NewToken;
use crate::db::users::User;
use crate::{db, scopes};

/// How long a server may take to say what its kernels do.
const ANSWER: Duration = Duration::from_secs(5);

/// Looks every `IdleCuller.every`, for ever; first after that time, so that servers that a Hub has adopted can report.
pub async fn cull(app: App) {
    let culler = &app.config.idle_culler;
    if !culler.enabled {
        return;
    }
    let mut ticks = interval(culler.every.max(Duration::from_millis(100)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        if let Err(error) = look(&app).await {
            error!(%error, "Could not look for idle servers");
        }
    }
}

async fn look(app: &App) -> Result<(), db::DbError> {
    let culler = &app.config.idle_culler;
    let servers = app.db.active_servers().await?;
    let ready = servers
        .into_iter()
        .filter(|server| server.state == State::Ready);
    iter(ready)
        .for_each_concurrent(culler.concurrency.max(1), |server| async move {
            look_at(app, &server).await;
        })
        .await;
    if culler.users {
        let users = app.db.users_without_servers().await?;
        iter(users)
            .for_each_concurrent(culler.concurrency.max(1), |user| async move {
                look_at_user(app, &user).await;
            })
            .await;
    }
    Ok(())
}

async fn look_at(app: &App, server: &Server) {
    let culler = &app.config.idle_culler;
    // The proxy knows of requests that are not written down yet.
    let proxied = watch::proxied(app, server).unwrap_or_default();
    let active = server.last_activity.or(server.started).unwrap_or_default();
    let times = Times::until_now(server.started.unwrap_or_default(), active.max(proxied));
    let Some(reason) = times.reason(culler) else {
        return;
    };
    if times.idle >= culler.timeout && times.age_is_fine(culler) && computes(app, server).await {
        let written = app.db.server_was_active(server.id, db::now()).await;
        if let Err(error) = written {
            log_db_error(server, "write down that a kernel is busy", &error);
        }
        return;
    }
    info!(server = %server.full_name(), reason, "Culling server {}: {reason}", server.full_name());
    let told = format!("The server was stopped: {reason}");
    stopping::end_because(app, server, State::Ready, &told).await;
    if culler.remove_named_servers
        && !server.name.is_empty()
        && let Err(error) = remove(app, server).await
    {
        log_db_error(server, "remove a culled server", &error);
    }
}

async fn look_at_user(app: &App, user: &User) {
    let culler = &app.config.idle_culler;
    // The next Hub would make those of the configuration anew, without a password.
    let named = app.config.authenticator.admin_users.contains(&user.name);
    if named || (user.admin && !culler.admin_users) {
        return;
    }
    let active = user.last_activity.unwrap_or(user.created);
    let Some(reason) = Times::until_now(user.created, active).reason(culler) else {
        return;
    };
    info!(
        user = user.name,
        reason, "Culling user {}: {reason}", user.name
    );
    let removed = async {
        let servers = app.db.servers_of(user.id).await?;
        // Who has come back meanwhile stays.
        if app.db.remove_user_without_servers(user.id).await? {
            for server in &servers {
                remove(app, server).await?;
            }
        }
        Ok::<(), db::DbError>(())
    };
    if let Err(error) = removed.await {
        error!(user = user.name, %error, "Could not remove a culled user");
    }
}

/// How long something has been there, and for how long nothing has happened in it.
#[derive(Debug, Clone, Copy)]
struct Times {
    age: Duration,
    idle: Duration,
}

impl Times {
    fn until_now(since: i64, active: i64) -> Self {
        let now = db::now();
        let span = |from: i64| {
            Duration::from_millis(now.saturating_sub(from).try_into().unwrap_or_default())
        };
        Self {
            age: span(since),
            idle: span(active.max(since)),
        }
    }

    /// Why it is to end; nothing where it may go on.
    fn reason(self, culler: &IdleCuller) -> Option<String> {
        if !self.age_is_fine(culler) {
            let age = in_words(self.age);
            return Some(format!("it is {age} old (IdleCuller.max_age)"));
        }
        (self.idle >= culler.timeout).then(|| {
            let idle = in_words(self.idle);
            format!("nothing has happened in it for {idle} (IdleCuller.timeout)")
        })
    }

    fn age_is_fine(self, culler: &IdleCuller) -> bool {
        culler.max_age.is_zero() || self.age < culler.max_age
    }
}

fn in_words(span: Duration) -> String {
    match span.as_secs() {
        seconds @ ..120 => format!("{seconds} seconds"),
        seconds @ ..7200 => format!("{} minutes", seconds / 60),
        seconds => format!("{} hours", seconds / 3600),
    }
}

/// Whether one of the server's kernels computes, silent as it may be. What is no Jupyter server has none.
async fn computes(app: &App, server: &Server) -> bool {
    let Some(url) = server.url.as_deref().and_then(|url| Url::parse(url).ok()) else {
        return false;
    };
    let token = secret::generate();
    let mut scopes = scopes::access_scopes(&server.user, &server.name);
    scopes.extend(scopes::identify_scopes(&server.user));
    let new = NewToken {
        token_hash: &secret::hash(&token),
        user_id: server.user_id,
        // What is done with it is not the user's activity.
        server_id: Some(server.id),
        scopes: &scopes,
        note: "A look at the server's kernels",
        expires: Some(db::after(60)),
        ..NewToken::default()
    };
    let id = match app.db.add_token(new).await {
        Ok(id) => id,
        Err(error) => {
            log_db_error(server, "look at the kernels of a server", &error);
            return true;
        }
    };
    let path = format!("{}api/kernels?no_track_activity=1", server.prefix);
    let kernels = tokio::time::timeout(ANSWER, answer::read(&url, &path, &token)).await;
    if let Err(error) = app.db.revoke_token(server.user_id, id).await {
        log_db_error(server, "remove the token of a look", &error);
    }
    let kernels: Option<Vec<Value>> = kernels
        .ok()
        .flatten()
        .and_then(|body| serde_json::from_slice(&body).ok());
    let busy = |kernel: &Value| kernel["execution_state"] == "busy";
    kernels.is_some_and(|kernels| kernels.iter().any(busy))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(age: u64, idle: u64, max_age: u64) -> Option<String> {
        let culler = IdleCuller {
            timeout: Duration::from_secs(3600),
            max_age: Duration::from_secs(max_age),
            ..IdleCuller::default()
        };
        let [age, idle] = [age, idle].map(Duration::from_secs);
        Times { age, idle }.reason(&culler)
    }

    #[test]
    fn what_is_idle_or_old_is_to_end() {
        assert_eq!(reason(9_000_000, 3599, 0), None);
        assert_eq!(
            reason(9000, 3600, 0).as_deref(),
            Some("nothing has happened in it for 60 minutes (IdleCuller.timeout)")
        );
        assert_eq!(reason(86_399, 0, 86_400), None);
        assert_eq!(
            reason(86_400, 0, 86_400).as_deref(),
            Some("it is 24 hours old (IdleCuller.max_age)")
        );
    }

    #[test]
    fn what_never_reported_counts_from_its_start() {
        let times = Times::until_now(db::now() - 10_000, 0);
        assert_eq!(times.age, times.idle);
    }
}
