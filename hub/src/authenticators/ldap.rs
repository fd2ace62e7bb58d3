//! Passwords that an LDAP server knows: whoever can bind with one is who they say.

use std::time::Duration;

use async_trait::async_trait;
use ldap3::{Ldap as Connection, LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry};
use ldap3::{dn_escape, ldap_escape};

use super::{CheckPassword, Identity, Refusal};
use crate::config::{LDAPAuthenticator, TlsStrategy};

/// How long the server may take for one login.
const LONGEST: Duration = Duration::from_secs(20);
const CONNECT: Duration = Duration::from_secs(10);

/// Result codes of RFC 4511, A.1 that say that name and password do not fit: no such object, no DN that reads, nothing to
/// bind with, wrong credentials.
const NOT_FITTING: [u32; 4] = [32, 34, 48, 49];

pub struct Ldap {
    keys: LDAPAuthenticator,
    manage_groups: bool,
}

/// The entry of a user.
struct Found {
    dn: String,
    /// The name as the entry spells it.
    name: Option<String>,
    /// Its value of `lookup_dn_user_dn_attribute`.
    resolved: Option<String>,
}

impl Ldap {
    pub fn new(keys: LDAPAuthenticator, manage_groups: bool) -> Self {
        Self {
            keys,
            manage_groups,
        }
    }

    async fn connect(&self) -> Result<Connection, LdapError> {
        let keys = &self.keys;
        let (scheme, port) = match keys.tls_strategy {
            TlsStrategy::OnConnect => ("ldaps", 636),
            TlsStrategy::BeforeBind | TlsStrategy::Insecure => ("ldap", 389),
        };
        let port = keys.server_port.unwrap_or(port);
        let url = format!("{scheme}://{}:{port}", keys.server_address);
        let settings = LdapConnSettings::new()
            .set_conn_timeout(CONNECT)
            .set_starttls(keys.tls_strategy == TlsStrategy::BeforeBind);
        let (driver, connection) = LdapConnAsync::with_settings(settings, &url).await?;
        ldap3::drive!(driver);
        Ok(connection)
    }

    async fn identify(&self, name: &str, password: &str) -> Result<Identity, Error> {
        let keys = &self.keys;
        let found = match keys.lookup_dn {
            true => Some(self.look_up(name).await?),
            false => None,
        };
        let resolved = found.as_ref().and_then(|found| found.resolved.as_deref());
        let dns = match &found {
            Some(found) if keys.lookup_dn_user_dn_attribute.is_none() => vec![found.dn.clone()],
            _ => {
                let name = dn_escape(resolved.unwrap_or(name));
                let templates = keys.bind_dn_template.iter();
                templates
                    .map(|template| template.replace("{username}", &name))
                    .collect()
            }
        };
        let (mut connection, dn) = self.bind_as_one_of(&dns, password).await?;
        let spelled = found.and_then(|found| found.name);
        let spelled = spelled.filter(|_| keys.use_lookup_dn_username);
        let name = spelled.unwrap_or_else(|| name.to_owned());
        self.filtered(&mut connection, &name).await?;
        let identity = Identity {
            allowed: self
                .is_in_allowed_group(&mut connection, &dn, &name)
                .await?,
            groups: match self.manage_groups {
                true => Some(self.groups(&mut connection, &dn, &name).await?),
                false => None,
            },
            name,
            ..Identity::default()
        };
        let _ = connection.unbind().await;
        Ok(identity)
    }

    /// The one entry of a user (`lookup_dn`).
    async fn look_up(&self, name: &str) -> Result<Found, Error> {
        let keys = &self.keys;
        let mut connection = self.connect().await?;
        if let Some(dn) = &keys.lookup_dn_search_user {
            let password = keys.lookup_dn_search_password.as_ref();
            let password = password.map_or("", |password| &password.0);
            connection.simple_bind(dn, password).await?.success()?;
        }
        let filter = keys
            .lookup_dn_search_filter
            .replace("{login_attr}", &keys.user_attribute);
        let filter = filter.replace("{login}", &ldap_escape(name));
        let resolve = keys.lookup_dn_user_dn_attribute.as_deref();
        let attributes: Vec<&str> = resolve.into_iter().chain([&*keys.user_attribute]).collect();
        let base = keys.user_search_base.as_deref().unwrap_or_default();
        let found = search(&mut connection, base, Scope::Subtree, &filter, attributes).await?;
        let _ = connection.unbind().await;
        let Ok([mut entry]) = <[SearchEntry; 1]>::try_from(found) else {
            return Err(Error::Wrong);
        };
        let mut first = |attribute: &str| {
            let values = entry.attrs.get_mut(attribute)?;
            (!values.is_empty()).then(|| values[0].clone())
        };
        Ok(Found {
            name: first(&keys.user_attribute),
            resolved: resolve.and_then(&mut first),
            dn: entry.dn,
        })
    }

    /// The first of these names with which the password can bind.
    async fn bind_as_one_of(
        &self,
        dns: &[String],
        password: &str,
    ) -> Result<(Connection, String), Error> {
        for dn in dns {
            let mut connection = self.connect().await?;
            let result = connection.simple_bind(dn, password).await?;
            if result.rc == 0 {
                return Ok((connection, dn.clone()));
            }
            let _ = connection.unbind().await;
            if !NOT_FITTING.contains(&result.rc) {
                result.success()?;
            }
        }
        Err(Error::Wrong)
    }

    /// `search_filter` must find the user.
    async fn filtered(&self, connection: &mut Connection, name: &str) -> Result<(), Error> {
        let Some(filter) = &self.keys.search_filter else {
            return Ok(());
        };
        let filter = filter.replace("{userattr}", &self.keys.user_attribute);
        let filter = filter.replace("{username}", &ldap_escape(name));
        let own = format!("({}={})", self.keys.user_attribute, ldap_escape(name));
        let filter = format!("(&{own}{filter})");
        let base = self.keys.user_search_base.as_deref().unwrap_or_default();
        let found = search(connection, base, Scope::Subtree, &filter, vec!["1.1"]).await?;
        match found.len() {
            1 => Ok(()),
            _ => Err(Error::Wrong),
        }
    }

    fn group_filter(&self, dn: &str, name: &str) -> String {
        let filter = self
            .keys
            .group_search_filter
            .replace("{userdn}", &ldap_escape(dn));
        filter.replace("{uid}", &ldap_escape(name))
    }

    async fn is_in_allowed_group(
        &self,
        connection: &mut Connection,
        dn: &str,
        name: &str,
    ) -> Result<bool, Error> {
        let filter = self.group_filter(dn, name);
        for group in &self.keys.allowed_groups {
            let found = search(connection, group, Scope::Base, &filter, vec!["1.1"]).await;
            match found {
                Ok(found) if found.is_empty() => {}
                Ok(_) => return Ok(true),
                // No such object: nobody is in a group that is not there.
                Err(LdapError::LdapResult { result }) if result.rc == 32 => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }

    async fn groups(
        &self,
        connection: &mut Connection,
        dn: &str,
        name: &str,
    ) -> Result<Vec<String>, Error> {
        let keys = &self.keys;
        let base = keys
            .group_search_base
            .as_ref()
            .or(keys.user_search_base.as_ref());
        let base = base.map_or("", String::as_str);
        let filter = self.group_filter(dn, name);
        let attribute = keys.group_attribute.as_str();
        let found = search(connection, base, Scope::Subtree, &filter, vec![attribute]).await?;
        let names = found
            .into_iter()
            .filter_map(|mut group| group.attrs.remove(attribute));
        Ok(names.filter_map(|names| names.into_iter().next()).collect())
    }
}

#[derive(Debug)]
enum Error {
    Wrong,
    Ldap(LdapError),
}

impl From<LdapError> for Error {
    fn from(error: LdapError) -> Self {
        Self::Ldap(error)
    }
}

async fn search(
    connection: &mut Connection,
    base: &str,
    scope: Scope,
    filter: &str,
    attributes: Vec<&str>,
) -> Result<Vec<SearchEntry>, LdapError> {
    let (entries, _) = connection
        .search(base, scope, filter, attributes)
        .await?
        .success()?;
    let entries = entries.into_iter().filter(|entry| !entry.is_ref());
    Ok(entries.map(SearchEntry::construct).collect())
}

#[async_trait]
impl CheckPassword for Ldap {
    async fn check(&self, name: &str, password: &str) -> Result<Identity, Refusal> {
        // A server takes an empty one for an anonymous bind, which succeeds (RFC 4513, 5.1.2).
        if password.is_empty() {
            return Err(Refusal::Wrong);
        }
        let attempted = "ask the LDAP server";
        let identified = tokio::time::timeout(LONGEST, self.identify(name, password)).await;
        match identified {
            Ok(Ok(identity)) => Ok(identity),
            Ok(Err(Error::Wrong)) => Err(Refusal::Wrong),
            Ok(Err(Error::Ldap(error))) => Err(Refusal::failed(attempted, error)),
            Err(late) => Err(Refusal::failed(attempted, late)),
        }
    }
}
