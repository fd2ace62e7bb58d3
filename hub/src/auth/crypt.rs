//! Encryption of what the Hub keeps for others (jupyterhub/crypto.py): AES-256-GCM, bound to the user whose it is.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde_json::Value;

use crate::config::{CryptKeeper, CryptKey};

const KEY_ENV: &str = "JUPYTERHUB_CRYPT_KEY";

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(
        "auth_state is enabled, but encryption is not available: give a key in JUPYTERHUB_CRYPT_KEY, such as `openssl rand -hex \
         32` makes, or in CryptKeeper.keys; or leave Authenticator.enable_auth_state out"
    )]
    None,
    #[error(
        "the keys in JUPYTERHUB_CRYPT_KEY must be of 32 bytes each, as hexadecimal digits or in base64"
    )]
    Unreadable,
}

/// The keys; without any, nothing is encrypted and nothing decrypted.
#[derive(Debug, Default)]
pub struct Keeper(Vec<LessSafeKey>);

/// What was decrypted.
#[derive(Debug, PartialEq)]
pub struct Opened {
    pub value: Value,
    /// By another key than the first, so that it is to be encrypted anew.
    pub by_old_key: bool,
}

impl Keeper {
    /// Those of the configuration, or else of the environment; `needed` where something will be encrypted.
    pub fn open(config: &CryptKeeper, needed: bool) -> Result<Self, KeyError> {
        let mut keys = config.keys.clone();
        if keys.is_empty() {
            keys = parse(&std::env::var(KEY_ENV).unwrap_or_default())?;
        }
        if needed && keys.is_empty() {
            return Err(KeyError::None);
        }
        Self::of(&keys)
    }

    fn of(keys: &[CryptKey]) -> Result<Self, KeyError> {
        let key = |key: &CryptKey| {
            let key = UnboundKey::new(&AES_256_GCM, &key.0);
            key.map(LessSafeKey::new).map_err(|_| KeyError::Unreadable)
        };
        keys.iter().map(key).collect::<Result<_, _>>().map(Self)
    }

    /// For the database; none where there is no key.
    pub fn seal(&self, user_id: i64, value: &Value) -> Option<String> {
        let key = self.0.first()?;
        // Random ones of 96 bits do for 2^32 values of one key (NIST SP 800-38D, 8.3).
        let nonce: [u8; NONCE_LEN] = rand::random();
        let mut sealed = value.to_string().into_bytes();
        let of = Aad::from(user_id.to_be_bytes());
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), of, &mut sealed)
            .ok()?;
        Some(STANDARD.encode([&nonce[..], &sealed].concat()))
    }

    /// None where it is not this user's, or of none of the keys.
    pub fn unseal(&self, user_id: i64, sealed: &str) -> Option<Opened> {
        let bytes = STANDARD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_first_chunk::<NONCE_LEN>()?;
        self.0.iter().enumerate().find_map(|(index, key)| {
            let mut sealed = sealed.to_vec();
            let nonce = Nonce::assume_unique_for_key(*nonce);
            let of = Aad::from(user_id.to_be_bytes());
            let opened = key.open_in_place(nonce, of, &mut sealed).ok()?;
            Some(Opened {
                value: serde_json::from_slice(opened).ok()?,
                by_old_key: index > 0,
            })
        })
    }
}

/// Keys with semicolons between them.
fn parse(text: &str) -> Result<Vec<CryptKey>, KeyError> {
    let keys = text.split(';').filter(|key| !key.trim().is_empty());
    let keys = keys.map(|key| CryptKey::parse(key).ok_or(KeyError::Unreadable));
    keys.collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn keeper(keys: &[u8]) -> Keeper {
        let keys: Vec<_> = keys.iter().map(|byte| CryptKey([*byte; 32])).collect();
        Keeper::of(&keys).unwrap()
    }

    #[test]
    fn what_is_kept_is_read_with_its_key_for_its_user() {
        let value = json!({ "access_token": "secret" });
        let old = keeper(&[1]);
        let sealed = old.seal(7, &value).unwrap();
        assert!(
            !STANDARD
                .decode(&sealed)
                .unwrap()
                .windows(6)
                .any(|part| part == b"secret")
        );
        assert_ne!(old.seal(7, &value).unwrap(), sealed);
        let opened = |by_old_key| {
            let value = value.clone();
            Some(Opened { value, by_old_key })
        };
        assert_eq!(old.unseal(7, &sealed), opened(false));
        assert_eq!(old.unseal(8, &sealed), None);
        assert_eq!(keeper(&[2]).unseal(7, &sealed), None);
        assert_eq!(keeper(&[]).unseal(7, &sealed), None);
        assert_eq!(keeper(&[]).seal(7, &value), None);
        // The next key comes first.
        let new = keeper(&[2, 1]);
        assert_eq!(new.unseal(7, &sealed), opened(true));
        assert_eq!(
            keeper(&[2]).unseal(7, &new.seal(7, &value).unwrap()),
            opened(false)
        );
        for broken in [
            "",
            "AAAA",
            "no base64!",
            &sealed[..20],
            &sealed.replace(&sealed[30..32], ".."),
        ] {
            assert_eq!(old.unseal(7, broken), None, "{broken}");
        }
    }

    #[test]
    fn keys_of_the_environment_are_separated_by_semicolons() {
        let (one, two) = ("a".repeat(32), "62".repeat(32));
        assert_eq!(parse(&format!("{one};{two}; ")).unwrap().len(), 2);
        assert!(parse("").unwrap().is_empty());
        assert!(matches!(parse("short"), Err(KeyError::Unreadable)));
    }
}
