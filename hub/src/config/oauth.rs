//! `OAuthenticator:` and the providers that are known by name, under the keys of the package oauthenticator.

use std::collections::BTreeMap;

use url::{Host, Url};

use super::idps::IdentityProviders;
use super::report::Report;
use super::section::{self, Key, SectionKeys, section};
use super::value;
use super::yaml::Node;
use super::{AuthenticatorClass, Config, Environment, Hidden, Issuer};

section! {
    /// Another service logs people in (OAuth 2, OpenID Connect). Each section of such a service takes these keys too, and
    /// there they win.
    OAuthenticator {
        /// Name of the Hub at the provider; the environment's `OAUTH_CLIENT_ID` without it.
        client_id: String = String::new();
        /// Its secret; the environment's `OAUTH_CLIENT_SECRET` without it.
        client_secret: Hidden = Hidden::default();
        /// Address to which the provider sends people back, as it is registered there:
        /// `https://<the Hub's name>/hub/oauth_callback`. Without it, the name that the browser asked for.
        oauth_callback_url: Option<Url> = None;
        /// Where the provider asks people; not needed with an issuer.
        authorize_url: Option<Url> = None;
        /// Where the provider gives tokens; not needed with an issuer.
        token_url: Option<Url> = None;
        /// Where the provider says who somebody is; not needed with an issuer.
        userdata_url: Option<Url> = None;
        /// What the Hub asks to know.
        scope: Option<Vec<String>> = None;
        /// Claim, or field of the answer of `userdata_url`, with the name of the user. An `email` counts only where the
        /// provider says that it is verified.
        username_claim: Option<String> = None;
        /// What the button on the login page names.
        login_service: Option<String> = None;
        /// Claim with the user's groups; dots lead into mappings.
        claim_groups_key: Option<String> = None;
        /// The same as newer versions of oauthenticator say it, such as `oauth_user.groups`.
        auth_state_groups_key: Option<String> = None;
        /// Groups whose members may log in.
        allowed_groups: Vec<String> = Vec::new();
        /// Groups whose members are administrators, and others who log in are not.
        admin_groups: Vec<String> = Vec::new();
        /// Further arguments of the address to which people are sent.
        extra_authorize_params: Environment = Environment::default();
        /// Show the client's secret in the header, and not in the body.
        basic_auth: bool = false;
        /// Bind the answer to this login (PKCE).
        enable_pkce: bool = true;
        /// What somebody reads who is not let in.
        custom_403_message: String = "Sorry, you are not currently authorized to use this hub. Please contact the hub \
             administrator.".to_owned();
    }
}

section! {
    /// Any provider; `authenticator_class: generic-oauth`. With `issuer` it speaks OpenID Connect: its addresses are looked
    /// up, and what it says of a user is signed.
    GenericOAuthenticator {
        /// Address of the provider, as it calls itself.
        issuer: Option<Issuer> = None;
    }
}

section! {
    /// Auth0; `authenticator_class: auth0`.
    Auth0OAuthenticator {
        /// Domain of the tenant, such as `example.eu.auth0.com`.
        auth0_domain: String = String::new();
    }
}

section! {
    /// Microsoft Entra ID; `authenticator_class: azuread`.
    AzureAdOAuthenticator {
        /// Id of the tenant.
        tenant_id: String = String::new();
    }
}

section! {
    /// CILogon; `authenticator_class: cilogon`.
    CILogonOAuthenticator {
        /// Identity providers whose users may be let in, each by its `entityID`, with how their names are made.
        allowed_idps: IdentityProviders = IdentityProviders::default();
    }
}

section! {
    /// GitHub; `authenticator_class: github`.
    GitHubOAuthenticator {
        /// Address of GitHub.
        github_url: Url = fixed("https://github.com");
        /// Address of its API.
        github_api: Url = fixed("https://api.github.com");
        /// Organizations whose members may log in, or teams, such as `org:team`; asks for the scope `read:org`.
        allowed_organizations: Vec<String> = Vec::new();
    }
}

section! {
    /// GitLab; `authenticator_class: gitlab`.
    GitLabOAuthenticator {
        /// Address of GitLab.
        gitlab_url: Issuer = Issuer("https://gitlab.com".to_owned());
    }
}

section! {
    /// Google; `authenticator_class: google`.
    GoogleOAuthenticator {
        /// Domains whose users alone may be let in; with a single one, it is left out of the users' names.
        hosted_domain: Vec<String> = Vec::new();
    }
}

#[allow(clippy::expect_used, reason = "only constants come here")]
fn fixed(url: &str) -> Url {
    url.parse().expect("a URL")
}

/// Where a provider is, and how it is read.
#[derive(Debug, Clone, Default)]
pub struct Provider {
    /// With one, the addresses that are missing are looked up, and an ID token is asked for.
    pub issuer: Option<String>,
    pub authorize_url: Option<Url>,
    pub token_url: Option<Url>,
    pub userdata_url: Option<Url>,
    pub scope: Vec<String>,
    pub username_claim: String,
    pub login_service: String,
}

impl Provider {
    fn openid(service: &str, issuer: String, scope: &[&str], username_claim: &str) -> Self {
        Self {
            issuer: Some(issuer),
            scope: scope.iter().copied().map(str::to_owned).collect(),
            username_claim: username_claim.to_owned(),
            login_service: service.to_owned(),
            ..Self::default()
        }
    }
}

impl Config {
    /// The provider that the chosen class knows by name, with what the file says in its place.
    pub fn provider(&self) -> Provider {
        const OPENID: &[&str] = &["openid", "profile", "email"];
        let keys = &self.oauthenticator;
        let mut known = match self.jupyter_hub.authenticator_class {
            AuthenticatorClass::Google => {
                let issuer = "https://accounts.google.com".to_owned();
                Provider::openid("Google", issuer, OPENID, "email")
            }
            AuthenticatorClass::CILogon => {
                let issuer = "https://cilogon.org".to_owned();
                let scope = ["openid", "email", "org.cilogon.userinfo"];
                Provider::openid("CILogon", issuer, &scope, "")
            }
            AuthenticatorClass::Auth0 => {
                let domain = &self.auth0_oauthenticator.auth0_domain;
                Provider::openid("Auth0", format!("https://{domain}/"), OPENID, "email")
            }
            AuthenticatorClass::AzureAd => {
                let tenant = &self.azuread_oauthenticator.tenant_id;
                let issuer = format!("https://login.microsoftonline.com/{tenant}/v2.0");
                Provider::openid("Microsoft Entra ID", issuer, OPENID, "preferred_username")
            }
            AuthenticatorClass::GitLab => {
                let issuer = self.gitlab_oauthenticator.gitlab_url.0.clone();
                Provider::openid("GitLab", issuer, OPENID, "nickname")
            }
            AuthenticatorClass::GitHub => self.github(),
            _ => self.generic(),
        };
        let place = |place: &mut Option<Url>, given: &Option<Url>| {
            if given.is_some() {
                place.clone_from(given);
            }
        };
        place(&mut known.authorize_url, &keys.authorize_url);
        place(&mut known.token_url, &keys.token_url);
        place(&mut known.userdata_url, &keys.userdata_url);
        if let Some(scope) = &keys.scope {
            known.scope.clone_from(scope);
        }
        if let Some(claim) = &keys.username_claim {
            known.username_claim.clone_from(claim);
        }
        if let Some(service) = &keys.login_service {
            known.login_service.clone_from(service);
        }
        known
    }

    fn github(&self) -> Provider {
        let keys = &self.github_oauthenticator;
        let below = |url: &Url, path: &str| {
            format!("{}{path}", url.as_str().trim_end_matches('/'))
                .parse()
                .ok()
        };
        let scope = match keys.allowed_organizations.is_empty() {
            true => Vec::new(),
            false => vec!["read:org".to_owned()],
        };
        Provider {
            issuer: None,
            authorize_url: below(&keys.github_url, "/login/oauth/authorize"),
            token_url: below(&keys.github_url, "/login/oauth/access_token"),
            userdata_url: below(&keys.github_api, "/user"),
            scope,
            username_claim: "login".to_owned(),
            login_service: "GitHub".to_owned(),
        }
    }

    fn generic(&self) -> Provider {
        let service = "OAuth 2.0";
        match &self.generic_oauthenticator.issuer {
            Some(issuer) => {
                let scope = ["openid", "profile", "email"];
                Provider::openid(service, issuer.0.clone(), &scope, "preferred_username")
            }
            None => Provider {
                username_claim: "username".to_owned(),
                login_service: service.to_owned(),
                ..Provider::default()
            },
        }
    }

    /// The claim with groups, whichever key names it.
    pub fn groups_claim(&self) -> Option<&str> {
        let keys = &self.oauthenticator;
        let newer = keys.auth_state_groups_key.as_deref();
        // There the claims are the state's part `oauth_user`, or `google_user` and so on.
        let newer = newer.map(|path| path.split_once('.').map_or(path, |(_, claim)| claim));
        newer.or(keys.claim_groups_key.as_deref())
    }

    pub(super) fn check_oauth(&mut self, report: &mut Report) {
        if !self.jupyter_hub.authenticator_class.is_oauth() {
            return;
        }
        from_environment(self);
        let class = self.jupyter_hub.authenticator_class;
        let section = class.section();
        let provider = self.provider();
        let keys = &self.oauthenticator;
        let own = match class {
            AuthenticatorClass::Auth0 => {
                Some(("auth0_domain", &*self.auth0_oauthenticator.auth0_domain))
            }
            AuthenticatorClass::AzureAd => {
                Some(("tenant_id", &*self.azuread_oauthenticator.tenant_id))
            }
            _ => None,
        };
        let client = [
            ("client_id", &*keys.client_id),
            ("client_secret", &*keys.client_secret.0),
        ];
        for (key, value) in own.into_iter().chain(client) {
            if value.is_empty() {
                report.contradiction(&format!("{section}.{key}"), "is needed to log people in");
            }
        }
        check_addresses(section, &provider, report);
        let cilogon = &self.cilogon_oauthenticator.allowed_idps;
        if class == AuthenticatorClass::CILogon && cilogon.is_empty() {
            let key = "CILogonOAuthenticator.allowed_idps";
            report.contradiction(
                key,
                "says whose users may log in, and how they are called here",
            );
        }
        if self.authenticator.manage_groups && self.groups_claim().is_none() {
            let path = format!("{section}.auth_state_groups_key");
            if class == AuthenticatorClass::GenericOAuth {
                report.contradiction(&path, "`manage_groups` needs the claim with the groups");
            } else {
                let message = "without it this provider tells no groups, and `manage_groups` is without effect";
                report.warn(None, &path, message);
            }
        }
    }
}

/// A provider must be found, and nobody may read along on the way to it.
fn check_addresses(section: &str, provider: &Provider, report: &mut Report) {
    let addresses = [
        &provider.authorize_url,
        &provider.token_url,
        &provider.userdata_url,
    ];
    if provider.issuer.is_none() && addresses.iter().any(|url| url.is_none()) {
        report.contradiction(
            &format!("{section}.authorize_url"),
            "give `issuer`, or all of `authorize_url`, `token_url` and `userdata_url`",
        );
    }
    let issuer = provider
        .issuer
        .as_ref()
        .and_then(|issuer| issuer.parse().ok());
    for url in addresses.into_iter().flatten().chain(&issuer) {
        if !is_private(url) {
            let message =
                format!("{url} is not encrypted: passwords and tokens would be read along");
            report.contradiction(section, message);
        }
    }
}

/// Whether nobody reads along: by TLS, or because it stays on this machine.
pub fn is_private(url: &Url) -> bool {
    url.scheme() == "https"
        || match url.host() {
            Some(Host::Ipv4(ip)) => ip.is_loopback(),
            Some(Host::Ipv6(ip)) => ip.is_loopback(),
            Some(Host::Domain(name)) => name == "localhost",
            None => false,
        }
}

/// What may be left out of the file because it stands in the environment.
fn from_environment(config: &mut Config) {
    let keys = &mut config.oauthenticator;
    let variables: BTreeMap<String, String> = std::env::vars()
        .filter(|(name, _)| name.starts_with("OAUTH_"))
        .collect();
    let get = |name: &str| variables.get(name).cloned().unwrap_or_default();
    if keys.client_id.is_empty() {
        keys.client_id = get("OAUTH_CLIENT_ID");
    }
    if keys.client_secret.0.is_empty() {
        keys.client_secret = Hidden(get("OAUTH_CLIENT_SECRET"));
    }
}
