//! A line that starts with `!`: run by a shell, as evcxr does. Its output comes as it is written.

use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;

use super::{Outputs, Session, print};
use crate::engine::{Failure, StreamName};
use crate::rust_engine::group::Group;
use crate::rust_engine::notebook::failure;
use crate::rust_engine::text::Pieces;

const CHUNK: usize = 16 * 1024;

impl Session {
    /// Returns when all that it started has closed its output. Dropping the future kills its process group.
    pub(super) async fn shell(
        &self,
        line: &str,
        title: &str,
        outputs: &Outputs,
    ) -> Result<(), Failure> {
        let failed =
            |error: std::io::Error| failure::command(title, &format!("cannot run `sh`: {error}"));
        let mut child = Command::new("sh")
            .args(["-c", line])
            .envs(&self.environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .map_err(failed)?;
        let group = Group::of(&child);
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        tokio::join!(
            follow(stdout, StreamName::Stdout, outputs),
            follow(stderr, StreamName::Stderr, outputs)
        );
        let status = child.wait().await.map_err(failed)?;
        group.leave();
        match status.success() {
            true => Ok(()),
            false => Err(failure::command(title, &format!("`!{line}`: {status}"))),
        }
    }
}

/// Shows what comes until it ends.
async fn follow(pipe: Option<impl AsyncRead + Unpin>, name: StreamName, outputs: &Outputs) {
    let Some(mut pipe) = pipe else { return };
    let mut pieces = Pieces::default();
    let mut chunk = vec![0; CHUNK];
    while let Ok(count @ 1..) = pipe.read(&mut chunk).await {
        print(outputs, name, pieces.add(&chunk[..count])).await;
    }
    print(outputs, name, pieces.end()).await;
}
