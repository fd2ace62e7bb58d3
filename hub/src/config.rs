//! The Hub's configuration: one YAML file whose sections and keys carry JupyterHub's own names.
//!
//! The sections below are the only list of keys: struct, default, reader, hints and reference come from it.

mod value;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use url::Url;

pub use value::{
    AuthenticatorClass, BaseUrl, Command, DbUrl, Environment, FieldKind, OptionsField, SpawnerClass,
};

/// All sections of the file, checked; what the file leaves out has its default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Config {
    pub jupyter_hub: JupyterHub,
    pub authenticator: Authenticator,
    pub native_authenticator: NativeAuthenticator,
    pub spawner: Spawner,
    pub local_process_spawner: LocalProcessSpawner,
}

/// Every mistake of one configuration file.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigErrors(Vec<String>);

impl Config {
    /// Reads and checks the file; without one, all defaults.
    pub fn load(path: Option<&Path>) -> Result<Self, ConfigErrors> {
        let Some(path) = path else {
            return Ok(Self::default());
        };
        Err(ConfigErrors(vec![format!(
            "{}: not read yet",
            path.display()
        )]))
    }
}

macro_rules! section {
    (
        $(#[doc = $doc:literal])+
        $name:ident {
            $( $(#[doc = $key_doc:literal])+ $key:ident: $type:ty = $default:expr; )+
        }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name {
            $( $(#[doc = $key_doc])+ pub $key: $type, )+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $key: $default, )+ }
            }
        }
    };
}

section! {
    /// The Hub itself: where it listens, what it stores, how long a login lasts.
    JupyterHub {
        /// Address at which browsers reach the Hub; its host, port and path stand for `ip`, `port` and `base_url`.
        bind_url: Option<Url> = None;
        /// Address to listen on; anything but a loopback address opens the Hub to the network.
        ip: IpAddr = IpAddr::from([127, 0, 0, 1]);
        /// Port to listen on; 0 lets the system choose.
        port: u16 = 8000;
        /// Path under which the Hub and all servers lie.
        base_url: BaseUrl = BaseUrl::default();
        /// Address at which servers reach the Hub, where it is not the one it listens on.
        hub_connect_url: Option<Url> = None;
        /// Database; without it, a SQLite file in the state folder.
        db_url: Option<DbUrl> = None;
        /// Days that a login lasts.
        cookie_max_age_days: f64 = 14.0;
        /// Stop all servers when the Hub ends; otherwise they go on and the next Hub adopts them.
        cleanup_servers: bool = true;
        /// Where a user lands after login, instead of the server or the home page.
        default_url: Option<String> = None;
        /// After login, go to the user's server (and start it) instead of the home page.
        redirect_to_server: bool = true;
        /// Proxies before the Hub whose `X-Forwarded-*` headers are believed.
        trusted_downstream_ips: Vec<IpAddr> = Vec::new();
        /// What runs the users' servers.
        spawner_class: SpawnerClass = SpawnerClass::LocalProcess;
        /// What checks the users' passwords.
        authenticator_class: AuthenticatorClass = AuthenticatorClass::Native;
    }
}

section! {
    /// Who may log in.
    Authenticator {
        /// Users who are administrators; the first start creates them.
        admin_users: BTreeSet<String> = BTreeSet::from(["admin".to_owned()]);
        /// Users who may log in, beside the administrators.
        allowed_users: BTreeSet<String> = BTreeSet::new();
        /// Let in every user whose password is right.
        allow_all: bool = false;
        /// Users who may not log in, whatever the other keys say.
        blocked_users: BTreeSet<String> = BTreeSet::new();
    }
}

section! {
    /// Passwords kept by the Hub itself (argon2id).
    NativeAuthenticator {
        /// Shortest password that a user may set.
        minimum_password_length: usize = 8;
    }
}

section! {
    /// How every server starts, whatever runs it.
    Spawner {
        /// Program that is one user's server, and its first arguments.
        cmd: Command = Command(vec!["jupyterhub-singleuser".to_owned()]);
        /// Further arguments of `cmd`.
        args: Vec<String> = Vec::new();
        /// Page of the server that a user sees first, such as `/lab`.
        default_url: Option<String> = None;
        /// Folder that the server shows; `{username}` stands for the user's name. Without it, the user's own folder.
        notebook_dir: Option<PathBuf> = None;
        /// Environment variables of every server.
        environment: Environment = Environment(BTreeMap::new());
        /// Variables that servers take from the Hub's own environment.
        env_keep: Vec<String> =
            ["PATH", "LANG", "LC_ALL", "VIRTUAL_ENV", "JUPYTERHUB_SINGLEUSER_APP"].map(str::to_owned).to_vec();
        /// Seconds until a start that goes nowhere is given up.
        start_timeout: Duration = Duration::from_secs(60);
        /// Seconds in which a started server must answer HTTP.
        http_timeout: Duration = Duration::from_secs(30);
        /// Seconds between two looks at whether a server still runs.
        poll_interval: Duration = Duration::from_secs(30);
        /// Fields that a user fills in before a start.
        options_form: Vec<OptionsField> = Vec::new();
    }
}

section! {
    /// Servers as processes of this machine.
    LocalProcessSpawner {
        /// Seconds that a server has to end after SIGINT; 0 begins with SIGTERM.
        interrupt_timeout: Duration = Duration::ZERO;
        /// Seconds that a server has to end after SIGTERM.
        term_timeout: Duration = Duration::from_secs(10);
        /// Seconds to wait for the end after SIGKILL.
        kill_timeout: Duration = Duration::from_secs(5);
    }
}
