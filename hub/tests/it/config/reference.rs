//! The reference in the repository is the one that the code makes, and it says something of every key.

use std::path::Path;

use carrel_hub::config::{Config, OptionsForm, reference};
use carrel_skip::package_folder;

/// `UPDATE=1 cargo test -p carrel-hub --test it` writes it anew.
#[test]
fn the_reference_is_up_to_date() {
    let path = package_folder().join("CONFIGURATION.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, reference()).unwrap();
    }
    assert_eq!(
        std::fs::read_to_string(path).unwrap(),
        reference(),
        "run this test with UPDATE=1 and commit the file"
    );
}

#[test]
fn every_key_is_documented() {
    for section in Config::keys().into_iter().chain([OptionsForm::keys()]) {
        assert!(section.doc.ends_with('.'), "{}", section.name);
        for key in section.keys {
            assert!(
                key.doc.len() > 10 && key.doc.ends_with('.'),
                "{}.{}: {}",
                section.name,
                key.name,
                key.doc
            );
        }
    }
}

/// Each example is a file that the Hub takes.
#[test]
fn the_examples_are_correct() {
    let reference = reference();
    let examples: Vec<_> = reference.split("```yaml\n").skip(1).collect();
    assert_eq!(examples.len(), 2);
    for example in examples {
        let example = example.split("```").next().unwrap();
        let config = Config::parse("example", example).unwrap_or_else(|errors| panic!("{errors}"));
        assert_ne!(config, Config::default());
    }
}

/// A key that nothing reads would be a promise that is not kept.
#[test]
fn every_key_is_obeyed() {
    let mut code = String::new();
    // Those of pods are the spawner's.
    for folder in ["src", "../spawner/src"] {
        read(&package_folder().join(folder), &mut code);
    }
    for section in Config::keys() {
        for key in section.keys {
            // The first two end in `ip`, `port` and the like, those of providers in `Config::provider` and `groups_claim`; the
            // last ones have one value.
            let elsewhere = [
                "bind_url",
                "hub_bind_url",
                "auth0_domain",
                "tenant_id",
                "github_url",
                "gitlab_url",
                "claim_groups_key",
                "auth_state_groups_key",
                "should_start",
                "create_system_users",
                "encoding",
                "open_sessions",
            ];
            let elsewhere = elsewhere.contains(&key.name);
            assert!(
                elsewhere || code.contains(&format!(".{}", key.name)),
                "{}.{}",
                section.name,
                key.name
            );
        }
    }
}

/// All code outside the configuration's own.
fn read(folder: &Path, code: &mut String) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.ends_with("kube/options.rs") {
            continue;
        }
        if path.is_dir() && !path.ends_with("config") {
            read(&path, code);
        } else if path.is_file() && !path.ends_with("config.rs") {
            code.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}
