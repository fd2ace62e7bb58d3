//! Passwords that the Hub keeps itself (argon2id).

use async_trait::async_trait;

use super::{CheckPassword, Identity, Refusal};
use crate::auth::password;
use crate::db::Db;

pub struct Native {
    db: Db,
}

impl Native {
    pub fn new(db: Db) -> Self {
        Self { db }
    }
}

#[async_trait]
impl CheckPassword for Native {
    fn hashes(&self) -> bool {
        true
    }

    async fn check(&self, name: &str, password: &str) -> Result<Identity, Refusal> {
        let stored = self.db.password_hash(name).await;
        let stored = stored.map_err(|error| Refusal::failed("look up a password", error))?;
        let right = password::verify(password.to_owned(), stored).await;
        match right.map_err(|error| Refusal::failed("check a password", error))? {
            true => Ok(Identity {
                name: name.to_owned(),
                ..Identity::default()
            }),
            false => Err(Refusal::Wrong),
        }
    }
}
