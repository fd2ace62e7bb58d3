//! Mutexes without poison.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The value of a mutex, also after a panic of another thread: what is guarded so has no half-done states.
#[inline]
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
