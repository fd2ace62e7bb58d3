//! Functions of the C library that functions of this one stand before: this library comes first in the worker's search
//! order, so that what `std` and native libraries call comes here.
#![allow(unsafe_code)]

use std::ffi::{CStr, c_void};
use std::sync::atomic::{AtomicPtr, Ordering};

/// A function that is looked up at its first use. No lock guards it: locks wait by functions that come here.
pub(crate) struct Real {
    name: &'static CStr,
    found: AtomicPtr<c_void>,
}

impl Real {
    pub(crate) const fn new(name: &'static CStr) -> Self {
        Self {
            name,
            found: AtomicPtr::new(std::ptr::null_mut()),
        }
    }

    /// Its address. A C library without it has no program that calls it.
    pub(crate) fn address(&self) -> *mut c_void {
        let found = self.found.load(Ordering::Relaxed);
        if !found.is_null() {
            return found;
        }
        // SAFETY: the name is a C string.
        let found = unsafe { libc::dlsym(libc::RTLD_NEXT, self.name.as_ptr()) };
        if found.is_null() {
            // Nothing can be told here: printing may need this very function.
            std::process::abort();
        }
        self.found.store(found, Ordering::Relaxed);
        found
    }
}

/// Calls the C library's own function of this type.
macro_rules! real {
    ($name:literal as $type:ty, $($argument:expr),*) => {{
        static REAL: $crate::real::Real = $crate::real::Real::new($name);
        let address = REAL.address();
        // SAFETY: that is the type of the function of this name.
        let function = unsafe { std::mem::transmute::<*mut std::ffi::c_void, $type>(address) };
        // SAFETY: the arguments are the caller's own.
        unsafe { function($($argument),*) }
    }};
}

pub(crate) use real;
