//! Processes as `/proc` shows them. Knows no server.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

/// One process, told from all others that had or will have its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) pid: i32,
    /// Clock ticks after boot, field 22 of `/proc/<pid>/stat`.
    pub(super) start_time: u64,
    /// Ticks count from boot, so they say nothing in another one.
    pub(super) boot_id: String,
}

/// What `/proc/<pid>/stat` says (proc_pid_stat(5)).
pub(super) struct Stat {
    pub(super) pid: i32,
    pub(super) session: i32,
    pub(super) start_time: u64,
    /// Ended, though its parent has not asked for its status yet.
    zombie: bool,
}

/// Makes the command's process a session leader, away from the Hub's terminal and process group.
#[allow(unsafe_code)]
pub(super) fn in_own_session(command: &mut std::process::Command) {
    // SAFETY: between fork and exec only async-signal-safe calls are allowed (signal-safety(7)); setsid is one, and
    // turning its error number into an `io::Error` allocates nothing.
    unsafe {
        command.pre_exec(|| nix::unistd::setsid().map(|_| ()).map_err(io::Error::from));
    }
}

pub(super) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?
        .trim()
        .to_owned())
}

pub(super) fn is_alive(identity: &Identity) -> io::Result<bool> {
    let stat =
        stat(identity.pid)?.filter(|stat| stat.start_time == identity.start_time && !stat.zombie);
    Ok(stat.is_some() && boot_id()? == identity.boot_id)
}

/// `None` if there is no such process.
pub(super) fn stat(pid: i32) -> io::Result<Option<Stat>> {
    let text = match fs::read(format!("/proc/{pid}/stat")) {
        Ok(text) => text,
        Err(error) if gone(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let stat = parse_stat(pid, &String::from_utf8_lossy(&text));
    stat.map(Some).ok_or_else(|| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("/proc/{pid}/stat does not read"),
        )
    })
}

/// All processes that live, but for those of which nothing may be seen.
pub(super) fn all() -> io::Result<Vec<Stat>> {
    let entries = fs::read_dir("/proc")?.flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    Ok(pids
        .filter_map(|pid| stat(pid).ok()?)
        .filter(|stat| !stat.zombie)
        .collect())
}

/// The value of a variable in the environment that a process was started with; `None` also for other users' ones.
pub(super) fn variable(pid: i32, name: &str) -> Option<String> {
    let environment = fs::read(format!("/proc/{pid}/environ")).ok()?;
    let mut entries = environment.split(|byte| *byte == 0);
    let value =
        entries.find_map(|entry| entry.strip_prefix(name.as_bytes())?.strip_prefix(b"="))?;
    String::from_utf8(value.to_vec()).ok()
}

/// Whose process it is; `None` if there is none.
pub(super) fn owner(pid: i32) -> Option<u32> {
    let found = fs::metadata(format!("/proc/{pid}")).ok()?;
    Some(std::os::unix::fs::MetadataExt::uid(&found))
}

/// The file that a process writes its output to.
pub(super) fn stdout(pid: i32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/fd/1")).ok()
}

/// A process that is gone is no error.
pub(super) fn signal(pid: i32, signal: Signal) -> io::Result<()> {
    sent(kill(Pid::from_raw(pid), signal))
}

/// Signals all processes of the group that `leader` leads; a group that is gone is no error.
pub(super) fn signal_group(leader: i32, signal: Signal) -> io::Result<()> {
    sent(killpg(Pid::from_raw(leader), signal))
}

fn sent(result: nix::Result<()>) -> io::Result<()> {
    match result {
        Ok(()) | Err(Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// The name in parentheses may itself hold spaces and parentheses: the last one ends it.
fn parse_stat(pid: i32, text: &str) -> Option<Stat> {
    let (_, after_name) = text.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    // The first of these is field 3, the state.
    let field = |number: usize| fields.get(number - 3).copied();
    let zombie = matches!(field(3)?, "Z" | "X");
    Some(Stat {
        pid,
        session: field(6)?.parse().ok()?,
        start_time: field(22)?.parse().ok()?,
        zombie,
    })
}

/// A process may end while its files are read.
fn gone(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ESRCH as i32)
}
