//! Signatures of messages: HMAC with a hash of the SHA-2 family, by the connection file's `signature_scheme`.

use std::fmt::Debug;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::{Sha224, Sha256, Sha384, Sha512};

/// The hash of the HMAC. Read from `signature_scheme`, such as `hmac-sha256`; empty means that.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum Scheme {
    Sha224,
    #[default]
    Sha256,
    Sha384,
    Sha512,
}

#[derive(Debug, thiserror::Error)]
#[error(
    "signature_scheme {0:?} is not supported; this kernel signs with hmac-sha224, hmac-sha256, hmac-sha384 or hmac-sha512"
)]
pub struct UnknownScheme(String);

impl TryFrom<String> for Scheme {
    type Error = UnknownScheme;

    fn try_from(name: String) -> Result<Self, UnknownScheme> {
        match name.as_str() {
            "hmac-sha224" => Ok(Self::Sha224),
            "" | "hmac-sha256" => Ok(Self::Sha256),
            "hmac-sha384" => Ok(Self::Sha384),
            "hmac-sha512" => Ok(Self::Sha512),
            _ => Err(UnknownScheme(name)),
        }
    }
}

/// Signs with one key.
pub trait Signer: Send + Sync {
    fn sign(&self, parts: [&Bytes; 4]) -> Vec<u8>;

    /// Compares in constant time.
    fn is_signature(&self, signature: &[u8], parts: [&Bytes; 4]) -> bool;
}

impl Scheme {
    /// None for an empty key: messages are then unsigned.
    pub fn signer(self, key: &str) -> Option<Box<dyn Signer>> {
        if key.is_empty() {
            return None;
        }
        match self {
            Self::Sha224 => keyed::<Hmac<Sha224>>(key),
            Self::Sha256 => keyed::<Hmac<Sha256>>(key),
            Self::Sha384 => keyed::<Hmac<Sha384>>(key),
            Self::Sha512 => keyed::<Hmac<Sha512>>(key),
        }
    }
}

fn keyed<M: Mac + KeyInit + Clone + Send + Sync + 'static>(key: &str) -> Option<Box<dyn Signer>> {
    // HMAC takes keys of every length, so this cannot fail.
    let mac = <M as KeyInit>::new_from_slice(key.as_bytes()).ok()?;
    Some(Box::new(Keyed(mac)))
}

struct Keyed<M>(M);

impl<M: Mac + Clone + Send + Sync> Signer for Keyed<M> {
    fn sign(&self, parts: [&Bytes; 4]) -> Vec<u8> {
        self.fed(parts).finalize().into_bytes().to_vec()
    }

    fn is_signature(&self, signature: &[u8], parts: [&Bytes; 4]) -> bool {
        self.fed(parts).verify_slice(signature).is_ok()
    }
}

impl<M: Mac + Clone> Keyed<M> {
    fn fed(&self, parts: [&Bytes; 4]) -> M {
        let mut mac = self.0.clone();
        parts.iter().for_each(|part| mac.update(part));
        mac
    }
}
