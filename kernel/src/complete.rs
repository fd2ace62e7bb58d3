//! Completion by keyword and by the words of the session, and the empty inspection.

use std::collections::BTreeSet;

use serde_json::{Value, json};

const KEYWORDS: [&str; 38] = [
    "as", "async", "await", "break", "const", "continue", "crate", "dyn", "else", "enum", "extern",
    "false", "fn", "for", "if", "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub",
    "ref", "return", "self", "Self", "static", "struct", "super", "trait", "true", "type",
    "unsafe", "use", "where", "while",
];

/// Content of `complete_reply`. Positions are in unicode code points.
pub fn complete<'a>(
    code: &str,
    cursor_pos: usize,
    earlier: impl Iterator<Item = &'a str>,
) -> Value {
    let before: Vec<char> = code.chars().take(cursor_pos).collect();
    let start = before
        .iter()
        .rposition(|&c| !is_word(c))
        .map_or(0, |at| at + 1);
    let prefix: String = before[start..].iter().collect();
    let mut matches = BTreeSet::new();
    if prefix.starts_with(|c: char| !c.is_ascii_digit()) {
        matches.extend(KEYWORDS.iter().copied());
        matches.extend(words(code));
        earlier.for_each(|cell| matches.extend(words(cell)));
        matches.retain(|word| word.starts_with(&prefix) && *word != prefix);
    }
    json!({
        "status": "ok",
        "matches": matches,
        "cursor_start": start,
        "cursor_end": before.len(),
        "metadata": {},
    })
}

/// Content of `inspect_reply`.
pub fn inspect() -> Value {
    json!({ "status": "ok", "found": false, "data": {}, "metadata": {} })
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c| !is_word(c))
        .filter(|word| word.starts_with(|c: char| !c.is_ascii_digit()))
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}
