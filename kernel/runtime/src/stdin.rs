//! Input from the person. `std::io::stdin()` reads with the C library's `read`, and this library stands before the C
//! library in the worker's search order, so it asks the frontend there. A process that a cell starts finds stdin empty.
#![allow(unsafe_code)]

use std::collections::VecDeque;
use std::ffi::{c_int, c_void};
use std::io;
use std::sync::{Mutex, PoisonError};

use libc::{ECANCELED, SYS_read, SYS_readv, iovec, size_t, ssize_t};

use crate::boundary::{Answer, Question};
use crate::interrupt::{is_interrupted, tick};
use crate::output::kernel;
use crate::waits::{cancelable, fail};

/// End of input: what frontends send for Ctrl-D, and how a person writes it in a text field.
const END: [&str; 2] = ["\u{4}", "^D"];

/// What was answered and not read yet. Locked while a question is open: there is one at a time.
static UNREAD: Mutex<VecDeque<u8>> = Mutex::new(VecDeque::new());

/// Asks the person for a line of text.
///
/// # Errors
/// When the frontend takes no questions, or the person ends the input (Ctrl-D in a console, `^D` in a notebook).
#[track_caller]
pub fn input(prompt: &str) -> io::Result<String> {
    question(prompt, false)
}

/// As [`input`], and what is typed is not shown.
///
/// # Errors
/// As [`input`].
#[track_caller]
pub fn password(prompt: &str) -> io::Result<String> {
    question(prompt, true)
}

#[track_caller]
fn question(prompt: &str, password: bool) -> io::Result<String> {
    let question = Question {
        prompt: prompt.to_owned(),
        password,
    };
    let answer = {
        let _one_at_a_time = UNREAD.lock().unwrap_or_else(PoisonError::into_inner);
        ask(&question)
    };
    tick();
    match answer {
        Answer::Line(line) if END.contains(&line.as_str()) => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the input has ended",
        )),
        Answer::Line(line) => Ok(line),
        Answer::Refused => Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "nobody can be asked: this frontend takes no input, or the cell has ended",
        )),
        Answer::Interrupted => Err(io::Error::from_raw_os_error(ECANCELED)),
    }
}

fn ask(question: &Question) -> Answer {
    match kernel() {
        _ if is_interrupted() => Answer::Interrupted,
        Some(kernel) => kernel.ask(question),
        None => Answer::Refused,
    }
}

/// As POSIX has it; of descriptor 0, the next bytes of what the person answers. An interrupt is the error `ECANCELED`:
/// callers are not made for unwinding, and would take an end of input for the end of a text.
///
/// # Safety
/// `buffer` has room for `count` bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn read(file: c_int, buffer: *mut c_void, count: size_t) -> ssize_t {
    if file != 0 {
        // SAFETY: as the caller promises.
        return cancelable(|| unsafe { libc::syscall(SYS_read, file, buffer, count) }) as ssize_t;
    }
    if count == 0 {
        return 0;
    }
    // SAFETY: as the caller promises.
    let buffer = unsafe { std::slice::from_raw_parts_mut(buffer.cast(), count) };
    answered(buffer)
}

/// As [`read`], into several buffers.
///
/// # Safety
/// `buffers` points to `count` buffers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn readv(file: c_int, buffers: *const iovec, count: c_int) -> ssize_t {
    if file != 0 {
        // SAFETY: as the caller promises.
        return cancelable(|| unsafe { libc::syscall(SYS_readv, file, buffers, count) }) as ssize_t;
    }
    // SAFETY: as the caller promises.
    let buffers = unsafe { std::slice::from_raw_parts(buffers, count.max(0) as usize) };
    match buffers.iter().find(|buffer| buffer.iov_len > 0) {
        // A short read is always allowed.
        // SAFETY: as the caller promises.
        Some(buffer) => unsafe { read(0, buffer.iov_base, buffer.iov_len) },
        None => 0,
    }
}

fn answered(buffer: &mut [u8]) -> ssize_t {
    let mut unread = UNREAD.lock().unwrap_or_else(PoisonError::into_inner);
    if unread.is_empty() {
        match ask(&Question::default()) {
            Answer::Line(line) if END.contains(&line.as_str()) => return 0,
            Answer::Line(line) => {
                unread.extend(line.as_bytes());
                unread.push_back(b'\n');
            }
            Answer::Refused => return 0,
            Answer::Interrupted => {
                return fail(ECANCELED) as ssize_t;
            }
        }
    }
    let count = io::Read::read(&mut *unread, buffer).unwrap_or_default();
    // As many bytes as a slice has fit.
    count as ssize_t
}
