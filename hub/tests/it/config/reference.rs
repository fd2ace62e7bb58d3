//! The reference in the repository is the one that the code makes, and it says something of every key.

use std::path::Path;

use carrel_hub::config::{Config, OptionsForm, reference};

/// `UPDATE=1 cargo test -p carrel-hub --test it` writes it anew.
#[test]
fn the_reference_is_up_to_date() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/CONFIGURATION.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(path, reference()).unwrap();
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

/// The example at its head is a file that the Hub takes.
#[test]
fn the_example_is_correct() {
    let reference = reference();
    let example = reference
        .split("```")
        .nth(1)
        .unwrap()
        .strip_prefix("yaml\n")
        .unwrap();
    let config = Config::parse("example", example).unwrap_or_else(|errors| panic!("{errors}"));
    assert_ne!(config, Config::default());
}

/// A key that nothing reads would be a promise that is not kept.
#[test]
fn every_key_is_obeyed() {
    let mut code = String::new();
    read(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        &mut code,
    );
    for section in Config::keys() {
        for key in section.keys {
            // The first ends in `ip`, `port` and `base_url`; the second has one value.
            let elsewhere = ["bind_url", "authenticator_class"].contains(&key.name);
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
        if path.is_dir() && !path.ends_with("config") {
            read(&path, code);
        } else if path.is_file() && !path.ends_with("config.rs") {
            code.push_str(&std::fs::read_to_string(&path).unwrap());
        }
    }
}
