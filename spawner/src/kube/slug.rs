//! Names that Kubernetes takes, made of any name of a user or server, so that no two of those share one
//! (the safe and the legacy scheme of KubeSpawner 7, kubespawner/slugs.py).

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

/// Longest part that a template puts into the name of an object.
const MAX: usize = 48;
/// Longest part where the hash decides, and longest hashed label.
const MAX_HASHED: usize = 32;
/// Digits of the hash that tells names apart which look alike once they are plain.
const HASH: usize = 8;

/// A valid name stays as it is; any other becomes plain and gets a hash.
pub fn safe_slug(name: &str) -> String {
    limited(name, MAX, name.len() <= MAX && is_object_name(name))
}

/// The value of a label: more letters are valid there than in the name of an object.
pub fn safe_label(name: &str) -> String {
    limited(name, MAX_HASHED, is_label(name))
}

/// `<user>--<server>`, or the user alone for the default server.
pub fn user_server(user: &str, server: &str) -> String {
    let (safe_user, safe_server) = (safe_slug(user), safe_server(server));
    if safe_user.len() + safe_server.len() + 2 > MAX {
        multi_slug([user, server])
    } else if server.is_empty() {
        safe_user
    } else {
        format!("{safe_user}--{safe_server}")
    }
}

/// The safe form of a server's name; empty for the default server.
pub fn safe_server(server: &str) -> String {
    if server.is_empty() {
        String::new()
    } else {
        safe_slug(server)
    }
}

/// The legacy scheme: each byte that is no small letter or digit as `-hh`.
pub fn escape(name: &str) -> String {
    name.bytes().fold(String::new(), |mut escaped, byte| {
        if byte.is_ascii_lowercase() || byte.is_ascii_digit() {
            escaped.push(char::from(byte));
        } else {
            let _ = write!(escaped, "-{byte:02x}");
        }
        escaped
    })
}

/// Whether Kubernetes takes this as the name of any object (RFC 1035 and RFC 1123).
pub fn is_object_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    name.len() <= 63
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().last().is_some_and(plain)
        && name.bytes().all(|byte| plain(byte) || byte == b'-')
}

/// Whether Kubernetes takes this as the value of a label.
pub fn is_label(value: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric();
    value.is_empty()
        || value.len() <= 63
            && value.bytes().next().is_some_and(plain)
            && value.bytes().last().is_some_and(plain)
            && value
                .bytes()
                .all(|byte| plain(byte) || b".-_".contains(&byte))
}

/// What has `--` could be the joined name of another user's server.
fn limited(name: &str, max: usize, valid: bool) -> String {
    if valid && !name.contains("--") {
        name.to_owned()
    } else {
        // `---` keeps the hash apart from the `--` that joins user and server.
        format!("{}---{}", plain(name, max - HASH - 3), hash([name]))
    }
}

/// Two names with one hash over both.
fn multi_slug(names: [&str; 2]) -> String {
    let each = (MAX - HASH - 1) / names.len() - 2;
    format!(
        "{}---{}",
        names.map(|name| plain(name, each)).join("--"),
        hash(names)
    )
}

/// Small letters, digits and single hyphens, beginning with a letter; `x` where nothing is left.
fn plain(name: &str, max: usize) -> String {
    let lower = name.to_lowercase();
    let words = lower.split(|c: char| !(c.is_ascii_lowercase() || c.is_ascii_digit()));
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let mut plain = cut(&words.join("-"), max).to_owned();
    if plain.starts_with(|first: char| first.is_ascii_digit()) {
        plain = format!("x-{}", cut(&plain, max - 2));
    }
    if plain.is_empty() {
        plain.push('x');
    }
    plain
}

fn cut(plain: &str, max: usize) -> &str {
    plain.get(..max).unwrap_or(plain).trim_end_matches('-')
}

/// The byte 0xFF, which no text in UTF-8 holds, ends each name but the last.
fn hash<const N: usize>(names: [&str; N]) -> String {
    let mut digest = hex::encode(Sha256::digest(names.map(str::as_bytes).join(&0xFF)));
    digest.truncate(HASH);
    digest
}
