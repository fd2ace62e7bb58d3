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

/// How many characters of a token JupyterHub keeps as they are, to find it by.
const PREFIX: usize = 4;
/// More than JupyterHub ever asks for.
const MOST_ROUNDS: u32 = 100_000;

/// The characters by which an imported token is found.
pub fn prefix(token: &str) -> Option<&str> {
    token.get(..PREFIX)
}

/// Whether a secret is the one that `stored` was made of, by this Hub or by a JupyterHub whose database was imported.
pub fn is(secret: &str, stored: &str) -> bool {
    if stored.contains(':') {
        is_of_jupyterhub(secret, stored)
    } else {
        equal(&hash(secret), stored)
    }
}

/// `sha512:rounds:salt:digest` (jupyterhub/utils.py, `compare_token`).
fn is_of_jupyterhub(secret: &str, stored: &str) -> bool {
    let parts: Vec<_> = stored.split(':').collect();
    let ["sha512", rounds, salt, digest] = parts[..] else {
        return false;
    };
    let Some(rounds) = rounds.parse().ok().filter(|rounds| *rounds <= MOST_ROUNDS) else {
        return false;
    };
    if secret.len() > MAX_TOKEN_LENGTH {
        return false;
    }
    let mut hash = sha2::Sha512::new_with_prefix(salt);
    for _ in 0..rounds {
        hash.update(secret);
    }
    equal(&hex::encode(hash.finalize()), digest)
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

    /// What `hash_token` of JupyterHub 6.1 makes of it with one round and with three.
    #[test]
    fn secrets_of_jupyterhub_are_known() {
        let stored = [
            concat!(
                "sha512:1:a1b2c3d4:07c4d344dca6fcfa007f83e617fbb477b0718250fc0ec8a69be0",
                "100516bde57f3138efd98c688dd0205c02bfd1f3f74af32dfec703eef57a3ceec32054f1f280"
            ),
            concat!(
                "sha512:3:a1b2c3d4:1f5d0bf43995a8413a854d48784110aff0a54041aa3b052de38e",
                "5d70e99dc5ff553a3b8293b809c4bb833cdc78f53ebc8d97f1d1cf01d766cc588608f1c19231"
            ),
        ];
        for stored in stored {
            assert!(is("0123456789abcdef", stored), "{stored}");
            assert!(!is("0123456789abcdeF", stored), "{stored}");
        }
        for stored in [
            "sha512:1:salt:",
            "sha512:x:salt:ab",
            "md5:1:salt:ab",
            ":",
            "sha512:999999999:s:ab",
        ] {
            assert!(!is("", stored) && !is("secret", stored), "{stored}");
        }
        assert!(is("secret", &hash("secret")));
    }

    #[test]
    fn empty_secrets_are_equal_to_nothing() {
        assert!(!equal("", ""));
        assert!(equal("a", "a"));
        assert!(!equal("a", "b"));
    }
}
