//! Literals of Python: texts, numbers, True, False, None, lists, tuples, sets and dicts of them.

use crate::config::yaml::{At, Kind, Node};

/// Deeper than any configuration.
const MAX_DEPTH: usize = 12;

/// The literal that the whole text is; nothing where it is something else, which would have to be run.
pub fn read(text: &str) -> Option<Kind> {
    let mut reader = Reader { rest: text };
    let value = reader.value(0)?;
    reader.skip();
    reader.rest.is_empty().then_some(value)
}

/// Whether a bracket or a text of several lines is open at its end, so that the next line belongs to it.
pub fn is_open(text: &str) -> bool {
    let mut reader = Reader { rest: text };
    let mut open = 0_usize;
    while let Some(letter) = reader.rest.chars().next() {
        match letter {
            '#' => reader.skip(),
            '"' | '\'' => match reader.text() {
                Some(_) => {}
                None => return reader.rest.starts_with("\"\"\"") || reader.rest.starts_with("'''"),
            },
            _ => {
                match letter {
                    '(' | '[' | '{' => open += 1,
                    ')' | ']' | '}' => open = open.saturating_sub(1),
                    _ => {}
                }
                reader.rest = &reader.rest[letter.len_utf8()..];
            }
        }
    }
    open > 0 || text.ends_with('\\')
}

struct Reader<'a> {
    rest: &'a str,
}

impl Reader<'_> {
    /// Blanks and comments.
    fn skip(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            if !self.rest.starts_with('#') {
                return;
            }
            self.rest = self.rest.split_once('\n').map_or("", |(_, rest)| rest);
        }
    }

    fn take(&mut self, word: &str) -> bool {
        self.skip();
        let rest = self.rest.strip_prefix(word);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn value(&mut self, depth: usize) -> Option<Kind> {
        if depth > MAX_DEPTH {
            return None;
        }
        self.skip();
        match self.rest.chars().next()? {
            '[' => self.list(']', depth),
            '(' => self.list(')', depth),
            '{' => self.map(depth),
            '"' | '\'' => {
                let mut text = self.text()?;
                // Texts that stand side by side are one.
                loop {
                    self.skip();
                    match self.rest.starts_with(['"', '\'']) {
                        true => text += &self.text()?,
                        false => return Some(Kind::Text(text)),
                    }
                }
            }
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Option<Kind> {
        let end = self
            .rest
            .find(|letter: char| !letter.is_ascii_alphanumeric() && !"._+-".contains(letter));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        match word {
            "True" => Some(Kind::Bool(true)),
            "False" => Some(Kind::Bool(false)),
            "None" => Some(Kind::Null),
            _ => {
                let number = word.replace('_', "");
                let digit = number
                    .starts_with(|first: char| first.is_ascii_digit() || "-.".contains(first));
                (digit && number.parse::<f64>().is_ok()).then_some(Kind::Number(number))
            }
        }
    }

    /// Without prefixes such as `f`, whose texts are made when they run.
    fn text(&mut self) -> Option<String> {
        let quote = &self.rest[..1];
        let triple = quote.repeat(3);
        let quote = if self.rest.starts_with(&triple) {
            &triple
        } else {
            quote
        };
        let mut text = String::new();
        let mut letters = self.rest[quote.len()..].char_indices();
        while let Some((at, letter)) = letters.next() {
            let here = &self.rest[quote.len() + at..];
            if let Some(rest) = here.strip_prefix(quote) {
                self.rest = rest;
                return Some(text);
            }
            match letter {
                '\\' => match letters.next()?.1 {
                    'n' => text.push('\n'),
                    't' => text.push('\t'),
                    '\n' => {}
                    plain @ ('\\' | '\'' | '"') => text.push(plain),
                    _ => return None,
                },
                '\n' if quote.len() == 1 => return None,
                _ => text.push(letter),
            }
        }
        None
    }

    fn list(&mut self, end: char, depth: usize) -> Option<Kind> {
        self.rest = &self.rest[1..];
        let mut items = Vec::new();
        let mut commas = 0;
        while !self.take(end.encode_utf8(&mut [0; 4])) {
            items.push(node(self.value(depth + 1)?));
            match self.take(",") {
                true => commas += 1,
                false if self.rest.starts_with(end) => {}
                false => return None,
            }
        }
        // Brackets around one value only group it.
        if end == ')' && items.len() == 1 && commas == 0 {
            return items.pop().map(|item| item.kind);
        }
        Some(Kind::List(items))
    }

    /// A dict, or a set.
    fn map(&mut self, depth: usize) -> Option<Kind> {
        self.rest = &self.rest[1..];
        let (mut entries, mut items) = (Vec::new(), Vec::new());
        while !self.take("}") {
            let key = node(self.value(depth + 1)?);
            match self.take(":") {
                true => entries.push((key, node(self.value(depth + 1)?))),
                false => items.push(key),
            }
            if !self.take(",") && !self.rest.starts_with('}') {
                return None;
            }
        }
        match (entries.is_empty(), items.is_empty()) {
            (true, false) => Some(Kind::List(items)),
            (_, true) => Some(Kind::Map(entries)),
            (false, false) => None,
        }
    }
}

/// The place is told by whoever knows it.
fn node(kind: Kind) -> Node {
    Node {
        at: At { line: 1, column: 1 },
        kind,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals_are_read_and_nothing_else() {
        let cases = [
            ("'a' \"b\"", "Some(Text(\"ab\"))"),
            ("  1_000  # why", "Some(Number(\"1000\"))"),
            ("(True)", "Some(Bool(true))"),
            ("None", "Some(Null)"),
            ("f'{x}'", "None"),
            ("os.environ['A']", "None"),
            ("[1, 2", "None"),
            ("'a' + 'b'", "None"),
            ("{'a': 1, 2}", "None"),
        ];
        for (text, expected) in cases {
            assert_eq!(format!("{:?}", read(text)), expected, "{text}");
        }
        let text = "{\n 'a': ['x', ('y',)],  # one\n 'b': {'s'},\n}";
        let Some(Kind::Map(entries)) = read(text) else {
            panic!("a dict");
        };
        assert_eq!(entries.len(), 2);
        assert!(matches!(&entries[1].1.kind, Kind::List(items) if items.len() == 1));
    }

    #[test]
    fn a_statement_goes_on_while_something_is_open() {
        for open in ["c.A.b = [", "x = {'a': (", "t = \"\"\"one", "a = 1 + \\"] {
            assert!(is_open(open), "{open}");
        }
        assert!(!is_open("c.A.b = ['#[']  # ["));
    }

    /// Whatever stands there is a literal or is not; nothing panics.
    #[test]
    fn any_damage_is_survived() {
        let text = "{'a': [1, \"é\", ('x',)], 'b': None, 'c': '''z\n'''}";
        for end in 0..=text.len() {
            if let Some(part) = text.get(..end) {
                read(part);
                is_open(part);
            }
        }
    }
}
