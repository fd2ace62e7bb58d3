//! Rows of services: programs that act in the Hub under a name of their own.

use serde_json::{Map, Value};
use sqlx::any::AnyRow;
use sqlx::{AssertSqlSafe, FromRow, Row};

use super::tokens::{NewToken, insert_token};
use super::unit::{Unit, Write as _};
use super::{Db, Result, lists, new_id};

#[derive(Debug, Clone)]
pub struct Service {
    pub id: i64,
    pub name: String,
    pub admin: bool,
    /// From the configuration: not to be changed while the Hub runs.
    pub configured: bool,
    pub url: String,
    pub info: Map<String, Value>,
    pub display: bool,
    /// What the Hub runs; empty for one that runs elsewhere.
    pub command: Vec<String>,
    /// Nobody is asked whether it may know them.
    pub oauth_no_confirm: bool,
}

impl FromRow<'_, AnyRow> for Service {
    fn from_row(row: &AnyRow) -> Result<Self> {
        let info: String = row.try_get("info")?;
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            admin: row.try_get::<i64, _>("admin")? != 0,
            configured: row.try_get::<i64, _>("configured")? != 0,
            url: row.try_get("url")?,
            info: serde_json::from_str(&info).unwrap_or_default(),
            display: row.try_get::<i64, _>("display")? != 0,
            command: lists::read(&row.try_get::<String, _>("command")?),
            oauth_no_confirm: row.try_get::<i64, _>("oauth_no_confirm")? != 0,
        })
    }
}

/// What is written down of a new service.
#[derive(Debug)]
pub struct NewService<'a> {
    pub name: &'a str,
    pub admin: bool,
    pub url: &'a str,
    pub info: &'a Map<String, Value>,
    pub display: bool,
    /// Hash of its token. One with a command gets its token when that is started, where there is none here.
    pub token_hash: Option<&'a str>,
    pub command: &'a [String],
    pub oauth_no_confirm: bool,
    pub client: Option<NewClient<'a>>,
}

/// The OAuth client of a new service; its secret is the service's token.
#[derive(Debug)]
pub struct NewClient<'a> {
    pub client_id: String,
    pub redirect_uri: String,
    pub allowed_scopes: &'a [String],
}

impl Db {
    pub async fn service(&self, name: &str) -> Result<Option<Service>> {
        sqlx::query_as("SELECT * FROM services WHERE name = $1")
            .bind(name.to_owned())
            .fetch_optional(&self.pool)
            .await
    }

    pub async fn service_by_id(&self, id: i64) -> Result<Option<Service>> {
        sqlx::query_as("SELECT * FROM services WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await
    }

    pub async fn services(&self) -> Result<Vec<Service>> {
        sqlx::query_as("SELECT * FROM services ORDER BY name")
            .fetch_all(&self.pool)
            .await
    }

    /// Adds a service with its token and its OAuth client; false where one of the names is taken.
    pub async fn add_service(&self, new: NewService<'_>) -> Result<bool> {
        let mut tx = self.begin().await?;
        let insert = format!("{INSERT} ON CONFLICT (name) DO NOTHING RETURNING id");
        let Some(id) = write_service(&mut tx, &insert, &new, false).await? else {
            return Ok(false);
        };
        set_token(&mut tx, id, &new).await?;
        if !set_client(&mut tx, id, &new).await? {
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Makes these the services of the configuration; others of it go. What people have given to one that stays, stays.
    pub async fn set_services(&self, new: &[NewService<'_>]) -> Result<()> {
        let mut tx = self.begin().await?;
        let known: Vec<(i64, String)> =
            sqlx::query_as("SELECT id, name FROM services WHERE configured = 1")
                .fetch_all(&mut *tx)
                .await?;
        for (id, name) in known {
            if !new.iter().any(|service| service.name == name) {
                sqlx::query("DELETE FROM services WHERE id = $1")
                    .bind(id)
                    .execute(&mut *tx)
                    .await?;
            }
        }
        // All that differ first: two services may have changed theirs with each other.
        for service in new {
            let delete = "DELETE FROM api_tokens WHERE token_hash = $1 AND service_id <> \
                          COALESCE((SELECT id FROM services WHERE name = $2), 0)";
            sqlx::query(delete)
                .bind(service.token_hash.unwrap_or_default().to_owned())
                .bind(service.name.to_owned())
                .execute(&mut *tx)
                .await?;
        }
        for service in new {
            // One of the API makes room: the configuration has the last word.
            sqlx::query("DELETE FROM services WHERE name = $1 AND configured = 0")
                .bind(service.name.to_owned())
                .execute(&mut *tx)
                .await?;
            let upsert = format!(
                "{INSERT} ON CONFLICT (name) DO UPDATE SET admin = $3, configured = $4, url = $5, info = $6, display = $7, \
                 command = $8, oauth_no_confirm = $9 RETURNING id"
            );
            let Some(id) = write_service(&mut tx, &upsert, service, true).await? else {
                continue;
            };
            set_token(&mut tx, id, service).await?;
            if let Some(client) = &service.client {
                sqlx::query("DELETE FROM oauth_clients WHERE client_id = $1 AND service_id <> $2")
                    .bind(client.client_id.clone())
                    .bind(id)
                    .execute(&mut *tx)
                    .await?;
            }
            set_client(&mut tx, id, service).await?;
        }
        tx.commit().await
    }

    /// Gives a service a new token in place of those that it had, which is the secret of its OAuth client too.
    pub async fn renew_service_token(&self, id: i64, token_hash: &str) -> Result<()> {
        let mut tx = self.begin().await?;
        replace_tokens(&mut tx, id, Some(token_hash)).await?;
        sqlx::query("UPDATE oauth_clients SET secret_hash = $1 WHERE service_id = $2")
            .bind(token_hash.to_owned())
            .bind(id)
            .execute(&mut *tx)
            .await?;
        tx.commit().await
    }

    /// False where there is no such service.
    pub async fn remove_service(&self, id: i64) -> Result<bool> {
        let done = sqlx::query("DELETE FROM services WHERE id = $1")
            .bind(id)
            .write(self)
            .await?;
        Ok(done.rows_affected() > 0)
    }
}

const INSERT: &str = "INSERT INTO services (id, name, admin, configured, url, info, display, command, oauth_no_confirm) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";

/// The key of the row that was written.
async fn write_service(
    tx: &mut Unit,
    statement: &str,
    new: &NewService<'_>,
    configured: bool,
) -> Result<Option<i64>> {
    let id: Option<(i64,)> = sqlx::query_as(AssertSqlSafe(statement.to_owned()))
        .bind(new_id())
        .bind(new.name.to_owned())
        .bind(i64::from(new.admin))
        .bind(i64::from(configured))
        .bind(new.url.to_owned())
        .bind(Value::Object(new.info.clone()).to_string())
        .bind(i64::from(new.display))
        .bind(lists::write(new.command))
        .bind(i64::from(new.oauth_no_confirm))
        .fetch_optional(&mut **tx)
        .await?;
    Ok(id.map(|(id,)| id))
}

/// The token of one with a command and none of its own is left to whoever runs that.
async fn set_token(tx: &mut Unit, id: i64, new: &NewService<'_>) -> Result<()> {
    if new.token_hash.is_none() && !new.command.is_empty() {
        return Ok(());
    }
    replace_tokens(tx, id, new.token_hash).await
}

async fn replace_tokens(tx: &mut Unit, id: i64, token_hash: Option<&str>) -> Result<()> {
    sqlx::query("DELETE FROM api_tokens WHERE service_id = $1 AND token_hash <> $2")
        .bind(id)
        .bind(token_hash.unwrap_or_default().to_owned())
        .execute(&mut **tx)
        .await?;
    let Some(token_hash) = token_hash else {
        return Ok(());
    };
    let known: Option<(i64,)> =
        sqlx::query_as("SELECT id FROM api_tokens WHERE service_id = $1 AND token_hash = $2")
            .bind(id)
            .bind(token_hash.to_owned())
            .fetch_optional(&mut **tx)
            .await?;
    if known.is_none() {
        let token = NewToken {
            token_hash,
            service_id: Some(id),
            scopes: &[String::from("inherit")],
            note: "Token of the service",
            ..NewToken::default()
        };
        insert_token(&mut **tx, token).await?;
    }
    Ok(())
}

/// False where the client is another's.
async fn set_client(tx: &mut Unit, id: i64, new: &NewService<'_>) -> Result<bool> {
    let client_id = new.client.as_ref().map(|client| client.client_id.clone());
    sqlx::query("DELETE FROM oauth_clients WHERE service_id = $1 AND client_id <> $2")
        .bind(id)
        .bind(client_id.unwrap_or_default())
        .execute(&mut **tx)
        .await?;
    let Some(client) = &new.client else {
        return Ok(true);
    };
    // Without a token here the secret stays that of the process that runs; no secret is the empty one's.
    let keeps = new.token_hash.is_none() && !new.command.is_empty();
    let upsert = "INSERT INTO oauth_clients (client_id, service_id, secret_hash, redirect_uri, allowed_scopes) \
                  VALUES ($1, $2, $3, $4, $5) ON CONFLICT (client_id) DO UPDATE SET redirect_uri = $4, allowed_scopes = $5, \
                  secret_hash = CASE WHEN $6 = 1 THEN oauth_clients.secret_hash ELSE $3 END \
                  WHERE oauth_clients.service_id = $2";
    let done = sqlx::query(upsert)
        .bind(client.client_id.clone())
        .bind(id)
        .bind(new.token_hash.unwrap_or_default().to_owned())
        .bind(client.redirect_uri.clone())
        .bind(lists::write(client.allowed_scopes))
        .bind(i64::from(keeps))
        .execute(&mut **tx)
        .await?;
    Ok(done.rows_affected() > 0)
}
