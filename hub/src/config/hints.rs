//! What somebody may have meant by a key or a section that does not exist.

use std::sync::LazyLock;

use super::{Config, SectionKeys, not_taken};

/// Keys of services in JupyterHub that are not taken, with why (jupyterhub/services/service.py).
const OF_SERVICES: [(&str, &str); 3] = [
    (
        "user",
        "the Hub runs services as its own user, for it cannot become another; run the service apart and give it an `api_token`",
    ),
    (
        "oauth_roles",
        "name the scopes of those roles in `oauth_client_allowed_scopes`",
    ),
    ("timeout", "the Hub does not wait for services"),
];
/// Made once: a file with many mistakes asks for them often.
static SECTIONS: LazyLock<Vec<SectionKeys>> = LazyLock::new(Config::keys);

/// Why a key that its section does not have is passed over.
pub(super) fn without_effect(section: &str, key: &str) -> Option<&'static str> {
    if section.ends_with("uthenticator") && key == "refresh_pre_stop" {
        return Some("nothing of what is kept of a user goes into the end of a server");
    }
    if section == "CryptKeeper" && key == "n_threads" {
        return Some("the Hub has threads for it");
    }
    if section.starts_with("CILogonOAuthenticator.allowed_idps.") && key == "default" {
        return Some("CILogon's page chooses what it shows first");
    }
    not_taken::of(&not_taken::WITHOUT_EFFECT, section, key)
}

/// A key that its section does not have.
pub(super) fn unknown_key(section: &str, key: &str) -> String {
    if key.ends_with("_hook") {
        return "unknown key; hooks in Python are not taken, `KubeSpawner.pod_patches` and `group_overrides` may do".to_owned();
    }
    if key == "handlers" {
        return "`handlers` is not taken: it is a list of Python's objects; write `file`"
            .to_owned();
    }
    if key == "spawn_throttle_retry_range" {
        return "unknown key; starts over `concurrent_spawn_limit` wait in a queue, nobody is asked to retry".to_owned();
    }
    if let Some(why) = not_taken::of(&not_taken::REFUSED, section, key) {
        return format!("`{key}` is not taken: {why}");
    }
    if let Some(home) = home_of(key) {
        return format!("unknown key; `{key}` belongs under `{home}:`");
    }
    let names = SECTIONS
        .iter()
        .filter(|known| known.name == section)
        .flat_map(|known| &known.keys)
        .map(|key| key.name);
    not_among(key, section, &names.collect::<Vec<_>>())
}

/// A section that does not exist.
pub(super) fn unknown_section(name: &str) -> String {
    if let Some(home) = home_of(name) {
        return format!("unknown section; `{name}` is a key and belongs under `{home}:`");
    }
    if let Some(why) = not_taken::of(&not_taken::REFUSED, name, "") {
        return format!("`{name}` is not taken: {why}");
    }
    // As a line of jupyterhub_config.py says it.
    if let Some((section, key)) = name.trim_start_matches("c.").split_once('.') {
        return format!("unknown section; write `{section}:` and below it, indented, `{key}:`");
    }
    let names: Vec<_> = SECTIONS.iter().map(|section| section.name).collect();
    match nearest(name, &names) {
        Some(near) => format!("unknown section; did you mean `{near}`?"),
        None => format!("unknown section; there are {}", names.join(", ")),
    }
}

/// A key that `owner`, which has the keys `names`, does not have.
pub(super) fn not_among(key: &str, owner: &str, names: &[&str]) -> String {
    let mut refused = OF_SERVICES.iter().filter(|(name, _)| *name == key);
    if let Some((_, why)) = refused.next().filter(|_| owner == "a service") {
        return format!("`{key}` is not taken: {why}");
    }
    match nearest(key, names) {
        Some(near) => format!("unknown key; did you mean `{near}`?"),
        None => format!("unknown key; {owner} has {}", names.join(", ")),
    }
}

/// The section that has exactly this key.
fn home_of(key: &str) -> Option<&'static str> {
    SECTIONS
        .iter()
        .find(|section| section.keys.iter().any(|known| known.name == key))
        .map(|section| section.name)
}

/// The name that differs least, if it differs little.
fn nearest<'a>(word: &str, names: &[&'a str]) -> Option<&'a str> {
    let plain = |word: &str| word.to_lowercase().replace(['-', '_'], "");
    let word = plain(&word.chars().take(64).collect::<String>());
    let distance = |name: &str| strsim::damerau_levenshtein(&word, &plain(name));
    let near = names.iter().map(|name| (distance(name), *name)).min()?;
    (near.0 <= near.1.len().div_ceil(4)).then_some(near.1)
}
