//! Rows of shares: which server is shared with whom, and how far.

use std::collections::BTreeSet;

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row};

use super::unit::{Unit, Write as _};
use super::{Db, Result, lists, new_id, now};

/// The server of a share, as far as it is told to others.
#[derive(Debug, Clone)]
pub struct SharedServer {
    pub id: i64,
    pub owner_id: i64,
    pub owner: String,
    /// Empty for the default server.
    pub name: String,
    pub prefix: String,
    pub ready: bool,
}

/// With whom a server is shared, by name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Partner {
    User(String),
    Group(String),
}

/// The same by key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartnerId {
    User(i64),
    Group(i64),
}

#[derive(Debug, Clone)]
pub struct Share {
    pub server: SharedServer,
    pub with: Partner,
    /// Without a filter.
    pub scopes: Vec<String>,
    pub created: i64,
}

/// What a share adds to somebody's scopes: these, for this server.
#[derive(Debug, Clone)]
pub struct SharedScopes {
    pub owner: String,
    pub server: String,
    pub scopes: Vec<String>,
}

impl PartnerId {
    /// Values of the columns `user_id` and `group_id`.
    fn columns(self) -> (Option<i64>, Option<i64>) {
        match self {
            Self::User(id) => (Some(id), None),
            Self::Group(id) => (None, Some(id)),
        }
    }
}

impl FromRow<'_, AnyRow> for SharedServer {
    fn from_row(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            id: row.try_get("server_id")?,
            owner_id: row.try_get("owner_id")?,
            owner: row.try_get("owner")?,
            name: row.try_get("server_name")?,
            prefix: row.try_get("prefix")?,
            ready: row.try_get::<String, _>("state")? == "ready",
        })
    }
}

impl FromRow<'_, AnyRow> for Share {
    fn from_row(row: &AnyRow) -> Result<Self> {
        let user: Option<String> = row.try_get("user_name")?;
        Ok(Self {
            server: SharedServer::from_row(row)?,
            with: match user {
                Some(user) => Partner::User(user),
                None => Partner::Group(row.try_get("group_name")?),
            },
            scopes: lists::read(&row.try_get::<String, _>("scopes")?),
            created: row.try_get("created")?,
        })
    }
}

impl FromRow<'_, AnyRow> for SharedScopes {
    fn from_row(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            owner: row.try_get("owner")?,
            server: row.try_get("server_name")?,
            scopes: lists::read(&row.try_get::<String, _>("scopes")?),
        })
    }
}

/// Rows of a table with the server that they are of.
macro_rules! select_with_server {
    ($table:literal, $columns:literal, $($rest:literal),+) => {
        concat!(
            "SELECT ", $table, ".*, ", $columns, "servers.name AS server_name, servers.prefix, servers.state, \
             owners.id AS owner_id, owners.name AS owner FROM ", $table, " \
             JOIN servers ON servers.id = ", $table, ".server_id JOIN users AS owners ON owners.id = servers.user_id ",
            $($rest),+
        )
    };
}
pub(super) use select_with_server;

macro_rules! select {
    ($rest:literal) => {
        select_with_server!(
            "shares",
            "users.name AS user_name, user_groups.name AS group_name, ",
            "LEFT JOIN users ON users.id = shares.user_id \
             LEFT JOIN user_groups ON user_groups.id = shares.group_id ",
            $rest,
            " ORDER BY shares.id"
        )
    };
}

impl Db {
    pub async fn shares_of_server(&self, server_id: i64) -> Result<Vec<Share>> {
        sqlx::query_as(select!("WHERE shares.server_id = $1"))
            .bind(server_id)
            .fetch_all(&self.pool)
            .await
    }

    pub async fn shares_of_owner(&self, user_id: i64) -> Result<Vec<Share>> {
        sqlx::query_as(select!("WHERE servers.user_id = $1"))
            .bind(user_id)
            .fetch_all(&self.pool)
            .await
    }

    /// What is shared with a user, or with a group that the user is in.
    pub async fn shares_with_user(&self, user_id: i64) -> Result<Vec<Share>> {
        sqlx::query_as(select!(
            "WHERE shares.user_id = $1 OR shares.group_id IN (SELECT group_id FROM group_members WHERE user_id = $1)"
        ))
        .bind(user_id)
        .fetch_all(&self.pool)
        .await
    }

    pub async fn shares_with_group(&self, group_id: i64) -> Result<Vec<Share>> {
        sqlx::query_as(select!("WHERE shares.group_id = $1"))
            .bind(group_id)
            .fetch_all(&self.pool)
            .await
    }

    /// The scopes of [`Db::shares_with_user`] alone, which are asked for with every request.
    pub async fn scopes_shared_with(&self, user_id: i64) -> Result<Vec<SharedScopes>> {
        let select = "SELECT shares.scopes, servers.name AS server_name, owners.name AS owner FROM shares \
                      JOIN servers ON servers.id = shares.server_id JOIN users AS owners ON owners.id = servers.user_id \
                      WHERE shares.user_id = $1 \
                      OR shares.group_id IN (SELECT group_id FROM group_members WHERE user_id = $1)";
        sqlx::query_as(select)
            .bind(user_id)
            .fetch_all(&self.pool)
            .await
    }

    pub async fn share(&self, server_id: i64, with: PartnerId) -> Result<Option<Share>> {
        let (user, group) = with.columns();
        let select = select!(
            "WHERE shares.server_id = $1 AND (shares.user_id = $2 OR shares.group_id = $3)"
        );
        sqlx::query_as(select)
            .bind(server_id)
            .bind(user)
            .bind(group)
            .fetch_optional(&self.pool)
            .await
    }

    /// Adds these scopes to what is shared; none where the server, or whom it is shared with, has just been deleted.
    pub async fn grant_share(
        &self,
        server_id: i64,
        with: PartnerId,
        scopes: &[String],
    ) -> Result<Option<Share>> {
        let mut tx = self.begin().await?;
        if !grant(&mut tx, server_id, with, scopes).await? {
            return Ok(None);
        }
        tx.commit().await?;
        self.share(server_id, with).await
    }

    /// Takes these scopes from what is shared, or all of them where none are named; what is left.
    pub async fn revoke_share(
        &self,
        server_id: i64,
        with: PartnerId,
        scopes: &[String],
    ) -> Result<Option<Share>> {
        let mut tx = self.begin().await?;
        let Some((id, mut left)) = locked(&mut tx, server_id, with).await? else {
            return Ok(None);
        };
        left.retain(|scope| !scopes.is_empty() && !scopes.contains(scope));
        if left.is_empty() {
            sqlx::query("DELETE FROM shares WHERE id = $1")
                .bind(id)
                .execute(&mut *tx)
                .await?;
        } else {
            write(&mut tx, id, &left).await?;
        }
        tx.commit().await?;
        self.share(server_id, with).await
    }

    /// Shares a server with nobody any more.
    pub async fn remove_shares(&self, server_id: i64) -> Result<()> {
        sqlx::query("DELETE FROM shares WHERE server_id = $1")
            .bind(server_id)
            .write(self)
            .await?;
        Ok(())
    }
}

/// False where the server, or whom it is shared with, is gone.
pub(super) async fn grant(
    tx: &mut Unit,
    server_id: i64,
    with: PartnerId,
    scopes: &[String],
) -> Result<bool> {
    let (user, group) = with.columns();
    let insert = "INSERT INTO shares (id, server_id, user_id, group_id, scopes, created) \
                  VALUES ($1, $2, $3, $4, '[]', $5) ON CONFLICT DO NOTHING";
    let done = sqlx::query(insert)
        .bind(new_id())
        .bind(server_id)
        .bind(user)
        .bind(group)
        .bind(now())
        .execute(&mut **tx)
        .await;
    match done {
        Err(sqlx::Error::Database(error)) if error.is_foreign_key_violation() => return Ok(false),
        done => done?,
    };
    let Some((id, old)) = locked(tx, server_id, with).await? else {
        return Ok(false);
    };
    let all: BTreeSet<String> = old.into_iter().chain(scopes.iter().cloned()).collect();
    write(tx, id, &Vec::from_iter(all)).await?;
    Ok(true)
}

/// A share's key and scopes, which nobody else changes until the transaction ends: also on PostgreSQL, where a row is
/// locked by who writes it.
async fn locked(
    tx: &mut Unit,
    server_id: i64,
    with: PartnerId,
) -> Result<Option<(i64, Vec<String>)>> {
    let (user, group) = with.columns();
    let lock = "UPDATE shares SET scopes = scopes WHERE server_id = $1 AND (user_id = $2 OR group_id = $3) \
                RETURNING id, scopes";
    let found: Option<(i64, String)> = sqlx::query_as(lock)
        .bind(server_id)
        .bind(user)
        .bind(group)
        .fetch_optional(&mut **tx)
        .await?;
    Ok(found.map(|(id, scopes)| (id, lists::read(&scopes))))
}

async fn write(tx: &mut Unit, id: i64, scopes: &[String]) -> Result<()> {
    sqlx::query("UPDATE shares SET scopes = $1 WHERE id = $2")
        .bind(lists::write(scopes))
        .bind(id)
        .execute(&mut **tx)
        .await?;
    Ok(())
}
