//! What threads print that outlived their cell goes to the kernel with the number of that cell, past the pipes, whose
//! text belongs to the cell that runs. As in `stdin.rs`, these functions stand before those of the C library.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::{c_int, c_void};

use libc::{SYS_write, SYS_writev, iovec, size_t, ssize_t};

use crate::boundary::connected_kernel;
use crate::cell::background_cell;

unsafe extern "C" {
    static stdout: *mut libc::FILE;
}

thread_local! {
    /// The start of a character whose other bytes were not printed yet, and how many bytes those are.
    static STARTED: Cell<([u8; 3], usize)> = const { Cell::new(([0; 3], 0)) };
}

/// Native libraries print by the C library, which would keep text for a pipe until there are kilobytes of it.
pub fn print_lines() {
    // SAFETY: that is the C library's stdout; without a buffer of ours it takes one of its own.
    unsafe { libc::setvbuf(stdout, std::ptr::null_mut(), libc::_IOLBF, 0) };
}

/// Has the C library print what it kept.
pub(crate) fn flush_c() {
    // It fails only when the kernel is gone, and then nobody reads.
    // SAFETY: that is the C library's stdout.
    unsafe { libc::fflush(stdout) };
}

/// As POSIX has it.
///
/// # Safety
/// `buffer` holds `count` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn write(file: c_int, buffer: *const c_void, count: size_t) -> ssize_t {
    match background(file) {
        Some(cell) if !buffer.is_null() => {
            // SAFETY: as the caller promises.
            let bytes = unsafe { std::slice::from_raw_parts(buffer.cast(), count) };
            print(cell, file, bytes)
        }
        // SAFETY: as the caller promises.
        _ => unsafe { libc::syscall(SYS_write, file, buffer, count) as ssize_t },
    }
}

/// As [`write()`], from several buffers.
///
/// # Safety
/// `buffers` points to `count` buffers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn writev(file: c_int, buffers: *const iovec, count: c_int) -> ssize_t {
    let Some(cell) = background(file) else {
        // SAFETY: as the caller promises.
        return unsafe { libc::syscall(SYS_writev, file, buffers, count) as ssize_t };
    };
    // SAFETY: as the caller promises.
    let buffers = unsafe { std::slice::from_raw_parts(buffers, count.max(0) as usize) };
    let mut all = Vec::new();
    for buffer in buffers.iter().filter(|buffer| buffer.iov_len > 0) {
        // SAFETY: as the caller promises.
        let bytes = unsafe { std::slice::from_raw_parts(buffer.iov_base.cast(), buffer.iov_len) };
        all.extend_from_slice(bytes);
    }
    print(cell, file, &all)
}

fn background(file: c_int) -> Option<u64> {
    matches!(file, 1 | 2).then(background_cell).flatten()
}

fn print(cell: u64, file: c_int, bytes: &[u8]) -> ssize_t {
    let (start, length) = STARTED.replace(([0; 3], 0));
    let mut all = start[..length].to_vec();
    all.extend_from_slice(bytes);
    let started = all.split_off(all.len() - incomplete_tail(&all));
    let mut start = [0; 3];
    start[..started.len()].copy_from_slice(&started);
    STARTED.set((start, started.len()));
    let text = String::from_utf8_lossy(&all);
    if let Some(kernel) = connected_kernel().filter(|_| !text.is_empty()) {
        kernel.print(cell, file == 2, &text);
    }
    // A slice is no longer than that.
    bytes.len() as ssize_t
}

/// How many bytes at the end are the start of a longer character.
fn incomplete_tail(bytes: &[u8]) -> usize {
    let valid = match std::str::from_utf8(&bytes[bytes.len().saturating_sub(3)..]) {
        Ok(_) => return 0,
        Err(_) => bytes,
    };
    (1..=valid.len().min(3))
        .find(|back| {
            let tail = &valid[valid.len() - back..];
            tail[0] >= 0xC0
                && std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none())
        })
        .unwrap_or(0)
}
