//! A function's files on their way to a rank that a jobs service started, and what it gave back on its way there.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use carrel_report::{
    OBJECTS_URL_VARIABLE, ObjectFile, RESULT_URL_VARIABLE, SIGNATURE_HEADER, TOKEN_VARIABLE, sign,
};
use sha2::{Digest as _, Sha256};

use super::{secret, status};
use crate::http::{self, variable};

/// How long one file may take, and how long it is tried.
const PATIENCE: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_secs(1);
/// The largest file, in bytes.
const MOST: u64 = 4 << 30;

/// Whether nobody wants it any more.
type Stop = fn() -> bool;

/// Gets those files that are not in the folder yet, where the process's variables say whence.
pub(super) fn fetch(files: &[ObjectFile], folder: &Path, stop: Stop) -> Result<(), String> {
    let Some(url) = variable(OBJECTS_URL_VARIABLE) else {
        return Ok(());
    };
    fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    for file in files {
        if !file.is_valid() {
            return Err(format!("{:?} is no name of an object", file.name));
        }
        let path = folder.join(&file.name);
        let is_it = |bytes: &[u8]| hex::encode(Sha256::digest(bytes)) == file.sha256;
        if fs::read(&path).is_ok_and(|bytes| is_it(&bytes)) {
            continue;
        }
        let url = format!("{url}/{}", file.sha256);
        let bytes = call("GET", &url, &[], stop)?;
        if !is_it(&bytes) {
            return Err(format!("{url} is something else than {}", file.name));
        }
        status::replace(&path, &bytes).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// Hands over what the function gave back, where the process's variables say whither.
pub(super) fn hand_over(result: &[u8], rank: usize, stop: Stop) -> Result<(), String> {
    match variable(RESULT_URL_VARIABLE) {
        Some(url) => {
            let url = url.replace("{rank}", &rank.to_string());
            call("PUT", &url, result, stop).map(drop)
        }
        None => Ok(()),
    }
}

/// Asks until it is answered: a service that is replaced is away for a while, and a pod that has just begun may not be let
/// through yet.
fn call(method: &str, url: &str, body: &[u8], stop: Stop) -> Result<Vec<u8>, String> {
    http::check(url)?;
    let agent = http::agent().timeout_global(Some(PATIENCE));
    let agent: ureq::Agent = agent.http_status_as_error(false).build().into();
    let begun = Instant::now();
    loop {
        match call_once(&agent, method, url, body) {
            Err(Failed::ForNow(_)) if begun.elapsed() < PATIENCE && !stop() => thread::sleep(PAUSE),
            Err(Failed::ForNow(why) | Failed::ForGood(why)) => {
                return Err(format!("{method} {url}: {why}"));
            }
            Ok(answer) => return Ok(answer),
        }
    }
}

enum Failed {
    ForNow(String),
    ForGood(String),
}

fn call_once(agent: &ureq::Agent, method: &str, url: &str, body: &[u8]) -> Result<Vec<u8>, Failed> {
    let for_now = |error: ureq::Error| Failed::ForNow(error.to_string());
    let request = http::request(method, url, variable(TOKEN_VARIABLE).as_deref())
        .header(SIGNATURE_HEADER, sign(&secret(), body));
    let request = request
        .body(body)
        .map_err(|error| Failed::ForGood(error.to_string()))?;
    let mut response = agent.run(request).map_err(for_now)?;
    let status = response.status();
    let answer = response.body_mut().with_config().limit(MOST).read_to_vec();
    let answer = answer.map_err(for_now)?;
    if status.is_success() {
        return Ok(answer);
    }
    let said = String::from_utf8_lossy(&answer[..answer.len().min(500)]).into_owned();
    let why = format!("status {}: {said}", status.as_u16());
    match status.is_server_error() {
        true => Err(Failed::ForNow(why)),
        false => Err(Failed::ForGood(why)),
    }
}
