//! What cells print is shown as a terminal shows it, but for the cursor: it can go back to the start of its line, and
//! no line above can be changed. So stdout and stderr are to libraries a terminal of one line, which has progress bars
//! draw themselves. As in `stdin.rs`, these functions stand before those of the C library.
#![allow(unsafe_code)]

use std::ffi::{c_int, c_ulong, c_void};

use libc::{SYS_ioctl, TCGETS, TIOCGWINSZ, termios, winsize};

const SIZE: winsize = winsize {
    ws_row: 1,
    ws_col: 80,
    ws_xpixel: 0,
    ws_ypixel: 0,
};

/// As POSIX has it; stdout and stderr are terminals.
#[unsafe(no_mangle)]
pub extern "C" fn isatty(file: c_int) -> c_int {
    if is_shown(file) {
        return 1;
    }
    let mut settings = std::mem::MaybeUninit::<termios>::uninit();
    // SAFETY: the kernel writes no more than its own part of the settings.
    let asked = unsafe { libc::syscall(SYS_ioctl, file, TCGETS, settings.as_mut_ptr()) };
    c_int::from(asked == 0)
}

/// As Linux has it, with its one argument; stdout and stderr have a size.
///
/// # Safety
/// `argument` is what `request` asks for.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn ioctl(file: c_int, request: c_ulong, argument: *mut c_void) -> c_int {
    if is_shown(file) && request == TIOCGWINSZ {
        // SAFETY: that is the argument of this request.
        unsafe { argument.cast::<winsize>().write(SIZE) };
        return 0;
    }
    // SAFETY: as the caller promises.
    unsafe { libc::syscall(SYS_ioctl, file, request, argument) as c_int }
}

fn is_shown(file: c_int) -> bool {
    file == 1 || file == 2
}
