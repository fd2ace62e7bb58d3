//! Widgets: models of ipywidgets that live in cells (widget messaging protocol 2.1.0). The frontend must have the
//! extension `jupyterlab_widgets`; others show the text.
//!
//! ```ignore
//! let n = widgets::int_slider(0..=100).label("n");
//! n.on_change(|n| println!("{n}"));
//! n
//! ```

mod control;
mod model;

pub use control::{
    Button, Control, button, checkbox, column, float_slider, html, int_slider, progress_bar, row,
    text,
};
pub use model::Widget;

pub(crate) use model::answer_frontends;
