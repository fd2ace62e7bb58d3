//! A login by way of another service: what ties its end to its beginning. It rides in a signed cookie of the browser, so
//! that every replica can finish what another one began.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use super::{secret, xsrf};

/// How long somebody may take to log in elsewhere, in seconds.
pub const LONGEST: i64 = 15 * 60;
/// A browser keeps no cookie that is much longer.
const LONGEST_NEXT: usize = 2048;

#[derive(Debug, Serialize, Deserialize)]
pub struct Flow {
    id: String,
    /// Checked path to go on to.
    pub next: Option<String>,
    /// In milliseconds.
    expires: i64,
}

impl Flow {
    pub fn new(next: Option<String>, now: i64) -> Self {
        Self {
            id: secret::generate(),
            next: next.filter(|next| next.len() <= LONGEST_NEXT),
            expires: now + LONGEST * 1000,
        }
    }

    /// As a cookie.
    pub fn seal(&self, key: &xsrf::Key) -> String {
        let text = serde_json::to_vec(self).unwrap_or_default();
        let text = URL_SAFE_NO_PAD.encode(text);
        let seal = key.derive("oauth cookie", &text);
        format!("{text}.{seal}")
    }

    /// What the cookie holds, if this Hub has made it and not too long ago.
    pub fn open(cookie: &str, key: &xsrf::Key, now: i64) -> Option<Self> {
        let (text, seal) = cookie.split_once('.')?;
        if !secret::equal(&key.derive("oauth cookie", text), seal) {
            return None;
        }
        let flow: Self = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok()?;
        (flow.expires > now).then_some(flow)
    }

    /// Comes back in the address (RFC 6749, 10.12).
    pub fn state(&self, key: &xsrf::Key) -> String {
        key.derive("oauth state", &self.id)
    }

    /// Comes back in the ID token (OpenID Connect Core, 3.1.2.1).
    pub fn nonce(&self, key: &xsrf::Key) -> String {
        key.derive("oauth nonce", &self.id)
    }

    /// Is shown when the code is redeemed (RFC 7636, 4.1).
    pub fn verifier(&self, key: &xsrf::Key) -> String {
        key.derive("oauth verifier", &self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_good_for_a_while_and_for_its_own_hub() {
        let (key, other) = (xsrf::Key::new("one".into()), xsrf::Key::new("other".into()));
        let flow = Flow::new(Some("/hub/token".into()), 0);
        let cookie = flow.seal(&key);
        let opened = Flow::open(&cookie, &key, LONGEST * 1000 - 1).unwrap();
        assert_eq!(opened.next.as_deref(), Some("/hub/token"));
        assert_eq!(opened.state(&key), flow.state(&key));
        assert_ne!(flow.state(&key), flow.nonce(&key));
        assert!(Flow::open(&cookie, &key, LONGEST * 1000).is_none());
        assert!(Flow::open(&cookie, &other, 1).is_none());
        let (text, seal) = cookie.split_once('.').unwrap();
        for forged in [
            text,
            seal,
            "",
            ".",
            &format!("{text}."),
            &format!("x{cookie}"),
        ] {
            assert!(Flow::open(forged, &key, 1).is_none(), "{forged}");
        }
        assert!((43..=128).contains(&flow.verifier(&key).len()));
    }

    #[test]
    fn an_address_that_no_cookie_holds_is_left_out() {
        let flow = Flow::new(Some(format!("/{}", "x".repeat(4000))), 0);
        assert_eq!(flow.next, None);
    }
}
