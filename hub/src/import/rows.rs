//! Rows of JupyterHub's database as those of this Hub: pure, and says what has no place here.

use std::collections::HashMap;
use std::net::IpAddr;

use carrel_spawner::kube::imported;
use serde_json::{Value, json};

use crate::access::scopes::access_scopes;
use crate::app::Urls;
use crate::auth::username;
use crate::db::imported::{Group, Import, Running, Server, Share, Token, User};
use crate::db::{jupyterhub, now};
use crate::servers::redirect_uri;
use crate::subdomains::Subdomains;
use crate::time;

/// What is to be written, and what is not.
#[derive(Debug, Default)]
pub struct Made {
    pub import: Import,
    /// What is not taken, for people.
    pub notes: Vec<String>,
    /// Servers that run as processes.
    pub processes: Vec<String>,
    users: HashMap<i64, usize>,
    groups: HashMap<i64, usize>,
    servers: HashMap<i64, usize>,
}

impl Made {
    pub fn of(
        found: &jupyterhub::JupyterHub,
        base: &str,
        subdomains: Option<Subdomains>,
        existing_users: bool,
    ) -> Self {
        let urls = Urls {
            base: base.to_owned(),
            hub: String::new(),
            api: String::new(),
            subdomains,
            origin: None,
        };
        let mut made = Self::default();
        made.add_users(found, existing_users);
        made.add_groups(found);
        for server in &found.servers {
            made.add_server(server, &urls);
        }
        made.add_tokens(found);
        made.add_shares(found);
        made.note_the_rest(found);
        made
    }

    fn add_users(&mut self, found: &jupyterhub::JupyterHub, added: bool) {
        for user in &found.users {
            // The rule for new names is JupyterHub's own; older rows may break it.
            let Ok(name) = username::normalize(&user.name) else {
                self.notes
                    .push(format!("user {:?}: no user may have this name", user.name));
                continue;
            };
            if self.import.users.iter().any(|other| other.name == name) {
                self.notes.push(format!(
                    "user {:?}: there is {name:?}, and names are in small letters",
                    user.name
                ));
                continue;
            }
            self.users.insert(user.id, self.import.users.len());
            self.import.users.push(User {
                name,
                admin: user.admin != 0,
                added,
                created: time(&user.created).unwrap_or_else(now),
                last_activity: time(&user.last_activity),
            });
        }
    }

    fn add_groups(&mut self, found: &jupyterhub::JupyterHub) {
        for group in &found.groups {
            let members = found.members.iter().filter(|(of, _)| *of == group.id);
            let members = members.filter_map(|(_, user)| self.users.get(user).copied());
            self.groups.insert(group.id, self.import.groups.len());
            self.import.groups.push(Group {
                name: group.name.clone(),
                properties: object(&group.properties),
                members: members.collect(),
            });
        }
    }

    fn add_server(&mut self, server: &jupyterhub::Server, urls: &Urls) {
        let Some(&user) = self.users.get(&server.user_id) else {
            return;
        };
        let owner = self.import.users[user].name.clone();
        let prefix = urls.server(&owner, &server.name);
        let running = self.running(server, &owner, urls, &prefix);
        let last_state = Some(object(&server.state)).filter(|_| running.is_none());
        self.servers.insert(server.id, self.import.servers.len());
        self.import.servers.push(Server {
            user,
            name: server.name.clone(),
            display_name: server.display_name.clone().unwrap_or_default(),
            user_options: object(&server.user_options),
            prefix,
            started: time(&server.started),
            last_activity: time(&server.last_activity),
            running,
            last_state,
        });
    }

    /// A server that runs: a pod, which is adopted.
    fn running(
        &mut self,
        server: &jupyterhub::Server,
        owner: &str,
        urls: &Urls,
        prefix: &str,
    ) -> Option<Running> {
        let (ip, port) = (server.ip.as_deref()?, u16::try_from(server.port?).ok()?);
        let full_name = format!("{owner}/{}", server.name);
        let full_name = full_name.trim_end_matches('/');
        let state = object(&server.state);
        let address = ip.parse::<IpAddr>().ok().map(|_| ip);
        let Some((start_id, state)) = imported(&state, port, address) else {
            self.processes.push(full_name.to_owned());
            return None;
        };
        if server.base_url.as_deref() != Some(prefix) {
            let there = server.base_url.as_deref().unwrap_or_default();
            self.notes.push(format!(
                "server {full_name} is not adopted: it is at {there}, and would be at {prefix} (JupyterHub.base_url); delete its pod"
            ));
            return None;
        }
        let client = server.client_id.clone().zip(server.client_secret.clone());
        let Some((client_id, secret_hash)) = client else {
            self.notes.push(format!(
                "server {full_name} is not adopted: it has no OAuth client; delete its pod"
            ));
            return None;
        };
        let host = match address.is_some() && ip.contains(':') {
            true => format!("[{ip}]"),
            false => ip.to_owned(),
        };
        Some(Running {
            start_id,
            state: state.0,
            url: format!(
                "{}://{host}:{port}",
                server.proto.as_deref().unwrap_or("http")
            ),
            client_id,
            secret_hash,
            redirect_uri: redirect_uri(urls, prefix),
            allowed_scopes: access_scopes(owner, &server.name),
        })
    }

    fn add_tokens(&mut self, found: &jupyterhub::JupyterHub) {
        let now = now();
        for token in &found.tokens {
            let expires = time(&token.expires_at);
            let Some(&user) = self.users.get(&token.user_id) else {
                continue;
            };
            if expires.is_some_and(|expires| expires <= now) {
                continue;
            }
            let note = token.note.clone().unwrap_or_default();
            // The note of a server's own token names its place (jupyterhub/user.py).
            let place = note.strip_prefix("Server at ");
            let server = place.and_then(|place| {
                let mut servers = self.import.servers.iter();
                servers.position(|server| server.running.is_some() && server.prefix == place)
            });
            if place.is_some() && server.is_none() {
                continue;
            }
            self.import.tokens.push(Token {
                user,
                server,
                hash: token.hashed.clone(),
                prefix: token.prefix.clone(),
                scopes: list(&token.scopes),
                note,
                created: time(&token.created).unwrap_or(now),
                last_activity: time(&token.last_activity),
                expires,
            });
        }
    }

    fn add_shares(&mut self, found: &jupyterhub::JupyterHub) {
        for share in &found.shares {
            let over = time(&share.expires_at).is_some_and(|expires| expires <= now());
            let Some(&server) = self.servers.get(&share.spawner_id).filter(|_| !over) else {
                continue;
            };
            let user = share.user_id.and_then(|id| self.users.get(&id).copied());
            let group = share.group_id.and_then(|id| self.groups.get(&id).copied());
            if user.is_some() == group.is_some() {
                continue;
            }
            // The filter is that of the server, which is put to them when they are read.
            let scopes = list(&share.scopes).into_iter();
            let scopes = scopes.map(|scope| scope.split('!').next().unwrap_or_default().to_owned());
            self.import.shares.push(Share {
                server,
                user,
                group,
                scopes: scopes.collect(),
                created: time(&share.created).unwrap_or_else(now),
            });
        }
    }

    fn note_the_rest(&mut self, found: &jupyterhub::JupyterHub) {
        for (role,) in &found.roles {
            self.notes.push(format!(
                "role {role}: roles are those of JupyterHub.load_roles"
            ));
        }
        for (service,) in &found.services {
            self.notes.push(format!(
                "service {service}: services are those of JupyterHub.services, with their tokens"
            ));
        }
        if found.share_codes > 0 {
            self.notes.push(format!(
                "{} codes for sharing: make new ones",
                found.share_codes
            ));
        }
        if found.auth_states > 0 {
            let count = found.auth_states;
            self.notes.push(format!("the authentication state of {count} users, which is encrypted: it comes anew with their login"));
        }
        if self
            .import
            .servers
            .iter()
            .any(|server| server.running.is_some())
        {
            self.notes.push(String::from(
                "servers that run know the Hub by the address that JupyterHub had: have this Hub answer there until they are stopped",
            ));
        }
    }
}

fn object(text: &Option<String>) -> Value {
    let read = text
        .as_deref()
        .and_then(|text| serde_json::from_str::<Value>(text).ok());
    read.filter(Value::is_object).unwrap_or_else(|| json!({}))
}

fn list(text: &Option<String>) -> Vec<String> {
    let read = text
        .as_deref()
        .and_then(|text| serde_json::from_str(text).ok());
    read.unwrap_or_default()
}

/// SQLAlchemy writes times in UTC, without saying so.
fn time(text: &Option<String>) -> Option<i64> {
    time::parse(text.as_deref()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hub(server: jupyterhub::Server) -> jupyterhub::JupyterHub {
        jupyterhub::JupyterHub {
            users: vec![jupyterhub::User {
                id: 1,
                name: String::from("alice"),
                admin: 0,
                created: Some(String::from("2026-01-02 03:04:05.678901")),
                last_activity: None,
            }],
            servers: vec![server],
            tokens: vec![jupyterhub::Token {
                user_id: 1,
                hashed: String::from("sha512:1:salt:digest"),
                prefix: String::from("abcd"),
                scopes: Some(String::from("[\"inherit\"]")),
                note: Some(String::from("Server at /user/alice/gpu/")),
                created: None,
                last_activity: None,
                expires_at: None,
            }],
            ..jupyterhub::JupyterHub::default()
        }
    }

    fn server(state: &str) -> jupyterhub::Server {
        let some = |text: &str| Some(text.to_owned());
        jupyterhub::Server {
            id: 3,
            user_id: 1,
            name: String::from("gpu"),
            display_name: None,
            state: some(state),
            user_options: None,
            started: some("2026-01-02 03:04:05.678901"),
            last_activity: None,
            client_id: some("jupyterhub-user-alice-gpu"),
            client_secret: some("sha512:1:salt:digest"),
            proto: some("http"),
            ip: some("10.0.0.7"),
            port: Some(8888),
            base_url: some("/user/alice/gpu/"),
        }
    }

    #[test]
    fn a_pod_is_adopted_with_its_token_and_client() {
        let found = hub(server(
            r#"{"pod_name": "jupyter-alice--gpu", "namespace": "hub", "pvc_name": "claim-alice"}"#,
        ));
        let made = Made::of(&found, "/", None, false);
        assert!(made.processes.is_empty());
        let running = made.import.servers[0].running.as_ref().unwrap();
        assert_eq!(running.url, "http://10.0.0.7:8888");
        assert_eq!(running.client_id, "jupyterhub-user-alice-gpu");
        assert_eq!(running.state["start_id"], running.start_id.as_str());
        assert_eq!(made.import.tokens[0].server, Some(0));
        assert_eq!(made.import.users[0].created, 1_767_323_045_678);

        let elsewhere = Made::of(&found, "/science/", None, false);
        assert!(elsewhere.import.servers[0].running.is_none());
        assert!(elsewhere.import.tokens.is_empty());
        assert!(
            elsewhere.notes[0].contains("JupyterHub.base_url"),
            "{:?}",
            elsewhere.notes
        );
    }

    #[test]
    fn what_a_stopped_server_kept_is_kept() {
        let mut stopped = server(r#"{"pvc_name": "claim-alice"}"#);
        (stopped.ip, stopped.port) = (None, None);
        let made = Made::of(&hub(stopped), "/", None, false);
        let kept = made.import.servers[0].last_state.as_ref().unwrap();
        assert_eq!(kept["pvc_name"], "claim-alice");
    }

    #[test]
    fn a_process_is_named() {
        let made = Made::of(&hub(server(r#"{"pid": 7}"#)), "/", None, false);
        assert_eq!(made.processes, ["alice/gpu"]);
    }
}
