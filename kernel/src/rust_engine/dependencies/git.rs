//! The newest commits of repositories that `:dep` names without a `rev` or a `tag`: asked for once, for a notebook has one
//! of each until `:clear`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use std::{fs, io};

use tokio::io::AsyncReadExt;
use tokio::process::Command;

use super::cache::{Cache, hash};
use super::progress::Progress;
use super::request::Branch;
use crate::rust_engine::group::Group;

/// How long a repository may take to answer.
const LIMIT: Duration = Duration::from_secs(10);

/// Commits by the branch; empty where none is known.
#[derive(Debug, Default)]
pub struct Heads(BTreeMap<Branch, String>);

impl Heads {
    /// Asks for the commit of a branch, unless that is known. Without an answer it is the one that was last built, and the
    /// person is told.
    pub async fn ask(
        &mut self,
        branch: &Branch,
        cache: &Cache,
        offline: bool,
        progress: &mut Progress<'_>,
    ) {
        if self.0.contains_key(branch) {
            return;
        }
        progress.step(&format!("asking {}", branch.url)).await;
        let file = cache.heads().join(hash([&*branch.url, &*branch.name]));
        let asked = match offline {
            true => Err("offline mode".to_owned()),
            false => ls_remote(branch).await,
        };
        let commit = match asked {
            Ok(commit) => {
                // Without the file the next kernel needs the network.
                let _ = keep(&file, &commit);
                commit
            }
            Err(reason) => {
                let known = fs::read_to_string(file).unwrap_or_default();
                if let Some(short) = known.get(..7) {
                    let url = &branch.url;
                    progress.note(format!(
                        "{short} of {url} as before, for it could not be asked: {reason}"
                    ));
                }
                known
            }
        };
        self.0.insert(branch.clone(), commit);
    }

    pub fn of(&self, branch: &Branch) -> &str {
        self.0.get(branch).map_or("", |commit| commit)
    }

    pub fn forget(&mut self) {
        self.0.clear();
    }
}

fn keep(file: &PathBuf, commit: &str) -> io::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(file, commit)
}

/// The commit, or why it is not known.
async fn ls_remote(branch: &Branch) -> Result<String, String> {
    let failed = |error: io::Error| format!("cannot run git: {error}");
    let ssh = std::env::var_os("GIT_SSH_COMMAND");
    let mut child = Command::new("git")
        .args(["ls-remote", "--", &branch.url, &branch.name])
        // Nobody is there to type a password.
        .env("GIT_TERMINAL_PROMPT", "0")
        .env(
            "GIT_SSH_COMMAND",
            ssh.unwrap_or("ssh -oBatchMode=yes".into()),
        )
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .map_err(failed)?;
    let group = Group::of(&child);
    let (mut text, mut said) = (String::new(), String::new());
    let (Some(mut stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("git has no pipes".to_owned());
    };
    let read = async {
        let (read, heard) = tokio::join!(
            stdout.read_to_string(&mut text),
            stderr.read_to_string(&mut said)
        );
        read.and(heard)?;
        child.wait().await
    };
    let ended = tokio::time::timeout(LIMIT, read).await;
    let ended = ended.map_err(|_| format!("no answer within {} s", LIMIT.as_secs()))?;
    let status = ended.map_err(failed)?;
    group.leave();
    let commit = text.split_whitespace().next().unwrap_or_default();
    if !status.success() {
        return Err(said.lines().last().unwrap_or("git failed").to_owned());
    }
    match commit.len() >= 40 && commit.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        true => Ok(commit.to_owned()),
        false => Err(format!("it has no `{}`", branch.name)),
    }
}
