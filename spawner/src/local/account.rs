//! The account of the machine that a server runs under, where each user is one.

use std::ffi::{CStr, CString};
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::unistd::{self, Gid, Uid, User};

use super::LocalConfig;
use crate::Error;

/// One entry of passwd(5), with all groups of the user.
#[derive(Debug, Clone)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) home: PathBuf,
    /// Empty where the entry names none.
    pub(super) shell: String,
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

/// How far a process came on its way to be a user's.
#[derive(Debug, Clone, Copy)]
enum Step {
    Groups = 1,
    User,
    Home,
}

/// Tells why a process did not become a user's.
pub(super) struct Told(PipeReader);

impl Account {
    /// Blocks: the machine may ask a directory.
    pub(super) fn of(user: &str, config: &LocalConfig) -> Result<Self, Error> {
        let failed = |errno: Errno| Error::io("look up the user's account")(errno.into());
        let found = User::from_name(user).map_err(failed)?;
        let found = found.ok_or_else(|| {
            Error::Start(
                "this machine has no account of the user's name, and servers run under the accounts of their users"
                    .to_owned(),
            )
        })?;
        if found.uid.is_root() && !config.allow_root {
            return Err(Error::Start(
                "the user is root, and no server runs as root (`LocalProcessSpawner.allow_root`)"
                    .to_owned(),
            ));
        }
        let least = config.minimum_uid;
        if !found.uid.is_root() && found.uid.as_raw() < least {
            return Err(Error::Start(format!(
                "the user's account is one of the system's, whose numbers are below {least} (`LocalProcessSpawner.minimum_uid`)"
            )));
        }
        let name = text(found.name.as_bytes())?;
        Ok(Self {
            groups: unistd::getgrouplist(&name, found.gid).map_err(failed)?,
            name: found.name,
            home: found.dir,
            shell: found.shell.to_string_lossy().into_owned(),
            uid: found.uid,
            gid: found.gid,
        })
    }

    /// Makes the command's process this user's, in their home. Drop the command before asking what was told.
    #[allow(unsafe_code)]
    pub(super) fn take(&self, command: &mut std::process::Command) -> Result<Told, Error> {
        let (told, mut tell) = io::pipe().map_err(Error::io("make a pipe"))?;
        let (uid, gid, groups) = (self.uid, self.gid, self.groups.clone());
        let home = text(self.home.as_os_str().as_bytes())?;
        let change =
            move || become_user(uid, gid, &groups, &home, &mut tell).map_err(io::Error::from);
        // SAFETY: between fork and exec only async-signal-safe calls are allowed (signal-safety(7)). These are system calls
        // with what was prepared above; nothing is allocated.
        unsafe {
            command.pre_exec(change);
        }
        Ok(Told(told))
    }
}

/// The order matters: whoever is no longer root cannot choose groups. All three user ids are set, so that there is no way
/// back, and the home is entered as the user, who alone may be let in.
fn become_user(
    uid: Uid,
    gid: Gid,
    groups: &[Gid],
    home: &CStr,
    tell: &mut PipeWriter,
) -> Result<(), Errno> {
    let mut step = |step: Step, done: nix::Result<()>| {
        done.inspect_err(|_| {
            let _ = tell.write(&[step as u8]);
        })
    };
    step(Step::Groups, unistd::setgroups(groups))?;
    step(Step::Groups, unistd::setresgid(gid, gid, gid))?;
    step(Step::User, unistd::setresuid(uid, uid, uid))?;
    let is_still_root = !uid.is_root() && unistd::setuid(Uid::from_raw(0)).is_ok();
    step(
        Step::User,
        if is_still_root {
            Err(Errno::EPERM)
        } else {
            Ok(())
        },
    )?;
    step(Step::Home, unistd::chdir(home))
}

impl Told {
    /// What went wrong with `error` before the program was looked for; nothing where it was found wanting itself.
    pub(super) fn why(mut self, account: &Account, error: &io::Error) -> Option<Error> {
        let mut byte = [0];
        let read = self.0.read(&mut byte).ok()?;
        let name = &account.name;
        let attempted = match byte[0] {
            _ if read == 0 => return None,
            step if step == Step::Groups as u8 => format!("take the groups of {name}"),
            step if step == Step::User as u8 => format!("become {name}"),
            _ => format!("enter the home of {name}, {}", account.home.display()),
        };
        Some(Error::Start(format!("could not {attempted}: {error}")))
    }
}

fn text(bytes: &[u8]) -> Result<CString, Error> {
    CString::new(bytes).map_err(|_| Error::Start("the user's account holds a zero byte".to_owned()))
}
