//! Requests that the prepared crates satisfy, so that nothing is built and their types are those of the prelude.

use semver::{Version, VersionReq};
use serde::Deserialize;

use super::request::Request;
use crate::rust_engine::prebuilt::installation::NAMED;

/// That of the prepared half.
const HALF: [&str; 5] = ["std", "alloc", "num-traits", "rand_distr", "use-intrinsics"];

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
    if !is_prepared(request) || !request.is_of_registry() {
        return None;
    }
    let prepared: &[&str] = match &*request.name {
        "tokio" => &TOKIO,
        "half" => &HALF,
        _ => &[],
    };
    if !request
        .features()
        .all(|feature| prepared.contains(&feature))
    {
        return None;
    }
    let wanted = VersionReq::parse(request.version()?).ok()?;
    prepared_version(&request.name).filter(|version| wanted.matches(version))
}

/// Why a crate cannot be had beside the prepared one of its name, which [`version`] did not find to be meant: a tensor of
/// the one would be none for the functions of the other.
pub fn refusal(request: &Request) -> Option<String> {
    if !is_prepared(request) {
        return None;
    }
    let name = &request.name;
    let version = prepared_version(name)?;
    if name == "tokio" {
        // A tokio of other features, or of a folder, brings a runtime of its own, which cells enter.
        let wanted = VersionReq::parse(request.version()?).ok()?;
        let old = !wanted.matches(&version) && wanted.comparators.first()?.major == 0;
        return old.then(|| {
            format!(
                "cells wait on the runtime of tokio {version}, which a tokio before 1.0 does not know; `:dep tokio = \"1\"` takes that one"
            )
        });
    }
    Some(format!(
        "cells see {name} {version} already, without `:dep`, and values of another one would not fit its functions; \
         `:dep {name} = \"{}.{}\"` takes that one, and another name has yours beside it: \
         `:dep my-{name} = {{ package = \"{name}\", .. }}`",
        version.major, version.minor
    ))
}

/// Whether a request means a crate that is prepared, of whatever version.
fn is_prepared(request: &Request) -> bool {
    let name = request.name.replace('-', "_");
    NAMED.contains(&&*name) && request.package() == request.name
}

fn prepared_version(name: &str) -> Option<Version> {
    let lock: Lock = toml::from_str(LOCK).ok()?;
    let mut packages = lock.package.into_iter();
    let package = packages.find(|package| package.name == name)?;
    Some(package.version)
}

#[cfg(test)]
mod tests {
    use super::super::request::Request;
    use super::{refusal, version};

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
        assert!(provided("half = { version = \"2\", features = [\"std\"] }"));
    }

    #[test]
    fn another_one_under_the_name_of_a_prepared_crate_is_refused() {
        let refused = |text| refusal(&Request::parse(text).unwrap());
        let told = refused("candle-core = \"0.3\"").unwrap();
        assert!(
            told.contains("`:dep candle-core = \"0.11\"` takes"),
            "{told}"
        );
        assert!(told.contains("package = \"candle-core\""), "{told}");
        assert!(refused("candle-nn = { git = \"https://x\" }").is_some());
        assert!(refused("half = \"1\"").is_some());
        assert!(refused("mine = { package = \"candle-core\", version = \"0.3\" }").is_none());
        assert!(refused("semver").is_none());
        assert!(
            refused("tokio = \"0.2\"")
                .unwrap()
                .contains("`:dep tokio = \"1\"`")
        );
        assert!(refused("tokio = { version = \"1\", features = [\"test-util\"] }").is_none());
        assert!(refused("tokio = { path = \"tokio\" }").is_none());
    }
}
