//! Rows of services: programs that act in the Hub under a name of their own.

use serde_json::{Map, Value};
use sqlx::any::AnyRow;
use sqlx::{Any, FromRow, Row, Transaction};

use super::tokens::{NewToken, insert_token};
use super::{Db, Result, new_id};

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
    /// Hash of its token.
    pub token_hash: Option<&'a str>,
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

    /// Adds a service with its token; false where the name is taken.
    pub async fn add_service(&self, new: NewService<'_>) -> Result<bool> {
        let mut tx = self.begin().await?;
        if !insert_service(&mut tx, &new, false).await? {
            return Ok(false);
        }
        tx.commit().await?;
        Ok(true)
    }

    /// Makes these the services of the configuration, each with this token; others of it go.
    pub async fn set_services(&self, new: &[NewService<'_>]) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM services WHERE configured = 1")
            .execute(&mut *tx)
            .await?;
        for service in new {
            // One of the API makes room: the configuration has the last word.
            sqlx::query("DELETE FROM services WHERE name = $1")
                .bind(service.name.to_owned())
                .execute(&mut *tx)
                .await?;
            insert_service(&mut tx, service, true).await?;
        }
        tx.commit().await
    }

    /// False where there is no such service.
    pub async fn remove_service(&self, id: i64) -> Result<bool> {
        let done = sqlx::query("DELETE FROM services WHERE id = $1")
            .bind(id)
            .execute(&self.pool)
            .await?;
        Ok(done.rows_affected() > 0)
    }
}

/// False where the name is taken.
async fn insert_service(
    tx: &mut Transaction<'static, Any>,
    new: &NewService<'_>,
    configured: bool,
) -> Result<bool> {
    let insert = "INSERT INTO services (id, name, admin, configured, url, info, display) \
                  VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (name) DO NOTHING RETURNING id";
    let id: Option<(i64,)> = sqlx::query_as(insert)
        .bind(new_id())
        .bind(new.name.to_owned())
        .bind(i64::from(new.admin))
        .bind(i64::from(configured))
        .bind(new.url.to_owned())
        .bind(Value::Object(new.info.clone()).to_string())
        .bind(i64::from(new.display))
        .fetch_optional(&mut **tx)
        .await?;
    let Some((id,)) = id else {
        return Ok(false);
    };
    if let Some(token_hash) = new.token_hash {
        let token = NewToken {
            token_hash,
            service_id: Some(id),
            scopes: &[String::from("inherit")],
            note: "Token of the service",
            ..NewToken::default()
        };
        insert_token(&mut **tx, token).await?;
    }
    Ok(true)
}
