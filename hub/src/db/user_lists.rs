//! Lists of users: filtered, sorted, in pages.

use sqlx::{Any, QueryBuilder};

use super::users::User;
use super::{Db, Result};

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
        let mut count = QueryBuilder::<Any>::new("SELECT COUNT(*) FROM users WHERE 1 = 1");
        narrow(&mut count, query);
        let (total,): (i64,) = count.build_query_as().fetch_one(&self.pool).await?;
        let mut select = QueryBuilder::<Any>::new("SELECT * FROM users WHERE 1 = 1");
        narrow(&mut select, query);
        select.push(" ORDER BY ").push(query.sort.0);
        select.push(" LIMIT ").push_bind(query.limit);
        select.push(" OFFSET ").push_bind(query.offset);
        let users = select.build_query_as().fetch_all(&self.pool).await?;
        Ok((users, total))
    }
}

fn narrow(sql: &mut QueryBuilder<Any>, query: &UserQuery<'_>) {
    if let Some(activity) = query.activity {
        sql.push(match activity {
            Activity::Active => {
                " AND EXISTS (SELECT 1 FROM servers WHERE user_id = users.id AND state <> 'stopped')"
            }
            Activity::Ready => {
                " AND EXISTS (SELECT 1 FROM servers WHERE user_id = users.id AND state = 'ready')"
            }
            Activity::Inactive => {
                " AND NOT EXISTS (SELECT 1 FROM servers WHERE user_id = users.id AND state <> 'stopped')"
            }
        });
    }
    if let Some(part) = query.name_filter {
        // Names are lower-case; `%` and `_` of the filter stand for themselves.
        let part = part.to_lowercase();
        let part = part
            .replace('\\', "\\\\")
            .replace('%', "\\%")
            .replace('_', "\\_");
        sql.push(" AND name LIKE ").push_bind(format!("%{part}%"));
        sql.push(" ESCAPE '\\'");
    }
    let (users, groups) = (query.users.as_deref(), query.groups.as_deref());
    if users.is_none() && groups.is_none() {
        return;
    }
    sql.push(" AND (1 = 0");
    for user in users.unwrap_or_default() {
        sql.push(" OR name = ").push_bind(user.clone());
    }
    for group in groups.unwrap_or_default() {
        sql.push(
            " OR id IN (SELECT group_members.user_id FROM group_members \
             JOIN user_groups ON user_groups.id = group_members.group_id WHERE user_groups.name = ",
        );
        sql.push_bind(group.clone()).push(")");
    }
    sql.push(")");
}
