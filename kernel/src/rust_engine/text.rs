//! Bytes of a program that come in pieces, as text.

#[derive(Debug, Default)]
pub struct Pieces {
    /// The start of a character whose other bytes did not come yet.
    partial: Vec<u8>,
}

impl Pieces {
    /// The bytes as text, without the start of a character that may go on in the next bytes.
    pub fn add(&mut self, bytes: &[u8]) -> String {
        self.partial.extend_from_slice(bytes);
        let complete = self.partial.len() - incomplete_tail(&self.partial);
        let rest = self.partial.split_off(complete);
        let text = String::from_utf8_lossy(&self.partial).into_owned();
        self.partial = rest;
        text
    }

    /// What is left when no more bytes come.
    pub fn end(&mut self) -> String {
        String::from_utf8_lossy(&std::mem::take(&mut self.partial)).into_owned()
    }
}

/// How many bytes at the end are the start of a longer character.
fn incomplete_tail(bytes: &[u8]) -> usize {
    for back in 1..=bytes.len().min(3) {
        let byte = bytes[bytes.len() - back];
        let length = match byte {
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xF7 => 4,
            0x80..=0xBF => continue,
            _ => return 0,
        };
        return if back < length { back } else { 0 };
    }
    0
}

#[cfg(test)]
mod tests {
    use super::incomplete_tail;

    #[test]
    fn only_a_started_character_waits_for_more() {
        assert_eq!(incomplete_tail("plain".as_bytes()), 0);
        assert_eq!(incomplete_tail("é".as_bytes()), 0);
        assert_eq!(incomplete_tail(&"é".as_bytes()[..1]), 1);
        assert_eq!(incomplete_tail(&"a🦀".as_bytes()[..4]), 3);
        assert_eq!(incomplete_tail(&[0x80, 0x80]), 0);
    }
}
