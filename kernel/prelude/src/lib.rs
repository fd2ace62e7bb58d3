//! Prebuilt crates that every cell sees without set-up. One shared library holds them, so that every cell works
//! with the same statics and thread pools, and no cell compiles them again.

/// What the generated code around a cell calls.
pub use carrel_runtime as runtime;

/// What a cell sees without `use`.
pub mod prelude {
    pub use carrel_runtime::{MimeBundle, Rich, clear_output, display, display_mime};
    pub use carrel_training::prelude::*;
}

use carrel_runtime::{MimeBundle, register};
use carrel_training::prelude::Tensor;
use carrel_training::show;

/// Teaches the runtime to show tensors; the worker calls it once.
pub fn register_renderers() {
    register(|tensor: &Tensor| {
        let bundle = MimeBundle::plain(show::text(tensor));
        match show::html(tensor) {
            Ok(html) => bundle.with("text/html", html),
            // Such as a lost device; the text says it too.
            Err(_) => bundle,
        }
    });
}
