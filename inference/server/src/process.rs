//! What the process asks of the system at its begin and its end.
#![allow(unsafe_code)]

use carrel_inference::share_heaps;

/// Before there are threads.
pub fn begin() {
    // Where ONNX Runtime is told by its own interface, it has made files already, and a number for this machine to be known by.
    // SAFETY: nobody else reads or writes the environment: this is the only thread.
    unsafe { std::env::set_var("ORT_DISABLE_TELEMETRY", "1") };
    share_heaps();
}

/// Ends it at once, and without what C and C++ libraries do at an end: they take away what a thread that still loads or runs a
/// network needs.
pub fn end(status: i32) -> ! {
    unsafe extern "C" {
        fn _exit(status: i32) -> !;
    }
    // SAFETY: it may be called at any time from any thread (_exit(2)).
    unsafe { _exit(status) }
}
