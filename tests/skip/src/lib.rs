//! What tests need beyond the checkout: where it is missing a test says so and passes, or fails if it is required.
//!
//! `CARREL_TEST_REQUIRE=mnist,mount` names what a machine is known to have, so that no test is skipped there unnoticed.

use std::env::VarError;
use std::fmt::{self, Display};
use std::path::PathBuf;

/// The folder of the package whose test runs. It is asked for then, and not when the test is built: several checkouts may
/// share a target folder, where a build of one is taken for that of another.
///
/// # Panics
///
/// Outside `cargo test` and `cargo nextest`, which set `CARGO_MANIFEST_DIR`.
#[must_use]
pub fn package_folder() -> PathBuf {
    match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(folder) => PathBuf::from(folder),
        None => panic!("CARGO_MANIFEST_DIR is not set: run the tests by cargo"),
    }
}

/// The variable that names what must be there, by commas.
pub const VARIABLE: &str = "CARREL_TEST_REQUIRE";

/// Something that not every machine has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// An NVIDIA GPU, and a build with the feature `cuda`.
    Gpu,
    /// The definitions of KServe, in the folder of `CARREL_TEST_KSERVE`.
    KServe,
    /// The pictures of MNIST in the folder of `CARREL_DATA`.
    Mnist,
    /// File systems may be mounted in a namespace of one's own.
    Mount,
    /// A cluster of this machine alone, whose processes are known by the folder of `CARREL_TEST_NODE`.
    OneNode,
    /// Linux-PAM with the modules of Debian.
    Pam,
    /// PostgreSQL's own programs.
    Postgres,
    /// The Python environment of `make test` in the folder of `CARREL_TEST_PREPARED`.
    Prepared,
    /// The tests run as root, who may become others and make accounts of the machine.
    Root,
    /// Debian's `slapd`, which the tests start themselves.
    Slapd,
    /// SqueezeNet 1.1 and the pictures to classify, in the folder of `CARREL_DATA`.
    SqueezeNet,
}

impl Need {
    const ALL: [Self; 11] = [
        Self::Gpu,
        Self::KServe,
        Self::Mnist,
        Self::Mount,
        Self::OneNode,
        Self::Pam,
        Self::Postgres,
        Self::Prepared,
        Self::Root,
        Self::Slapd,
        Self::SqueezeNet,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Gpu => "gpu",
            Self::KServe => "kserve",
            Self::Mnist => "mnist",
            Self::Mount => "mount",
            Self::OneNode => "one-node",
            Self::Pam => "pam",
            Self::Postgres => "postgres",
            Self::Prepared => "prepared",
            Self::Root => "root",
            Self::Slapd => "slapd",
            Self::SqueezeNet => "squeezenet",
        }
    }
}

/// A test's last words before it returns because this is missing.
///
/// # Panics
///
/// Where `CARREL_TEST_REQUIRE` says that it is there, or names something unknown.
#[track_caller]
pub fn skip(need: Need, why: impl Display) {
    let required = match std::env::var(VARIABLE) {
        Ok(text) => text,
        Err(VarError::NotPresent) => String::new(),
        Err(VarError::NotUnicode(text)) => panic!("${VARIABLE} is no text: {}", text.display()),
    };
    match decide(&required, need, &why) {
        Ok(said) => eprintln!("{said}"),
        Err(said) => panic!("{said}"),
    }
}

fn decide(required: &str, need: Need, why: &dyn Display) -> Result<String, String> {
    let names = || required.split(',').map(str::trim).filter(|n| !n.is_empty());
    let known = |name: &str| Need::ALL.iter().any(|need| need.name() == name);
    if let Some(unknown) = names().find(|name| !known(name)) {
        let known = Need::ALL.map(Need::name).join(", ");
        return Err(format!(
            "${VARIABLE} names `{unknown}`, which is none of {known}"
        ));
    }
    if names().any(|name| name == need.name()) {
        return Err(format!(
            "${VARIABLE} says that this machine has `{need}`: {why}"
        ));
    }
    Ok(format!("skipped, without `{need}`: {why}"))
}

impl Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::{Need, decide};

    #[test]
    fn a_need_that_is_not_required_skips() {
        for required in ["", " ", "gpu", "gpu,prepared,"] {
            assert_eq!(
                decide(required, Need::Mnist, &"no folder"),
                Ok("skipped, without `mnist`: no folder".to_owned())
            );
        }
    }

    #[test]
    fn a_required_need_fails() {
        for required in ["mnist", "gpu, mnist"] {
            let said = decide(required, Need::Mnist, &"no folder").unwrap_err();
            assert_eq!(
                said,
                "$CARREL_TEST_REQUIRE says that this machine has `mnist`: no folder"
            );
        }
    }

    #[test]
    fn a_name_that_nothing_needs_fails_every_skip() {
        let said = decide("minst", Need::Gpu, &"none").unwrap_err();
        assert_eq!(
            said,
            "$CARREL_TEST_REQUIRE names `minst`, which is none of gpu, kserve, mnist, mount, one-node, pam, postgres, prepared, root, slapd, squeezenet"
        );
    }
}
