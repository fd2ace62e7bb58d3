//! Waits that an interrupt ends, on the thread that runs cells. Locks, channels and `park` wait by futex, whose callers
//! cannot be told to give up: what still waits when the interrupt is half a second old, while nothing computes, is left
//! waiting for ever, and cells go on on another thread. Calls that can fail do so with `ECANCELED`. As in `stdin.rs`,
//! these functions stand before those of the C library.
#![allow(unsafe_code)]

use std::cell::Cell;
use std::ffi::{c_int, c_long, c_void};
use std::time::{Duration, Instant};

use libc::{ECANCELED, EINTR, ETIMEDOUT, SYS_futex, timespec};

use crate::boundary::connected_kernel;
use crate::cell::{own_cell, runs_cells};
use crate::interrupt::{is_interrupted, is_urged};
use crate::real::real;

/// How long what a cell waits for may take to stop too. A cell that waits for a pool stops by what the pool's threads do.
const PATIENCE: Duration = Duration::from_millis(500);
const SLICE: Duration = Duration::from_millis(20);

const FUTEX_WAIT: c_long = 0;
const FUTEX_WAIT_BITSET: c_long = 9;
const FUTEX_PRIVATE: c_long = 128;
const ANY: c_long = 0xffff_ffff;

thread_local! {
    /// Since when an interrupted cell waits: the cell, the time, and what the process had computed then.
    static SINCE: Cell<Option<(u64, Instant, Duration)>> = const { Cell::new(None) };
    /// Whether this thread waits for the kernel.
    static OURS: Cell<bool> = const { Cell::new(false) };
}

/// Waits for the kernel: an interrupt does not leave this thread waiting in the middle.
pub fn patiently<R>(wait: impl FnOnce() -> R) -> R {
    let before = OURS.replace(true);
    let result = wait();
    OURS.set(before);
    result
}

/// What to do about an interrupt while waiting.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Heed {
    /// There is none.
    Nothing,
    /// It was seen just now.
    Begin,
    WaitOn,
    GiveUp,
}

fn heed() -> Heed {
    if !runs_cells() || OURS.get() || !is_interrupted() {
        return Heed::Nothing;
    }
    let (cell, now) = (own_cell(), Instant::now());
    match SINCE.get() {
        Some((of, _, _)) if of == cell && is_urged() => Heed::GiveUp,
        Some((of, since, computed)) if of == cell => {
            if now - since < PATIENCE {
                return Heed::WaitOn;
            }
            // What computes may come to its end, and the wait with it.
            let computed_since = computed_so_far().saturating_sub(computed);
            if computed_since * 5 < now - since {
                return Heed::GiveUp;
            }
            SINCE.set(Some((cell, now, computed_so_far())));
            Heed::WaitOn
        }
        _ => {
            SINCE.set(Some((cell, now, computed_so_far())));
            Heed::Begin
        }
    }
}

/// Ends the running cell and leaves its thread as it stands: that never runs on, so nothing that it holds is used twice.
fn leave() -> ! {
    patiently(|| {
        if let Some(kernel) = connected_kernel() {
            kernel.leave();
        }
        loop {
            // SAFETY: it waits for a signal, and handlers end no cell.
            unsafe { libc::pause() };
        }
    })
}

/// Processor time of all threads.
fn computed_so_far() -> Duration {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn clock(clock: libc::clockid_t) -> Duration {
    let mut time = timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is there to be written.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    duration(&time)
}

fn duration(time: &timespec) -> Duration {
    let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
    Duration::from_secs(seconds) + Duration::from_nanos(time.tv_nsec.unsigned_abs())
}

fn timespec_of(time: Duration) -> timespec {
    timespec {
        tv_sec: time.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_nsec: time.subsec_nanos().into(),
    }
}

fn errno() -> c_int {
    // SAFETY: `errno` of this thread is there to be read.
    unsafe { *libc::__errno_location() }
}

pub(crate) fn fail(error: c_int) -> c_long {
    // SAFETY: `errno` of this thread is there to be written.
    unsafe { *libc::__errno_location() = error };
    -1
}

type Syscall =
    unsafe extern "C" fn(c_long, c_long, c_long, c_long, c_long, c_long, c_long) -> c_long;

/// As Linux has it. A variadic function gets its arguments where one of six has them.
///
/// # Safety
/// As of the system call.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn syscall(
    number: c_long,
    a: c_long,
    b: c_long,
    c: c_long,
    d: c_long,
    e: c_long,
    f: c_long,
) -> c_long {
    let waits = number == SYS_futex
        && matches!(b & !FUTEX_PRIVATE, FUTEX_WAIT | FUTEX_WAIT_BITSET)
        && runs_cells()
        && !OURS.get();
    match waits {
        // SAFETY: as the caller promises.
        true => unsafe { wait_on_futex(a, b, c, d as *const timespec, f) },
        false => real!(c"syscall" as Syscall, number, a, b, c, d, e, f),
    }
}

/// # Safety
/// As of the system call: a futex, what it is expected to be, and a time or null.
unsafe fn wait_on_futex(
    futex: c_long,
    operation: c_long,
    expected: c_long,
    time: *const timespec,
    bits: c_long,
) -> c_long {
    let relative = operation & !FUTEX_PRIVATE == FUTEX_WAIT;
    // SAFETY: as the caller promises.
    let time = unsafe { time.as_ref() }.map(duration);
    let deadline = match relative {
        true => time.map(|time| clock(libc::CLOCK_MONOTONIC).saturating_add(time)),
        false => time,
    };
    let bits = if relative { ANY } else { bits };
    let operation = FUTEX_WAIT_BITSET | operation & FUTEX_PRIVATE;
    loop {
        let heed = heed();
        match heed {
            Heed::GiveUp => leave(),
            // Who is parked sees that by itself, and comes to a tick; all others go on waiting.
            Heed::Begin => std::thread::current().unpark(),
            Heed::Nothing | Heed::WaitOn => {}
        }
        let slice = (heed != Heed::Nothing).then(|| clock(libc::CLOCK_MONOTONIC) + SLICE);
        let until = match (slice, deadline) {
            (Some(slice), Some(deadline)) => Some(slice.min(deadline)),
            (slice, deadline) => slice.or(deadline),
        };
        let until = until.map(timespec_of);
        let time = until.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        let waited = real!(
            c"syscall" as Syscall,
            SYS_futex,
            futex,
            operation,
            expected,
            time as c_long,
            0,
            bits
        );
        let over = deadline.is_some_and(|deadline| clock(libc::CLOCK_MONOTONIC) >= deadline);
        match waited {
            -1 if errno() == ETIMEDOUT && !over => {}
            -1 if errno() == EINTR && is_interrupted() => {}
            _ => return waited,
        }
    }
}

type Join = unsafe extern "C" fn(libc::pthread_t, *mut *mut c_void) -> c_int;
type TimedJoin = unsafe extern "C" fn(libc::pthread_t, *mut *mut c_void, *const timespec) -> c_int;

/// As POSIX has it.
///
/// # Safety
/// As POSIX has it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn pthread_join(thread: libc::pthread_t, result: *mut *mut c_void) -> c_int {
    if !runs_cells() {
        return real!(c"pthread_join" as Join, thread, result);
    }
    loop {
        if heed() == Heed::GiveUp {
            leave();
        }
        let until = timespec_of(clock(libc::CLOCK_REALTIME) + SLICE);
        let joined = real!(
            c"pthread_timedjoin_np" as TimedJoin,
            thread,
            result,
            &raw const until
        );
        if joined != ETIMEDOUT {
            return joined;
        }
    }
}

/// Calls what waits until it ends, or until an interrupt makes it fail. The worker wakes it from time to time then.
pub(crate) fn cancelable(call: impl Fn() -> c_long) -> c_long {
    loop {
        let result = call();
        if result != -1 || !runs_cells() || errno() != EINTR || !is_interrupted() {
            return result;
        }
        if heed() == Heed::GiveUp {
            return fail(ECANCELED);
        }
    }
}

/// Functions of the C library that wait, give -1 for an error, and can be called again after `EINTR`.
macro_rules! cancelable {
    ($($name:ident $symbol:literal ($($argument:ident: $type:ty),*) -> $result:ty;)*) => {$(
        /// As POSIX has it; an interrupt is the error `ECANCELED`.
        ///
        /// # Safety
        /// As POSIX has it.
        #[unsafe(no_mangle)]
        pub unsafe extern "C" fn $name($($argument: $type),*) -> $result {
            type Function = unsafe extern "C" fn($($type),*) -> $result;
            let call = || c_long::from(real!($symbol as Function, $($argument),*));
            cancelable(call) as $result
        }
    )*};
}

cancelable! {
    accept c"accept" (socket: c_int, address: *mut c_void, length: *mut c_void) -> c_int;
    accept4 c"accept4" (socket: c_int, address: *mut c_void, length: *mut c_void, flags: c_int) -> c_int;
    connect c"connect" (socket: c_int, address: *const c_void, length: libc::socklen_t) -> c_int;
    recv c"recv" (socket: c_int, buffer: *mut c_void, length: usize, flags: c_int) -> c_long;
    recvfrom c"recvfrom" (socket: c_int, buffer: *mut c_void, length: usize, flags: c_int, address: *mut c_void, size: *mut c_void) -> c_long;
    recvmsg c"recvmsg" (socket: c_int, message: *mut c_void, flags: c_int) -> c_long;
    poll c"poll" (files: *mut c_void, count: libc::nfds_t, timeout: c_int) -> c_int;
    flock c"flock" (file: c_int, operation: c_int) -> c_int;
    waitpid c"waitpid" (process: libc::pid_t, status: *mut c_int, options: c_int) -> libc::pid_t;
    waitid c"waitid" (kind: libc::idtype_t, id: libc::id_t, info: *mut c_void, options: c_int) -> c_int;
}
