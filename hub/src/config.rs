//! The Hub's configuration: one YAML file whose sections and keys carry JupyterHub's own names.
//!
//! The sections below are the only list of keys: struct, default, reader, hints and reference come from it.

mod address;
mod authenticators;
mod check;
mod class;
mod crypt_keeper;
mod culler;
mod custom_scopes;
mod event_logger;
mod hidden;
mod hints;
mod idps;
mod kube_spawner;
mod ldap;
mod load;
mod moving;
mod not_taken;
mod oauth;
mod options_form;
mod pam;
mod process;
mod quota;
mod reference;
mod report;
mod scope_list;
mod section;
pub mod service;
mod users;
mod value;
mod yaml;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::time::Duration;

use carrel_spawner::local::LocalConfig;
use ipnet::IpNet;
use url::{Origin, Url};

pub use address::{
    BaseUrl, DbUrl, FilePath, HostName, Issuer, PublicHost, PublicUrl, UrlPath, Urls,
};
pub use authenticators::{
    Authenticator, DummyAuthenticator, NativeAuthenticator, RemoteUserAuthenticator,
};
pub use class::{AuthenticatorClass, ProxyClass, SpawnerClass, SubdomainHook, above};
pub use crypt_keeper::{CryptKeeper, CryptKey, KEY_LENGTH};
pub use culler::{IdleCuller, Limits, Rules};
pub use custom_scopes::{CustomScope, CustomScopes};
pub use event_logger::{EventLogger, SERVER_ACTION};
pub use hidden::Hidden;
pub use idps::{Action, IdentityProvider};
pub use kube_spawner::KubeSpawner;
pub use ldap::{LDAPAuthenticator, TlsStrategy};
pub use load::{Named, Role, Secret};
pub use moving::{FromPython, Told, check, read_python};
pub use oauth::{Provider, is_private};
pub use options_form::{OptionsField, OptionsForm};
pub use pam::{LocalAuthenticator, PAMAuthenticator};
pub use process::{Command, Environment};
pub use quota::Quota;
pub use reference::reference;
pub use report::ConfigErrors;
pub use section::{Key, SectionKeys};
pub use service::Service;
pub use users::{Groups, UsernamePattern, Users};
pub use value::{Days, Span};

use oauth::{
    Auth0OAuthenticator, AzureAdOAuthenticator, CILogonOAuthenticator, GenericOAuthenticator,
    GitHubOAuthenticator, GitLabOAuthenticator, GoogleOAuthenticator, OAuthenticator,
};
use report::Report;
use scope_list::ScopeList;
use section::{Section as _, config, section};
use yaml::{Kind, Node};

use crate::access::roles::SERVER;

/// A larger file is no configuration.
const MAX_BYTES: u64 = 1 << 20;
/// JupyterHub's.
const HUB_PORT: u16 = 8081;

config! {
    /// All sections of the file, checked; what the file leaves out has its default.
    {
        jupyter_hub: JupyterHub,
        authenticator: Authenticator,
        native_authenticator: NativeAuthenticator,
        dummy_authenticator: DummyAuthenticator,
        ldap_authenticator: LDAPAuthenticator,
        local_authenticator: LocalAuthenticator,
        pam_authenticator: PAMAuthenticator,
        remote_user_authenticator: RemoteUserAuthenticator,
        oauthenticator: OAuthenticator,
        generic_oauthenticator: GenericOAuthenticator,
        auth0_oauthenticator: Auth0OAuthenticator,
        azuread_oauthenticator: AzureAdOAuthenticator,
        cilogon_oauthenticator: CILogonOAuthenticator,
        github_oauthenticator: GitHubOAuthenticator,
        gitlab_oauthenticator: GitLabOAuthenticator,
        google_oauthenticator: GoogleOAuthenticator,
        spawner: Spawner,
        local_process_spawner: LocalProcessSpawner,
        kube_spawner: KubeSpawner,
        configurable_http_proxy: ConfigurableHTTPProxy,
        idle_culler: IdleCuller,
        event_logger: EventLogger,
        crypt_keeper: CryptKeeper,
    }
}

impl Config {
    /// Reads and checks the file; without one, all defaults.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigErrors> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        let file = path.display().to_string();
        match read_file(path) {
            Ok(text) => Self::parse(&file, &text),
            Err(error) => {
                Err(Report::new(file).fail(None, format!("the file could not be read: {error}")))
            }
        }
    }

    /// Reads and checks the text of a file; `file` is its name in the mistakes.
    pub fn parse(file: &str, text: &str) -> Result<Self, ConfigErrors> {
        let mut report = Report::new(file);
        let root = match yaml::parse(text) {
            Ok(root) => root,
            Err(error) => return Err(report.fail(Some(error.at), error.message)),
        };
        let mut config = Self::default();
        match root.kind {
            Kind::Null => {}
            Kind::Map(_) => config.read_sections(&root, &mut report),
            _ => report.expected("sections, such as `JupyterHub:`", &root, ""),
        }
        check::check(&mut config, &mut report);
        config.warnings = report.finish()?;
        Ok(config)
    }

    fn read_sections(&mut self, root: &Node, report: &mut Report) {
        let mut sections = report.entries(root, "");
        sections.sort_by_key(|(name, ..)| class::turn(name));
        for (name, at, section) in sections {
            if !self.read_section(name, section, report) {
                report.wrong(at, name, hints::unknown_section(name));
            }
        }
    }
}

impl Config {
    /// A key that the class of a section has from those above it; one of another class than the chosen one is looked at and
    /// dropped.
    fn read_inherited(
        &mut self,
        section: &str,
        key: &str,
        value: &Node,
        path: &str,
        report: &mut Report,
    ) -> bool {
        let mut dropped = Self {
            authenticator: self.authenticator.clone(),
            ..Self::default()
        };
        let kept = match self.jupyter_hub.authenticator_class.heeds(section) {
            true => self,
            false => &mut dropped,
        };
        above(section).iter().any(|above| match *above {
            "Authenticator" => kept.authenticator.read_key(key, value, path, report),
            "LocalAuthenticator" => kept.local_authenticator.read_key(key, value, path, report),
            _ => kept.oauthenticator.read_key(key, value, path, report),
        })
    }
}

fn read_file(path: &Path) -> std::io::Result<String> {
    use std::io::{Error, Read as _};
    let mut text = String::new();
    let read = std::fs::File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)?;
    if read as u64 > MAX_BYTES {
        return Err(Error::other("it is larger than 1 MiB"));
    }
    Ok(text)
}

section! {
    /// The Hub itself: where it listens, what it stores, how long a login lasts.
    JupyterHub {
        /// Where the Hub listens, as one URL; stands for `ip`, `port` and `base_url`, and once read is found there.
        bind_url: Option<Url> = None;
        /// Address to listen on; anything but a loopback address opens the Hub to the network.
        ip: IpAddr = IpAddr::from([127, 0, 0, 1]);
        /// Port to listen on; 0 lets the system choose.
        port: u16 = 8000;
        /// Path under which the Hub and all servers lie.
        base_url: BaseUrl = BaseUrl::default();
        /// Private key for HTTPS, a file in PEM.
        ssl_key: Option<FilePath> = None;
        /// Certificate for HTTPS, with those that lead to its authority, a file in PEM. With it the Hub speaks HTTPS where it
        /// listens, HTTP/1.1 and HTTP/2. Both files are read anew when they change.
        ssl_cert: Option<FilePath> = None;
        /// Port of plain HTTP, at `ip` too, whose requests are sent on to HTTPS (`ssl_cert`).
        redirect_port: Option<u16> = None;
        /// Port that they are sent on to; without it that of `public_url`, or else `port`.
        redirect_to: Option<u16> = None;
        /// Where servers and services reach the Hub's API by plain HTTP, as one URL; stands for `hub_ip` and `hub_port`, and
        /// once read is found there.
        hub_bind_url: Option<Url> = None;
        /// Address at which the Hub listens for servers and services: its API alone, by plain HTTP. Without it and `hub_port`
        /// they come where users do, but for a Hub that speaks HTTPS (`ssl_cert`): then it is 127.0.0.1.
        hub_ip: Option<IpAddr> = None;
        /// Port for servers and services, likewise; where `hub_ip` or `ssl_cert` is given, it is 8081.
        hub_port: Option<u16> = None;
        /// Address at which servers reach the Hub, where it is not the one it listens on.
        hub_connect_url: Option<Url> = None;
        /// The whole address at which people open the Hub, with `base_url`, such as `https://hub.example.org/jupyter/`, where
        /// requests do not tell it rightly: behind several proxies, of which one speaks HTTPS. Servers and services are told
        /// it, and cookies are `Secure` if it is one of `https`, whatever a proxy says.
        public_url: Option<PublicUrl> = None;
        /// Give each user's servers a host of their own, `<user>.<host>`, and each service `<name>--service.<host>`: the scripts
        /// of one reach nothing of another. The whole address of the Hub, such as `https://hub.example.org`; all names below it
        /// must lead here too, and the certificate must cover them.
        subdomain_host: Option<PublicHost> = None;
        /// How those names are made: `idna`, or `legacy` as before JupyterHub 5, with `services.<host>` for all services.
        subdomain_hook: SubdomainHook = SubdomainHook::Idna;
        /// Database, in JupyterHub's form: `sqlite:///relative`, `sqlite:////absolute` or `postgresql://host/name`;
        /// without it, a SQLite file in the state folder.
        db_url: Option<DbUrl> = None;
        /// How many servers may be starting at a time; more starts wait in a queue. 0 for any number.
        concurrent_spawn_limit: u32 = 100;
        /// Seconds that a request of the API waits for its start to be done (201); after them, and where they are 0, it is
        /// answered with 202.
        slow_spawn_timeout: Duration = Duration::from_secs(10);
        /// How many servers may be active, starting and stopping ones included; more starts are refused with 429. 0 for
        /// any number.
        active_server_limit: u32 = 0;
        /// How much the servers of one user may take together.
        quotas: Named<Quota> = Named::default();
        /// Whether users may have further servers, with names, beside their default one.
        allow_named_servers: bool = false;
        /// How many named servers each user may have; 0 for any number.
        named_server_limit_per_user: u32 = 0;
        /// Begin the names of the cookies by which people are logged in with `__Host-`: then a browser takes them from the
        /// Hub's own host, and from none below it. For that it must be reached by HTTPS, and servers have hosts of their own
        /// (`subdomain_host`), for such cookies are sent to all of a host.
        cookie_host_prefix_enabled: bool = false;
        /// Days that a login lasts.
        cookie_max_age_days: Days = Days::new(14);
        /// Stop all servers when the Hub ends; otherwise they go on and the next Hub adopts them.
        cleanup_servers: bool = true;
        /// Where a user lands after login, in place of a running server or the home page; `{username}` stands for the
        /// name.
        default_url: Option<UrlPath> = None;
        /// After login, go to the user's server if it runs, in place of the home page.
        redirect_to_server: bool = true;
        /// Names under which a Hub that listens on a loopback address is served, beside `localhost`, `127.0.0.1` and
        /// `[::1]`: the name that a proxy before it passes on.
        allowed_hosts: Vec<HostName> = Vec::new();
        /// Proxies before the Hub, as addresses or networks, whose `X-Forwarded-*` headers are believed.
        trusted_downstream_ips: Vec<IpNet> = Vec::new();
        /// Groups of users, each a list of its members, for `KubeSpawner.group_overrides` and profiles.
        load_groups: Groups = Groups::default();
        /// Roles: scopes under a name, and who has them. Those that the file does not name any more go.
        load_roles: Named<Role> = Named::default();
        /// Services: programs that use the API under a name of their own, and web services that log people in by the Hub.
        /// Those that the file does not name any more go.
        services: Named<Service> = Named::default();
        /// Scopes that every user has beside those of the role `user`, such as `access:services`. Where `load_roles` gives that
        /// role other scopes, only those count.
        extra_user_scopes: ScopeList = ScopeList::default();
        /// Seconds that a token may last which is made by the API or on the token page, and that one lasts of which nothing is
        /// said; 0 for any time, and for ever. Tokens that are there, those of servers and those of OAuth keep theirs.
        token_expires_in_max_seconds: Span = Span::seconds(0);
        /// Scopes of your own, for services and servers to ask about; roles and tokens take them like others.
        custom_scopes: CustomScopes = CustomScopes::default();
        /// What leads requests to the servers: the Hub itself, or proxies apart (`ConfigurableHTTPProxy`), which are open to
        /// the users in the Hub's place.
        proxy_class: ProxyClass = ProxyClass::InProcess;
        /// Seconds between two looks at whether every server that runs has its route, and nothing else has one.
        proxy_check_interval: Duration = Duration::from_secs(5);
        /// What runs the users' servers.
        spawner_class: SpawnerClass = SpawnerClass::LocalProcess;
        /// What says who somebody is.
        authenticator_class: AuthenticatorClass = AuthenticatorClass::Native;
    }
}

impl Config {
    /// What is given for the tokens of servers; nothing where they have what they have in every Hub.
    pub fn server_token_scopes(&self) -> Option<&[String]> {
        let own = &self.spawner.server_token_scopes;
        let mut roles = self.jupyter_hub.load_roles.iter();
        match own.is_empty() {
            true => roles
                .find(|role| role.name == SERVER)
                .map(|role| &*role.scopes),
            false => Some(own),
        }
    }
}

impl JupyterHub {
    /// The most seconds of a token; 0 for any.
    pub fn longest_token(&self) -> i64 {
        let most = self.token_expires_in_max_seconds.0.as_secs();
        i64::try_from(most).unwrap_or(i64::MAX)
    }

    /// The Hub's own origin as people reach it, where the file says it.
    pub fn public_origin(&self) -> Option<Origin> {
        let public = self.public_url.as_ref().map(|url| &url.0);
        let host = || self.subdomain_host.as_ref().map(|host| &host.0);
        public.or_else(host).map(Url::origin)
    }

    /// Where the Hub listens for servers and services, where that is apart from users.
    pub fn hub_address(&self) -> Option<SocketAddr> {
        let apart = self.ssl_cert.is_some() || self.hub_ip.is_some() || self.hub_port.is_some();
        let ip = self.hub_ip.unwrap_or(Ipv4Addr::LOCALHOST.into());
        apart.then(|| SocketAddr::new(ip, self.hub_port.unwrap_or(HUB_PORT)))
    }
}

section! {
    /// How every server starts, whatever runs it.
    Spawner {
        /// Program that is one user's server, and its first arguments.
        cmd: Command = Command(LocalConfig::default().cmd);
        /// Further arguments of `cmd`.
        args: Vec<String> = Vec::new();
        /// Page of the server that a user sees first, such as `/lab`; `{username}` stands for the name.
        default_url: Option<UrlPath> = None;
        /// Folder that the server shows; `{username}` stands for the user's name. Without it, the user's own folder.
        notebook_dir: Option<String> = None;
        /// Environment variables of every server; they win over `env_keep`, not over those that the Hub sets.
        environment: Environment = Environment(BTreeMap::new());
        /// Variables that servers take from the Hub's own environment.
        env_keep: Vec<String> =
            LocalConfig::default().env_keep;
        /// Seconds until a start that goes nowhere is given up.
        start_timeout: Duration = Duration::from_secs(60);
        /// Seconds in which a started server must answer HTTP.
        http_timeout: Duration = Duration::from_secs(30);
        /// Seconds between two looks at whether a server still runs.
        poll_interval: Duration = Duration::from_secs(30);
        /// What a server's own token (`JUPYTERHUB_API_TOKEN`) may do, as far as its user may; without it, what the role `server`
        /// may. To say that the server is in use is always among it.
        server_token_scopes: ScopeList = ScopeList::default();
        /// Fields that a user fills in before a start.
        options_form: OptionsForm = OptionsForm::default();
    }
}

section! {
    /// Servers as processes of this machine: under the account of each user where they are users of the machine (`pam`) and
    /// the Hub runs as root, else under the Hub's own.
    LocalProcessSpawner {
        /// Seconds that a server has to end after SIGTERM.
        term_timeout: Duration = LocalConfig::default().term_timeout;
        /// Seconds to wait for the end after SIGKILL.
        kill_timeout: Duration = LocalConfig::default().kill_timeout;
        /// Whether the server of a user who is root, by an authenticator whose users are users of the machine, may run as
        /// root.
        allow_root: bool = false;
        /// The least number (uid) of an account of the machine under which a server runs; those below are the system's own,
        /// such as `daemon`.
        minimum_uid: u32 = 1000;
    }
}

section! {
    /// Proxies apart, with `JupyterHub.proxy_class: configurable-http-proxy`: `carrel-hub proxy`, or configurable-http-proxy
    /// itself.
    ConfigurableHTTPProxy {
        /// Where the proxy's REST API is, or a list, where there are several proxies. A host name with several addresses
        /// stands for a proxy at each.
        api_url: Urls = Urls::default();
        /// What the proxy's REST API asks for; without it, `CONFIGPROXY_AUTH_TOKEN` of the environment.
        auth_token: Option<Secret> = None;
        /// Whether the Hub starts the proxy. This one does not: a proxy that ends with its Hub is none apart.
        should_start: bool = false;
    }
}
