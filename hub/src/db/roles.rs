//! Rows of the roles that the configuration defines, and of who has them.

use super::queue::lock_starts;
use super::{Db, Result, lists, new_id};

/// A role that somebody has.
#[derive(Debug, Clone)]
pub struct Role {
    pub name: String,
    pub scopes: Vec<String>,
}

/// A role that is to be there, with who has it: names of users, groups and services that exist.
#[derive(Debug)]
pub struct NewRole<'a> {
    pub name: &'a str,
    pub description: &'a str,
    pub scopes: &'a [String],
    pub users: Vec<&'a str>,
    pub groups: Vec<&'a str>,
    pub services: Vec<&'a str>,
}

impl Db {
    /// Makes these the roles, and nobody has others.
    pub async fn set_roles(&self, new: &[NewRole<'_>]) -> Result<()> {
        let mut tx = self.begin().await?;
        // Two Hubs that start at once.
        lock_starts(&mut tx).await?;
        sqlx::query("DELETE FROM roles").execute(&mut *tx).await?;
        for role in new {
            let id = new_id();
            sqlx::query(
                "INSERT INTO roles (id, name, description, scopes) VALUES ($1, $2, $3, $4)",
            )
            .bind(id)
            .bind(role.name.to_owned())
            .bind(role.description.to_owned())
            .bind(lists::write(role.scopes))
            .execute(&mut *tx)
            .await?;
            let holders = [
                (
                    &role.users,
                    "INSERT INTO user_roles (role_id, user_id) SELECT $1, id FROM users WHERE name = $2",
                ),
                (
                    &role.groups,
                    "INSERT INTO group_roles (role_id, group_id) SELECT $1, id FROM user_groups WHERE name = $2",
                ),
                (
                    &role.services,
                    "INSERT INTO service_roles (role_id, service_id) SELECT $1, id FROM services WHERE name = $2",
                ),
            ];
            for (names, insert) in holders {
                for name in names {
                    sqlx::query(insert)
                        .bind(id)
                        .bind((*name).to_owned())
                        .execute(&mut *tx)
                        .await?;
                }
            }
        }
        tx.commit().await
    }

    /// The roles of a user, and of the groups that the user is in.
    pub async fn roles_of_user(&self, user_id: i64) -> Result<Vec<Role>> {
        let select = "SELECT name, scopes FROM roles WHERE name = 'user' \
                      OR (name = 'admin' AND 1 = (SELECT admin FROM users WHERE id = $1)) OR id IN \
                      (SELECT role_id FROM user_roles WHERE user_id = $1) OR id IN \
                      (SELECT role_id FROM group_roles JOIN group_members ON group_members.group_id = group_roles.group_id \
                       WHERE user_id = $1) ORDER BY name";
        self.roles(select, user_id).await
    }

    pub async fn roles_of_service(&self, service_id: i64) -> Result<Vec<Role>> {
        let select = "SELECT name, scopes FROM roles WHERE \
                      (name = 'admin' AND 1 = (SELECT admin FROM services WHERE id = $1)) OR id IN \
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
