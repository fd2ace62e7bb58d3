//! The JSON models of users, servers and tokens (jupyterhub/apihandlers/base.py), cut to what the caller may read.

use serde_json::{Map, Value, json};

use crate::app::App;
use crate::auth::username::escape;
use crate::db::servers::{Server, State};
use crate::db::tokens::ApiToken;
use crate::db::users::User;
use crate::scopes::{Scopes, Target};
use crate::time::iso;

/// The keys of a user's model that each scope shows.
const USER_KEYS: &[(&str, &[&str])] = &[
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
];

pub fn user(
    app: &App,
    user: &User,
    servers: &[Server],
    include_stopped: bool,
    scopes: &Scopes,
) -> Map<String, Value> {
    let default = servers.iter().find(|server| server.name.is_empty());
    let running = default.filter(|server| matches!(server.state, State::Ready | State::Stopping));
    let role = if user.admin { "admin" } else { "user" };
    let mut model = json!({
        "kind": "user",
        "name": user.name,
        "admin": user.admin,
        "roles": [role],
        "groups": app.config.jupyter_hub.load_groups.of(&user.name),
        "server": running.map(|server| &server.prefix),
        "pending": default.and_then(pending),
        "created": iso(user.created),
        "last_activity": user.last_activity.map(iso),
        "user_info": {},
    });
    let Some(model) = model.as_object_mut() else {
        return Map::new();
    };
    let readable = servers
        .iter()
        .filter(|server| include_stopped || server.state != State::Stopped);
    let readable = readable.filter(|server| scopes.holds("read:servers", target(server)));
    let readable: Map<String, Value> = readable
        .map(|entry| (entry.name.clone(), server(app, entry, scopes)))
        .collect();
    let any_server = !readable.is_empty();
    model.insert("servers".to_owned(), Value::Object(readable));
    let held = USER_KEYS
        .iter()
        .filter(|(scope, _)| scopes.holds(scope, Target::User(&user.name)));
    let mut keys: Vec<&str> = held.flat_map(|(_, keys)| keys.iter().copied()).collect();
    if any_server {
        keys.extend(["kind", "name", "servers"]);
    }
    model.retain(|key, _| keys.contains(&key.as_str()));
    std::mem::take(model)
}

pub fn server(app: &App, server: &Server, scopes: &Scopes) -> Value {
    let mut model = json!({
        "name": server.name,
        "display_name": server.name,
        "full_name": format!("{}/{}", server.user, server.name),
        "last_activity": server.last_activity.map(iso),
        "started": server.started.filter(|_| server.state != State::Stopped).map(iso),
        "pending": pending(server),
        "ready": server.state == State::Ready,
        "stopped": server.state == State::Stopped,
        "url": server.prefix,
        "user_options": server.user_options,
        "full_url": null,
        "full_progress_url": null,
        "progress_url": app.urls.progress(&server.user, &server.name),
    });
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

pub fn token(token: &ApiToken, owner: &User) -> Map<String, Value> {
    let client = token.client_id.as_deref().unwrap_or("JupyterHub");
    let model = json!({
        "user": owner.name,
        "id": format!("a{}", token.id),
        "kind": "api_token",
        "roles": [],
        "scopes": token.scopes,
        "created": iso(token.created),
        "last_activity": token.last_activity.map(iso),
        "expires_at": token.expires.map(iso),
        "note": token.note,
        "session_id": token.session_id,
        "oauth_client": client,
    });
    match model {
        Value::Object(model) => model,
        _ => Map::new(),
    }
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
