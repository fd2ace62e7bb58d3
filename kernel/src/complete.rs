//! Completion and inspection: what the engine knows, or at least keywords and the words of the session.

use std::collections::BTreeSet;

use carrel_protocol::analysis::{is_word, word_start};
use serde_json::{Value, json};

use crate::engine::{Completion, Engine};
use crate::wire::content::{CompleteRequest, InspectRequest};

const KEYWORDS: [&str; 38] = [
    "as", "async", "await", "break", "const", "continue", "crate", "dyn", "else", "enum", "extern",
    "false", "fn", "for", "if", "impl", "in", "let", "loop", "match", "mod", "move", "mut", "pub",
    "ref", "return", "self", "Self", "static", "struct", "super", "trait", "true", "type",
    "unsafe", "use", "where", "while",
];

/// Content of `complete_reply`; `earlier` are the cells of the session, waited for only where the engine knows nothing.
pub async fn complete(
    engine: &dyn Engine,
    request: &CompleteRequest,
    earlier: impl Future<Output = Vec<String>>,
) -> Value {
    let code = &*request.code;
    let offset = byte(code, request.cursor_pos);
    let start = word_start(code, offset);
    let completions = match engine.complete(code, offset).await {
        Some(completions) => completions,
        None => {
            let earlier = earlier.await;
            let earlier = earlier.iter().map(String::as_str);
            words_with(&code[..start], &code[start..offset], code, earlier)
        }
    };
    let (start, end) = (code_points(code, start), code_points(code, offset));
    let typed = completions.iter().map(|completion| {
        json!({
            "start": start,
            "end": end,
            "text": completion.text,
            "type": completion.kind,
            "signature": completion.signature.as_deref().unwrap_or_default(),
        })
    });
    json!({
        "status": "ok",
        "cursor_start": start,
        "cursor_end": end,
        // What JupyterLab shows beside each match.
        "metadata": { "_jupyter_types_experimental": typed.collect::<Vec<_>>() },
        "matches": completions.iter().map(|completion| &completion.text).collect::<Vec<_>>(),
    })
}

/// Content of `inspect_reply`.
pub async fn inspect(engine: &dyn Engine, request: &InspectRequest) -> Value {
    let offset = byte(&request.code, request.cursor_pos);
    let detail = request.detail_level > 0;
    let bundle = engine.inspect(&request.code, offset, detail).await;
    let found = bundle.is_some();
    let bundle = bundle.unwrap_or_default();
    json!({ "status": "ok", "found": found, "data": bundle.data, "metadata": bundle.metadata })
}

/// Keywords and words that go on with what was typed after `before`.
fn words_with<'a>(
    before: &str,
    typed: &str,
    code: &str,
    earlier: impl Iterator<Item = &'a str>,
) -> Vec<Completion> {
    let mut found = BTreeSet::new();
    if typed.starts_with(|letter: char| !letter.is_ascii_digit()) {
        if !before.ends_with(['.', ':']) {
            found.extend(KEYWORDS.map(|word| (word, "keyword")));
        }
        found.extend(words(code));
        for cell in earlier {
            found.extend(words(cell));
        }
        found.retain(|(word, _)| word.starts_with(typed) && *word != typed);
    }
    // A keyword is a word of the code too.
    let mut found: Vec<_> = found.into_iter().collect();
    found.dedup_by_key(|(word, _)| *word);
    let completion = |(word, kind): (&str, &str)| Completion {
        text: word.to_owned(),
        kind: kind.to_owned(),
        signature: None,
    };
    found.into_iter().map(completion).collect()
}

fn words(code: &str) -> impl Iterator<Item = (&str, &'static str)> {
    code.split(|letter| !is_word(letter))
        .filter(|word| word.starts_with(|letter: char| !letter.is_ascii_digit()))
        .map(|word| (word, "text"))
}

/// The byte at a number of code points; the end if there are fewer.
fn byte(code: &str, code_points: usize) -> usize {
    let mut characters = code.char_indices();
    characters
        .nth(code_points)
        .map_or(code.len(), |(byte, _)| byte)
}

fn code_points(code: &str, byte: usize) -> usize {
    code[..byte].chars().count()
}
