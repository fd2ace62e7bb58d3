//! What a training job is and how its ranks stand, as data that notebooks, ranks and a jobs service share. It links no
//! tensor library and no HTTP.

mod description;
mod report;
mod signature;
mod status;

pub use description::{Description, JobView, ObjectFile, Work, is_name};
pub use report::{
    ATTEMPT_VARIABLE, JOB_VARIABLE, MODEL_URL_VARIABLE, OBJECTS_URL_VARIABLE, Order,
    RESULT_URL_VARIABLE, Report, SECRET_VARIABLE, SIGNATURE_HEADER, TOKEN_VARIABLE, URL_VARIABLE,
};
pub use signature::{Verifier, sign, verify};
pub use status::{JobState, JobStatus, RankState, RankStatus};
