//! Rows of groups and of who is in them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use sqlx::any::AnyRow;
use sqlx::{FromRow, Row};

use super::unit::{Unit, Write as _};
use super::{Db, Result, new_id};

#[derive(Debug, Clone)]
pub struct Group {
    pub id: i64,
    pub name: String,
    pub properties: Map<String, Value>,
}

impl FromRow<'_, AnyRow> for Group {
    fn from_row(row: &AnyRow) -> Result<Self> {
        let properties: String = row.try_get("properties")?;
        Ok(Self {
            id: row.try_get("id")?,
            name: row.try_get("name")?,
            properties: serde_json::from_str(&properties).unwrap_or_default(),
        })
    }
}

/// What is to become of users in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    Add,
    Take,
}

/// What became of a change of who is in a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Members {
    Changed,
    NoGroup,
    /// Nothing was changed.
    NoUser(String),
}

impl Db {
    pub async fn group(&self, name: &str) -> Result<Option<Group>> {
        sqlx::query_as("SELECT * FROM user_groups WHERE name = $1")
            .bind(name.to_owned())
            .fetch_optional(&self.pool)
            .await
    }

    /// In the order in which they were made.
    pub async fn groups(&self) -> Result<Vec<Group>> {
        sqlx::query_as("SELECT * FROM user_groups ORDER BY id")
            .fetch_all(&self.pool)
            .await
    }

    /// Adds groups, each with these members; all or none. The name that is taken, or the user who does not exist.
    pub async fn add_groups(
        &self,
        names: &[String],
        members: &[String],
    ) -> Result<Result<(), AddGroup>> {
        let mut tx = self.begin().await?;
        for name in names {
            let insert = "INSERT INTO user_groups (id, name, properties) VALUES ($1, $2, '{}') \
                          ON CONFLICT (name) DO NOTHING RETURNING id";
            let id: Option<(i64,)> = sqlx::query_as(insert)
                .bind(new_id())
                .bind(name.clone())
                .fetch_optional(&mut *tx)
                .await?;
            let Some((id,)) = id else {
                return Ok(Err(AddGroup::Taken(name.clone())));
            };
            if let Some(unknown) = apply(&mut tx, id, members, Change::Add).await? {
                return Ok(Err(AddGroup::NoUser(unknown)));
            }
        }
        tx.commit().await?;
        Ok(Ok(()))
    }

    /// False where there is no such group.
    pub async fn remove_group(&self, name: &str) -> Result<bool> {
        let done = sqlx::query("DELETE FROM user_groups WHERE name = $1")
            .bind(name.to_owned())
            .write(self)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// False where there is no such group.
    pub async fn set_properties(
        &self,
        name: &str,
        properties: &Map<String, Value>,
    ) -> Result<bool> {
        let done = sqlx::query("UPDATE user_groups SET properties = $1 WHERE name = $2")
            .bind(Value::Object(properties.clone()).to_string())
            .bind(name.to_owned())
            .write(self)
            .await?;
        Ok(done.rows_affected() > 0)
    }

    /// Who is a member already stays one; who is none is passed over.
    pub async fn change_members(
        &self,
        name: &str,
        users: &[String],
        change: Change,
    ) -> Result<Members> {
        let mut tx = self.begin().await?;
        let id: Option<(i64,)> = sqlx::query_as("SELECT id FROM user_groups WHERE name = $1")
            .bind(name.to_owned())
            .fetch_optional(&mut *tx)
            .await?;
        let Some((id,)) = id else {
            return Ok(Members::NoGroup);
        };
        if let Some(unknown) = apply(&mut tx, id, users, change).await? {
            return Ok(Members::NoUser(unknown));
        }
        tx.commit().await?;
        Ok(Members::Changed)
    }

    /// Makes a user a member of these groups and of no others; those that are not there are made.
    pub async fn set_groups_of(&self, user_id: i64, names: &[String]) -> Result<()> {
        let mut tx = self.begin().await?;
        sqlx::query("DELETE FROM group_members WHERE user_id = $1")
            .bind(user_id)
            .execute(&mut *tx)
            .await?;
        for name in names {
            let make = "INSERT INTO user_groups (id, name, properties) VALUES ($1, $2, '{}') \
                        ON CONFLICT (name) DO NOTHING";
            sqlx::query(make)
                .bind(new_id())
                .bind(name.clone())
                .execute(&mut *tx)
                .await?;
            let join = "INSERT INTO group_members (group_id, user_id) SELECT id, $1 FROM user_groups WHERE name = $2 \
                        ON CONFLICT (group_id, user_id) DO NOTHING";
            sqlx::query(join)
                .bind(user_id)
                .bind(name.clone())
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await
    }

    /// Names of a group's members, sorted.
    pub async fn members(&self, group: i64) -> Result<Vec<String>> {
        let select = "SELECT users.name FROM users JOIN group_members ON group_members.user_id = users.id \
                      WHERE group_id = $1 ORDER BY users.name";
        let rows: Vec<(String,)> = sqlx::query_as(select)
            .bind(group)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(|(name,)| name).collect())
    }

    /// The members of each of these groups.
    pub async fn members_of(
        &self,
        groups: impl IntoIterator<Item = String>,
    ) -> Result<BTreeMap<String, BTreeSet<String>>> {
        let mut members = BTreeMap::new();
        for name in groups {
            let Some(group) = self.group(&name).await? else {
                continue;
            };
            members.insert(name, self.members(group.id).await?.into_iter().collect());
        }
        Ok(members)
    }

    /// Names of the groups that a user is in, sorted.
    pub async fn groups_of(&self, user_id: i64) -> Result<Vec<String>> {
        let select = "SELECT user_groups.name FROM user_groups \
                      JOIN group_members ON group_members.group_id = user_groups.id \
                      WHERE user_id = $1 ORDER BY user_groups.name";
        let rows: Vec<(String,)> = sqlx::query_as(select)
            .bind(user_id)
            .fetch_all(&self.pool)
            .await?;
        Ok(rows.into_iter().map(|(name,)| name).collect())
    }
}

/// Why groups were not added; none of them was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddGroup {
    Taken(String),
    NoUser(String),
}

/// The first user who does not exist.
async fn apply(
    tx: &mut Unit,
    group: i64,
    users: &[String],
    change: Change,
) -> Result<Option<String>> {
    let statement = match change {
        Change::Add => {
            "INSERT INTO group_members (group_id, user_id) VALUES ($1, $2) \
             ON CONFLICT (group_id, user_id) DO NOTHING"
        }
        Change::Take => "DELETE FROM group_members WHERE group_id = $1 AND user_id = $2",
    };
    for user in users {
        let Some(id) = user_id(tx, user).await? else {
            return Ok(Some(user.clone()));
        };
        sqlx::query(statement)
            .bind(group)
            .bind(id)
            .execute(&mut **tx)
            .await?;
    }
    Ok(None)
}

async fn user_id(tx: &mut Unit, name: &str) -> Result<Option<i64>> {
    let id: Option<(i64,)> = sqlx::query_as("SELECT id FROM users WHERE name = $1")
        .bind(name.to_owned())
        .fetch_optional(&mut **tx)
        .await?;
    Ok(id.map(|(id,)| id))
}
