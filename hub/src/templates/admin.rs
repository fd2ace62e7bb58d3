//! The admin page, one struct per template.

use askama::Template;

use super::Page;
use super::home::ServerRow;

/// Something of another page.
#[derive(Debug, Clone)]
pub struct Link {
    pub name: String,
    pub url: String,
}

/// A part of a list.
#[derive(Debug, Clone)]
pub struct Paging {
    /// Numbers of the first and the last that are shown, from 1; 0 where none is.
    pub first: i64,
    pub last: i64,
    pub total: i64,
    /// Addresses of the parts before and after.
    pub previous: Option<String>,
    pub next: Option<String>,
}

/// A server, and what the visitor may do with it.
#[derive(Debug, Clone)]
pub struct AdminRow {
    pub server: ServerRow,
    pub may_open: bool,
    pub may_start: bool,
    pub may_stop: bool,
    /// Where Start posts to, `<hub>admin/start/<escaped>[/<server>]`.
    pub start_url: String,
    /// Where Delete posts to; of named servers.
    pub delete_url: String,
}

impl AdminRow {
    /// `ada`, or `ada / gpu`
    fn full_name(&self) -> String {
        let ServerRow { owner, name, .. } = &self.server;
        match name.is_empty() {
            true => owner.clone(),
            false => format!("{owner} / {name}"),
        }
    }

    fn is_named(&self) -> bool {
        !self.server.name.is_empty()
    }
}

/// A user, and what the visitor may do with them.
#[derive(Debug, Clone)]
pub struct UserRow {
    pub name: String,
    /// `<hub>admin/users/<escaped>`
    pub url: String,
    pub admin: bool,
    /// The visitor themselves.
    pub is_own: bool,
    pub last_activity: Option<String>,
    /// The default one first; none where the visitor may not see them.
    pub servers: Vec<AdminRow>,
    pub may_change: bool,
    pub may_delete: bool,
}

/// Which users are shown, and in which order, under the API's names.
#[derive(Debug, Clone, Default)]
pub struct UserFilter {
    pub name_filter: String,
    pub state: String,
    pub sort: String,
}

impl UserFilter {
    /// The query of the list with this order, from this row on.
    pub fn link(&self, sort: &str, offset: i64) -> String {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("name_filter", &self.name_filter)
            .append_pair("state", &self.state)
            .append_pair("sort", sort)
            .append_pair("offset", &offset.to_string())
            .finish();
        format!("?{query}")
    }

    /// The order that a click on a column's head asks for.
    fn by(&self, column: &str) -> String {
        let sort = match self.sort == column {
            true => format!("-{column}"),
            false => column.to_owned(),
        };
        self.link(&sort, 0)
    }

    /// `aria-sort` of a column.
    fn order(&self, column: &str) -> &'static str {
        if self.sort == column {
            "ascending"
        } else if self.sort.strip_prefix('-') == Some(column) {
            "descending"
        } else {
            "none"
        }
    }

    fn is(&self, state: &str) -> bool {
        self.state == state
    }

    fn is_narrowed(&self) -> bool {
        !self.name_filter.is_empty() || !self.state.is_empty()
    }
}

/// `admin.html`: the users.
#[derive(Debug, Template)]
#[template(path = "admin.html")]
pub struct AdminUsersPage {
    pub page: Page,
    pub rows: Vec<UserRow>,
    pub filter: UserFilter,
    pub offset: i64,
    pub paging: Paging,
    pub may_add: bool,
    pub may_make_admin: bool,
    /// What was written into the form for new users that is shown again, and why.
    pub usernames: String,
    pub admin: bool,
    pub error: Option<String>,
}

impl AdminUsersPage {
    /// The query of this very page.
    fn query(&self) -> String {
        self.filter.link(&self.filter.sort, self.offset)
    }

    /// This very page, to come back to.
    fn here(&self) -> String {
        format!("{}admin{}", self.page.hub, self.query())
    }

    /// A form that acts on all who are shown would do something.
    fn may_start(&self) -> bool {
        let mut rows = self.rows.iter().flat_map(|row| &row.servers);
        rows.any(|row| row.may_start && !row.is_named())
    }

    fn may_stop(&self) -> bool {
        let mut rows = self.rows.iter().flat_map(|row| &row.servers);
        rows.any(|row| row.may_stop)
    }
}

/// `admin_user.html`: one user.
#[derive(Debug, Template)]
#[template(path = "admin_user.html")]
pub struct AdminUserPage {
    pub page: Page,
    pub row: UserRow,
    pub created: String,
    pub groups: Vec<Link>,
    pub may_make_admin: bool,
    pub error: Option<String>,
}

impl AdminUserPage {
    fn here(&self) -> &str {
        &self.row.url
    }
}

/// `admin_groups.html`: the groups, each with the number of its members.
#[derive(Debug, Template)]
#[template(path = "admin_groups.html")]
pub struct AdminGroupsPage {
    pub page: Page,
    pub rows: Vec<(Link, i64)>,
    pub paging: Paging,
    pub may_add: bool,
    pub error: Option<String>,
}

/// `admin_group.html`: one group.
#[derive(Debug, Template)]
#[template(path = "admin_group.html")]
pub struct AdminGroupPage {
    pub page: Page,
    pub name: String,
    /// `<hub>admin/groups/<escaped>`
    pub url: String,
    pub members: Vec<Link>,
    /// As JSON.
    pub properties: String,
    pub may_change: bool,
    pub may_delete: bool,
    pub error: Option<String>,
}

/// `admin_servers.html`: all servers that are not stopped.
#[derive(Debug, Template)]
#[template(path = "admin_servers.html")]
pub struct AdminServersPage {
    pub page: Page,
    pub rows: Vec<AdminRow>,
    pub paging: Paging,
}

impl AdminServersPage {
    fn here(&self) -> String {
        format!("{}admin/servers", self.page.hub)
    }
}

/// `admin_hub.html`: the Hub itself.
#[derive(Debug, Template)]
#[template(path = "admin_hub.html")]
pub struct HubPage {
    pub page: Page,
    pub version: &'static str,
    /// How many servers are not stopped.
    pub active: usize,
    /// `JupyterHub.cleanup_servers`
    pub stops_servers: bool,
    pub may_shut_down: bool,
}

/// `shutting_down.html`: the Hub is about to end.
#[derive(Debug, Template)]
#[template(path = "shutting_down.html")]
pub struct ShuttingDownPage {
    pub page: Page,
    /// The servers are stopped as well.
    pub servers: bool,
}
