//! Servers as lists of pages show them.

use crate::access::scopes::Target;
use crate::app::App;
use crate::auth::caller::Login;
use crate::auth::username::escape;
use crate::db::now;
use crate::db::servers::{Announced, Server, State};
use crate::servers::split_failure;
use crate::templates::admin::{AdminRow, Link};
use crate::templates::home::{EndingRow, ServerRow, ServerState};
use crate::time;

pub fn server(app: &App, server: Server) -> ServerRow {
    let page = |page| app.urls.page(page, &server.user, &server.name);
    let failure = server.failure.as_deref();
    ServerRow {
        spawn_url: page("spawn"),
        stop_url: page("stop"),
        pending_url: page("spawn-pending"),
        state: state(server.state),
        last_activity: server.last_activity.map(time::human),
        failure: failure.map(|failure| split_failure(failure).0.to_owned()),
        ending: server
            .ending()
            .map(|told| ending(told, page("keep-running"))),
        owner: server.user,
        name: server.name,
        display_name: server.display_name,
        server_url: app.urls.public(&server.prefix),
    }
}

fn ending(told: &Announced, keep_url: String) -> EndingRow {
    EndingRow {
        at: time::human(told.at),
        minutes: told.at.saturating_sub(now()).max(0) / 60_000 + 1,
        reason: told.reason.clone(),
        keep_url: (!told.is_final).then_some(keep_url),
    }
}

fn target(server: &Server) -> Target<'_> {
    Target::Server {
        user: &server.user,
        server: &server.name,
    }
}

pub fn may_read(login: &Login, server: &Server) -> bool {
    login.scopes.holds("read:servers", target(server))
}

/// With what the visitor may do with it; none where they may not see it.
pub fn administered(app: &App, login: &Login, server: Server) -> Option<AdminRow> {
    if !may_read(login, &server) {
        return None;
    }
    let holds = |scope| login.scopes.holds(scope, target(&server));
    let page = |page| app.urls.page(page, &server.user, &server.name);
    Some(AdminRow {
        may_open: holds("access:servers"),
        may_start: holds("start:servers"),
        may_stop: holds("delete:servers"),
        start_url: page("admin/start"),
        delete_url: page("admin/delete-server"),
        server: self::server(app, server),
    })
}

fn state(state: State) -> ServerState {
    match state {
        State::Stopped => ServerState::Stopped,
        State::Pending => ServerState::Starting,
        State::Ready => ServerState::Running,
        State::Stopping => ServerState::Stopping,
    }
}

/// Where the admin page tells of a group.
pub fn group_url(app: &App, name: &str) -> String {
    format!("{}admin/groups/{}", app.urls.hub, escape(name))
}

pub fn group_link(app: &App, name: String) -> Link {
    Link {
        url: group_url(app, &name),
        name,
    }
}

pub fn group_links(app: &App, names: Vec<String>) -> Vec<Link> {
    names
        .into_iter()
        .map(|name| group_link(app, name))
        .collect()
}

/// Where the admin page tells of a user.
pub fn user_url(app: &App, name: &str) -> String {
    format!("{}admin/users/{}", app.urls.hub, escape(name))
}

pub fn user_links(app: &App, names: Vec<String>) -> Vec<Link> {
    let link = |name: String| Link {
        url: user_url(app, &name),
        name,
    };
    names.into_iter().map(link).collect()
}
