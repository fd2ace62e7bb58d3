//! Memory of this process in MB; 0 where the system does not tell.

use std::fs;

/// What it takes now; the peak is counted anew from here on.
pub fn start() -> f64 {
    // Refused where the system does not let a process do so: the peak is that since its start then.
    let _ = fs::write("/proc/self/clear_refs", "5");
    field("VmRSS:")
}

/// The most that it took since then.
pub fn peak() -> f64 {
    field("VmHWM:")
}

fn field(name: &str) -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    let kilobytes: Option<f64> = kilobytes.and_then(|number| number.parse().ok());
    kilobytes.unwrap_or_default() / 1024.0
}
