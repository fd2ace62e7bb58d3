//! The admin page's templates, for the tests of all.

use super::super::admin::*;
use super::*;

fn entry(text: fn() -> String, name: &str, state: ServerState) -> AdminRow {
    let mut server = server(text, "", state);
    server.name = name.to_owned();
    AdminRow {
        server,
        may_open: true,
        may_start: true,
        may_stop: true,
        start_url: text(),
        delete_url: text(),
    }
}

fn entries(text: fn() -> String) -> Vec<AdminRow> {
    let entries = STATES
        .iter()
        .flat_map(|state| ["", "gpu"].map(|name| (name, *state)));
    entries
        .map(|(name, state)| entry(text, name, state))
        .collect()
}

fn row(text: fn() -> String, may: bool) -> UserRow {
    UserRow {
        name: text(),
        url: text(),
        admin: may,
        is_own: false,
        last_activity: may.then(text),
        servers: if may { entries(text) } else { Vec::new() },
        may_change: may,
        may_delete: may,
    }
}

fn paging(text: fn() -> String, rows: bool) -> Paging {
    Paging {
        first: 0,
        last: 0,
        total: if rows { 7 } else { 0 },
        previous: rows.then(text),
        next: rows.then(text),
    }
}

pub fn pages(page: &Page, text: fn() -> String) -> Vec<Rendered> {
    let link = || Link {
        name: text(),
        url: text(),
    };
    let mut pages = Vec::new();
    for may in [true, false] {
        let users = AdminUsersPage {
            page: page.clone(),
            rows: if may {
                vec![row(text, true), row(text, false)]
            } else {
                Vec::new()
            },
            filter: UserFilter {
                name_filter: text(),
                state: text(),
                sort: text(),
            },
            offset: 0,
            paging: paging(text, may),
            may_add: may,
            may_make_admin: may,
            usernames: text(),
            admin: may,
            error: Some(text()),
        };
        let user = AdminUserPage {
            page: page.clone(),
            row: row(text, may),
            created: text(),
            groups: vec![link()],
            may_make_admin: may,
            error: may.then(text),
        };
        let groups = AdminGroupsPage {
            page: page.clone(),
            rows: if may { vec![(link(), 3)] } else { Vec::new() },
            paging: paging(text, may),
            may_add: may,
            error: Some(text()),
        };
        let group = AdminGroupPage {
            page: page.clone(),
            name: text(),
            url: text(),
            members: if may { vec![link()] } else { Vec::new() },
            properties: text(),
            may_change: may,
            may_delete: may,
            error: may.then(text),
        };
        let servers = AdminServersPage {
            page: page.clone(),
            rows: if may { entries(text) } else { Vec::new() },
            paging: paging(text, may),
        };
        let hub = HubPage {
            page: page.clone(),
            version: "1",
            active: 2,
            stops_servers: may,
            may_shut_down: may,
        };
        let down = ShuttingDownPage {
            page: page.clone(),
            servers: may,
        };
        pages.extend([
            ("admin", users.render()),
            ("admin_user", user.render()),
            ("admin_groups", groups.render()),
            ("admin_group", group.render()),
            ("admin_servers", servers.render()),
            ("admin_hub", hub.render()),
            ("shutting_down", down.render()),
        ]);
    }
    pages
}
