//! Signatures of what ranks send (HMAC-SHA-256): they show that the sender knows the job's secret, and not the secret.

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

const SCHEME: &str = "sha256=";
/// Of SHA-256, in bytes.
const BLOCK: usize = 64;

/// The value of [`crate::SIGNATURE_HEADER`] for a body.
pub fn sign(secret: &[u8], body: &[u8]) -> String {
    let mut verifier = Verifier::new(secret);
    verifier.update(body);
    verifier.signature()
}

/// Whether a signature is that of the body. No secret signs nothing.
pub fn verify(secret: &[u8], body: &[u8], signature: &str) -> bool {
    let mut verifier = Verifier::new(secret);
    verifier.update(body);
    !secret.is_empty() && verifier.fits(signature)
}

/// The same for a body that comes in parts.
pub struct Verifier(Hmac<Sha256>);

impl Verifier {
    pub fn new(secret: &[u8]) -> Self {
        // RFC 2104, section 2: longer keys are hashed, shorter ones filled with zeros.
        let mut key = [0; BLOCK];
        if secret.len() > BLOCK {
            let digest = Sha256::digest(secret);
            key[..digest.len()].copy_from_slice(&digest);
        } else {
            key[..secret.len()].copy_from_slice(secret);
        }
        Self(Hmac::new(&key.into()))
    }

    pub fn update(&mut self, part: &[u8]) {
        self.0.update(part);
    }

    pub fn signature(self) -> String {
        format!("{SCHEME}{}", hex::encode(self.0.finalize().into_bytes()))
    }

    pub fn fits(self, signature: &str) -> bool {
        self.signature()
            .as_bytes()
            .ct_eq(signature.as_bytes())
            .into()
    }
}

#[cfg(test)]
mod tests {
    use super::{sign, verify};

    /// RFC 4231, cases 2 and 6.
    #[test]
    fn signatures_are_those_of_the_rfc() {
        let short = sign(b"Jefe", b"what do ya want for nothing?");
        let digits = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(short, format!("sha256={digits}"));
        let body = b"Test Using Larger Than Block-Size Key - Hash Key First";
        let digits = "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54";
        assert_eq!(sign(&[0xaa; 131], body), format!("sha256={digits}"));
    }

    #[test]
    fn only_the_secret_s_signature_of_this_body_is_taken() {
        let signature = sign(b"secret", b"body");
        assert!(verify(b"secret", b"body", &signature));
        assert!(!verify(b"secret", b"bodY", &signature));
        assert!(!verify(b"Secret", b"body", &signature));
        for wrong in [
            "",
            "sha256=",
            "sha256=00",
            &signature[..70],
            &signature[7..],
        ] {
            assert!(!verify(b"secret", b"body", wrong), "{wrong}");
        }
        assert!(!verify(b"", b"body", &sign(b"", b"body")));
    }
}
