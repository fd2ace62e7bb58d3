//! The database of a stopped JupyterHub 5 or 6 (SQLite), read and never written.

use std::path::Path;

use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions as _, FromRow, Row as _, SqliteConnection};

use super::Result;

/// A row whose columns carry the names of its fields.
macro_rules! row {
    ($name:ident { $( $(#[$doc:meta])* $field:ident: $type:ty, )+ }) => {
        #[derive(Debug)]
        pub struct $name {
            $( $(#[$doc])* pub $field: $type, )+
        }

        impl FromRow<'_, SqliteRow> for $name {
            fn from_row(row: &SqliteRow) -> Result<Self> {
                Ok(Self { $( $field: row.try_get(stringify!($field))?, )+ })
            }
        }
    };
}

/// What is taken of it, as it stands there; times are texts in UTC.
#[derive(Debug, Default)]
pub struct JupyterHub {
    pub users: Vec<User>,
    pub groups: Vec<Group>,
    /// Keys of groups and of users.
    pub members: Vec<(i64, i64)>,
    pub servers: Vec<Server>,
    pub tokens: Vec<Token>,
    pub shares: Vec<Share>,
    /// Names of roles that the configuration made, and of services: they are the configuration's here too.
    pub roles: Vec<(String,)>,
    pub services: Vec<(String,)>,
    pub share_codes: i64,
    pub auth_states: i64,
}

row! {
    User {
        id: i64,
        name: String,
        admin: i64,
        created: Option<String>,
        last_activity: Option<String>,
    }
}

row! {
    Group {
        id: i64,
        name: String,
        properties: Option<String>,
    }
}

row! {
    Server {
        id: i64,
        user_id: i64,
        name: String,
        display_name: Option<String>,
        state: Option<String>,
        user_options: Option<String>,
        started: Option<String>,
        last_activity: Option<String>,
        client_id: Option<String>,
        client_secret: Option<String>,
        /// Where it runs; nothing where it does not.
        proto: Option<String>,
        ip: Option<String>,
        port: Option<i64>,
        base_url: Option<String>,
    }
}

row! {
    Token {
        user_id: i64,
        hashed: String,
        prefix: String,
        scopes: Option<String>,
        note: Option<String>,
        created: Option<String>,
        last_activity: Option<String>,
        expires_at: Option<String>,
    }
}

row! {
    Share {
        spawner_id: i64,
        user_id: Option<i64>,
        group_id: Option<i64>,
        scopes: Option<String>,
        created: Option<String>,
        expires_at: Option<String>,
    }
}

const USERS: &str = "SELECT id, name, CAST(admin AS INTEGER) AS admin, CAST(created AS TEXT) AS created, \
                     CAST(last_activity AS TEXT) AS last_activity FROM users ORDER BY id";
const GROUPS: &str =
    "SELECT id, name, CAST(properties AS TEXT) AS properties FROM groups ORDER BY id";
const MEMBERS: &str = "SELECT group_id, user_id FROM user_group_map";
const SERVERS: &str = "SELECT spawners.id, spawners.user_id, spawners.name, CAST(spawners.display_name AS TEXT) AS display_name, \
                       CAST(spawners.state AS TEXT) AS state, CAST(spawners.user_options AS TEXT) AS user_options, \
                       CAST(spawners.started AS TEXT) AS started, CAST(spawners.last_activity AS TEXT) AS last_activity, \
                       spawners.oauth_client_id AS client_id, oauth_clients.secret AS client_secret, \
                       servers.proto, servers.ip, servers.port, servers.base_url \
                       FROM spawners LEFT JOIN servers ON servers.id = spawners.server_id \
                       LEFT JOIN oauth_clients ON oauth_clients.identifier = spawners.oauth_client_id \
                       ORDER BY spawners.id";
/// What an OAuth client holds for a browser is given anew; JupyterHub's own client is called `jupyterhub`.
const TOKENS: &str = "SELECT user_id, hashed, prefix, CAST(scopes AS TEXT) AS scopes, CAST(note AS TEXT) AS note, \
                      CAST(created AS TEXT) AS created, CAST(last_activity AS TEXT) AS last_activity, \
                      CAST(expires_at AS TEXT) AS expires_at FROM api_tokens \
                      WHERE user_id IS NOT NULL AND (client_id IS NULL OR client_id = 'jupyterhub') ORDER BY id";
const SHARES: &str = "SELECT spawner_id, user_id, group_id, CAST(scopes AS TEXT) AS scopes, CAST(created_at AS TEXT) AS created, \
                      CAST(expires_at AS TEXT) AS expires_at FROM shares ORDER BY id";
const ROLES: &str =
    "SELECT name FROM roles WHERE name NOT IN ('user', 'admin', 'server', 'token') ORDER BY name";
const SERVICES: &str = "SELECT name FROM services ORDER BY name";

/// Reads all of it.
pub async fn read(path: &Path) -> Result<JupyterHub> {
    let options = SqliteConnectOptions::new().filename(path).read_only(true);
    let mut connection: SqliteConnection = options.connect().await?;
    let connection = &mut connection;
    let count = |table: &str, of: &str| format!("SELECT COUNT(*) FROM {table} WHERE {of}");
    let codes = sqlx::AssertSqlSafe(count("share_codes", "1 = 1"));
    let states = sqlx::AssertSqlSafe(count("users", "encrypted_auth_state IS NOT NULL"));
    Ok(JupyterHub {
        users: sqlx::query_as(USERS).fetch_all(&mut *connection).await?,
        groups: sqlx::query_as(GROUPS).fetch_all(&mut *connection).await?,
        members: sqlx::query_as(MEMBERS).fetch_all(&mut *connection).await?,
        servers: sqlx::query_as(SERVERS).fetch_all(&mut *connection).await?,
        tokens: sqlx::query_as(TOKENS).fetch_all(&mut *connection).await?,
        shares: sqlx::query_as(SHARES).fetch_all(&mut *connection).await?,
        roles: sqlx::query_as(ROLES).fetch_all(&mut *connection).await?,
        services: sqlx::query_as(SERVICES).fetch_all(&mut *connection).await?,
        share_codes: sqlx::query_scalar(codes)
            .fetch_one(&mut *connection)
            .await?,
        auth_states: sqlx::query_scalar(states)
            .fetch_one(&mut *connection)
            .await?,
    })
}
