//! Rows of OAuth clients and codes.

use sqlx::any::AnyRow;
use sqlx::{FromRow, Row as _};

use super::tokens::{NewToken, insert_token};
use super::unit::Write as _;
use super::{Db, Result, lists, now};

/// A client of the OAuth provider: one server of one user, or a service.
#[derive(Debug, Clone)]
pub struct OAuthClient {
    pub client_id: String,
    pub server_id: Option<i64>,
    pub service_id: Option<i64>,
    /// One hash, or several with spaces between: a start that another Hub went on with has one of each.
    pub secret_hashes: String,
    pub redirect_uri: String,
    pub allowed_scopes: Vec<String>,
}

impl FromRow<'_, AnyRow> for OAuthClient {
    fn from_row(row: &AnyRow) -> Result<Self> {
        Ok(Self {
            client_id: row.try_get("client_id")?,
            server_id: row.try_get("server_id")?,
            service_id: row.try_get("service_id")?,
            secret_hashes: row.try_get("secret_hash")?,
            redirect_uri: row.try_get("redirect_uri")?,
            allowed_scopes: lists::read(&row.try_get::<String, _>("allowed_scopes")?),
        })
    }
}

/// A code that was handed to a browser and not yet exchanged.
#[derive(Debug, Clone)]
pub struct OAuthCode {
    pub code_hash: String,
    pub client_id: String,
    pub user_id: i64,
    pub session_id: String,
    pub redirect_uri: String,
    /// Always of method S256.
    pub code_challenge: Option<String>,
    pub scopes: Vec<String>,
    pub expires: i64,
}

impl Db {
    pub async fn oauth_client(&self, client_id: &str) -> Result<Option<OAuthClient>> {
        sqlx::query_as("SELECT * FROM oauth_clients WHERE client_id = $1")
            .bind(client_id.to_owned())
            .fetch_optional(&self.pool)
            .await
    }

    /// Gives a pending start a further token, which is a further secret of its OAuth client too: a Hub that goes on with
    /// the start of another knows neither. False where the start is over.
    pub async fn add_secret(
        &self,
        server_id: i64,
        start_id: &str,
        token: NewToken<'_>,
    ) -> Result<bool> {
        let mut tx = self.begin().await?;
        let update = "UPDATE oauth_clients SET secret_hash = secret_hash || ' ' || $1 WHERE server_id = $2 AND EXISTS \
                      (SELECT 1 FROM servers WHERE id = $2 AND start_id = $3 AND state = 'pending')";
        let done = sqlx::query(update)
            .bind(token.token_hash.to_owned())
            .bind(server_id)
            .bind(start_id.to_owned())
            .execute(&mut *tx)
            .await?;
        if done.rows_affected() == 0 {
            return Ok(false);
        }
        insert_token(&mut *tx, token).await?;
        tx.commit().await?;
        Ok(true)
    }

    pub async fn add_code(&self, code: &OAuthCode) -> Result<()> {
        let insert = "INSERT INTO oauth_codes \
                      (code_hash, client_id, user_id, session_id, redirect_uri, code_challenge, scopes, expires) \
                      VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
        sqlx::query(insert)
            .bind(code.code_hash.clone())
            .bind(code.client_id.clone())
            .bind(code.user_id)
            .bind(code.session_id.clone())
            .bind(code.redirect_uri.clone())
            .bind(code.code_challenge.clone())
            .bind(lists::write(&code.scopes))
            .bind(code.expires)
            .write(self)
            .await?;
        Ok(())
    }

    /// Takes a code: whoever gets it is the only one who does (RFC 6749, 4.1.2).
    pub async fn take_code(&self, code_hash: &str) -> Result<Option<OAuthCode>> {
        type Row = (
            String,
            String,
            i64,
            String,
            String,
            Option<String>,
            String,
            i64,
        );
        let take = "UPDATE oauth_codes SET spent = 1 WHERE code_hash = $1 AND spent = 0 RETURNING \
                    code_hash, client_id, user_id, session_id, redirect_uri, code_challenge, scopes, expires";
        let row: Option<Row> = sqlx::query_as(take)
            .bind(code_hash.to_owned())
            .fetch_optional(&self.pool)
            .await?;
        let code = row.map(|row| OAuthCode {
            code_hash: row.0,
            client_id: row.1,
            user_id: row.2,
            session_id: row.3,
            redirect_uri: row.4,
            code_challenge: row.5,
            scopes: lists::read(&row.6),
            expires: row.7,
        });
        Ok(code.filter(|code| code.expires > now()))
    }

    /// Revokes what was given for a code that somebody tries a second time: one of the two has stolen it (RFC 9700,
    /// 2.1.1). A token that is on its way at this moment is seen to by [`Db::was_reused`]. True if there was such a code.
    pub async fn revoke_code(&self, code_hash: &str) -> Result<bool> {
        let done = sqlx::query("UPDATE oauth_codes SET spent = 2 WHERE code_hash = $1")
            .bind(code_hash.to_owned())
            .write(self)
            .await?;
        sqlx::query("DELETE FROM api_tokens WHERE code_hash = $1")
            .bind(code_hash.to_owned())
            .write(self)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Whether a code was tried again after it was taken. Ask once its token is stored.
    pub async fn was_reused(&self, code_hash: &str) -> Result<bool> {
        let spent: Option<(i64,)> =
            sqlx::query_as("SELECT spent FROM oauth_codes WHERE code_hash = $1")
                .bind(code_hash.to_owned())
                .fetch_optional(&self.pool)
                .await?;
        Ok(spent.is_some_and(|(spent,)| spent > 1))
    }
}
