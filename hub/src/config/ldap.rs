//! `LDAPAuthenticator:`, under the keys of the package ldapauthenticator.

use std::ops::Deref;

use super::report::Report;
use super::section::{self, Key, SectionKeys, section};
use super::value::{self, Value, read_scalar, text_value};
use super::yaml::{Kind, Node};
use super::{AuthenticatorClass, Config, Hidden};

section! {
    /// Passwords that an LDAP server knows; `authenticator_class: ldap`. The keys are those of the package
    /// ldapauthenticator.
    LDAPAuthenticator {
        /// Name or address of the server.
        server_address: String = String::new();
        /// Port of the server; without it 636 for `on_connect`, else 389.
        server_port: Option<u16> = None;
        /// When the connection is encrypted: from its beginning, before the first password, or never (`insecure`).
        tls_strategy: TlsStrategy = TlsStrategy::BeforeBind;
        /// Distinguished names to try, one after another, such as `uid={username},ou=people,dc=example,dc=org`.
        bind_dn_template: Templates = Templates::default();
        /// Look the user's entry up before the password is tried, in place of `bind_dn_template`.
        lookup_dn: bool = false;
        /// Filter that finds the entry of a user.
        lookup_dn_search_filter: String = "({login_attr}={login})".to_owned();
        /// Distinguished name that looks up; anonymous without it.
        lookup_dn_search_user: Option<String> = None;
        /// Its password.
        lookup_dn_search_password: Option<Hidden> = None;
        /// Attribute of the entry whose value stands for the name in `bind_dn_template`; the entry's own distinguished name
        /// without it.
        lookup_dn_user_dn_attribute: Option<String> = None;
        /// The user's name here is what the entry says, and not what was typed.
        use_lookup_dn_username: bool = true;
        /// Where users are looked up.
        user_search_base: Option<String> = None;
        /// Attribute with the name of a user.
        user_attribute: String = "uid".to_owned();
        /// Filter that must find the user after login too, such as `(memberOf=cn=staff,dc=example,dc=org)`; `{username}`
        /// and `{userattr}` stand for name and attribute.
        search_filter: Option<String> = None;
        /// Where groups are looked up; `user_search_base` without it.
        group_search_base: Option<String> = None;
        /// Filter that finds the groups of a user.
        group_search_filter: String = "(|(member={userdn})(uniqueMember={userdn})(memberUid={uid}))".to_owned();
        /// Attribute with the name of a group here (`manage_groups`).
        group_attribute: String = "cn".to_owned();
        /// Distinguished names of groups whose members may log in.
        allowed_groups: Vec<String> = Vec::new();
    }
}

/// When the connection to the server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsStrategy {
    BeforeBind,
    OnConnect,
    Insecure,
}

text_value!(
    TlsStrategy,
    "`before_bind`, `on_connect` or `insecure`",
    |text| match text {
        "before_bind" => Some(TlsStrategy::BeforeBind),
        "on_connect" => Some(TlsStrategy::OnConnect),
        "insecure" => Some(TlsStrategy::Insecure),
        _ => None,
    },
    |strategy| match strategy {
        TlsStrategy::BeforeBind => "before_bind".to_owned(),
        TlsStrategy::OnConnect => "on_connect".to_owned(),
        TlsStrategy::Insecure => "insecure".to_owned(),
    }
);

/// Texts with `{username}`; the file may give one alone.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Templates(Vec<String>);

impl Deref for Templates {
    type Target = [String];
    fn deref(&self) -> &[String] {
        &self.0
    }
}

impl Value for Templates {
    fn expected() -> String {
        "text, or a list of texts, each with {username}".to_owned()
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let templates = match &node.kind {
            Kind::Text(text) => vec![text.clone()],
            _ => Vec::read(node, path, report)?,
        };
        if !templates.iter().all(|text| text.contains("{username}")) {
            report.expected(&Self::expected(), node, path);
            return None;
        }
        Some(Self(templates))
    }

    fn show(&self) -> String {
        self.0.show()
    }
}

impl Config {
    pub(super) fn check_ldap(&self, report: &mut Report) {
        if self.jupyter_hub.authenticator_class != AuthenticatorClass::Ldap {
            return;
        }
        let ldap = &self.ldap_authenticator;
        let mut missing = |key: &str, why: &str| {
            report.contradiction(&format!("LDAPAuthenticator.{key}"), why);
        };
        if ldap.server_address.is_empty() {
            missing("server_address", "says where the LDAP server is");
        }
        if ldap.bind_dn_template.is_empty()
            && (!ldap.lookup_dn || ldap.lookup_dn_user_dn_attribute.is_some())
        {
            let why = "needed unless `lookup_dn` finds the distinguished names";
            missing("bind_dn_template", why);
        }
        let searches = ldap.lookup_dn || ldap.search_filter.is_some();
        if searches && ldap.user_search_base.is_none() {
            let why = "needed by `lookup_dn` and `search_filter`";
            missing("user_search_base", why);
        }
        if self.authenticator.manage_groups
            && ldap
                .group_search_base
                .as_ref()
                .or(ldap.user_search_base.as_ref())
                .is_none()
        {
            missing("group_search_base", "needed by `manage_groups`");
        }
    }
}
