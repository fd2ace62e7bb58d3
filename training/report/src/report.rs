//! What a rank says of itself to who started it.

use serde::{Deserialize, Serialize};

use crate::status::RankStatus;

/// Where a rank reports to; `{rank}` in it stands for the rank's number.
pub const URL_VARIABLE: &str = "CARREL_STATUS_URL";
/// Where rank 0 hands over the weights of its newest checkpoint.
pub const MODEL_URL_VARIABLE: &str = "CARREL_MODEL_URL";
/// Where a rank finds the files of its function, each by its digest.
pub const OBJECTS_URL_VARIABLE: &str = "CARREL_OBJECTS_URL";
/// Where a rank hands over what its function gave back; `{rank}` as in [`URL_VARIABLE`].
pub const RESULT_URL_VARIABLE: &str = "CARREL_RESULT_URL";
/// Sent with each report.
pub const TOKEN_VARIABLE: &str = "CARREL_STATUS_TOKEN";
/// What the ranks of a job know and nobody else.
pub const SECRET_VARIABLE: &str = "CARREL_JOB_SECRET";
/// The job's id, for its reports.
pub const JOB_VARIABLE: &str = "CARREL_JOB";
/// How often the job was started, for its reports.
pub const ATTEMPT_VARIABLE: &str = "CARREL_JOB_ATTEMPT";
/// The signature of a body by the job's secret, as `sha256=` and hexadecimal digits.
pub const SIGNATURE_HEADER: &str = "X-Carrel-Signature-256";

/// What a rank posts, as JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// That of [`JOB_VARIABLE`]; empty without it.
    pub job: String,
    /// That of [`ATTEMPT_VARIABLE`]; 0 without it.
    pub attempt: u64,
    pub rank: usize,
    /// The number of ranks.
    pub world: usize,
    /// The task of TF_CONFIG, such as `ps 0`.
    pub task: Option<String>,
    /// When this process of the rank began, in milliseconds since 1970.
    pub begun: u64,
    /// Counts the reports of this process.
    pub sequence: u64,
    /// When it was sent, in milliseconds since 1970.
    pub time: u64,
    pub status: RankStatus,
}

/// By which reports of one task are told from later ones: the attempt, the process, the report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Order(pub u64, pub u64, pub u64);

impl Report {
    pub fn order(&self) -> Order {
        Order(self.attempt, self.begun, self.sequence)
    }
}
