//! Files from a mirror over HTTP: resumed where a download broke off, and taken only with the right checksum.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

/// A file as it must be.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub name: &'static str,
    pub bytes: u64,
    /// SHA-256 in hexadecimal.
    pub sha256: &'static str,
}

#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    #[error("cannot download {url}: {source}")]
    Request {
        url: String,
        source: Box<ureq::Error>,
    },
    #[error(
        "the download of {url} broke off after {found} of {wanted} bytes: {source}; what came is kept, so try again"
    )]
    Broken {
        url: String,
        found: u64,
        wanted: u64,
        source: io::Error,
    },
    #[error(
        "{url} is not the file that was published: its SHA-256 is {found}, expected {wanted}; it was removed"
    )]
    Checksum {
        url: String,
        found: String,
        wanted: String,
    },
    #[error("cannot write {}: {source}", path.display())]
    Write { path: PathBuf, source: io::Error },
}

/// How long a mirror may say nothing.
const PATIENCE: Duration = Duration::from_secs(30);

/// Puts the file into `folder`, unless it is there. `progress` is told of the bytes that came and of all.
///
/// # Errors
/// When the mirror has no such file, breaks off, or serves another one.
pub fn fetch(
    mirror: &str,
    wanted: &Wanted,
    folder: &Path,
    mut progress: impl FnMut(u64, u64),
) -> Result<PathBuf, MirrorError> {
    let path = folder.join(wanted.name);
    if path.is_file() {
        return Ok(path);
    }
    fs::create_dir_all(folder).map_err(write_error(folder))?;
    let url = format!("{}/{}", mirror.trim_end_matches('/'), wanted.name);
    let part = folder.join(format!("{}.part", wanted.name));
    download(&url, wanted, &part, &mut progress)?;
    let found = checksum(&part).map_err(write_error(&part))?;
    if found != wanted.sha256 {
        fs::remove_file(&part).map_err(write_error(&part))?;
        let wanted = wanted.sha256.to_owned();
        return Err(MirrorError::Checksum { url, found, wanted });
    }
    fs::rename(&part, &path).map_err(write_error(&path))?;
    Ok(path)
}

/// Appends what is missing to `part`.
fn download(
    url: &str,
    wanted: &Wanted,
    part: &Path,
    progress: &mut impl FnMut(u64, u64),
) -> Result<(), MirrorError> {
    let present = fs::metadata(part).map_or(0, |metadata| metadata.len());
    if present >= wanted.bytes {
        return Ok(());
    }
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .timeout_connect(Some(PATIENCE))
        .timeout_recv_response(Some(PATIENCE))
        .build()
        .into();
    let mut request = agent.get(url);
    if present > 0 {
        request = request.header("Range", format!("bytes={present}-"));
    }
    let mut response = request.call().map_err(|error| MirrorError::Request {
        url: url.to_owned(),
        source: Box::new(error),
    })?;
    // A mirror that knows no ranges begins anew.
    let resumed = response.status() == 206;
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .append(resumed)
        .truncate(!resumed)
        .open(part)
        .map_err(write_error(part))?;
    let mut found = if resumed { present } else { 0 };
    // One byte more than wanted tells that it is another file, without reading all of it.
    let mut body = response
        .body_mut()
        .as_reader()
        .take(wanted.bytes + 1 - found);
    let mut buffer = vec![0; 1 << 16];
    loop {
        progress(found, wanted.bytes);
        let broken = |source| MirrorError::Broken {
            url: url.to_owned(),
            found,
            wanted: wanted.bytes,
            source,
        };
        match body.read(&mut buffer).map_err(broken)? {
            0 if found < wanted.bytes => {
                return Err(broken(io::ErrorKind::UnexpectedEof.into()));
            }
            0 => return Ok(()),
            more => {
                file.write_all(&buffer[..more]).map_err(write_error(part))?;
                found += more as u64;
            }
        }
    }
}

fn checksum(path: &Path) -> io::Result<String> {
    let (mut file, mut hash) = (File::open(path)?, Sha256::new());
    let mut buffer = vec![0; 1 << 16];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex::encode(hash.finalize())),
            read => hash.update(&buffer[..read]),
        }
    }
}

fn write_error(path: &Path) -> impl FnOnce(io::Error) -> MirrorError {
    let path = path.to_owned();
    |source| MirrorError::Write { path, source }
}
