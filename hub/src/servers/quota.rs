//! Quotas: which are for a user, and whether a start keeps to them.

use std::collections::HashMap;

use carrel_spawner::kube::{Cpu, Memory};
use carrel_spawner::{Needs, StartRequest};

use super::{StartError, UserOptions};
use crate::app::App;
use crate::config::Quota;
use crate::db::now;
use crate::db::quota::{Limit, Over};
use crate::db::runs::WEEK;

const HOUR: i64 = 3_600_000;

/// What a start may and will take.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    pub limits: Vec<Limit>,
    pub needs: Needs,
    /// What was weighed; none where nothing is.
    pub options: Option<UserOptions>,
}

/// The quotas that are for the user, of which the start keeps to those that are about itself or about time.
pub(super) async fn bounds(
    app: &App,
    (user_id, user, server): (i64, &str, &str),
    options: Option<&UserOptions>,
) -> Result<Bounds, StartError> {
    let quotas = &app.config.jupyter_hub.quotas;
    if quotas.is_empty() {
        return Ok(Bounds::default());
    }
    let groups = app.db.groups_of(user_id).await?;
    let quotas: Vec<&Quota> = quotas
        .iter()
        .filter(|quota| quota.is_for(user, &groups))
        .collect();
    check_hours(app, user, &quotas).await?;
    let options = match options {
        Some(options) => options.clone(),
        // Those of the last time.
        None => match app.db.server(user, server).await? {
            Some(server) => server.user_options,
            None => UserOptions::default(),
        },
    };
    let request = StartRequest {
        user: user.to_owned(),
        server: server.to_owned(),
        groups,
        prefix: String::new(),
        environment: Default::default(),
        user_options: options,
        start_id: String::new(),
        before: None,
    };
    // A start that cannot be is told by the start itself.
    let needs = app.spawner.needs(&request).unwrap_or_default();
    for quota in &quotas {
        for (what, key, unbounded) in [
            (
                "memory",
                "mem_limit",
                quota.memory.is_some() && needs.memory.is_none(),
            ),
            (
                "cpu",
                "cpu_limit",
                quota.cpu.is_some() && needs.cpu.is_none(),
            ),
        ] {
            if unbounded {
                return Err(StartError::Quota(format!(
                    "The quota `{}` bounds {what}, and this server has no bound ({key}): ask your administrator for one",
                    quota.name
                )));
            }
        }
    }
    let limits = quotas.into_iter().map(limit).collect();
    Ok(Bounds {
        limits,
        needs,
        options: Some(request.user_options),
    })
}

async fn check_hours(app: &App, user: &str, quotas: &[&Quota]) -> Result<(), StartError> {
    let Some(quota) = strictest(quotas.iter().copied()) else {
        return Ok(());
    };
    let used = used(app, &[user]).await?;
    let used = used.get(user).copied().unwrap_or_default();
    if used < i64::from(quota.hours_per_week) * HOUR {
        return Ok(());
    }
    Err(StartError::Quota(format!(
        "Your servers ran for {} hours within seven days, and the quota `{}` allows {}: try again tomorrow",
        used / HOUR,
        quota.name,
        quota.hours_per_week
    )))
}

/// Of those that bound the hours, the one that gives fewest.
fn strictest<'q>(quotas: impl Iterator<Item = &'q Quota>) -> Option<&'q Quota> {
    let hours = quotas.filter(|quota| quota.hours_per_week > 0);
    hours.min_by_key(|quota| quota.hours_per_week)
}

/// Milliseconds that servers of these users were ready within the last seven days.
async fn used(app: &App, users: &[&str]) -> crate::db::Result<HashMap<String, i64>> {
    app.db.hours_since(users, now() - WEEK).await
}

/// Whether any quota stops what runs.
pub(super) fn stops_servers(app: &App) -> bool {
    let mut quotas = app.config.jupyter_hub.quotas.iter();
    quotas.any(|quota| quota.stop_when_used_up)
}

/// Milliseconds that servers of each user may still be ready before a quota stops them, and what the quota says; users come
/// with their groups.
pub(super) async fn time_left<'u>(
    app: &App,
    users: impl Iterator<Item = (&'u str, &'u [String])>,
) -> crate::db::Result<HashMap<&'u str, (i64, String)>> {
    let quotas = &app.config.jupyter_hub.quotas;
    let bounded = users.filter_map(|(user, groups)| {
        let stopping = quotas.iter();
        let stopping =
            stopping.filter(|quota| quota.stop_when_used_up && quota.is_for(user, groups));
        Some((user, strictest(stopping)?))
    });
    let bounded: Vec<_> = bounded.collect();
    let names: Vec<&str> = bounded.iter().map(|(user, _)| *user).collect();
    let used = used(app, &names).await?;
    let left = bounded.into_iter().map(|(user, quota)| {
        let (name, hours) = (&quota.name, quota.hours_per_week);
        let used = used.get(user).copied().unwrap_or_default();
        let reason = format!("the quota `{name}` allows {hours} hours within seven days");
        (user, (i64::from(hours) * HOUR - used, reason))
    });
    Ok(left.collect())
}

fn limit(quota: &Quota) -> Limit {
    let amount = |amount: u64| i64::try_from(amount).unwrap_or(i64::MAX);
    Limit {
        name: quota.name.clone(),
        servers: quota.servers.into(),
        memory: quota.memory.map_or(0, |memory| amount(memory.0)),
        cpu: quota.cpu.map_or(0, |cpu| amount(cpu.0)),
    }
}

/// Why a start is refused that would exceed a limit.
pub(super) fn refusal(limit: &Limit, over: Over) -> String {
    let most = |amount: i64| u64::try_from(amount).unwrap_or_default();
    let allowed = match over {
        Over::Servers if limit.servers == 1 => "1 active server".to_owned(),
        Over::Servers => format!("{} active servers", limit.servers),
        Over::Memory => format!(
            "{} of memory for all your servers",
            Memory(most(limit.memory))
        ),
        Over::Cpu => format!("{} cores for all your servers", Cpu(most(limit.cpu))),
    };
    format!(
        "The quota `{}` allows {allowed}: stop another of your servers first",
        limit.name
    )
}
