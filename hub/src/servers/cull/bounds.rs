//! What bounds the servers of each user: times by their groups, and the hours of quotas that stop.

use std::collections::HashMap;

use super::due::{self, Due, Times};
use crate::app::App;
use crate::config::Limits;
use crate::db::Result;
use crate::db::servers::Server;
use crate::servers::quota;

/// How many users the database is asked about at once.
const AT_ONCE: usize = 500;

/// Of all whose servers run, by their keys.
pub struct Bounds {
    groups: HashMap<i64, Vec<String>>,
    used_up: HashMap<i64, Due>,
}

impl Bounds {
    pub async fn of(app: &App, ready: &[Server]) -> Result<Self> {
        let mut groups: HashMap<i64, Vec<String>> = HashMap::new();
        let stops = quota::stops_servers(app);
        if stops || !app.config.idle_culler.groups.is_empty() {
            let mut users: Vec<i64> = ready.iter().map(|server| server.user_id).collect();
            users.sort_unstable();
            users.dedup();
            for some in users.chunks(AT_ONCE) {
                for (user, group) in app.db.groups_of_users(some).await? {
                    groups.entry(user).or_default().push(group);
                }
            }
        }
        let mut bounds = Self {
            groups,
            used_up: HashMap::new(),
        };
        if stops {
            bounds.used_up = bounds.hours(app, ready).await?;
        }
        Ok(bounds)
    }

    fn groups(&self, user: i64) -> &[String] {
        self.groups.get(&user).map_or(&[], Vec::as_slice)
    }

    pub fn limits(&self, app: &App, server: &Server) -> Limits {
        app.config.idle_culler.limits(self.groups(server.user_id))
    }

    /// The first end of a server.
    pub fn due(&self, app: &App, server: &Server, times: Times, now: i64) -> Option<Due> {
        let limits = self.limits(app, server);
        let first = due::first(&app.config.idle_culler, limits, times, now);
        let used_up = self.used_up.get(&server.user_id).cloned();
        first.into_iter().chain(used_up).min_by_key(|due| due.at)
    }

    /// When the hours of each user are used up: several servers use them faster.
    async fn hours(&self, app: &App, ready: &[Server]) -> Result<HashMap<i64, Due>> {
        let mut running: HashMap<i64, (&str, i64)> = HashMap::new();
        for server in ready {
            running.entry(server.user_id).or_insert((&server.user, 0)).1 += 1;
        }
        let users = running.iter();
        let users = users.map(|(user, (name, _))| (*name, self.groups(*user)));
        let mut left = quota::time_left(app, users).await?;
        let mut used_up = HashMap::new();
        for (user, (name, servers)) in running {
            let Some((left, reason)) = left.remove(name) else {
                continue;
            };
            let due = Due {
                at: crate::db::now().saturating_add(left / servers),
                warning: app.config.idle_culler.warn_before,
                reason,
                is_final: true,
                removes: false,
            };
            used_up.insert(user, due);
        }
        Ok(used_up)
    }
}
