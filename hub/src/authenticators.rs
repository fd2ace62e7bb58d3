//! Who somebody is: what `JupyterHub.authenticator_class` chooses. Whether they may come in is not said here.

mod dummy;
mod ldap;
mod native;
pub mod oauth;
mod pam;
pub mod remote_user;

use std::error::Error;

use async_trait::async_trait;
use serde_json::Value;
use tracing::warn;

use crate::config::{AuthenticatorClass, Config};
use crate::db::Db;
use oauth::{NoCertificates, OAuth};
use pam::Pam;
use remote_user::RemoteUser;

/// Somebody who has shown who they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Identity {
    pub name: String,
    /// None where the authenticator has no say in it.
    pub admin: Option<bool>,
    pub groups: Option<Vec<String>>,
    /// The authenticator's own rules let them in, such as `allowed_groups`.
    pub allowed: bool,
    /// What the Hub may keep of them (`enable_auth_state`).
    pub auth_state: Option<Value>,
}

pub type Cause = Box<dyn Error + Send + Sync>;

/// Why nobody is known to be who they say.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Name and password do not fit each other.
    #[error("the name or the password is wrong")]
    Wrong,
    /// It is known who they are, and they are kept out; they may read why.
    #[error("{0}")]
    Forbidden(String),
    /// Nothing is known: whoever knows could not be asked.
    #[error("could not {0}")]
    Failed(&'static str, #[source] Cause),
}

impl Refusal {
    pub fn failed(attempted: &'static str, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed(attempted, cause.into())
    }
}

/// Why an authenticator cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    OAuth(#[from] NoCertificates),
    #[error(transparent)]
    Pam(#[from] pam::OpenError),
}

/// How people log in.
pub enum Authenticator {
    /// By name and password, in a form of the Hub.
    Form(Box<dyn CheckPassword>),
    /// Elsewhere: the browser is sent there and comes back.
    Elsewhere(Box<OAuth>),
    /// Before the Hub: a proxy says in a header who asks.
    Header(RemoteUser),
}

impl Authenticator {
    pub fn new(config: &Config, db: &Db) -> Result<Self, OpenError> {
        Ok(match config.jupyter_hub.authenticator_class {
            AuthenticatorClass::Native => Self::Form(Box::new(native::Native::new(db.clone()))),
            AuthenticatorClass::Dummy => {
                warn!(
                    "DummyAuthenticator: whoever reaches this Hub can log in under any name that is allowed; that is for \
                     tests alone"
                );
                let password = config.dummy_authenticator.password.clone();
                Self::Form(Box::new(dummy::Dummy::new(password)))
            }
            AuthenticatorClass::Ldap => {
                let manage_groups = config.authenticator.manage_groups;
                let keys = config.ldap_authenticator.clone();
                Self::Form(Box::new(ldap::Ldap::new(keys, manage_groups)))
            }
            AuthenticatorClass::Pam => {
                let allowed_groups = config.local_authenticator.allowed_groups.clone();
                let pam = Pam::new(config.pam_authenticator.clone(), allowed_groups)?;
                Self::Form(Box::new(pam))
            }
            AuthenticatorClass::RemoteUser => {
                Self::Header(RemoteUser::new(config.remote_user_authenticator.clone()))
            }
            AuthenticatorClass::GenericOAuth
            | AuthenticatorClass::Auth0
            | AuthenticatorClass::AzureAd
            | AuthenticatorClass::CILogon
            | AuthenticatorClass::GitHub
            | AuthenticatorClass::GitLab
            | AuthenticatorClass::Google => Self::Elsewhere(Box::new(OAuth::new(config)?)),
        })
    }
}

/// What knows passwords. How often somebody may try is not its business.
#[async_trait]
pub trait CheckPassword: Send + Sync {
    /// `name` is normalized, and the password not longer than [`crate::auth::password::MAX_LENGTH`].
    async fn check(&self, name: &str, password: &str) -> Result<Identity, Refusal>;

    /// Whether each look costs this machine the hash of a password.
    fn hashes(&self) -> bool {
        false
    }
}
