//! Names of users and services: normalized, checked, and escaped for URLs as JupyterHub does it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The longest user name, in bytes.
pub const MAX_LENGTH: usize = 255;

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Invalid {
    #[error("Please enter a user name.")]
    Empty,
    #[error("This user name is too long: at most {MAX_LENGTH} bytes are allowed.")]
    TooLong,
    #[error(
        "This user name holds a character that is not allowed: a slash, a space at an end or one that cannot be seen."
    )]
    Character,
}

/// Lower-case, and free of what could not stand in a URL, a log line or a cookie name.
pub fn normalize(name: &str) -> Result<String, Invalid> {
    if name.len() > MAX_LENGTH {
        return Err(Invalid::TooLong);
    }
    let name = name.to_lowercase();
    if name.is_empty() {
        return Err(Invalid::Empty);
    }
    let dots = name == "." || name == "..";
    if dots || name.trim() != name || name.contains(['/', '\\']) || has_invisible(&name) {
        return Err(Invalid::Character);
    }
    Ok(name)
}

/// Whether a service may have this name, which stands in addresses.
pub fn is_service_name(name: &str) -> bool {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.~".contains(letter);
    let dots = name.chars().all(|letter| letter == '.');
    (1..=MAX_LENGTH).contains(&name.len()) && name.chars().all(plain) && !dots
}

/// Control characters, line ends, and those that turn or hide what stands beside them: with these a name looks like
/// another's in lists and log lines. Rust writes just them with a backslash, and quotes.
fn has_invisible(name: &str) -> bool {
    let unquoted = name.replace(['\'', '"'], "");
    unquoted.escape_debug().to_string() != unquoted
}

/// `urllib.parse.quote(name, safe='@~')`: how a name stands in `/user/<name>/` (jupyterhub/utils.py).
pub fn escape(name: &str) -> String {
    const SET: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'_')
        .remove(b'.')
        .remove(b'-')
        .remove(b'~')
        .remove(b'@');
    utf8_percent_encode(name, SET).to_string()
}

/// `urllib.parse.quote(name)`: how a name stands in an OAuth client id (jupyterhub/user.py).
pub fn quote(name: &str) -> String {
    const SET: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'_')
        .remove(b'.')
        .remove(b'-')
        .remove(b'~')
        .remove(b'/');
    utf8_percent_encode(name, SET).to_string()
}

/// A name as it may stand in a log line: short, whatever was sent (CVE-2026-54338).
pub fn for_log(name: &str) -> String {
    let mut short: String = name.chars().take(40).flat_map(char::escape_debug).collect();
    if name.chars().nth(40).is_some() {
        short.push_str("...");
    }
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalized_or_refused() {
        assert_eq!(normalize("Alice"), Ok(String::from("alice")));
        assert_eq!(normalize(""), Err(Invalid::Empty));
        assert_eq!(normalize(&"a".repeat(256)), Err(Invalid::TooLong));
        for bad in [
            "a/b",
            " a",
            "a\n",
            "..",
            "a\\b",
            "a\u{2028}b",
            "a\u{202e}b",
            "a\u{200b}",
        ] {
            assert_eq!(normalize(bad), Err(Invalid::Character), "{bad:?}");
        }
        for good in [
            "émile",
            "e\u{301}mile",
            "日本語",
            "कि",
            "o'neil",
            "a \"b\"",
            "a%2fb",
            "🦀",
        ] {
            assert_eq!(normalize(good).as_deref(), Ok(good));
        }
    }

    #[test]
    fn escapes_are_those_of_jupyterhub() {
        assert_eq!(escape("alice@example.org"), "alice@example.org");
        assert_eq!(escape("a b+é"), "a%20b%2B%C3%A9");
        assert_eq!(quote("alice@example.org"), "alice%40example.org");
    }

    #[test]
    fn the_log_sees_only_the_beginning() {
        assert_eq!(for_log(&"a".repeat(1 << 20)).len(), 43);
        assert_eq!(for_log("a\nb"), "a\\nb");
    }
}
