//! Times as the API and the pages write them.

use jiff::Timestamp;

/// ISO 8601 in UTC with microseconds, as JupyterHub's `isoformat` writes it.
pub fn iso(milliseconds: i64) -> String {
    let time = Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// For people: `2026-11-25 02:51 UTC`.
pub fn human(milliseconds: i64) -> String {
    let time = Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH);
    time.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Reads what clients send: with an offset or, without one, in UTC.
pub fn parse(text: &str) -> Option<i64> {
    let time = text.parse::<Timestamp>().ok().or_else(|| {
        let local: jiff::civil::DateTime = text.parse().ok()?;
        jiff::tz::TimeZone::UTC.to_timestamp(local).ok()
    })?;
    Some(time.as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_jupyterhub_writes_them() {
        assert_eq!(iso(1_700_000_000_123), "2023-11-14T22:13:20.123000Z");
        assert_eq!(human(1_700_000_000_123), "2023-11-14 22:13 UTC");
    }

    #[test]
    fn every_usual_form_reads() {
        for text in [
            "2023-11-14T22:13:20.123Z",
            "2023-11-14T23:13:20.123000+01:00",
            "2023-11-14T22:13:20.123",
        ] {
            assert_eq!(parse(text), Some(1_700_000_000_123), "{text}");
        }
        assert_eq!(parse("yesterday"), None);
    }
}
