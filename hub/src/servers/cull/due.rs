//! When a server is to be stopped, and why: arithmetic of times alone.

use std::time::Duration;

use crate::config::{IdleCuller, Limits};

/// The end that is before a server, if nothing changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// In milliseconds.
    pub at: i64,
    /// How long before it its user is told.
    pub warning: Duration,
    pub reason: String,
    /// Use of the server does not put it off.
    pub is_final: bool,
    /// A named server is deleted then, where the culler deletes those.
    pub removes: bool,
}

impl Due {
    /// From when on its user is told.
    pub fn told_from(&self) -> i64 {
        self.at.saturating_sub(millis(self.warning))
    }
}

/// Since when a server runs, and when something has last happened in it.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    pub started: i64,
    pub active: i64,
}

/// The first end that these limits put to a server.
pub fn first(culler: &IdleCuller, limits: Limits, times: Times, now: i64) -> Option<Due> {
    let warning = |span: Duration| culler.warn_before.min(span / 2);
    let active = times.active.max(times.started);
    let idle = limits.timeout.map(|timeout| Due {
        at: active.saturating_add(millis(timeout)),
        warning: warning(timeout),
        reason: format!(
            "nothing has happened in it for {} (IdleCuller.timeout)",
            in_words(since(active, now))
        ),
        is_final: false,
        removes: true,
    });
    let old = limits.max_age.map(|max_age| Due {
        at: times.started.saturating_add(millis(max_age)),
        warning: warning(max_age),
        reason: format!(
            "it is {} old (IdleCuller.max_age)",
            in_words(since(times.started, now))
        ),
        is_final: true,
        removes: true,
    });
    idle.into_iter().chain(old).min_by_key(|due| due.at)
}

pub fn millis(span: Duration) -> i64 {
    i64::try_from(span.as_millis()).unwrap_or(i64::MAX)
}

pub fn since(then: i64, now: i64) -> Duration {
    Duration::from_millis(now.saturating_sub(then).try_into().unwrap_or_default())
}

pub fn in_words(span: Duration) -> String {
    match span.as_secs() {
        seconds @ ..120 => format!("{seconds} seconds"),
        seconds @ ..7200 => format!("{} minutes", seconds / 60),
        seconds @ ..172_800 => format!("{} hours", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;

    fn due(idle: i64, age: i64, max_age: i64) -> Due {
        let culler = IdleCuller::default();
        let limits = Limits {
            timeout: Some(Duration::from_secs(3600)),
            max_age: (max_age > 0).then(|| Duration::from_millis(max_age.cast_unsigned())),
        };
        let now = 100 * HOUR;
        let times = Times {
            started: now - age,
            active: now - idle,
        };
        let due = first(&culler, limits, times, now).unwrap();
        Due {
            at: due.at - now,
            ..due
        }
    }

    #[test]
    fn the_first_end_counts_and_is_told_before() {
        let idle = due(HOUR / 2, 5 * HOUR, 0);
        assert_eq!((idle.at, idle.told_from()), (HOUR / 2, HOUR / 2 - 300_000));
        assert_eq!(
            idle.reason,
            "nothing has happened in it for 30 minutes (IdleCuller.timeout)"
        );
        assert!(!idle.is_final);

        let old = due(0, 24 * HOUR - 1, 24 * HOUR);
        assert_eq!(old.at, 1);
        assert_eq!(old.reason, "it is 23 hours old (IdleCuller.max_age)");
        assert!(old.is_final);
        assert!(!due(0, 20 * HOUR, 24 * HOUR).is_final);
    }

    #[test]
    fn what_never_reported_counts_from_its_start() {
        assert_eq!(due(100 * HOUR, HOUR / 2, 0).at, HOUR / 2);
    }

    #[test]
    fn a_warning_is_no_longer_than_half_of_the_time() {
        let culler = IdleCuller::default();
        let limits = Limits {
            timeout: Some(Duration::from_secs(100)),
            max_age: None,
        };
        let times = Times {
            started: 0,
            active: 0,
        };
        let due = first(&culler, limits, times, 0).unwrap();
        assert_eq!((due.at, due.told_from()), (100_000, 50_000));
    }
}
