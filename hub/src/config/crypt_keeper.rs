//! `CryptKeeper:`, the keys by which the Hub encrypts what it keeps for others.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

use super::report::Report;
use super::section::{self, Key, SectionKeys, section};
use super::value::{self, Value};
use super::yaml::Node;

/// Length of a key in bytes.
pub const KEY_LENGTH: usize = 32;

section! {
    /// Encryption of what `Authenticator.enable_auth_state` keeps.
    CryptKeeper {
        /// Keys, such as `openssl rand -hex 32` makes; without them, those of the environment's `JUPYTERHUB_CRYPT_KEY`, which
        /// are separated by semicolons. The first one encrypts, and all decrypt: a new one comes first, and the old one may go
        /// when everybody has logged in once.
        keys: Vec<CryptKey> = Vec::new();
    }
}

/// One key, which no log shows.
#[derive(Clone, PartialEq)]
pub struct CryptKey(pub [u8; KEY_LENGTH]);

impl CryptKey {
    /// jupyterhub/crypto.py, `_validate_key`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = match text.len() {
            44 => URL_SAFE.decode(text).ok()?,
            64 => hex::decode(text).ok()?,
            _ => text.as_bytes().to_vec(),
        };
        bytes.try_into().ok().map(Self)
    }
}

impl fmt::Debug for CryptKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CryptKey")
    }
}

impl Value for CryptKey {
    fn expected() -> String {
        "32 bytes, as 64 hexadecimal digits or in base64".to_owned()
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let text = String::read(node, path, report)?;
        let key = Self::parse(&text);
        if key.is_none() {
            report.wrong(node.at, path, format!("expected {}", Self::expected()));
        }
        key
    }

    fn show(&self) -> String {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_written_in_any_of_three_ways() {
        let key = CryptKey([b'k'; KEY_LENGTH]);
        let (raw, hex) = ("k".repeat(32), "6b".repeat(32));
        for text in [&raw, &hex, &URL_SAFE.encode(key.0)] {
            assert_eq!(CryptKey::parse(text), Some(key.clone()), "{text}");
        }
        for text in ["", "short", &"x".repeat(64), &"=".repeat(44)] {
            assert_eq!(CryptKey::parse(text), None, "{text}");
        }
        assert!(!format!("{key:?}").contains('k'));
    }
}
