//! Rows of the roles that the configuration defines, and of who has them.

use super::{Db, Result, lists};

/// A role that somebody has.
#[derive(Debug, Clone)]
pub struct Role {
    pub name: String,
    pub scopes: Vec<String>,
}

impl Db {
    /// The roles of a user, and of the groups that the user is in.
    pub async fn roles_of_user(&self, user_id: i64) -> Result<Vec<Role>> {
        let select = "SELECT name, scopes FROM roles WHERE id IN \
                      (SELECT role_id FROM user_roles WHERE user_id = $1) OR id IN \
                      (SELECT role_id FROM group_roles JOIN group_members ON group_members.group_id = group_roles.group_id \
                       WHERE user_id = $1) ORDER BY name";
        self.roles(select, user_id).await
    }

    pub async fn roles_of_service(&self, service_id: i64) -> Result<Vec<Role>> {
        let select = "SELECT name, scopes FROM roles WHERE id IN \
                      (SELECT role_id FROM service_roles WHERE service_id = $1) ORDER BY name";
        self.roles(select, service_id).await
    }

    pub async fn roles_of_group(&self, group_id: i64) -> Result<Vec<Role>> {
        let select = "SELECT name, scopes FROM roles WHERE id IN \
                      (SELECT role_id FROM group_roles WHERE group_id = $1) ORDER BY name";
        self.roles(select, group_id).await
    }

    /// A role of the configuration.
    pub async fn role(&self, name: &str) -> Result<Option<Role>> {
        let row: Option<(String, String)> =
            sqlx::query_as("SELECT name, scopes FROM roles WHERE name = $1")
                .bind(name.to_owned())
                .fetch_optional(&self.pool)
                .await?;
        Ok(row.map(role))
    }

    async fn roles(&self, select: &'static str, id: i64) -> Result<Vec<Role>> {
        let rows: Vec<(String, String)> = sqlx::query_as(select)
            .bind(id)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(role).collect())
    }
}

fn role((name, scopes): (String, String)) -> Role {
    Role {
        name,
        scopes: lists::read(&scopes),
    }
}
