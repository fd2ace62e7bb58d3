//! Passwords: argon2id, away from the async threads and never more than two at a time.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use tokio::sync::Semaphore;

/// The longest password that is hashed, in bytes.
pub const MAX_LENGTH: usize = 4096;

/// Each hash takes 19 MiB and tens of milliseconds of a core: a burst of logins waits here instead of filling
/// memory.
static AT_ONCE: Semaphore = Semaphore::const_new(2);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not hash a password: {0}")]
    Hash(argon2::password_hash::Error),
    #[error("hashing a password was interrupted")]
    Interrupted,
}

pub async fn hash(password: String) -> Result<String, Error> {
    blocking(move || {
        let hash: PasswordHash = Argon2::default()
            .hash_password(password.as_bytes())
            .map_err(Error::Hash)?;
        Ok(hash.to_string())
    })
    .await
}

/// Whether `password` fits `stored`. Without a stored hash the same work is done and the answer is no, so that
/// the time taken does not tell which users exist.
pub async fn verify(password: String, stored: Option<String>) -> Result<bool, Error> {
    blocking(move || {
        let stored = stored.as_deref().map(PasswordHash::new);
        let Some(Ok(stored)) = stored else {
            let _: PasswordHash = Argon2::default()
                .hash_password(password.as_bytes())
                .map_err(Error::Hash)?;
            return Ok(false);
        };
        Ok(Argon2::default()
            .verify_password(password.as_bytes(), &stored)
            .is_ok())
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let _permit = AT_ONCE.acquire().await.map_err(|_| Error::Interrupted)?;
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Error::Interrupted)?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_hash_fits_its_password_alone() {
        let stored = hash(String::from("correct horse")).await.unwrap();
        assert!(stored.starts_with("$argon2id$"), "{stored}");
        assert!(
            verify(String::from("correct horse"), Some(stored.clone()))
                .await
                .unwrap()
        );
        assert!(!verify(String::new(), Some(stored.clone())).await.unwrap());
        assert!(!verify(String::from("correct horse"), None).await.unwrap());
    }
}
