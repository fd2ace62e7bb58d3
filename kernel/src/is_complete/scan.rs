//! Brackets, strings and comments of Rust code: what is still open at its end.

#[derive(Debug, PartialEq, Eq)]
pub enum Scan {
    /// A bracket, string or comment is open; `depth` counts the brackets.
    Open {
        depth: usize,
    },
    Mismatched,
    Balanced {
        deepest: usize,
    },
}

/// Reads all of `code`.
pub fn scan(code: &str) -> Scan {
    let mut rest = Rest { code };
    let mut open = Vec::new();
    let mut deepest = 0;
    while let Some(c) = rest.next() {
        let closed = match c {
            '(' | '[' | '{' => {
                open.push(c);
                deepest = deepest.max(open.len());
                true
            }
            ')' | ']' | '}' => match (open.pop(), c) {
                (Some('('), ')') | (Some('['), ']') | (Some('{'), '}') => true,
                _ => return Scan::Mismatched,
            },
            '/' if rest.take("/") => {
                // The end of the code ends a line comment too.
                rest.skip_past("\n");
                true
            }
            '/' if rest.take("*") => rest.skip_block_comment(),
            '"' => rest.skip_string(),
            '\'' => {
                rest.skip_char();
                true
            }
            c if c == '_' || c.is_alphanumeric() => rest.skip_word(c),
            _ => true,
        };
        if !closed {
            return Scan::Open { depth: open.len() };
        }
    }
    if open.is_empty() {
        Scan::Balanced { deepest }
    } else {
        Scan::Open { depth: open.len() }
    }
}

/// The code not read yet. The `skip_` methods say whether the end of the construct was there.
struct Rest<'a> {
    code: &'a str,
}

impl Rest<'_> {
    fn next(&mut self) -> Option<char> {
        let c = self.code.chars().next()?;
        self.code = &self.code[c.len_utf8()..];
        Some(c)
    }

    fn take(&mut self, token: &str) -> bool {
        let Some(rest) = self.code.strip_prefix(token) else {
            return false;
        };
        self.code = rest;
        true
    }

    fn skip_past(&mut self, token: &str) -> bool {
        match self.code.split_once(token) {
            Some((_, rest)) => {
                self.code = rest;
                true
            }
            None => {
                self.code = "";
                false
            }
        }
    }

    /// Block comments nest.
    fn skip_block_comment(&mut self) -> bool {
        let mut depth = 1;
        while depth > 0 {
            if self.take("*/") {
                depth -= 1;
            } else if self.take("/*") {
                depth += 1;
            } else if self.next().is_none() {
                return false;
            }
        }
        true
    }

    fn skip_string(&mut self) -> bool {
        while let Some(c) = self.next() {
            match c {
                '"' => return true,
                '\\' => drop(self.next()),
                _ => {}
            }
        }
        false
    }

    /// After a quote: a character literal, or a lifetime, which has no closing quote.
    fn skip_char(&mut self) {
        let mut ahead = self.code.chars();
        match (ahead.next(), ahead.next()) {
            (Some('\\'), Some(_)) => {
                self.next();
                self.next();
                let end = self.code.find(['\'', '\n']).unwrap_or(self.code.len());
                self.code = &self.code[end..];
                self.take("'");
            }
            (Some(_), Some('\'')) => {
                self.next();
                self.next();
            }
            _ => {}
        }
    }

    /// A word, which may be the prefix of a string: `r#"`, `b"`, `br"`, `c"`, `b'`.
    fn skip_word(&mut self, first: char) -> bool {
        let end = self
            .code
            .find(|c: char| c != '_' && !c.is_alphanumeric())
            .unwrap_or(self.code.len());
        let (tail, rest) = self.code.split_at(end);
        let raw = matches!((first, tail), ('r', "") | ('b' | 'c', "r"));
        self.code = rest;
        if !raw {
            return true;
        }
        let hashes = rest.len() - rest.trim_start_matches('#').len();
        if !rest[hashes..].starts_with('"') {
            // A raw identifier.
            return true;
        }
        self.code = &rest[hashes + 1..];
        self.skip_past(&format!("\"{}", "#".repeat(hashes)))
    }
}
