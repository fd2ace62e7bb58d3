//! `PAMAuthenticator:` and `LocalAuthenticator:`, under JupyterHub's keys.

use std::ffi::CString;

use super::report::Report;
use super::section::{self, Key, SectionKeys, section};
use super::value::{self, Value, read_scalar, text_value};
use super::yaml::{Kind, Node};
use super::{AuthenticatorClass, Config};

section! {
    /// Users of the machine itself; `PAMAuthenticator` takes these keys too, and there they win.
    LocalAuthenticator {
        /// Groups of the machine whose members may log in.
        allowed_groups: Vec<String> = Vec::new();
        /// Whether the Hub makes accounts of the machine. This one does not: whoever administers the machine does.
        create_system_users: bool = false;
    }
}

section! {
    /// Passwords of the machine's own users, by Linux-PAM; `authenticator_class: pam`. A Hub that runs as root starts the
    /// server of each (`localprocess`) as that user, in their home. Only users who have an account of the machine log in.
    PAMAuthenticator {
        /// PAM service that is asked, a file in `/etc/pam.d`.
        service: Service = Service(c"login".to_owned());
        /// Folder with the service's file, in place of `/etc/pam.d`.
        confdir: Option<Folder> = None;
        /// Whether the account may be used is asked too: one that has expired is refused. Without it, a right password is
        /// enough.
        check_account: bool = true;
        /// Groups of the machine that decide, at each login, who is an administrator, beside `admin_users`. Whether
        /// members may log in is said elsewhere.
        admin_groups: Vec<String> = Vec::new();
        /// The user's name is the one that the machine has for the account, where several names lead to it.
        pam_normalize_username: bool = false;
        /// How many passwords are looked at at a time.
        executor_threads: usize = 4;
        /// How names and passwords are written for PAM.
        encoding: Encoding = Encoding;
        /// Whether a start opens a session of PAM. This Hub opens none: it would be the Hub's, and not that of the server.
        open_sessions: bool = false;
    }
}

/// The name of a PAM service.
#[derive(Debug, Clone, PartialEq)]
pub struct Service(pub CString);

text_value!(
    Service,
    "the name of a PAM service, such as login",
    |text| {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        let fits = !text.is_empty() && !text.starts_with('.') && text.chars().all(plain);
        CString::new(text).ok().filter(|_| fits).map(Service)
    },
    |service| service.0.to_string_lossy().into_owned()
);

/// An absolute path.
#[derive(Debug, Clone, PartialEq)]
pub struct Folder(pub CString);

text_value!(
    Folder,
    "the absolute path of a folder",
    |text| {
        let text = text.starts_with('/').then_some(text)?;
        CString::new(text).ok().map(Folder)
    },
    |folder| folder.0.to_string_lossy().into_owned()
);

/// The one that there is.
#[derive(Debug, Clone, PartialEq)]
pub struct Encoding;

text_value!(
    Encoding,
    "`utf8`, which all of the Hub's texts are in",
    |text| {
        let name = text.to_lowercase().replace('-', "");
        (name == "utf8").then_some(Encoding)
    },
    |_| "utf8".to_owned()
);

impl Config {
    pub(super) fn check_pam(&self, report: &mut Report) {
        if self.jupyter_hub.authenticator_class != AuthenticatorClass::Pam {
            return;
        }
        if self.local_authenticator.create_system_users {
            report.contradiction(
                "LocalAuthenticator.create_system_users",
                "the Hub makes no accounts of the machine: a name that somebody logs in with would become one; make them \
                 by useradd(8), or let pam_mkhomedir make the homes of those that a directory has",
            );
        }
        if self.pam_authenticator.open_sessions {
            report.contradiction(
                "PAMAuthenticator.open_sessions",
                "the Hub opens no sessions of PAM, which would be the Hub's and not those of the servers",
            );
        }
    }
}
