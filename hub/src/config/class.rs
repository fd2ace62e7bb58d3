//! The classes that the Hub can work with, by the names that JupyterHub has for them.

use super::report::Report;
use super::value::Value;
use super::yaml::{Kind, Node};

/// What runs the users' servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SpawnerClass {
    LocalProcess,
    Kube,
}

/// What says who somebody is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthenticatorClass {
    /// Passwords kept by the Hub, as the NativeAuthenticator of the JupyterHub family does.
    Native,
    /// One password for everybody, or any.
    Dummy,
    Ldap,
    /// Users of the machine itself.
    Pam,
    /// A header that a proxy before the Hub sets.
    RemoteUser,
    /// OpenID Connect, or plain OAuth 2 where no issuer is given.
    GenericOAuth,
    Auth0,
    AzureAd,
    CILogon,
    GitHub,
    GitLab,
    Google,
}

/// What leads requests to the servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyClass {
    InProcess,
    /// By the REST API of configurable-http-proxy.
    Chp,
}

/// How the names of hosts are made (`JupyterHub.subdomain_hook`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubdomainHook {
    Idna,
    Legacy,
}

impl AuthenticatorClass {
    /// The section with its own keys.
    pub fn section(self) -> &'static str {
        match self {
            Self::Native => "NativeAuthenticator",
            Self::Dummy => "DummyAuthenticator",
            Self::Ldap => "LDAPAuthenticator",
            Self::Pam => "PAMAuthenticator",
            Self::RemoteUser => "RemoteUserAuthenticator",
            Self::GenericOAuth => "GenericOAuthenticator",
            Self::Auth0 => "Auth0OAuthenticator",
            Self::AzureAd => "AzureAdOAuthenticator",
            Self::CILogon => "CILogonOAuthenticator",
            Self::GitHub => "GitHubOAuthenticator",
            Self::GitLab => "GitLabOAuthenticator",
            Self::Google => "GoogleOAuthenticator",
        }
    }

    /// Whether what stands in this section is said of this class.
    pub(super) fn heeds(self, section: &str) -> bool {
        self.section() == section || above(self.section()).contains(&section)
    }

    /// Whether the Hub itself keeps the passwords.
    pub fn is_native(self) -> bool {
        self == Self::Native
    }

    /// Whether its users are users of the machine.
    pub fn has_system_users(self) -> bool {
        self == Self::Pam
    }

    /// Under which key the state of a user holds what the provider says of them (oauthenticator, `user_auth_state_key`).
    pub fn user_key(self) -> &'static str {
        match self {
            Self::Auth0 => "auth0_user",
            Self::AzureAd => "user",
            Self::CILogon => "cilogon_user",
            Self::GitHub => "github_user",
            Self::GitLab => "gitlab_user",
            Self::Google => "google_user",
            _ => "oauth_user",
        }
    }

    pub fn is_oauth(self) -> bool {
        above(self.section()).contains(&OAUTH)
    }
}

const OAUTH: &str = "OAuthenticator";

/// The sections whose keys a section takes too, the nearest first: those of the classes that its class extends.
pub fn above(section: &str) -> &'static [&'static str] {
    match section {
        "Authenticator" => &[],
        OAUTH => &["Authenticator"],
        "PAMAuthenticator" => &["LocalAuthenticator", "Authenticator"],
        _ if section.ends_with(OAUTH) => &[OAUTH, "Authenticator"],
        _ if section.ends_with("Authenticator") => &["Authenticator"],
        _ => &[],
    }
}

/// In which order sections are read: the choice of the class first, and what others take from before them.
pub(super) fn turn(section: &str) -> usize {
    match section {
        "JupyterHub" => 0,
        "Authenticator" => 1,
        OAUTH | "LocalAuthenticator" => 2,
        _ => 3,
    }
}

/// A class by its names in JupyterHub: entry point, then class; the report and the reference tell the first two.
macro_rules! class_value {
    ($type:ty, { $( $variant:ident: $($name:literal),+; )+ }) => {
        impl $type {
            /// Its class in Python, where it has one.
            pub fn class(self) -> &'static str {
                match self {
                    $( Self::$variant => {
                        let names = [$( $name ),+];
                        names[names.len().min(2) - 1]
                    } )+
                }
            }
        }

        impl Value for $type {
            fn expected() -> String {
                let names: &[&[&str]] = &[$( &[$( concat!("`", $name, "`") ),+] ),+];
                let first_two = names.iter().map(|names| names[..names.len().min(2)].join(" or "));
                first_two.collect::<Vec<_>>().join(", ")
            }

            fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
                if let Kind::Text(name) = &node.kind {
                    match name.as_str() {
                        $( $( $name )|+ => return Some(Self::$variant), )+
                        _ => {}
                    }
                }
                report.wrong(node.at, path, format!("expected {}, which this build has; found {node}", Self::expected()));
                None
            }

            fn show(&self) -> String {
                match self {
                    $( Self::$variant => [$( $name ),+][0].to_owned(), )+
                }
            }
        }
    };
}

class_value!(SpawnerClass, {
    LocalProcess: "localprocess", "jupyterhub.spawner.LocalProcessSpawner";
    Kube: "kube", "kubespawner.spawner.KubeSpawner", "kubespawner.KubeSpawner";
});
class_value!(AuthenticatorClass, {
    Native: "native", "nativeauthenticator.NativeAuthenticator";
    Dummy: "dummy", "jupyterhub.auth.DummyAuthenticator", "jupyterhub.authenticators.dummy.DummyAuthenticator";
    Ldap: "ldap", "ldapauthenticator.LDAPAuthenticator", "ldapauthenticator.ldapauthenticator.LDAPAuthenticator";
    Pam: "pam", "jupyterhub.auth.PAMAuthenticator", "jupyterhub.authenticators.pam.PAMAuthenticator";
    RemoteUser: "remote-user", "jhub_remote_user_authenticator.remote_user_auth.RemoteUserAuthenticator";
    GenericOAuth: "generic-oauth", "oauthenticator.generic.GenericOAuthenticator", "oauthenticator.GenericOAuthenticator";
    Auth0: "auth0", "oauthenticator.auth0.Auth0OAuthenticator";
    AzureAd: "azuread", "oauthenticator.azuread.AzureAdOAuthenticator";
    CILogon: "cilogon", "oauthenticator.cilogon.CILogonOAuthenticator", "oauthenticator.CILogonOAuthenticator";
    GitHub: "github", "oauthenticator.github.GitHubOAuthenticator", "oauthenticator.GitHubOAuthenticator";
    GitLab: "gitlab", "oauthenticator.gitlab.GitLabOAuthenticator", "oauthenticator.GitLabOAuthenticator";
    Google: "google", "oauthenticator.google.GoogleOAuthenticator", "oauthenticator.GoogleOAuthenticator";
});
class_value!(SubdomainHook, {
    Idna: "idna";
    Legacy: "legacy";
});
class_value!(ProxyClass, {
    InProcess: "in-process";
    Chp: "configurable-http-proxy", "jupyterhub.proxy.ConfigurableHTTPProxy";
});
