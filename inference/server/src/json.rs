//! JSON as model servers write it: with NaN and infinities as bare words, which JSON itself does not have.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};

use serde_json::Value;

use crate::failure::Failure;

/// The words, and the strings that stand for them in a [`Value`]. The longer of two with the same begin is first.
const WORDS: [(&str, &str, f64); 4] = [
    ("-Infinity", "\0carrel:-Infinity", f64::NEG_INFINITY),
    ("Infinity", "\0carrel:Infinity", f64::INFINITY),
    ("Inf", "\0carrel:Inf", f64::INFINITY),
    ("NaN", "\0carrel:NaN", f64::NAN),
];
const MINUS_INF: (&str, &str, f64) = ("-Inf", "\0carrel:-Inf", f64::NEG_INFINITY);

/// Reads a document; [`float`] knows what became of the bare words.
///
/// # Errors
/// Where it is no JSON.
pub fn parse(text: &[u8]) -> Result<Value, Failure> {
    let text = without_words(text);
    let parsed = serde_json::from_slice(&text);
    parsed.map_err(|error| Failure::invalid(format!("the body is no JSON: {error}")))
}

/// What a document may take once it is read, in bytes, by `serde_json`'s [`Value`] and what tensors are made of: an upper
/// bound, since two bytes of text may become hundreds.
#[must_use]
pub fn memory(text: &[u8]) -> usize {
    /// A value in an array that has grown to twice what it holds, and a reference to it.
    const VALUE: usize = 80;
    /// What is allocated for one, beside its text.
    const STRING: usize = 96;
    /// Room for four values.
    const ARRAY: usize = 192;
    /// A node of a map, with room for eleven keys and values.
    const OBJECT: usize = 768;
    // The text of strings is there again, and once more as bytes.
    let mut bytes = VALUE + 2 * text.len();
    let (mut rest, mut in_string) = (text.iter(), false);
    while let Some(byte) = rest.next() {
        bytes += match (in_string, byte) {
            (true, b'\\') => {
                rest.next();
                0
            }
            (true, b'"') => {
                in_string = false;
                0
            }
            (false, b'"') => {
                in_string = true;
                STRING
            }
            (false, b',') => VALUE,
            (false, b'[') => ARRAY,
            (false, b'{') => OBJECT,
            // Strings stand for bare words.
            (false, b'N' | b'I') => STRING,
            _ => 0,
        };
    }
    bytes
}

/// The number, as an infinity or NaN too.
#[must_use]
pub fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => word(text),
        _ => None,
    }
}

/// Whether the string stands for a bare word, and so is none.
#[must_use]
pub fn is_word(text: &str) -> bool {
    word(text).is_some()
}

fn word(text: &str) -> Option<f64> {
    let mut words = WORDS.iter().chain([&MINUS_INF]);
    words
        .find(|(_, sign, _)| *sign == text)
        .map(|(.., value)| *value)
}

/// The text with strings in the place of bare words. Documents without them, which are nearly all, are not copied.
fn without_words(text: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    let (mut copied, mut at, mut in_string) = (0, 0, false);
    while let Some(byte) = text.get(at) {
        match (in_string, byte) {
            (true, b'\\') => at += 1,
            (_, b'"') => in_string = !in_string,
            (false, b'N' | b'I' | b'-') => {
                let rest = &text[at..];
                let mut words = WORDS.iter().chain([&MINUS_INF]);
                if let Some((word, sign, _)) =
                    words.find(|(word, ..)| rest.starts_with(word.as_bytes()))
                {
                    out.extend_from_slice(&text[copied..at]);
                    // `{:?}` of a string with a zero is no JSON, this is.
                    out.extend_from_slice(b"\"\\u0000");
                    out.extend_from_slice(&sign.as_bytes()[1..]);
                    out.push(b'"');
                    at += word.len();
                    copied = at;
                    continue;
                }
            }
            _ => {}
        }
        at += 1;
    }
    if copied == 0 {
        return Cow::Borrowed(text);
    }
    out.extend_from_slice(&text[copied..]);
    Cow::Owned(out)
}

/// A float in the fewest digits that are read as the same number, always with a point or an exponent.
pub fn write_float<T: Display + std::fmt::Debug + Copy + Into<f64>>(out: &mut String, number: T) {
    let wide: f64 = number.into();
    if wide.is_nan() {
        out.push_str("NaN");
    } else if wide.is_infinite() {
        out.push_str(if wide > 0.0 { "Infinity" } else { "-Infinity" });
    } else {
        // Writing to a string does not fail.
        let _ = write!(out, "{number:?}");
    }
}

/// A string with quotes.
pub fn write_string(out: &mut String, text: &str) {
    match serde_json::to_string(text) {
        Ok(quoted) => out.push_str(&quoted),
        // Strings are always written.
        Err(_) => out.push_str("\"\""),
    }
}

#[cfg(test)]
mod tests {
    use super::{float, parse, write_float};

    #[test]
    fn bare_words_are_numbers_and_strings_stay() {
        let value = parse(br#"[NaN, Infinity, -Infinity, Inf, -Inf, -1, "NaN \" -Inf", "Inf"]"#);
        let value = value.unwrap();
        let numbers: Vec<_> = value.as_array().unwrap().iter().map(float).collect();
        assert!(numbers[0].unwrap().is_nan());
        let (plus, minus) = (Some(f64::INFINITY), Some(f64::NEG_INFINITY));
        assert_eq!(
            numbers[1..],
            [plus, minus, plus, minus, Some(-1.0), None, None]
        );
        assert_eq!(value[6], "NaN \" -Inf");
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in [&b"[NaN"[..], b"Nan", b"[1,]", b"\"\\", b"", b"[--Infinity]"] {
            assert!(parse(text).is_err(), "{}", String::from_utf8_lossy(text));
        }
    }

    #[test]
    fn floats_are_short_and_stay_floats() {
        let written = |number: f32| {
            let mut out = String::new();
            write_float(&mut out, number);
            out
        };
        assert_eq!(written(0.1), "0.1");
        assert_eq!(written(1.0), "1.0");
        assert_eq!(written(f32::NEG_INFINITY), "-Infinity");
        assert_eq!(written(f32::NAN), "NaN");
        let tiny = f32::MIN_POSITIVE;
        assert_eq!(written(tiny).parse(), Ok(tiny));
    }
}
