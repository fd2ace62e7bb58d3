//! Memory of the C library's heap, which ONNX Runtime allocates from, given back to the system.
#![allow(unsafe_code)]

/// Gives back what is free, and takes some milliseconds for that. The C library keeps it else: loading a network leaves as
/// much as the network itself, and so do many large requests.
pub fn give_back_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            fn malloc_trim(pad: usize) -> i32;
        }
        // SAFETY: it may be called at any time from any thread (malloc_trim(3)).
        let _ = unsafe { malloc_trim(0) };
    }
}
