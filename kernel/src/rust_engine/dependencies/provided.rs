//! Requests that the prepared crates satisfy, so that nothing is built and their types are those of the prelude.

use semver::{Version, VersionReq};
use serde::Deserialize;

use super::super::prelude::NAMED;
use super::request::Request;

/// The kernel and the prepared crates are built with one lock file.
const LOCK: &str = include_str!("../../../../Cargo.lock");

/// The prepared tokio has the features that `full` means.
const TOKIO: [&str; 13] = [
    "full",
    "fs",
    "io-std",
    "io-util",
    "macros",
    "net",
    "parking_lot",
    "process",
    "rt",
    "rt-multi-thread",
    "signal",
    "sync",
    "time",
];

#[derive(Deserialize)]
struct Lock {
    package: Vec<Package>,
}

#[derive(Deserialize)]
struct Package {
    name: String,
    version: Version,
}

/// The version of the prepared crate that a request means, if it fits.
pub fn version(request: &Request) -> Option<Version> {
    let is_named = NAMED.contains(&request.name.replace('-', "_").as_str());
    if !is_named || !request.is_of_registry() || request.package() != request.name {
        return None;
    }
    let prepared: &[&str] = if request.name == "tokio" { &TOKIO } else { &[] };
    if !request
        .features()
        .all(|feature| prepared.contains(&feature))
    {
        return None;
    }
    let wanted = VersionReq::parse(request.version()?).ok()?;
    let lock: Lock = toml::from_str(LOCK).ok()?;
    let mut packages = lock.package.into_iter();
    let package = packages.find(|package| package.name == request.name)?;
    wanted.matches(&package.version).then_some(package.version)
}

#[cfg(test)]
mod tests {
    use super::super::request::Request;
    use super::version;

    #[test]
    fn only_a_prepared_crate_of_a_fitting_version_is_provided() {
        let provided = |text| version(&Request::parse(text).unwrap()).is_some();
        assert!(provided("candle-core"));
        assert!(provided(
            "candle-core = { version = \"0.11\", default-features = false }"
        ));
        assert!(!provided("candle-core = \"0.3\""));
        assert!(!provided(
            "candle-core = { version = \"0.11\", features = [\"cuda\"] }"
        ));
        assert!(!provided(
            "candle-core = { path = \"candle\", version = \"0.11\" }"
        ));
        assert!(!provided("semver"));
    }
}
