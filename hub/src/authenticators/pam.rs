//! Passwords of the machine's own users, by Linux-PAM, as JupyterHub's PAMAuthenticator asks for them.

mod library;

use std::ffi::CString;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use nix::unistd::{Gid, Group, User, geteuid, getgrouplist};
use tokio::sync::Semaphore;
use tracing::{error, warn};

use super::{Cause, CheckPassword, Identity, Refusal};
use crate::auth::username::for_log;
use crate::config::PAMAuthenticator;
use library::{NoFolder, NoLibrary, Question};

/// How long a login may take, with the wait for its turn.
const LONGEST: Duration = Duration::from_secs(60);
/// The longest that somebody who failed is let wait.
const LONGEST_DELAY: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error(transparent)]
    Library(#[from] NoLibrary),
    #[error(transparent)]
    Folder(#[from] NoFolder),
}

pub struct Pam {
    asker: Arc<Asker>,
    /// A call blocks a thread for as long as the modules take.
    turns: Arc<Semaphore>,
}

/// What one call needs, on a thread of its own.
struct Asker {
    library: library::Pam,
    keys: PAMAuthenticator,
    allowed_groups: Vec<String>,
}

impl Pam {
    pub fn new(keys: PAMAuthenticator, allowed_groups: Vec<String>) -> Result<Self, OpenError> {
        let library = library::Pam::open()?;
        if keys.confdir.is_some() {
            library.takes_folder()?;
        }
        if !geteuid().is_root() {
            warn!(
                "The Hub does not run as root: most PAM modules, pam_unix among them, then know no password but that of the \
                 Hub's own account"
            );
        }
        let turns = Arc::new(Semaphore::new(keys.executor_threads.max(1)));
        Ok(Self {
            asker: Arc::new(Asker {
                library,
                keys,
                allowed_groups,
            }),
            turns,
        })
    }
}

#[async_trait]
impl CheckPassword for Pam {
    async fn check(&self, name: &str, password: &str) -> Result<Identity, Refusal> {
        let (Some(user), Ok(password)) = (name_for_pam(name), CString::new(password)) else {
            return Err(Refusal::Wrong);
        };
        let asked = async {
            let turn = Arc::clone(&self.turns).acquire_owned().await?;
            let asker = Arc::clone(&self.asker);
            let asked = tokio::task::spawn_blocking(move || {
                let asked = asker.ask(&user, password);
                // Whoever asked may be gone by now; the thread was taken all the same.
                drop(turn);
                asked
            });
            Ok::<_, Cause>(asked.await?)
        };
        let attempted = "ask PAM";
        let asked = tokio::time::timeout(LONGEST, asked).await;
        let asked = asked.map_err(|late| Refusal::failed(attempted, late))?;
        let (identity, delay) = asked.map_err(|cause| Refusal::failed(attempted, cause))?;
        if identity.is_err() {
            tokio::time::sleep(delay.min(LONGEST_DELAY)).await;
        }
        identity
    }
}

impl Asker {
    /// Who this is, and how long they are to wait if nobody.
    fn ask(&self, user: &CString, password: CString) -> (Result<Identity, Refusal>, Duration) {
        let question = Question {
            service: &self.keys.service.0,
            confdir: self.keys.confdir.as_ref().map(|folder| &*folder.0),
            user,
            check_account: self.keys.check_account,
        };
        let (known, delay) = self.library.ask(&question, password);
        let identity = match known {
            Ok(name) => self.identity(&name),
            Err(failure) if failure.answered => {
                Err(refused(&user.to_string_lossy(), &failure.message))
            }
            Err(failure) => Err(Refusal::failed("ask PAM", failure.message)),
        };
        (identity, delay)
    }

    /// The user of the machine that PAM has let in.
    fn identity(&self, name: &str) -> Result<Identity, Refusal> {
        let failed = |error: nix::Error| Refusal::failed("look up a user of the machine", error);
        let Some(user) = User::from_name(name).map_err(failed)? else {
            return Err(refused(name, "the machine has no such account"));
        };
        // Several names may be of one account; the account has one.
        let user = match self.keys.pam_normalize_username {
            true => User::from_uid(user.uid).map_err(failed)?.unwrap_or(user),
            false => user,
        };
        // Names here are lower-case, so what only differs in that would be another account of the machine.
        if user.name.to_lowercase() != user.name {
            return Err(refused(
                name,
                "names of accounts here have no capital letters",
            ));
        }
        let own = groups_of(&user).map_err(failed)?;
        let admin = match self.keys.admin_groups.is_empty() {
            true => None,
            false => Some(self.is_admin(&own)?),
        };
        Ok(Identity {
            auth_state: None,
            allowed: self.is_in_allowed_group(&own).map_err(failed)?,
            admin,
            name: user.name,
            groups: None,
        })
    }

    /// A group that is not there lets in nobody.
    fn is_in_allowed_group(&self, own: &[Gid]) -> nix::Result<bool> {
        for name in &self.allowed_groups {
            match Group::from_name(name)? {
                Some(group) if own.contains(&group.gid) => return Ok(true),
                Some(_) => {}
                None => error!(
                    group = name,
                    "No such group of the machine: {name} (allowed_groups)"
                ),
            }
        }
        Ok(false)
    }

    /// One that is not there decides nothing: nobody shall lose rights, or come in without them, by a fault of the system.
    fn is_admin(&self, own: &[Gid]) -> Result<bool, Refusal> {
        let mut admin = false;
        for name in &self.keys.admin_groups {
            let attempted = "look up a group of PAMAuthenticator.admin_groups";
            let group =
                Group::from_name(name).map_err(|error| Refusal::failed(attempted, error))?;
            let none = || Refusal::failed(attempted, format!("the machine has no group {name}"));
            admin |= own.contains(&group.ok_or_else(none)?.gid);
        }
        Ok(admin)
    }
}

fn groups_of(user: &User) -> nix::Result<Vec<Gid>> {
    let name = CString::new(user.name.as_str()).map_err(|_| nix::Error::EINVAL)?;
    getgrouplist(&name, user.gid)
}

fn refused(name: &str, why: &str) -> Refusal {
    let name = for_log(name);
    warn!(user.name = %name, "PAM does not let {name} in: {why}");
    Refusal::Wrong
}

/// A name that a module may put into a command line, a file's line or a path: those of accounts are such (useradd(8)), and
/// those of domains.
fn name_for_pam(name: &str) -> Option<CString> {
    let plain =
        |letter: char| !letter.is_control() && !letter.is_whitespace() && !":/,".contains(letter);
    let fits = !name.starts_with('-') && name.chars().all(plain);
    CString::new(name).ok().filter(|_| fits)
}

#[cfg(test)]
mod tests {
    use super::name_for_pam;

    #[test]
    fn modules_see_no_name_that_means_more_than_itself() {
        for name in ["ada", "ada.l-ove_lace", "ada@example.org", "émile", "a$"] {
            assert!(name_for_pam(name).is_some(), "{name}");
        }
        for name in ["-rf", "a b", "a:0:0", "../ada", "a\nb", "a\0b", "a,b"] {
            assert!(name_for_pam(name).is_none(), "{name}");
        }
    }
}
