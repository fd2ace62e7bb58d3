//! The shapes of JupyterHub's models (its docs, "rest-api.yml"), for the OpenAPI document; `models` makes them.

use std::borrow::Cow;
use std::marker::PhantomData;

use schemars_of_aide::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::json;

/// Each shape is a type without a value.
macro_rules! shapes {
    ($($(#[$doc:meta])* $name:ident = |$schemas:ident| $shape:tt;)*) => { $(
        $(#[$doc])*
        #[derive(Debug)]
        pub enum $name {}

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema($schemas: &mut SchemaGenerator) -> Schema {
                json_schema!($shape)
            }
        }
    )* };
}

shapes! {
    /// What every error is told in.
    Failure = |_schemas| {
        "type": "object",
        "properties": { "status": { "type": "integer" }, "message": { "type": "string" } },
        "required": ["status", "message"],
        "additionalProperties": false,
    };
    Version = |_schemas| {
        "type": "object",
        "properties": { "version": { "type": "string" } },
        "required": ["version"],
        "additionalProperties": false,
    };
    Information = |_schemas| {
        "type": "object",
        "properties": {
            "version": { "type": "string" },
            "python": { "type": "string" },
            "sys_executable": { "type": "string" },
            "spawner": class(),
            "authenticator": class(),
        },
        "required": ["version", "python", "sys_executable", "spawner", "authenticator"],
        "additionalProperties": false,
    };
    Message = |_schemas| {
        "type": "object",
        "properties": { "message": { "type": "string" } },
        "required": ["message"],
        "additionalProperties": false,
    };
    /// Who may read less sees fewer keys.
    User = |schemas| {
        "type": "object",
        "properties": user(schemas),
        "required": ["kind", "name"],
        "additionalProperties": false,
    };
    /// Who calls: a user or a service, with what the token or the login may do.
    Itself = |_schemas| {
        "type": "object",
        "properties": {
            "kind": { "enum": ["user", "service"] },
            "name": { "type": "string" },
            "token_id": { "type": ["string", "null"] },
            "session_id": { "type": ["string", "null"] },
            "scopes": texts(),
        },
        "required": ["kind", "name", "token_id", "session_id", "scopes"],
    };
    /// Whose token it is.
    TokenOwner = |_schemas| {
        "type": "object",
        "properties": { "kind": { "enum": ["user", "service"] }, "name": { "type": "string" } },
        "required": ["kind", "name"],
    };
    Server = |_schemas| {
        "type": "object",
        "properties": {
            "name": { "type": "string", "description": "Empty for the default server." },
            "display_name": { "type": "string" },
            "full_name": { "type": "string" },
            "last_activity": time(),
            "started": time(),
            "pending": { "enum": ["spawn", "stop", null] },
            "ready": { "type": "boolean" },
            "stopped": { "type": "boolean" },
            "url": { "type": "string" },
            "user_options": { "type": ["object", "null"] },
            "full_url": { "type": ["string", "null"] },
            "progress_url": { "type": "string" },
            "full_progress_url": { "type": ["string", "null"] },
            "state": { "type": "object" },
            "stops_at": time(),
            "stop_reason": { "type": ["string", "null"] },
        },
        "required": ["name", "full_name", "pending", "ready", "stopped", "url", "progress_url"],
    };
    Token = |_schemas| {
        "type": "object",
        "properties": token(),
        "required": ["id", "kind", "scopes", "created"],
        "additionalProperties": false,
    };
    NewToken = |_schemas| {
        "type": "object",
        "properties": token(),
        "required": ["id", "kind", "scopes", "created", "token"],
        "additionalProperties": false,
    };
    Tokens = |schemas| {
        "type": "object",
        "properties": { "api_tokens": list(schemas.subschema_for::<Token>()) },
        "required": ["api_tokens"],
        "additionalProperties": false,
    };
    Group = |_schemas| {
        "type": "object",
        "properties": {
            "kind": { "const": "group" },
            "name": { "type": "string" },
            "roles": texts(),
            "users": texts(),
            "properties": { "type": "object" },
        },
        "required": ["kind", "name"],
        "additionalProperties": false,
    };
    Service = |_schemas| {
        "type": "object",
        "properties": {
            "kind": { "const": "service" },
            "name": { "type": "string" },
            "admin": { "type": "boolean" },
            "roles": texts(),
            "url": { "type": "string" },
            "prefix": { "type": "string" },
            "command": texts(),
            "pid": { "type": "integer" },
            "info": { "type": "object" },
            "display": { "type": "boolean" },
        },
        "required": ["kind", "name"],
        "additionalProperties": false,
    };
    /// By their names.
    Services = |schemas| {
        "type": "object",
        "additionalProperties": schemas.subschema_for::<Service>(),
    };
    Route = |_schemas| {
        "type": "object",
        "properties": {
            "routespec": { "type": "string" },
            "target": { "type": "string" },
            "data": { "type": "object" },
        },
        "required": ["routespec", "target", "data"],
        "additionalProperties": false,
    };
    /// By their prefixes.
    Routes = |schemas| {
        "type": "object",
        "additionalProperties": schemas.subschema_for::<Route>(),
    };
    /// Nothing of it where it was taken back as a whole.
    Share = |_schemas| {
        "type": "object",
        "properties": {
            "server": shared_server(),
            "scopes": texts(),
            "user": { "type": ["object", "null"] },
            "group": { "type": ["object", "null"] },
            "kind": { "enum": ["user", "group"] },
            "created_at": time(),
        },
        "additionalProperties": false,
    };
    ShareCode = |_schemas| {
        "type": "object",
        "properties": {
            "server": shared_server(),
            "scopes": texts(),
            "id": { "type": "string" },
            "created_at": time(),
            "expires_at": time(),
            "exchange_count": { "type": "integer" },
            "last_exchanged_at": time(),
            "code": { "type": "string", "description": "In the answer to its creation alone." },
            "accept_url": { "type": "string" },
            "full_accept_url": { "type": ["string", "null"] },
        },
        "required": ["server", "scopes", "id", "created_at", "expires_at", "exchange_count"],
        "additionalProperties": false,
    };
    /// Who did what.
    Deed = |_schemas| {
        "type": "object",
        "properties": {
            "time": time(),
            "kind": { "enum": ["user", "service"] },
            "name": { "type": "string" },
            "token_id": { "type": ["string", "null"] },
            "address": { "type": "string" },
            "method": { "type": "string" },
            "path": { "type": "string" },
            "status": { "type": "integer", "description": "Of the answer; 0 where the Hub ended, or the client left, before there was one." },
        },
        "required": ["time", "kind", "name", "address", "method", "path", "status"],
        "additionalProperties": false,
    };
    /// One run of a server.
    Run = |_schemas| {
        "type": "object",
        "properties": {
            "user": { "type": "string" },
            "server": { "type": "string" },
            "asked": time(),
            "ready": time(),
            "ended": time(),
            "failure": { "type": ["string", "null"] },
            "hours": { "type": "number" },
        },
        "required": ["user", "server", "asked", "hours"],
        "additionalProperties": false,
    };
    /// One of the server-sent events; the last one has `ready` or `failed`.
    Progress = |_schemas| {
        "type": "object",
        "properties": {
            "progress": { "type": "integer", "minimum": 0, "maximum": 100 },
            "message": { "type": "string" },
            "html_message": { "type": "string" },
            "ready": { "const": true },
            "failed": { "const": true },
            "url": { "type": "string" },
        },
        "required": ["progress", "message"],
        "additionalProperties": false,
    };
}

/// Shapes of parts of what is long, each a type of another shape.
macro_rules! parts {
    ($($(#[$doc:meta])* $name:ident = |$whole:ident| $shape:expr;)*) => { $(
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name<T>(PhantomData<fn() -> T>);

        impl<T: JsonSchema> JsonSchema for $name<T> {
            fn schema_name() -> Cow<'static, str> {
                format!("{} of {}", stringify!($name), T::schema_name()).into()
            }

            fn inline_schema() -> bool {
                true
            }

            fn json_schema(schemas: &mut SchemaGenerator) -> Schema {
                let $whole = schemas.subschema_for::<T>();
                $shape.try_into().unwrap_or_default()
            }
        }
    )* };
}

parts! {
    /// A part of a list: bare, or with `_pagination` for who accepts `application/jupyterhub-pagination+json`.
    Listed = |item| {
        let items = list(item);
        json!({ "anyOf": [items, page(&items)] })
    };
    /// The same of what is a map and no list.
    ListedMap = |map| {
        let map = json!(map);
        json!({ "anyOf": [page(&map), map] })
    };
    /// A part of a list that always has `_pagination`.
    Page = |item| page(&list(item));
}

type Json = serde_json::Value;

fn page(items: &Json) -> Json {
    let next = json!({
        "type": "object",
        "properties": {
            "offset": { "type": "integer" },
            "limit": { "type": "integer" },
            "url": { "type": "string" },
        },
        "required": ["offset", "limit", "url"],
    });
    let pagination = json!({
        "type": "object",
        "properties": {
            "offset": { "type": "integer" },
            "limit": { "type": "integer" },
            "total": { "type": "integer" },
            "next": { "anyOf": [next, { "type": "null" }] },
        },
        "required": ["offset", "limit", "total", "next"],
    });
    json!({
        "type": "object",
        "properties": { "items": items, "_pagination": pagination },
        "required": ["items", "_pagination"],
        "additionalProperties": false,
    })
}

fn list(of: Schema) -> Json {
    json!({ "type": "array", "items": of })
}

fn texts() -> Json {
    json!({ "type": "array", "items": { "type": "string" } })
}

fn time() -> Json {
    json!({ "type": ["string", "null"], "format": "date-time" })
}

fn class() -> Json {
    json!({
        "type": "object",
        "properties": { "class": { "type": "string" }, "version": { "type": "string" } },
        "required": ["class", "version"],
    })
}

fn user(schemas: &mut SchemaGenerator) -> Json {
    json!({
        "kind": { "const": "user" },
        "name": { "type": "string" },
        "admin": { "type": "boolean" },
        "roles": texts(),
        "groups": texts(),
        "server": { "type": ["string", "null"] },
        "pending": { "enum": ["spawn", "stop", null] },
        "created": time(),
        "last_activity": time(),
        "auth_state": { "type": ["object", "null"] },
        "user_info": { "type": ["object", "null"] },
        "servers": { "type": "object", "additionalProperties": schemas.subschema_for::<Server>() },
    })
}

fn token() -> Json {
    json!({
        "user": { "type": "string" },
        "id": { "type": "string" },
        "kind": { "const": "api_token" },
        "roles": texts(),
        "scopes": texts(),
        "created": time(),
        "last_activity": time(),
        "expires_at": time(),
        "note": { "type": "string" },
        "session_id": { "type": ["string", "null"] },
        "oauth_client": { "type": "string" },
        "token": { "type": "string", "description": "In the answer to its creation alone." },
    })
}

fn shared_server() -> Json {
    json!({
        "type": "object",
        "properties": {
            "user": { "type": "object" },
            "name": { "type": "string" },
            "url": { "type": "string" },
            "full_url": { "type": ["string", "null"] },
            "ready": { "type": "boolean" },
        },
        "required": ["user", "name", "url", "ready"],
    })
}
