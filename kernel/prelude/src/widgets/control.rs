//! The controls that cells use most: models with one value of a Rust type.

use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

use carrel_runtime::{MimeBundle, Rich};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::model::Widget;

/// A control with a value that the person and the cells change.
pub struct Control<T> {
    widget: Widget,
    value: PhantomData<fn() -> T>,
}

/// A slider over whole numbers.
pub fn int_slider(range: RangeInclusive<i64>) -> Control<i64> {
    let (least, most) = range.into_inner();
    Control::new(
        "IntSlider",
        json!({ "min": least, "max": most, "value": least, "step": 1 }),
    )
}

/// A slider in a hundred steps.
pub fn float_slider(range: RangeInclusive<f64>) -> Control<f64> {
    let (least, most) = range.into_inner();
    let step = (most - least) / 100.0;
    Control::new(
        "FloatSlider",
        json!({ "min": least, "max": most, "value": least, "step": step }),
    )
}

/// A bar that fills as its value goes through the range.
pub fn progress_bar(range: RangeInclusive<f64>) -> Control<f64> {
    let (least, most) = range.into_inner();
    Control::new(
        "FloatProgress",
        json!({ "_view_name": "ProgressView", "min": least, "max": most, "value": least }),
    )
}

pub fn checkbox(checked: bool) -> Control<bool> {
    Control::new("Checkbox", json!({ "value": checked, "indent": false }))
}

/// A field for a line of text.
pub fn text(value: impl Into<String>) -> Control<String> {
    Control::new("Text", json!({ "value": value.into() }))
}

/// HTML to be replaced as often as need be; also SVG, such as of a plot.
pub fn html(source: impl Into<String>) -> Control<String> {
    Control::new("HTML", json!({ "value": source.into() }))
}

/// Controls beside each other.
pub fn row<'a>(children: impl IntoIterator<Item = &'a Widget>) -> Widget {
    boxed("HBox", children)
}

/// Controls below each other.
pub fn column<'a>(children: impl IntoIterator<Item = &'a Widget>) -> Widget {
    boxed("VBox", children)
}

fn boxed<'a>(name: &str, children: impl IntoIterator<Item = &'a Widget>) -> Widget {
    let children: Vec<Value> = children.into_iter().map(Widget::reference).collect();
    Widget::control(name, json!({ "children": children }))
}

impl<T: Serialize + DeserializeOwned + Default> Control<T> {
    fn new(name: &str, state: Value) -> Self {
        Self {
            widget: Widget::control(name, state),
            value: PhantomData,
        }
    }

    /// The value as the person set it last.
    pub fn value(&self) -> T {
        serde_json::from_value(self.widget.get("value")).unwrap_or_default()
    }

    /// Sets the value in all frontends.
    #[track_caller]
    pub fn set(&self, value: T) {
        self.widget.set("value", json!(value));
    }

    /// Calls `callback` with each value that the person sets. JupyterLab shows what it prints in its log console; to show
    /// something in the notebook, set another control or update a display.
    pub fn on_change(&self, mut callback: impl FnMut(T) + Send + 'static) {
        self.widget.on_change("value", move |value| {
            if let Ok(value) = serde_json::from_value(value.clone()) {
                callback(value);
            }
        });
    }

    /// The same with a text before it.
    #[must_use]
    pub fn label(self, label: &str) -> Self {
        self.widget.set("description", label);
        self
    }

    /// The model, for all that this type has no method for.
    pub fn widget(&self) -> &Widget {
        &self.widget
    }
}

impl<T> Clone for Control<T> {
    fn clone(&self) -> Self {
        Self {
            widget: self.widget.clone(),
            value: PhantomData,
        }
    }
}

impl<T> fmt::Debug for Control<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.widget.fmt(formatter)
    }
}

impl<T> Rich for Control<T> {
    fn rich(&self) -> MimeBundle {
        self.widget.rich()
    }
}

/// A button with a text on it.
#[derive(Debug, Clone)]
pub struct Button(Widget);

pub fn button(text: &str) -> Button {
    Button(Widget::control("Button", json!({ "description": text })))
}

impl Button {
    /// Calls `callback` at each click.
    pub fn on_click(&self, mut callback: impl FnMut() + Send + 'static) {
        self.0.on_custom(move |content| {
            if content["event"] == "click" {
                callback();
            }
        });
    }

    /// The model, for all that this type has no method for.
    pub fn widget(&self) -> &Widget {
        &self.0
    }
}

impl Rich for Button {
    fn rich(&self) -> MimeBundle {
        self.0.rich()
    }
}
