//! KubeSpawner: what needs no cluster runs always, the rest with `make test-cluster`.

mod cluster;
mod condition;
mod fake_api;
mod objects;
mod options;
mod ownership;
mod profiles;
mod slug;

use carrel_spawner::StartRequest;
use carrel_spawner::kube::KubeOptions;
use serde_json::Value;

/// Options without a mistake.
fn options(given: Value) -> KubeOptions {
    let (options, mistakes) = KubeOptions::from_json(&given);
    let mistakes: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    assert!(mistakes.is_empty(), "{mistakes:?}");
    options
}

/// All mistakes of options, one a line, in the order of the keys. A crate that other tests use has serde_json keep the
/// order of the source, but only where both are built together.
fn mistakes(mut given: Value) -> Vec<String> {
    given.sort_all_objects();
    let (_, mistakes) = KubeOptions::from_json(&given);
    mistakes.iter().map(ToString::to_string).collect()
}

fn request(user: &str, server: &str, chosen: Value) -> StartRequest {
    let environment = [
        ("JUPYTERHUB_USER", user),
        ("JUPYTERHUB_API_TOKEN", "the-secret-token"),
        ("JPY_API_TOKEN", "the-secret-token"),
        ("JUPYTERHUB_API_URL", "http://hub:8081/hub/api"),
    ];
    StartRequest {
        user: user.to_owned(),
        server: server.to_owned(),
        groups: Vec::new(),
        prefix: format!("/user/{user}/"),
        environment: environment
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        user_options: chosen.as_object().unwrap().clone(),
        start_id: String::from("0123456789abcdef0123456789abcdef"),
        before: None,
    }
}
