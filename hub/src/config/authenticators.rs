//! Who may log in, and the sections of the authenticators that need little: passwords of the Hub's own, tests, a header.

use std::collections::BTreeSet;
use std::time::Duration;

use http::HeaderName;
use ipnet::IpNet;

use super::report::Report;
use super::section::{self, Key, SectionKeys, section};
use super::users::{UserNames, UsernamePattern, Users};
use super::value::{self, Value, read_scalar, text_value};
use super::yaml::{Kind, Node};
use super::{AuthenticatorClass, Config, Hidden};

section! {
    /// Who may log in. Each section of an authenticator takes these keys too, and there they win.
    Authenticator {
        /// Users who are administrators; with passwords of the Hub's own, the first start creates them with the empty
        /// password, later ones without any, and with another authenticator nobody is one by default.
        admin_users: Users = Users(BTreeSet::from(["admin".to_owned()]));
        /// Users who may log in, beside the administrators; where the Hub keeps the passwords, `carrel-hub set-password`
        /// gives them one.
        allowed_users: Users = Users::default();
        /// Let in everybody who has shown who they are.
        allow_all: bool = false;
        /// Let in everybody who has an account here.
        allow_existing_users: bool = false;
        /// Users who may not log in, whatever the other keys say; logins and tokens from before are refused as well.
        blocked_users: Users = Users::default();
        /// Regular expression that the whole name of a new user, and of one who logs in, must match.
        username_pattern: Option<UsernamePattern> = None;
        /// Names of users here in place of those that the authenticator gives, such as `{a.lovelace: ada}`.
        username_map: UserNames = UserNames::default();
        /// The groups that the authenticator tells of a user become, at each login, the user's groups here, in place of those
        /// before.
        manage_groups: bool = false;
        /// Keep what the service that logs somebody in tells of them, with its tokens (`auth_state`), for whoever has the scope
        /// admin:auth_state. It is encrypted in the database, by a key in the environment's `JUPYTERHUB_CRYPT_KEY`, or
        /// `CryptKeeper.keys`.
        enable_auth_state: bool = false;
        /// Seconds until that service is asked anew who somebody is, at their next request (OAuth, with `enable_auth_state`):
        /// with the token that it gave for it, or one that it gives in its place. Where it refuses, they must log in again. 0
        /// for never.
        auth_refresh_age: Duration = Duration::from_secs(300);
        /// Whom the service refuses must log in again before their tokens are taken too, and before anybody else starts their
        /// server; otherwise they must once they come with a browser.
        auth_refresh_strict: bool = false;
        /// Ask the service anew before each start of a server.
        refresh_pre_spawn: bool = false;
        /// Where another service logs people in, go there without a page of the Hub between.
        auto_login: bool = false;
    }
}

section! {
    /// Passwords kept by the Hub itself (argon2id); `authenticator_class: native`.
    NativeAuthenticator {
        /// Shortest password that a user may set.
        minimum_password_length: usize = 8;
        /// Whoever reaches the Hub may make an account for a name that nobody has, and log in with it.
        open_signup: bool = false;
    }
}

section! {
    /// For tests alone: everybody is who they say; `authenticator_class: dummy`.
    DummyAuthenticator {
        /// The one password of all users; without it, every password is right.
        password: Option<Hidden> = None;
    }
}

section! {
    /// A proxy before the Hub logs people in and says in a header who they are; `authenticator_class: remote-user`. Whoever
    /// reaches the Hub from `networks` can be anybody: no server of a user may run there.
    RemoteUserAuthenticator {
        /// Header with the name of the user. The proxy must set it, or take it out, in every request.
        header_name: Header = Header(HeaderName::from_static("remote-user"));
        /// Header with the user's groups, by commas.
        groups_header: Option<Header> = None;
        /// Addresses and networks of the proxies that are believed; the header of everybody else is passed over.
        networks: Vec<IpNet> = Vec::new();
    }
}

/// The name of a header.
#[derive(Debug, Clone, PartialEq)]
pub struct Header(pub HeaderName);

text_value!(
    Header,
    "the name of a header, such as X-Remote-User",
    |text| text.parse().ok().map(Header),
    |header| header.0.to_string()
);

impl Config {
    /// The keys of these sections among each other.
    pub(super) fn check_authenticators(&self, report: &mut Report) {
        let class = self.jupyter_hub.authenticator_class;
        let chosen = class == AuthenticatorClass::RemoteUser;
        let tells_groups = match class {
            AuthenticatorClass::Native | AuthenticatorClass::Dummy | AuthenticatorClass::Pam => {
                false
            }
            AuthenticatorClass::RemoteUser => {
                self.remote_user_authenticator.groups_header.is_some()
            }
            // These are asked for the keys that they need for it.
            _ => true,
        };
        if self.authenticator.manage_groups && !tells_groups {
            let message =
                "the chosen authenticator tells no groups (`remote-user` does by `groups_header`)";
            report.contradiction("Authenticator.manage_groups", message);
        }
        if chosen && self.remote_user_authenticator.networks.is_empty() {
            report.contradiction(
                "RemoteUserAuthenticator.networks",
                "says whose header is believed; give the address of the proxy before the Hub",
            );
        }
    }
}
