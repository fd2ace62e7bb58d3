//! Working folders and logs of the servers. Names of users and servers may hold any character.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::Error;

/// A log larger than this is put aside at the next start.
const MAX_LOG: u64 = 4 * 1024 * 1024;
/// How much of a log's end is read for its last lines.
const MAX_TAIL: u64 = 64 * 1024;
/// Bytes of a file name made of one name; file systems allow 255 for the whole.
const MAX_NAME: usize = 100;

/// `<state>/users/<user>/`, `<state>/logs/<user>[~<server>].log` and `<state>/skel/`.
#[derive(Clone)]
pub(super) struct Folders {
    users: PathBuf,
    logs: PathBuf,
    /// What a new user's folder starts with, as `/etc/skel` of useradd(8).
    skel: PathBuf,
}

impl Folders {
    pub(super) fn new(state_dir: &Path) -> Self {
        // A server's HOME has to be absolute, the configuration's path need not.
        let state_dir = std::path::absolute(state_dir).unwrap_or_else(|_| state_dir.to_owned());
        Self {
            users: state_dir.join("users"),
            logs: state_dir.join("logs"),
            skel: state_dir.join("skel"),
        }
    }

    /// The working folder of a user; a new one starts with what `skel` holds.
    pub(super) fn home(&self, user: &str) -> Result<PathBuf, Error> {
        let home = self.users.join(file_name(user));
        if home.is_dir() {
            return Ok(home);
        }
        // Renamed when it is whole, so that a start that was cut off leaves no half-filled folder behind.
        let mut unfinished = home.clone().into_os_string();
        unfinished.push("%new");
        make_folder(Path::new(&unfinished))?;
        let mut made = Ok(());
        if self.skel.is_dir() {
            made = copy_files(&self.skel, Path::new(&unfinished));
        }
        match made.and_then(|()| fs::rename(&unfinished, &home)) {
            // Two servers of one user may start for the first time at once.
            Err(error) if !home.is_dir() => {
                let attempted = format!("fill the folder {}", home.display());
                Err(Error::io(&attempted)(error))
            }
            _ => Ok(home),
        }
    }

    pub(super) fn log(&self, user: &str, server: &str) -> PathBuf {
        let mut name = file_name(user);
        if !server.is_empty() {
            name = format!("{name}~{}", file_name(server));
        }
        self.logs.join(name + ".log")
    }

    /// Whether a process that was found writes where only the Hub makes files: a user may start one that looks like a server
    /// and writes elsewhere, and what the log says is shown.
    pub(super) fn has_log(&self, log: &Path) -> bool {
        let logs = fs::canonicalize(&self.logs);
        logs.is_ok_and(|logs| log.parent() == Some(&logs))
    }

    /// The log for a new start, at its end; a large one becomes `….log.1` first.
    pub(super) fn open_log(&self, user: &str, server: &str) -> Result<File, Error> {
        make_folder(&self.logs)?;
        let log = self.log(user, server);
        if fs::metadata(&log).is_ok_and(|metadata| metadata.len() > MAX_LOG) {
            fs::rename(&log, log.with_extension("log.1"))
                .map_err(Error::io("put the full log aside"))?;
        }
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(&log);
        file.map_err(Error::io(&format!("open the log {}", log.display())))
    }
}

/// The last `lines` of a log; empty if it does not read.
pub(super) async fn tail(log: &Path, lines: usize) -> String {
    let log = log.to_owned();
    let read = tokio::task::spawn_blocking(move || read_end(&log)).await;
    let end = read.ok().and_then(Result::ok).unwrap_or_default();
    let text = String::from_utf8_lossy(&end);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

fn read_end(log: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::open(log)?;
    let size = file.metadata()?.len();
    file.seek(SeekFrom::Start(size.saturating_sub(MAX_TAIL)))?;
    let mut end = Vec::new();
    file.take(MAX_TAIL).read_to_end(&mut end)?;
    Ok(end)
}

fn make_folder(folder: &Path) -> Result<(), Error> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(Error::io(&format!("make the folder {}", folder.display())))
}

fn copy_files(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&target)?;
            copy_files(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A file name that no other name shares and that stays in its folder: other characters than letters, digits and
/// `@-_.+` are percent-encoded, as is a dot at the start; a long name ends in its hash.
fn file_name(name: &str) -> String {
    let mut safe = String::new();
    for (at, byte) in name.bytes().enumerate() {
        let plain =
            byte.is_ascii_alphanumeric() || b"@-_+".contains(&byte) || (byte == b'.' && at > 0);
        match plain {
            true => safe.push(char::from(byte)),
            false => safe.push_str(&format!("%{byte:02X}")),
        }
        if safe.len() > MAX_NAME {
            safe.truncate(MAX_NAME / 2);
            // `%~` begins no encoded byte.
            let hash = Sha256::digest(name);
            return hash
                .iter()
                .take(16)
                .fold(safe + "%~", |name, byte| format!("{name}{byte:02x}"));
        }
    }
    safe
}
