//! What a job is.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::status::JobStatus;

/// What a job is, for its processes and for a jobs service. Who only hands it on knows no recipe and no function.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description<R = Value, F = Value> {
    pub name: String,
    pub ranks: usize,
    #[serde(flatten)]
    pub work: Work<R, F>,
}

/// What the ranks of a job do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Work<R = Value, F = Value> {
    Recipe(R),
    Function(F),
}

/// A file that the ranks of a function load, which a jobs service keeps by its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectFile {
    /// Of the file, without a folder.
    pub name: String,
    /// SHA-256, in hexadecimal digits.
    pub sha256: String,
}

impl ObjectFile {
    /// Whether both can be parts of paths.
    pub fn is_valid(&self) -> bool {
        let is_digit = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        let is_name = !matches!(self.name.as_str(), "" | "." | "..")
            && !self.name.contains(['/', '\0'])
            && self.name.len() <= 255;
        is_name && self.sha256.len() == 64 && self.sha256.chars().all(is_digit)
    }
}

/// A job as a jobs service shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JobView<R = Value, F = Value> {
    pub id: String,
    pub description: Description<R, F>,
    /// When it was submitted or resumed, in milliseconds since 1970.
    #[serde(default)]
    pub started: Option<u64>,
    /// How often it was started; 0 where the service does not say.
    #[serde(default)]
    pub attempt: u64,
    pub status: JobStatus,
}

/// Whether a job may have this name.
pub fn is_name(name: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '-';
    !name.is_empty() && name.chars().all(fits)
}
