//! Who somebody is: what `JupyterHub.authenticator_class` chooses. Whether they may come in is not said here.

mod native;

use std::error::Error;

use async_trait::async_trait;

use crate::config::{AuthenticatorClass, Config};
use crate::db::Db;

/// Somebody who has shown who they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Identity {
    pub name: String,
}

/// Why nobody is known to be who they say.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Name and password do not fit each other.
    #[error("the name or the password is wrong")]
    Wrong,
    /// Nothing is known of the name or the password: whoever knows could not be asked.
    #[error("could not {0}")]
    Failed(&'static str, #[source] Box<dyn Error + Send + Sync>),
}

impl Refusal {
    pub fn failed(attempted: &'static str, cause: impl Error + Send + Sync + 'static) -> Self {
        Self::Failed(attempted, Box::new(cause))
    }
}

/// How people log in.
pub enum Authenticator {
    /// By name and password, in a form of the Hub.
    Form(Box<dyn CheckPassword>),
}

impl Authenticator {
    pub fn new(config: &Config, db: &Db) -> Self {
        match config.jupyter_hub.authenticator_class {
            AuthenticatorClass::Native => Self::Form(Box::new(native::Native::new(db.clone()))),
        }
    }
}

/// What knows passwords. How often somebody may try is not its business.
#[async_trait]
pub trait CheckPassword: Send + Sync {
    /// `name` is normalized, and the password not longer than [`crate::auth::password::MAX_LENGTH`].
    async fn check(&self, name: &str, password: &str) -> Result<Identity, Refusal>;
}
