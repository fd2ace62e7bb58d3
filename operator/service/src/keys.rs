//! What jobs know and nobody else. It follows from one key of the service and the job's id, so that no right to read
//! Secrets is needed to check a signature.

use carrel_report::sign;

/// The key of the service.
#[derive(Clone)]
pub struct Keys(Vec<u8>);

impl Keys {
    /// The shortest that is taken: 128 bits as hexadecimal digits.
    pub const SHORTEST: usize = 32;

    pub fn new(key: &str) -> Option<Self> {
        let key = key.trim();
        (key.len() >= Self::SHORTEST).then(|| Self(key.as_bytes().to_owned()))
    }

    /// What the ranks of a job sign with.
    pub fn secret(&self, id: &str) -> String {
        self.derive("secret", id)
    }

    /// What a rank sends along, so that nothing is read of who has nothing to say.
    pub fn token(&self, id: &str) -> String {
        self.derive("token", id)
    }

    fn derive(&self, what: &str, id: &str) -> String {
        let signed = sign(&self.0, format!("{what} of {id}").as_bytes());
        signed.trim_start_matches("sha256=").to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::Keys;

    #[test]
    fn each_job_has_a_secret_and_a_token_of_its_own() {
        let keys = Keys::new(&"k".repeat(32)).expect("it is long enough");
        let all = [
            keys.secret("a"),
            keys.secret("b"),
            keys.token("a"),
            keys.token("b"),
        ];
        for (at, one) in all.iter().enumerate() {
            assert_eq!(one.len(), 64);
            assert!(!all[..at].contains(one));
        }
        assert_eq!(keys.secret("a"), all[0]);
        assert!(Keys::new(" short ").is_none());
    }
}
