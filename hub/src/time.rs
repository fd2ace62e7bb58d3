//! Times as the API and the pages write them.

use jiff::Timestamp;

/// The latest time that can be written, near the end of the year 9999.
pub const LATEST: i64 = 253_402_207_200_999;

/// ISO 8601 in UTC with microseconds, as JupyterHub's `isoformat` writes it.
pub fn iso(milliseconds: i64) -> String {
    nearest(milliseconds)
        .strftime("%Y-%m-%dT%H:%M:%S.%6fZ")
        .to_string()
}

/// For people: `2026-11-25 02:51 UTC`.
pub fn human(milliseconds: i64) -> String {
    nearest(milliseconds)
        .strftime("%Y-%m-%d %H:%M UTC")
        .to_string()
}

/// A time beyond all that can be written is told as the first or the last that can.
fn nearest(milliseconds: i64) -> Timestamp {
    let end = if milliseconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    };
    Timestamp::from_millisecond(milliseconds).unwrap_or(end)
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
    fn a_time_that_cannot_be_written_is_not_1970() {
        assert_eq!(LATEST, Timestamp::MAX.as_millisecond());
        for (time, want) in [
            (i64::MAX, "9999-12-30T"),
            (LATEST + 1, "9999-12-30T"),
            (i64::MIN, "-9999-01-02T"),
        ] {
            assert!(iso(time).starts_with(want), "{}", iso(time));
        }
        assert!(human(i64::MAX).starts_with("9999-12-30 "));
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
