//! evcxr's way to show more than text, which plotters, polars and others follow: between `EVCXR_BEGIN_CONTENT <mime>` and
//! `EVCXR_END_CONTENT` on stdout stands data of that type.

use std::time::Duration;

const BEGIN: &str = "EVCXR_BEGIN_CONTENT ";
const END: &str = "\nEVCXR_END_CONTENT";

/// Text that looks like the start of a content waits so long for the next bytes before it is shown as text.
const BEGINNING: Duration = Duration::from_millis(100);
const BEGUN: Duration = Duration::from_secs(1);
/// More is not held back.
const MOST: usize = 64 << 20;

/// What stdout says, in order.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece {
    Text(String),
    Content { mime: String, data: String },
}

/// Finds contents in text that comes in chunks.
#[derive(Debug, Default)]
pub struct Contents {
    /// A content, or the start of one, whose end did not come yet.
    pending: String,
    /// No end is before this byte of it.
    searched: usize,
    /// The last content's line did not end yet.
    in_last_line: bool,
}

impl Contents {
    pub fn add(&mut self, text: &str) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let line_end = self.in_last_line && text.starts_with('\n');
        self.in_last_line &= text.is_empty();
        self.pending.push_str(&text[usize::from(line_end)..]);
        loop {
            let start = start(&self.pending);
            let before: String = self.pending.drain(..start).collect();
            self.searched = if before.is_empty() { self.searched } else { 0 };
            push_text(&mut pieces, before);
            if self.pending.is_empty() {
                return pieces;
            }
            match self.content() {
                Some(piece) => pieces.push(piece),
                None if self.pending.len() > MOST => push_text(&mut pieces, self.give_up()),
                None => return pieces,
            }
        }
    }

    /// How long to wait for more, if something waits.
    pub fn patience(&self) -> Option<Duration> {
        match self.pending.len() {
            0 => None,
            length if length < BEGIN.len() => Some(BEGINNING),
            _ => Some(BEGUN),
        }
    }

    /// What waits, as text: it was no content.
    pub fn give_up(&mut self) -> String {
        self.searched = 0;
        std::mem::take(&mut self.pending)
    }

    /// The whole content at the start of what waits.
    fn content(&mut self) -> Option<Piece> {
        let head = self.pending.find('\n')?;
        let mime = self.pending[..head].get(BEGIN.len()..)?.trim().to_owned();
        let Some(found) = self.pending[self.searched.max(head)..].find(END) else {
            // The end may have come in part.
            let searched = self.pending.len().saturating_sub(END.len());
            self.searched = self.pending.floor_char_boundary(searched);
            return None;
        };
        let end = self.searched.max(head) + found;
        let data = self
            .pending
            .get(head + 1..end)
            .unwrap_or_default()
            .to_owned();
        let after = end + END.len();
        let line_end = usize::from(self.pending[after..].starts_with('\n'));
        let text: String = self.pending.drain(..after + line_end).collect();
        self.searched = 0;
        self.in_last_line = line_end == 0 && self.pending.is_empty();
        Some(match mime.split_once('/') {
            Some(_) => Piece::Content { mime, data },
            None => Piece::Text(text),
        })
    }
}

/// Where a content starts, or may start if more comes; the end of the text if nowhere.
fn start(text: &str) -> usize {
    if let Some(start) = text.find(BEGIN) {
        return start;
    }
    let lengths = (1..BEGIN.len()).rev();
    let part = lengths
        .map(|length| &BEGIN[..length])
        .find(|part| text.ends_with(part));
    text.len() - part.map_or(0, str::len)
}

fn push_text(pieces: &mut Vec<Piece>, text: String) {
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
}

#[cfg(test)]
mod tests {
    use super::{Contents, Piece};

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    fn content(mime: &str, data: &str) -> Piece {
        let (mime, data) = (mime.to_owned(), data.to_owned());
        Piece::Content { mime, data }
    }

    const PRINTED: &str = "before\nEVCXR_BEGIN_CONTENT text/html\n<b>\n</b>\nEVCXR_END_CONTENT\nafter EVCXR_BEGIN_CONTENT image/png\niVBO\nEVCXR_END_CONTENT\n";

    #[test]
    fn contents_are_found_wherever_chunks_end() {
        let expected = [
            text("before\n"),
            content("text/html", "<b>\n</b>"),
            text("after "),
            content("image/png", "iVBO"),
        ];
        for size in 1..PRINTED.len() {
            let mut contents = Contents::default();
            let mut found: Vec<Piece> = Vec::new();
            for chunk in PRINTED.as_bytes().chunks(size) {
                for piece in contents.add(std::str::from_utf8(chunk).unwrap()) {
                    match (found.last_mut(), piece) {
                        (Some(Piece::Text(last)), Piece::Text(text)) => last.push_str(&text),
                        (_, piece) => found.push(piece),
                    }
                }
            }
            assert_eq!(found, expected, "chunks of {size}");
            assert_eq!(contents.patience(), None);
        }
    }

    #[test]
    fn what_only_starts_like_a_content_is_text() {
        let mut contents = Contents::default();
        assert_eq!(contents.add("NOTE"), [text("NOT")]);
        assert_eq!(contents.add("S\n"), [text("ES\n")]);
        assert_eq!(contents.add("EVCXR_BEGIN_CONTENT text/html\nhalf"), []);
        assert!(contents.patience().is_some());
        assert_eq!(contents.give_up(), "EVCXR_BEGIN_CONTENT text/html\nhalf");
        assert_eq!(contents.patience(), None);
        let no_type = "EVCXR_BEGIN_CONTENT what\n\nEVCXR_END_CONTENT\n";
        assert_eq!(contents.add(no_type), [text(no_type)]);
    }
}
