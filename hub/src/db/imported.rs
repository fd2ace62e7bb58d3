//! What an import writes, all or nothing.

use serde_json::Value;

use super::unit::Unit;
use super::{Db, Result, lists, new_id, now, runs};

/// Rows of one import; users, groups and servers are named by their place in these lists.
#[derive(Debug, Default)]
pub struct Import {
    pub users: Vec<User>,
    pub groups: Vec<Group>,
    pub servers: Vec<Server>,
    pub tokens: Vec<Token>,
    pub shares: Vec<Share>,
}

#[derive(Debug)]
pub struct User {
    pub name: String,
    pub admin: bool,
    /// May log in though the configuration does not say so.
    pub added: bool,
    pub created: i64,
    pub last_activity: Option<i64>,
}

#[derive(Debug)]
pub struct Group {
    pub name: String,
    pub properties: Value,
    pub members: Vec<usize>,
}

#[derive(Debug)]
pub struct Server {
    pub user: usize,
    pub name: String,
    pub display_name: String,
    pub user_options: Value,
    pub prefix: String,
    pub started: Option<i64>,
    pub last_activity: Option<i64>,
    pub running: Option<Running>,
    /// What the spawner said of its last start, where it is stopped.
    pub last_state: Option<Value>,
}

/// A server that is to be adopted.
#[derive(Debug)]
pub struct Running {
    pub start_id: String,
    pub state: Value,
    pub url: String,
    pub client_id: String,
    pub secret_hash: String,
    pub redirect_uri: String,
    pub allowed_scopes: Vec<String>,
}

#[derive(Debug)]
pub struct Token {
    pub user: usize,
    /// The server whose own token it is.
    pub server: Option<usize>,
    pub hash: String,
    pub prefix: String,
    pub scopes: Vec<String>,
    pub note: String,
    pub created: i64,
    pub last_activity: Option<i64>,
    pub expires: Option<i64>,
}

#[derive(Debug)]
pub struct Share {
    pub server: usize,
    pub user: Option<usize>,
    pub group: Option<usize>,
    pub scopes: Vec<String>,
    pub created: i64,
}

impl Db {
    pub async fn import(&self, import: &Import) -> Result<()> {
        let mut tx = self.begin().await?;
        let mut users = Vec::new();
        for user in &import.users {
            users.push(add_user(&mut tx, user).await?);
        }
        let mut groups = Vec::new();
        for group in &import.groups {
            groups.push(add_group(&mut tx, group, &users).await?);
        }
        let mut servers = Vec::new();
        for server in &import.servers {
            servers.push(add_server(&mut tx, server, users[server.user]).await?);
        }
        for token in &import.tokens {
            let server = token.server.map(|server| servers[server]);
            add_token(&mut tx, token, users[token.user], server).await?;
        }
        let insert = "INSERT INTO shares (id, server_id, user_id, group_id, scopes, created) \
                      VALUES ($1, $2, $3, $4, $5, $6)";
        for share in &import.shares {
            sqlx::query(insert)
                .bind(new_id())
                .bind(servers[share.server])
                .bind(share.user.map(|user| users[user]))
                .bind(share.group.map(|group| groups[group]))
                .bind(lists::write(&share.scopes))
                .bind(share.created)
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await
    }
}

async fn add_user(tx: &mut Unit, user: &User) -> Result<i64> {
    let id = new_id();
    let insert = "INSERT INTO users \
                  (id, name, admin, password_is_empty, created, last_activity, added, added_as_admin) \
                  VALUES ($1, $2, $3, 0, $4, $5, $6, $3)";
    sqlx::query(insert)
        .bind(id)
        .bind(user.name.clone())
        .bind(i64::from(user.admin))
        .bind(user.created)
        .bind(user.last_activity)
        .bind(i64::from(user.added))
        .execute(&mut **tx)
        .await?;
    Ok(id)
}

async fn add_group(tx: &mut Unit, group: &Group, users: &[i64]) -> Result<i64> {
    let id = new_id();
    sqlx::query("INSERT INTO user_groups (id, name, properties) VALUES ($1, $2, $3)")
        .bind(id)
        .bind(group.name.clone())
        .bind(group.properties.to_string())
        .execute(&mut **tx)
        .await?;
    for member in &group.members {
        sqlx::query("INSERT INTO group_members (group_id, user_id) VALUES ($1, $2)")
            .bind(id)
            .bind(users[*member])
            .execute(&mut **tx)
            .await?;
    }
    Ok(id)
}

async fn add_server(tx: &mut Unit, server: &Server, user: i64) -> Result<i64> {
    let id = new_id();
    let running = server.running.as_ref();
    let insert = "INSERT INTO servers (id, user_id, name, spawner_name, display_name, state, start_id, spawner_state, \
                  user_options, prefix, url, started, last_activity, last_state) \
                  VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";
    sqlx::query(insert)
        .bind(id)
        .bind(user)
        .bind(server.name.clone())
        .bind(server.display_name.clone())
        .bind(if running.is_some() {
            "ready"
        } else {
            "stopped"
        })
        .bind(
            running
                .map(|running| running.start_id.clone())
                .unwrap_or_default(),
        )
        .bind(running.map(|running| running.state.to_string()))
        .bind(server.user_options.to_string())
        .bind(server.prefix.clone())
        .bind(running.map(|running| running.url.clone()))
        .bind(running.and(server.started.or(Some(now()))))
        .bind(server.last_activity)
        .bind(server.last_state.as_ref().map(Value::to_string))
        .execute(&mut **tx)
        .await?;
    if let Some(running) = running {
        runs::of_import(tx, id, &running.start_id).await?;
        let insert = "INSERT INTO oauth_clients (client_id, server_id, secret_hash, redirect_uri, allowed_scopes) \
                      VALUES ($1, $2, $3, $4, $5)";
        sqlx::query(insert)
            .bind(running.client_id.clone())
            .bind(id)
            .bind(running.secret_hash.clone())
            .bind(running.redirect_uri.clone())
            .bind(lists::write(&running.allowed_scopes))
            .execute(&mut **tx)
            .await?;
    }
    Ok(id)
}

async fn add_token(tx: &mut Unit, token: &Token, user: i64, server: Option<i64>) -> Result<()> {
    let insert = "INSERT INTO api_tokens \
                  (id, token_hash, imported_prefix, user_id, server_id, scopes, note, created, last_activity, expires) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
    sqlx::query(insert)
        .bind(new_id())
        .bind(token.hash.clone())
        .bind(token.prefix.clone())
        .bind(user)
        .bind(server)
        .bind(lists::write(&token.scopes))
        .bind(token.note.clone())
        .bind(token.created)
        .bind(token.last_activity)
        .bind(token.expires)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
