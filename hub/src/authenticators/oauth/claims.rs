//! What a provider says of somebody, read as a user of this Hub. Asks nobody.

use serde_json::{Map, Value};

use super::super::{Identity, Refusal};
use crate::config::{Action, AuthenticatorClass, Config, IdentityProvider};

pub type Claims = Map<String, Value>;

/// Who these claims are of; `name_claim` is the claim with the name.
pub fn identity(config: &Config, name_claim: &str, claims: &Claims) -> Result<Identity, Refusal> {
    let keys = &config.oauthenticator;
    let mut identity = match config.jupyter_hub.authenticator_class {
        AuthenticatorClass::CILogon => of_cilogon(config, name_claim, claims)?,
        AuthenticatorClass::Google => of_google(config, name_claim, claims)?,
        _ => Identity {
            name: verified(name_claim, claims)?,
            ..Identity::default()
        },
    };
    identity.groups = config.groups_claim().map(|path| groups(path, claims));
    let mine = identity.groups.as_deref().unwrap_or_default();
    let any_of = |groups: &[String]| groups.iter().any(|group| mine.contains(group));
    identity.allowed |= any_of(&keys.allowed_groups);
    if !keys.admin_groups.is_empty() {
        let admin = any_of(&keys.admin_groups);
        identity.admin = Some(admin);
        identity.allowed |= admin;
    }
    Ok(identity)
}

/// The value of a claim; whoever can choose an `email` that nobody has verified can be anybody.
fn verified(claim: &str, claims: &Claims) -> Result<String, Refusal> {
    let value = text(claim, claims)?;
    if claim == "email" && claims.get("email_verified") != Some(&Value::Bool(true)) {
        let message = "The e-mail address of your account is not verified; verify it there, and log in again.";
        return Err(Refusal::Forbidden(message.to_owned()));
    }
    Ok(value)
}

fn text(claim: &str, claims: &Claims) -> Result<String, Refusal> {
    match lookup(claim, claims) {
        Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
        Some(Value::Number(number)) => Ok(number.to_string()),
        _ => {
            let message =
                format!("The service that logs you in does not tell your name ({claim:?}).");
            Err(Refusal::Forbidden(message))
        }
    }
}

/// The claim of this name, or the one to which its dots lead.
fn lookup<'c>(path: &str, claims: &'c Claims) -> Option<&'c Value> {
    if let Some(value) = claims.get(path) {
        return Some(value);
    }
    let (first, rest) = path.split_once('.')?;
    lookup(rest, claims.get(first)?.as_object()?)
}

fn groups(path: &str, claims: &Claims) -> Vec<String> {
    let groups = lookup(path, claims).and_then(Value::as_array);
    let names = groups.into_iter().flatten().filter_map(Value::as_str);
    names.map(str::to_owned).collect()
}

fn domain_of(value: &str) -> &str {
    value.rsplit_once('@').map_or("", |(_, domain)| domain)
}

/// `GoogleOAuthenticator.hosted_domain`
fn of_google(config: &Config, name_claim: &str, claims: &Claims) -> Result<Identity, Refusal> {
    let hosted = &config.google_oauthenticator.hosted_domain;
    let mut name = verified(name_claim, claims)?;
    // An address of a domain proves nothing of it: anybody may open an account with one. `hd` is Google's word.
    let domain = match claims.get("hd").and_then(Value::as_str) {
        Some(domain) => domain,
        None if domain_of(&name).eq_ignore_ascii_case("gmail.com") => "gmail.com",
        None => "",
    };
    let is_domain = |hosted: &String| hosted.eq_ignore_ascii_case(domain);
    if !hosted.is_empty() && !hosted.iter().any(is_domain) {
        let message = "Your Google account is not of a domain that may log in here.";
        return Err(Refusal::Forbidden(message.to_owned()));
    }
    if let [only] = hosted.as_slice() {
        name = without_domain(&name, only);
    }
    Ok(Identity {
        name,
        ..Identity::default()
    })
}

/// `CILogonOAuthenticator.allowed_idps`
fn of_cilogon(config: &Config, name_claim: &str, claims: &Claims) -> Result<Identity, Refusal> {
    let idp = claims
        .get("idp")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let Some(provider) = config.cilogon_oauthenticator.allowed_idps.get(idp) else {
        let message = "The institution that logged you in may not do so here; choose another.";
        return Err(Refusal::Forbidden(message.to_owned()));
    };
    let derivation = &provider.username_derivation;
    let claim = match name_claim {
        "" => &derivation.username_claim,
        claim => claim,
    };
    let given = text(claim, claims)?;
    let name = match derivation.action {
        Some(Action::StripIdpDomain) => without_domain(&given, &derivation.domain),
        Some(Action::Prefix) => format!("{}:{given}", derivation.prefix),
        None => given.clone(),
    };
    Ok(Identity {
        name,
        allowed: lets_in(provider, &given, claims)?,
        ..Identity::default()
    })
}

fn lets_in(provider: &IdentityProvider, given: &str, claims: &Claims) -> Result<bool, Refusal> {
    if provider.allow_all {
        return Ok(true);
    }
    if provider.allowed_domains.is_empty() {
        return Ok(false);
    }
    let domain = match &provider.allowed_domains_claim {
        // The domain itself, or an address of it.
        Some(claim) => {
            let value = text(claim, claims)?;
            value.rsplit('@').next().unwrap_or_default().to_owned()
        }
        None => domain_of(given).to_owned(),
    };
    let mut allowed = provider.allowed_domains.iter();
    Ok(allowed.any(|allowed| allowed.eq_ignore_ascii_case(&domain)))
}

fn without_domain(name: &str, domain: &str) -> String {
    match name.rsplit_once('@') {
        Some((local, of)) if of.eq_ignore_ascii_case(domain) => local.to_owned(),
        _ => name.to_owned(),
    }
}

#[cfg(test)]
mod tests;
