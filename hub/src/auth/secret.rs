//! Random secrets: how they are made, stored and compared.

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

/// The shortest token that somebody may bring along (jupyterhub/orm.py, `APIToken.new`).
pub const SHORTEST: usize = 8;
/// The longest token that is looked up (JupyterHub 6.1).
pub const MAX_TOKEN_LENGTH: usize = 64;

/// A new secret of 256 random bits, in hex.
pub fn generate() -> String {
    hex::encode(rand::random::<[u8; 32]>())
}

/// What the database keeps of a secret. The secret is random, so no salt and no slow hash is needed.
pub fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

/// `BASE64URL(SHA256(verifier))`, the S256 challenge of RFC 7636, 4.2.
pub fn s256(verifier: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(Sha256::digest(verifier))
}

/// A value that only the holder of `key` can make.
pub fn derive(key: &str, purpose: &str) -> String {
    // HMAC takes keys of every length.
    let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes());
    mac.map(|mac| hex::encode(mac.chain_update(purpose).finalize().into_bytes()))
        .unwrap_or_default()
}

/// Compares in a time that does not tell where the two differ.
pub fn equal(a: &str, b: &str) -> bool {
    !a.is_empty() && a.as_bytes().ct_eq(b.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of RFC 7636, appendix B.
    #[test]
    fn s256_is_that_of_the_rfc() {
        assert_eq!(
            s256("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"),
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn empty_secrets_are_equal_to_nothing() {
        assert!(!equal("", ""));
        assert!(equal("a", "a"));
        assert!(!equal("a", "b"));
    }
}
