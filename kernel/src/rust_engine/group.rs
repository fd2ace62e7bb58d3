//! Process groups of programs that the kernel runs for a cell, which end with it.

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::process::Child;

/// Kills a child that was started as the first of its group, and all that it started, unless it ended before.
pub struct Group(Option<u32>);

impl Group {
    pub fn of(child: &Child) -> Self {
        Self(child.id())
    }

    /// The child has ended by itself.
    pub fn leave(mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0.and_then(|pid| i32::try_from(pid).ok()) {
            // An error means that the group is gone already.
            let _ = killpg(Pid::from_raw(pid), Signal::SIGKILL);
        }
    }
}
