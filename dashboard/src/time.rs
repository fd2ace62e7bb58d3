//! Times as people read them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

/// How long ago something was, as `kubectl` says it: 42s, 7m, 3h, 12d.
pub fn age(since: Option<&Time>, now: Timestamp) -> String {
    match since {
        Some(since) => duration(now.as_second() - since.0.as_second()),
        None => "unknown".to_owned(),
    }
}

pub fn duration(seconds: i64) -> String {
    match seconds.max(0) {
        seconds @ 0..120 => format!("{seconds}s"),
        seconds @ 120..7200 => format!("{}m", seconds / 60),
        seconds @ 7200..172_800 => format!("{}h", seconds / 3600),
        seconds => format!("{}d", seconds / 86_400),
    }
}

/// 2026-01-31 12:00:00 UTC
pub fn exact(time: Option<&Time>) -> String {
    time.map_or_else(String::new, |time| {
        let second = Timestamp::from_second(time.0.as_second()).unwrap_or(time.0);
        second.to_string().replace('T', " ").replace('Z', " UTC")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_are_short() {
        for (seconds, text) in [
            (-5, "0s"),
            (119, "119s"),
            (120, "2m"),
            (7200, "2h"),
            (200_000, "2d"),
        ] {
            assert_eq!(duration(seconds), text);
        }
        let time = Time("2026-01-31T12:00:00.5Z".parse().unwrap());
        assert_eq!(exact(Some(&time)), "2026-01-31 12:00:00 UTC");
        assert_eq!(age(None, time.0), "unknown");
    }
}
