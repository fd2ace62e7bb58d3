//! The end of the process.
#![allow(unsafe_code)]

/// Ends it at once, and without what C and C++ libraries do at an end: they take away what a thread that still loads or runs a
/// network needs.
pub fn at_once(status: i32) -> ! {
    unsafe extern "C" {
        fn _exit(status: i32) -> !;
    }
    // SAFETY: it may be called at any time from any thread (_exit(2)).
    unsafe { _exit(status) }
}
