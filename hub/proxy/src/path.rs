//! How paths are compared. Pure.

use std::borrow::Cow;

use percent_encoding::percent_encode_byte;

/// A path as it is compared: percent-decoded, but for `/`, `%` and all that is not printable ASCII. So an encoded
/// slash stays within its segment, and each path has one spelling. Dot segments are names like any other:
/// `/user/a/../b` belongs to `/user/a`, whose server receives it as it is. No slash at the end.
pub fn key(path: &str) -> Cow<'_, str> {
    let path = path.trim_end_matches('/');
    if path
        .bytes()
        .all(|byte| matches!(byte, 0x21..=0x7e) && byte != b'%')
    {
        return Cow::Borrowed(path);
    }
    let mut key = String::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let escaped = if first == b'%' {
            escaped_byte(tail)
        } else {
            None
        };
        rest = if escaped.is_some() { &tail[2..] } else { tail };
        match escaped.unwrap_or(first) {
            b'/' if escaped.is_none() => key.push('/'),
            plain @ 0x21..=0x7e if plain != b'/' && plain != b'%' => key.push(char::from(plain)),
            other => key.push_str(percent_encode_byte(other)),
        }
    }
    Cow::Owned(key)
}

/// Whether `path` is `prefix` or lies below it, by whole segments.
pub fn is_at(path: &str, prefix: &str) -> bool {
    let (path, prefix) = (key(path), key(prefix));
    let rest = path.strip_prefix(prefix.as_ref());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Whether all that begins with `path` lies below `prefix`.
pub(crate) fn is_below(path: &str, prefix: &str) -> bool {
    is_at(path, prefix) && (path.ends_with('/') || key(path) != key(prefix))
}

/// The byte that two hexadecimal digits at the start of `digits` stand for.
fn escaped_byte(digits: &[u8]) -> Option<u8> {
    let digit = |at: usize| char::from(*digits.get(at)?).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}
