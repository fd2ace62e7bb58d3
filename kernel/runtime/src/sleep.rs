//! `std::thread::sleep` that ends with an interrupt: std sleeps with the C library's `clock_nanosleep`, and this library
//! stands before the C library in the worker's search order.
#![allow(unsafe_code)]

use std::ffi::c_int;
use std::time::Duration;

use libc::{EFAULT, EINVAL, SYS_clock_nanosleep, TIMER_ABSTIME, clockid_t, timespec};

use crate::interrupt::is_interrupted;

/// A sleep looks for an interrupt this often. A signal would wake only one of the threads that sleep.
const SLICE: Duration = Duration::from_millis(20);

/// As POSIX has it, but an interrupt counts as the end of the time. It returns, rather than unwinds, for its callers
/// are not made for that; the cell's next tick unwinds.
///
/// # Safety
/// `request` points to a time, or is null.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn clock_nanosleep(
    clock: clockid_t,
    flags: c_int,
    request: *const timespec,
    _remaining: *mut timespec,
) -> c_int {
    // SAFETY: as the caller promises.
    let Some(request) = (unsafe { request.as_ref() }) else {
        return EFAULT;
    };
    let (Some(request), Some(start)) = (duration(request), now(clock)) else {
        return EINVAL;
    };
    let deadline = match flags & TIMER_ABSTIME {
        0 => start.saturating_add(request),
        _ => request,
    };
    while !is_interrupted() {
        let Some(rest) = now(clock).and_then(|now| deadline.checked_sub(now)) else {
            break;
        };
        if rest.is_zero() {
            break;
        }
        sleep_slice(clock, rest.min(SLICE));
    }
    0
}

fn sleep_slice(clock: clockid_t, time: Duration) {
    let time = timespec {
        tv_sec: 0,
        tv_nsec: time.subsec_nanos().into(),
    };
    // SAFETY: the kernel reads `time` and writes nothing. Woken early by a signal, the loop above goes on.
    unsafe {
        libc::syscall(
            SYS_clock_nanosleep,
            clock,
            0,
            &raw const time,
            std::ptr::null_mut::<timespec>(),
        );
    }
}

fn now(clock: clockid_t) -> Option<Duration> {
    let mut time = timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is there to be written.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    (result == 0).then(|| duration(&time)).flatten()
}

fn duration(time: &timespec) -> Option<Duration> {
    let nanoseconds = u32::try_from(time.tv_nsec).ok()?;
    (nanoseconds < 1_000_000_000)
        .then(|| Some(Duration::new(u64::try_from(time.tv_sec).ok()?, nanoseconds)))
        .flatten()
}
