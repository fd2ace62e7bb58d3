//! The JSON models of users, groups, services, servers, tokens and shares (jupyterhub/apihandlers/base.py and
//! shares.py), cut to what the caller may read.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use crate::access::roles;
use crate::access::scopes::{Scopes, Target};
use crate::access::sharing;
use crate::app::App;
use crate::auth::username::escape;
use crate::db::groups::Group;
use crate::db::roles::Role;
use crate::db::servers::{Server, State};
use crate::db::services::Service;
use crate::db::share_codes::ShareCode;
use crate::db::shares::{Partner, Share, SharedServer};
use crate::db::tokens::ApiToken;
use crate::db::users::User;
use crate::db::{Db, Result};
use crate::time::iso;

type Model = Map<String, Value>;
/// The keys of a model that each scope shows.
type Keys = &'static [(&'static str, &'static [&'static str])];

const USER_KEYS: Keys = &[
    (
        "read:users",
        &[
            "kind",
            "name",
            "user_info",
            "admin",
            "roles",
            "groups",
            "server",
            "pending",
            "created",
            "last_activity",
        ],
    ),
    ("read:users:name", &["kind", "name", "user_info", "admin"]),
    ("read:users:groups", &["kind", "name", "groups"]),
    ("read:users:activity", &["kind", "name", "last_activity"]),
    ("read:servers", &["kind", "name", "servers"]),
    ("read:roles:users", &["kind", "name", "roles", "admin"]),
    ("admin:auth_state", &["kind", "name", "auth_state"]),
];
const GROUP_KEYS: Keys = &[
    ("read:groups", &["kind", "name", "properties", "users"]),
    ("read:groups:name", &["kind", "name"]),
    ("read:roles:groups", &["kind", "name", "roles"]),
];
const SERVICE_KEYS: Keys = &[
    (
        "read:services",
        &[
            "kind", "name", "admin", "url", "prefix", "command", "pid", "info", "display",
        ],
    ),
    ("read:services:name", &["kind", "name", "admin"]),
    ("read:roles:services", &["kind", "name", "roles", "admin"]),
];

/// What is told of a user beside the row itself.
#[derive(Debug, Default)]
pub struct Relations {
    pub groups: Vec<String>,
    /// Roles of the configuration.
    pub roles: Vec<String>,
    pub servers: Vec<Server>,
}

impl Relations {
    pub async fn of(db: &Db, user: &User) -> Result<Self> {
        let mut all = Self::of_all(db, std::slice::from_ref(user)).await?;
        Ok(all.remove(&user.id).unwrap_or_default())
    }

    /// Of each user of a page by the key of the user, with as many requests as for one.
    pub async fn of_all(db: &Db, users: &[User]) -> Result<HashMap<i64, Self>> {
        let ids: Vec<i64> = users.iter().map(|user| user.id).collect();
        let mut all: HashMap<i64, Self> = HashMap::new();
        for (user, group) in db.groups_of_users(&ids).await? {
            all.entry(user).or_default().groups.push(group);
        }
        for (user, role) in db.role_names_of_users(&ids).await? {
            all.entry(user).or_default().roles.push(role);
        }
        for server in db.servers_of_users(&ids).await? {
            all.entry(server.user_id).or_default().servers.push(server);
        }
        Ok(all)
    }
}

pub fn user(
    app: &App,
    user: &User,
    relations: &Relations,
    include_stopped: bool,
    scopes: &Scopes,
) -> Model {
    let servers = &relations.servers;
    let default = servers.iter().find(|server| server.name.is_empty());
    let running = default.filter(|server| matches!(server.state, State::Ready | State::Stopping));
    let model = json!({
        "kind": "user",
        "name": user.name,
        "admin": user.admin,
        "roles": all_roles(roles::of_user(user.admin), &relations.roles),
        "groups": relations.groups,
        "server": running.map(|server| app.urls.public(&server.prefix)),
        "pending": default.and_then(pending),
        "created": iso(user.created),
        "last_activity": user.last_activity.map(iso),
        "auth_state": null,
        "user_info": null,
    });
    let never = default.is_none() && include_stopped;
    let never = never.then(|| Server::never_started(user, app.urls.server(&user.name, "")));
    let readable = servers
        .iter()
        .chain(&never)
        .filter(|server| include_stopped || server.state != State::Stopped)
        .filter(|server| scopes.holds("read:servers", target(server)));
    let readable: Model = readable
        .map(|entry| (entry.name.clone(), server(app, entry, scopes)))
        .collect();
    let mut model = cut(model, USER_KEYS, Target::User(&user.name), scopes);
    // Whoever may see one server of a user only sees that the user has it.
    if scopes.holds("read:servers", Target::User(&user.name))
        || !(model.is_empty() || readable.is_empty())
    {
        model.insert("servers".to_owned(), Value::Object(readable));
    }
    model
}

/// Those of the configuration may be among the default ones, with other scopes.
fn all_roles<'a>(defaults: &[&'a str], configured: &'a [String]) -> Vec<&'a str> {
    let configured = configured.iter().map(String::as_str);
    let further = configured.filter(|name| !defaults.contains(name));
    defaults.iter().copied().chain(further).collect()
}

/// What roles are called.
pub fn role_names(roles: Vec<Role>) -> Vec<String> {
    roles.into_iter().map(|role| role.name).collect()
}

/// The keys that the caller's scopes show.
fn cut(model: Value, keys: Keys, target: Target<'_>, scopes: &Scopes) -> Model {
    let Value::Object(mut model) = model else {
        return Model::new();
    };
    let held = keys.iter().filter(|(scope, _)| scopes.holds(scope, target));
    let shown: Vec<&str> = held.flat_map(|(_, keys)| keys.iter().copied()).collect();
    model.retain(|key, _| shown.contains(&key.as_str()));
    model
}

pub fn group(group: &Group, members: &[String], roles: &[String], scopes: &Scopes) -> Model {
    let model = json!({
        "kind": "group",
        "name": group.name,
        "roles": roles,
        "users": members,
        "properties": group.properties,
    });
    cut(model, GROUP_KEYS, Target::Group(&group.name), scopes)
}

pub fn service(app: &App, service: &Service, configured: &[String], scopes: &Scopes) -> Model {
    let led = !service.url.is_empty();
    let model = json!({
        "kind": "service",
        "name": service.name,
        "roles": all_roles(roles::of_service(service.admin), configured),
        "admin": service.admin,
        "url": service.url,
        "prefix": if led { app.urls.service(&service.name) } else { String::new() },
        "command": service.command,
        "pid": 0,
        "info": service.info,
        "display": service.display,
    });
    cut(model, SERVICE_KEYS, Target::Service(&service.name), scopes)
}

pub fn server(app: &App, server: &Server, scopes: &Scopes) -> Value {
    let progress = app.urls.progress(&server.user, &server.name);
    let mut model = json!({
        "name": server.name,
        "display_name": display_name(server),
        "full_name": format!("{}/{}", server.user, server.name),
        "last_activity": server.last_activity.map(iso),
        "started": server.started.filter(|_| server.state != State::Stopped).map(iso),
        "pending": pending(server),
        "ready": server.state == State::Ready,
        "stopped": server.state == State::Stopped,
        "url": app.urls.public(&server.prefix),
        "user_options": server.user_options,
        "full_url": app.urls.full(&server.prefix),
        "full_progress_url": app.urls.full(&progress),
        "progress_url": progress,
    });
    // JupyterHub has nothing of the kind.
    if let (Some(told), Some(model)) = (server.ending(), model.as_object_mut()) {
        model.insert("stops_at".to_owned(), json!(iso(told.at)));
        model.insert("stop_reason".to_owned(), json!(told.reason));
    }
    if let Some(model) = model.as_object_mut()
        && scopes.holds("admin:server_state", target(server))
    {
        model.insert(
            "state".to_owned(),
            server.spawner_state.clone().unwrap_or_else(|| json!({})),
        );
    }
    model
}

fn display_name(server: &Server) -> &str {
    if server.display_name.is_empty() {
        &server.name
    } else {
        &server.display_name
    }
}

pub fn token(token: &ApiToken, owner: &User, scopes: &Scopes) -> Model {
    let client = token.client_id.as_deref().unwrap_or("JupyterHub");
    let model = json!({
        "user": owner.name,
        "id": format!("a{}", token.id),
        "kind": "api_token",
        "roles": [],
        "scopes": scopes.to_list(),
        "created": iso(token.created),
        "last_activity": token.last_activity.map(iso),
        "expires_at": token.expires.map(iso),
        "note": token.note,
        "session_id": token.session_id,
        "oauth_client": client,
    });
    match model {
        Value::Object(model) => model,
        _ => Model::new(),
    }
}

pub fn share(app: &App, share: &Share) -> Value {
    let (kind, user, group) = match &share.with {
        Partner::User(name) => ("user", Some(json!({ "name": name })), None),
        Partner::Group(name) => ("group", None, Some(json!({ "name": name }))),
    };
    json!({
        "server": shared_server(app, &share.server),
        "scopes": shared_scopes(&share.server, &share.scopes),
        "user": user,
        "group": group,
        "kind": kind,
        "created_at": iso(share.created),
    })
}

/// With the code itself just after it was made, and never again.
pub fn share_code(app: &App, stored: &ShareCode, code: Option<&str>) -> Value {
    let mut model = json!({
        "server": shared_server(app, &stored.server),
        "scopes": shared_scopes(&stored.server, &stored.scopes),
        "id": format!("sc_{}", stored.id),
        "created_at": iso(stored.created),
        "expires_at": iso(stored.expires),
        "exchange_count": stored.exchange_count,
        "last_exchanged_at": stored.last_exchanged.map(iso),
    });
    if let (Some(code), Some(model)) = (code, model.as_object_mut()) {
        model.insert("code".to_owned(), json!(code));
        let accept = app.urls.accept_share(code);
        let full = app.urls.full(&accept);
        model.insert("accept_url".to_owned(), json!(accept));
        model.insert("full_accept_url".to_owned(), json!(full));
    }
    model
}

/// Who may read a share reads this much of the server.
fn shared_server(app: &App, server: &SharedServer) -> Value {
    json!({
        "user": { "name": server.owner },
        "name": server.name,
        "url": app.urls.public(&server.prefix),
        "full_url": app.urls.full(&server.prefix),
        "ready": server.ready,
    })
}

fn shared_scopes(server: &SharedServer, scopes: &[String]) -> Vec<String> {
    sharing::filtered(scopes, &server.owner, &server.name)
}

fn pending(server: &Server) -> Option<&'static str> {
    match server.state {
        State::Pending => Some("spawn"),
        State::Stopping => Some("stop"),
        State::Ready | State::Stopped => None,
    }
}

fn target(server: &Server) -> Target<'_> {
    Target::Server {
        user: &server.user,
        server: &server.name,
    }
}

/// Where a token lies: `Location` of a new one.
pub fn token_url(app: &App, owner: &User, id: i64) -> String {
    format!(
        "{}api/users/{}/tokens/a{id}",
        app.urls.hub,
        escape(&owner.name)
    )
}
