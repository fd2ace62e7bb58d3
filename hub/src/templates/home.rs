//! The home page, and servers as lists show them.

use askama::Template;

use super::Page;

/// State of a server, as people are told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerState {
    Stopped,
    Starting,
    Running,
    Stopping,
}

impl ServerState {
    pub fn label(self) -> &'static str {
        match self {
            Self::Stopped => "Stopped",
            Self::Starting => "Starting",
            Self::Running => "Running",
            Self::Stopping => "Stopping",
        }
    }

    /// Class of its badge.
    pub fn class(self) -> &'static str {
        match self {
            Self::Stopped => "",
            Self::Starting | Self::Stopping => "busy",
            Self::Running => "good",
        }
    }
}

/// A server in a list.
#[derive(Debug, Clone)]
pub struct ServerRow {
    /// Whose it is.
    pub owner: String,
    /// Empty for the default server.
    pub name: String,
    /// What people call it; empty where they call it by its name.
    pub display_name: String,
    pub state: ServerState,
    /// `/user/<escaped>/[<server>/]`.
    pub server_url: String,
    /// Where the start form is and posts to, `<hub>spawn/<escaped>[/<server>]`.
    pub spawn_url: String,
    /// Where Stop posts to.
    pub stop_url: String,
    /// `<hub>spawn-pending/<escaped>[/<server>]`.
    pub pending_url: String,
    /// When the server was last used, as a time.
    pub last_activity: Option<String>,
    /// Why it stopped, or did not start.
    pub failure: Option<String>,
    /// That the Hub will stop it.
    pub ending: Option<EndingRow>,
}

/// What is told of the end of a server that runs.
#[derive(Debug, Clone)]
pub struct EndingRow {
    pub at: String,
    /// Until then.
    pub minutes: i64,
    pub reason: String,
    /// Where *Keep it running* posts to, if that puts the end off.
    pub keep_url: Option<String>,
}

impl ServerRow {
    pub fn stopped(&self) -> bool {
        self.state == ServerState::Stopped
    }

    pub fn starting(&self) -> bool {
        self.state == ServerState::Starting
    }

    pub fn running(&self) -> bool {
        self.state == ServerState::Running
    }

    pub fn title(&self) -> &str {
        if self.display_name.is_empty() {
            &self.name
        } else {
            &self.display_name
        }
    }
}

/// A server that somebody else shares with the user.
#[derive(Debug, Clone)]
pub struct SharedRow {
    pub server: ServerRow,
    pub may_open: bool,
    pub may_start: bool,
}

/// The named servers of a user.
#[derive(Debug, Clone)]
pub struct NamedServers {
    pub rows: Vec<ServerRow>,
    /// `JupyterHub.allow_named_servers`
    pub enabled: bool,
    /// How many there may be; 0 for any number.
    pub limit: u32,
}

impl NamedServers {
    /// One more may be added.
    fn has_room(&self) -> bool {
        self.limit == 0 || u32::try_from(self.rows.len()).is_ok_and(|count| count < self.limit)
    }
}

/// `home.html`: the user's servers and the next step of each. Named ones: fields `name` and `display_name`, posted to
/// `home/servers` for a new one, to `home/servers/<server>` to change it, to `home/servers/<server>/delete`.
#[derive(Debug, Template)]
#[template(path = "home.html")]
pub struct HomePage {
    pub page: Page,
    pub server: ServerRow,
    /// A start asks for options first, so its button leads to the form.
    pub has_options: bool,
    pub named: Option<NamedServers>,
    pub shared: Vec<SharedRow>,
    /// Services that the user may open: name and address.
    pub services: Vec<(String, String)>,
    /// The Hub stops servers, and tells of it before.
    pub may_end: bool,
    /// The user is an administrator whose password is still empty.
    pub empty_password: bool,
    /// Why a named server was not added or changed.
    pub error: Option<String>,
}

impl HomePage {
    /// A server is on its way, so the page looks again by itself.
    fn is_changing(&self) -> bool {
        let mut servers = self.servers();
        servers.any(|server| matches!(server.state, ServerState::Starting | ServerState::Stopping))
    }

    fn is_running(&self) -> bool {
        self.servers().any(ServerRow::running)
    }

    fn servers(&self) -> impl Iterator<Item = &ServerRow> {
        let named = self.named.iter().flat_map(|named| &named.rows);
        named.chain([&self.server])
    }
}
