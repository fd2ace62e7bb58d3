//! The allocator's one setting: large blocks go back to the system when they are freed.

#![allow(unsafe_code)]

/// From this size on a block is mapped by itself.
#[cfg(target_env = "gnu")]
const MMAP_THRESHOLD: std::ffi::c_int = 1024 * 1024;

/// Call it once, before threads start.
///
/// glibc raises its threshold to the largest block that was ever freed. The first password hash (19 MiB) would
/// raise it so far that the memory of all later ones stays with the threads that made them.
pub fn return_large_blocks() {
    // SAFETY: mallopt takes two integers and touches only the allocator's own settings.
    #[cfg(target_env = "gnu")]
    let done = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, MMAP_THRESHOLD) };
    #[cfg(target_env = "gnu")]
    if done == 0 {
        tracing::warn!("The allocator did not take its setting; memory may stay high after logins");
    }
}
