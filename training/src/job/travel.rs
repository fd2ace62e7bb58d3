//! A function's files on their way to a rank that a jobs service started, and what it gave back on its way there.

use std::fs;
use std::path::Path;
use std::time::Duration;

use carrel_report::{
    OBJECTS_URL_VARIABLE, ObjectFile, RESULT_URL_VARIABLE, SIGNATURE_HEADER, TOKEN_VARIABLE, sign,
};
use sha2::{Digest as _, Sha256};

use super::http::{self, variable};
use super::{secret, status};

/// How long one file may take.
const PATIENCE: Duration = Duration::from_secs(120);
/// The largest file, in bytes.
const MOST: u64 = 4 << 30;

/// Gets those files that are not in the folder yet, where the process's variables say whence.
pub(super) fn fetch(files: &[ObjectFile], folder: &Path) -> Result<(), String> {
    let Some(url) = variable(OBJECTS_URL_VARIABLE) else {
        return Ok(());
    };
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for file in files {
        if !file.is_valid() {
            return Err(format!("{:?} is no name of an object", file.name));
        }
        let path = folder.join(&file.name);
        let is_there = |bytes: Vec<u8>| hex::encode(Sha256::digest(bytes)) == file.sha256;
        if fs::read(&path).is_ok_and(is_there) {
            continue;
        }
        let url = format!("{url}/{}", file.sha256);
        let bytes = call("GET", &url, &[])?;
        if !is_there(bytes.clone()) {
            return Err(format!("{url} is something else than {}", file.name));
        }
        status::replace(&path, &bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// Hands over what the function gave back, where the process's variables say whither.
pub(super) fn hand_over(result: &[u8], rank: usize) -> Result<(), String> {
    match variable(RESULT_URL_VARIABLE) {
        Some(url) => {
            let url = url.replace("{rank}", &rank.to_string());
            call("PUT", &url, result).map(drop)
        }
        None => Ok(()),
    }
}

fn call(method: &str, url: &str, body: &[u8]) -> Result<Vec<u8>, String> {
    http::check(url)?;
    let agent: ureq::Agent = http::agent().timeout_global(Some(PATIENCE)).build().into();
    let request = http::request(method, url, variable(TOKEN_VARIABLE).as_deref())
        .header(SIGNATURE_HEADER, sign(&secret(), body));
    let request = request.body(body).map_err(|error| error.to_string())?;
    let failed = |error: ureq::Error| format!("{method} {url}: {error}");
    let mut response = agent.run(request).map_err(failed)?;
    let body = response.body_mut().with_config().limit(MOST);
    body.read_to_vec().map_err(failed)
}
