//! Prebuilt crates that every cell sees without set-up. One shared library holds them, so that every cell works
//! with the same statics and thread pools, and no cell compiles them again.

mod comm;
mod image;
mod json;
pub mod tasks;
mod training;
pub mod widgets;

/// What a cell sees without `use`.
pub mod prelude {
    pub use carrel_plot::{Plot, plot};
    pub use carrel_runtime::prelude::*;
    pub use carrel_training::job::Rank;
    pub use carrel_training::prelude::*;
    pub use serde_json::json;

    pub use crate::comm::{Comm, CommKind, CommMessage, on_comm_open};
    pub use crate::image::{Image, ImageError};
    pub use crate::widgets;
}

pub use carrel_training::job::run_function;

// What is offered here has a path by which later cells name it: a variable may have any type of these crates.
#[doc(hidden)]
pub use {
    carrel_onnx, carrel_plot, carrel_protocol, carrel_ranks, carrel_report, carrel_training, serde,
    serde_json,
};

pub use crate::comm::{Frontends, connect, receive};

use std::fmt::Debug;

use carrel_plot::Plot;
use carrel_runtime::{MimeBundle, Rich, mime, register};
use carrel_training::prelude::{Tensor, candle_core};
use carrel_training::show;

use crate::image::{Image, ImageError};
use crate::widgets::{Button, Control, Widget};

/// Teaches the runtime what to show and answer; the worker calls it once.
pub fn register_all() {
    widgets::answer_frontends();
    training::register_all();
    register(MimeBundle::rich);
    register(Widget::rich);
    register(Button::rich);
    register(Control::<i64>::rich);
    register(Control::<f64>::rich);
    register(Control::<bool>::rich);
    register(Control::<String>::rich);
    register(plot);
    register_with_results::<_, ImageError>(Image::rich);
    register_with_results::<_, candle_core::Error>(tensor);
}

/// HTML has the colours of the page; the image is for frontends that show no HTML, or none of a stranger's notebook.
fn plot(plot: &Plot) -> MimeBundle {
    mime::svg(plot.svg())
        .with("text/html", plot.html())
        .with("text/plain", format!("{plot:?}"))
}

fn tensor(tensor: &Tensor) -> MimeBundle {
    let bundle = MimeBundle::plain(show::text(tensor));
    match show::html(tensor) {
        Ok(html) => bundle.with("text/html", html),
        // Such as a lost device; the text says it too.
        Err(_) => bundle,
    }
}

/// Also an `Option` or `Result` shows the value in it.
fn register_with_results<T: 'static, E: Debug + 'static>(shown: fn(&T) -> MimeBundle) {
    register(shown);
    register(move |value: &Option<T>| match value {
        Some(value) => shown(value),
        None => MimeBundle::plain("None"),
    });
    register(move |value: &Result<T, E>| match value {
        Ok(value) => shown(value),
        Err(error) => MimeBundle::plain(format!("Err({error:?})")),
    });
}
