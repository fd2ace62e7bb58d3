//! The addresses of objects, as paths of requests give them: nothing but names of Kubernetes, so that none leads elsewhere.

use crate::error::AppError;
use crate::jobs::kind::{JobKind, Served as _};

const LONGEST: usize = 253;

/// Whether a text may be the name of an object or a namespace (RFC 1123).
pub fn is_name(text: &str) -> bool {
    let fits = |letter: char| {
        letter.is_ascii_lowercase() || letter.is_ascii_digit() || "-.".contains(letter)
    };
    let is_edge = |letter: char| letter.is_ascii_alphanumeric();
    text.len() <= LONGEST
        && text.chars().all(fits)
        && text.starts_with(is_edge)
        && text.ends_with(is_edge)
        && !text.contains("..")
}

/// A job.
#[derive(Clone, Debug)]
pub struct Place {
    pub kind: JobKind,
    pub namespace: String,
    pub name: String,
}

impl Place {
    /// # Errors
    /// When there is no such kind, or a name is none.
    pub fn new(kind: &str, namespace: String, name: String) -> Result<Self, AppError> {
        let kind = self::kind(kind)?;
        checked(&namespace)?;
        checked(&name)?;
        Ok(Self {
            kind,
            namespace,
            name,
        })
    }

    /// Below the job dashboard.
    pub fn path(&self) -> String {
        format!("{}/{}/{}/", self.kind.singular(), self.namespace, self.name)
    }
}

/// # Errors
/// When there is no such kind.
pub fn kind(name: &str) -> Result<JobKind, AppError> {
    JobKind::from_singular(name).ok_or_else(|| AppError::not_found("There is no such kind of job."))
}

/// # Errors
/// When a name is none.
pub fn checked(name: &str) -> Result<(), AppError> {
    match is_name(name) {
        true => Ok(()),
        false => Err(AppError::not_found(
            "This is no name of an object of Kubernetes.",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        for name in ["a", "job-1", "a.b", "0"] {
            assert!(is_name(name), "{name}");
        }
        for name in [
            "", "..", "a/b", "a/../b", "a%2f", "A", "-a", "a-", "a..b", "a?b", "a b", "ä",
        ] {
            assert!(!is_name(name), "{name}");
        }
        assert!(!is_name(&"a".repeat(254)));
    }
}
