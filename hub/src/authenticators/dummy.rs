//! For tests: one password for everybody, or any.

use async_trait::async_trait;

use super::{CheckPassword, Identity, Refusal};
use crate::auth::secret;
use crate::config::Hidden;

pub struct Dummy {
    password: Option<Hidden>,
}

impl Dummy {
    pub fn new(password: Option<Hidden>) -> Self {
        Self { password }
    }
}

#[async_trait]
impl CheckPassword for Dummy {
    async fn check(&self, name: &str, password: &str) -> Result<Identity, Refusal> {
        let right = self.password.as_ref();
        if right.is_some_and(|right| !secret::equal(&right.0, password)) {
            return Err(Refusal::Wrong);
        }
        Ok(Identity {
            name: name.to_owned(),
            ..Identity::default()
        })
    }
}
