//! The C library's heap, which ONNX Runtime allocates from.
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

/// Lets threads share as many heaps as there are cores, in place of eight for each: what is free in one is not used by the
/// threads of another. For programs that call it before they have threads.
pub fn share_heaps() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        unsafe extern "C" {
            fn mallopt(parameter: i32, value: i32) -> i32;
        }
        /// `malloc.h`
        const M_ARENA_MAX: i32 = -8;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let cores = i32::try_from(cores).unwrap_or(i32::MAX);
        // SAFETY: it may be called at any time from any thread (mallopt(3)).
        let _ = unsafe { mallopt(M_ARENA_MAX, cores) };
    }
}
