//! Lists of users: filtered, sorted, in pages.

use std::collections::HashMap;

use sqlx::AssertSqlSafe;

use super::servers::{Server, select_servers};
use super::users::User;
use super::{Db, Result, places};

/// Users by what their servers do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// Any server that is not stopped.
    Active,
    /// Any server that can be used.
    Ready,
    /// No server that is not stopped.
    Inactive,
}

/// In which order.
#[derive(Debug, Clone, Copy)]
pub struct Sort(&'static str);

impl Sort {
    /// By `id`, `name` or `last_activity`; what never was comes first, and last where descending.
    pub fn by(column: &str, descending: bool) -> Option<Self> {
        Some(Self(match (column, descending) {
            ("id", false) => "id",
            ("id", true) => "id DESC",
            ("name", false) => "name",
            ("name", true) => "name DESC",
            ("last_activity", false) => {
                "CASE WHEN last_activity IS NULL THEN 0 ELSE 1 END, last_activity, id"
            }
            ("last_activity", true) => {
                "CASE WHEN last_activity IS NULL THEN 1 ELSE 0 END, last_activity DESC, id"
            }
            _ => return None,
        }))
    }
}

#[derive(Debug)]
pub struct UserQuery<'a> {
    pub activity: Option<Activity>,
    /// A part of the name, in any case.
    pub name_filter: Option<&'a str>,
    pub sort: Sort,
    /// These alone, and members of these groups; all users where neither is said.
    pub users: Option<Vec<String>>,
    pub groups: Option<Vec<String>>,
    pub offset: i64,
    pub limit: i64,
}

impl Db {
    /// The part that is asked for, and how many there are in all.
    pub async fn list_users(&self, query: &UserQuery<'_>) -> Result<(Vec<User>, i64)> {
        let condition = Condition::of(query);
        let text = &condition.text;
        let count = format!("SELECT COUNT(*) FROM users WHERE {text}");
        let mut count = sqlx::query_as(AssertSqlSafe(count));
        let select = format!(
            "SELECT * FROM users WHERE {text} ORDER BY {} LIMIT {} OFFSET {}",
            query.sort.0, query.limit, query.offset
        );
        let mut select = sqlx::query_as(AssertSqlSafe(select));
        for value in &condition.values {
            count = count.bind(value.clone());
            select = select.bind(value.clone());
        }
        let (total,): (i64,) = count.fetch_one(&self.pool).await?;
        Ok((select.fetch_all(&self.pool).await?, total))
    }
}

impl Db {
    /// The servers of these users, who are the rows of one page.
    pub async fn servers_of_users(&self, ids: &[i64]) -> Result<Vec<Server>> {
        let select = format!(
            "{} WHERE user_id IN ({}) ORDER BY servers.name",
            select_servers(),
            places(ids.len())
        );
        let mut query = sqlx::query_as(AssertSqlSafe(select));
        for id in ids {
            query = query.bind(*id);
        }
        query.fetch_all(&self.pool).await
    }

    /// Names of the groups of these users, as pairs of a user and a name.
    pub async fn groups_of_users(&self, ids: &[i64]) -> Result<Vec<(i64, String)>> {
        let select = format!(
            "SELECT user_id, user_groups.name FROM user_groups \
             JOIN group_members ON group_members.group_id = user_groups.id \
             WHERE user_id IN ({}) ORDER BY user_groups.name",
            places(ids.len())
        );
        self.named_of_users(select, ids).await
    }

    /// Names of the roles of the configuration that these users have, by themselves or by a group; in the same form.
    pub async fn role_names_of_users(&self, ids: &[i64]) -> Result<Vec<(i64, String)>> {
        let select = format!(
            "SELECT users.id, roles.name FROM users JOIN roles ON roles.name = 'user' \
             OR (roles.name = 'admin' AND users.admin = 1) \
             OR roles.id IN (SELECT role_id FROM user_roles WHERE user_id = users.id) \
             OR roles.id IN (SELECT role_id FROM group_roles \
                 JOIN group_members ON group_members.group_id = group_roles.group_id WHERE user_id = users.id) \
             WHERE users.id IN ({}) ORDER BY roles.name",
            places(ids.len())
        );
        self.named_of_users(select, ids).await
    }

    async fn named_of_users(&self, select: String, ids: &[i64]) -> Result<Vec<(i64, String)>> {
        let mut query = sqlx::query_as(AssertSqlSafe(select));
        for id in ids {
            query = query.bind(*id);
        }
        query.fetch_all(&self.pool).await
    }

    /// How many members each of these groups has, where it has any.
    pub async fn member_counts(&self, groups: &[i64]) -> Result<HashMap<i64, i64>> {
        let select = format!(
            "SELECT group_id, COUNT(*) FROM group_members WHERE group_id IN ({}) GROUP BY group_id",
            places(groups.len())
        );
        let mut query = sqlx::query_as::<_, (i64, i64)>(AssertSqlSafe(select));
        for id in groups {
            query = query.bind(*id);
        }
        Ok(query.fetch_all(&self.pool).await?.into_iter().collect())
    }
}

/// A condition in SQL, whose texts are bound and never part of it. (sqlx's own builder writes `?` for a value of `Any`,
/// which PostgreSQL does not take; 0.9.0.)
struct Condition {
    text: String,
    values: Vec<String>,
}

impl Condition {
    fn of(query: &UserQuery<'_>) -> Self {
        let mut condition = Self {
            text: String::from("1 = 1"),
            values: Vec::new(),
        };
        condition.text.push_str(match query.activity {
            None => "",
            Some(Activity::Active) => {
                " AND EXISTS (SELECT 1 FROM servers WHERE user_id = users.id AND state <> 'stopped')"
            }
            Some(Activity::Ready) => {
                " AND EXISTS (SELECT 1 FROM servers WHERE user_id = users.id AND state = 'ready')"
            }
            Some(Activity::Inactive) => {
                " AND NOT EXISTS (SELECT 1 FROM servers WHERE user_id = users.id AND state <> 'stopped')"
            }
        });
        if let Some(part) = query.name_filter {
            // Names are lower-case; `%` and `_` of the filter stand for themselves.
            let part = part.to_lowercase().replace('\\', "\\\\");
            let part = part.replace('%', "\\%").replace('_', "\\_");
            condition.with(" AND name LIKE ", format!("%{part}%"), " ESCAPE '\\'");
        }
        if query.users.is_some() || query.groups.is_some() {
            condition.text.push_str(" AND (1 = 0");
            for user in query.users.iter().flatten() {
                condition.with(" OR name = ", user.clone(), "");
            }
            for group in query.groups.iter().flatten() {
                condition.with(
                    " OR id IN (SELECT user_id FROM group_members \
                     JOIN user_groups ON user_groups.id = group_id WHERE user_groups.name = ",
                    group.clone(),
                    ")",
                );
            }
            condition.text.push(')');
        }
        condition
    }

    fn with(&mut self, before: &str, value: String, after: &str) {
        self.values.push(value);
        let number = self.values.len();
        self.text.push_str(&format!("{before}${number}{after}"));
    }
}
