//! Logs of containers as lines: each with its time, none longer than a limit, so that no log takes more memory than that.

use futures_util::io::{AsyncBufRead, AsyncBufReadExt as _};
use k8s_openapi::jiff::Timestamp;

/// The longest line; the rest of a longer one is left out.
const LONGEST: usize = 16 << 10;

#[derive(Clone, Debug, PartialEq)]
pub struct Line {
    /// As the API server writes it, so that a later line's sorts behind it.
    pub time: String,
    pub text: String,
}

impl Line {
    /// `2026-01-31T12:00:00.123456789Z text`
    fn read(bytes: &[u8]) -> Self {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_end_matches(['\n', '\r']);
        match text.split_once(' ') {
            Some((time, rest)) if time.parse::<Timestamp>().is_ok() => Self {
                time: time.to_owned(),
                text: rest.to_owned(),
            },
            _ if text.parse::<Timestamp>().is_ok() => Self {
                time: text.to_owned(),
                text: String::new(),
            },
            _ => Self {
                time: String::new(),
                text: text.to_owned(),
            },
        }
    }

    /// Whether it came after the line of that time.
    pub fn is_after(&self, time: Timestamp) -> bool {
        self.time.parse::<Timestamp>().is_ok_and(|own| own > time)
    }
}

/// The lines of a log that stands as a text.
pub fn lines(log: &str) -> Vec<Line> {
    log.lines()
        .map(|line| Line::read(line.as_bytes()))
        .collect()
}

/// The next line; none at the end.
///
/// # Errors
/// When the connection breaks.
pub async fn next(log: &mut (impl AsyncBufRead + Unpin)) -> std::io::Result<Option<Line>> {
    let mut line = Vec::new();
    loop {
        let buffer = log.fill_buf().await?;
        if buffer.is_empty() {
            return Ok((!line.is_empty()).then(|| Line::read(&line)));
        }
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = end.map_or(buffer, |end| &buffer[..end]);
        let room = LONGEST - line.len();
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = end.map_or(buffer.len(), |end| end + 1);
        log.consume_unpin(used);
        if end.is_some() {
            return Ok(Some(Line::read(&line)));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::io::{BufReader, Cursor};

    use super::*;

    #[tokio::test]
    async fn lines_are_read_one_by_one_and_cut() {
        let long = "x".repeat(3 * LONGEST);
        let text = format!("2026-01-31T12:00:00.5Z first\r\n{long}\n2026-01-31T12:00:01Z\nlast");
        // A small buffer: lines come in pieces.
        let mut log = BufReader::with_capacity(7, Cursor::new(text));
        let first = next(&mut log).await.unwrap().unwrap();
        assert_eq!(first.text, "first");
        assert!(first.is_after("2026-01-31T12:00:00Z".parse().unwrap()));
        assert!(!first.is_after("2026-01-31T12:00:00.5Z".parse().unwrap()));
        assert_eq!(next(&mut log).await.unwrap().unwrap().text.len(), LONGEST);
        let empty = next(&mut log).await.unwrap().unwrap();
        assert_eq!(
            (empty.time.as_str(), empty.text.as_str()),
            ("2026-01-31T12:00:01Z", "")
        );
        assert_eq!(next(&mut log).await.unwrap().unwrap().text, "last");
        assert_eq!(next(&mut log).await.unwrap(), None);
    }
}
