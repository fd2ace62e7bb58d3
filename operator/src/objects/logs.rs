//! The ends of logs that are kept of pods that go: which, how much of each, and as which text.

use std::collections::BTreeMap;
use std::sync::Arc;

use carrel_jobs::logs;

use crate::seen::{Phase, SeenPod};

/// An object may have 1 MiB, and in JSON some characters take two bytes.
const LARGEST: usize = 768 << 10;
const SMALLEST: usize = 4 << 10;
/// The most of one log.
const PART: usize = 64 << 10;
/// The most logs that are read at once: a job may have thousands of pods.
const MOST: usize = 32;

/// How much is kept of a job, in bytes: `65536`, `256Ki`.
///
/// # Errors
/// When it is no size, or too small or large for an object.
pub fn size(text: &str) -> Result<usize, String> {
    let (number, unit) = match text.strip_suffix("Ki") {
        Some(number) => (number, 1 << 10),
        None => (text, 1),
    };
    let number: usize = number
        .parse()
        .map_err(|_| "give a number of bytes, such as 65536 or 256Ki".to_owned())?;
    let size = number.saturating_mul(unit);
    if !(SMALLEST..=LARGEST).contains(&size) {
        return Err("give between 4Ki and 768Ki".to_owned());
    }
    Ok(size)
}

/// The pods whose logs are worth most: those that failed, then by their place. Those that never began have none.
pub fn worth(pods: &[Arc<SeenPod>]) -> Vec<&Arc<SeenPod>> {
    let mut pods: Vec<_> = pods
        .iter()
        .filter(|pod| pod.phase != Phase::Pending && pod.created.is_some())
        .collect();
    pods.sort_by_key(|pod| (pod.phase != Phase::Failed, pod.place));
    pods.truncate(MOST);
    pods
}

/// How many bytes each of so many logs gets.
pub fn part(limit: usize, count: usize) -> usize {
    // Their names take some.
    (limit / count.max(1)).saturating_sub(320).min(PART)
}

/// The end of a log as a text of at most `part` bytes. What no reader shows as it was is left out.
pub fn text(log: &[u8], part: usize) -> String {
    let text = String::from_utf8_lossy(log).replace("\r\n", "\n");
    let shown = |sign: char| match sign {
        // A bar of progress is a line each time.
        '\r' => Some('\n'),
        '\n' | '\t' => Some(sign),
        sign => (!sign.is_control()).then_some(sign),
    };
    let text: String = text.chars().filter_map(shown).collect();
    let mut from = text.len().saturating_sub(part);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    text[from..].to_owned()
}

/// Adds entries to those that there are; the oldest go, until no more is there than the limit.
pub fn add(
    kept: &mut BTreeMap<String, String>,
    new: impl IntoIterator<Item = (String, String)>,
    limit: usize,
) {
    kept.extend(new);
    let size = |kept: &BTreeMap<String, String>| -> usize {
        kept.iter().map(|(key, text)| key.len() + text.len()).sum()
    };
    let mut left = size(kept);
    let mut keys: Vec<_> = kept.keys().cloned().collect();
    keys.sort_by_key(|key| logs::made(key));
    for key in keys {
        if left <= limit {
            return;
        }
        if let Some(text) = kept.remove(&key) {
            left -= key.len() + text.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_an_object() {
        assert_eq!(size("256Ki"), Ok(262_144));
        assert_eq!(size("65536"), Ok(65_536));
        for wrong in [
            "",
            "0",
            "1Mi",
            "-1",
            "1e3",
            "769Ki",
            "99999999999999999999Ki",
        ] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_log_is_text_whatever_it_was() {
        assert_eq!(
            text(b"a\r\nb\r50%\r60%\n\x1b[1m\x00c\t\xff", 100),
            "a\nb\n50%\n60%\n[1mc\t\u{fffd}"
        );
        // Of the end, as many whole characters as there is room for.
        let long = "\u{1f680}".repeat(10);
        assert_eq!(text(long.as_bytes(), 10), "\u{1f680}\u{1f680}");
        assert_eq!(text(b"abc", 0), "");
        assert!(text(&[0xff; 1000], 64).len() <= 64);
    }

    #[test]
    fn the_oldest_go_first() {
        let entry = |pod: &str, second: u8| {
            let key = format!("{pod}.20260101T0000{second:02}Z");
            (key, "x".repeat(100))
        };
        let mut kept = BTreeMap::from([entry("z", 1), entry("a", 2)]);
        add(&mut kept, [entry("b", 3), entry("a", 2)], 260);
        let keys: Vec<_> = kept.keys().cloned().collect();
        assert_eq!(keys, ["a.20260101T000002Z", "b.20260101T000003Z"]);
        add(&mut kept, [("other".to_owned(), "x".repeat(100))], 130);
        assert_eq!(kept.into_keys().collect::<Vec<_>>(), ["b.20260101T000003Z"]);
    }
}
