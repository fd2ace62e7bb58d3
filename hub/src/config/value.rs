//! How values of the configuration are read and shown: one `Value` per type.

use std::time::Duration;

use super::report::Report;
use super::yaml::{Kind, Node};

/// A type that a key may have.
pub trait Value: Sized {
    /// What the file may give: completes "expected ...".
    fn expected() -> String;

    /// Reads the value; `None` once the mistake is in the report.
    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self>;

    /// As YAML, for the reference; empty for none.
    fn show(&self) -> String;
}

/// Reads a value that stands in one scalar.
pub(super) fn read_scalar<T: Value>(
    node: &Node,
    path: &str,
    report: &mut Report,
    read: impl FnOnce(&Kind) -> Option<T>,
) -> Option<T> {
    let value = read(&node.kind);
    if value.is_none() {
        report.expected(&T::expected(), node, path);
    }
    value
}

/// A value that the file gives as text of some form.
macro_rules! text_value {
    ($type:ty, $expected:expr, $read:expr, $show:expr) => {
        impl Value for $type {
            fn expected() -> String {
                $expected.to_owned()
            }

            fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
                let read: fn(&str) -> Option<Self> = $read;
                read_scalar(node, path, report, |kind| match kind {
                    Kind::Text(text) => read(text),
                    _ => None,
                })
            }

            fn show(&self) -> String {
                let show: fn(&Self) -> String = $show;
                show(self)
            }
        }
    };
}

impl Value for String {
    fn expected() -> String {
        "text".to_owned()
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        match &node.kind {
            Kind::Text(text) => return Some(text.clone()),
            Kind::Number(_) | Kind::Bool(_) => {
                report.wrong(
                    node.at,
                    path,
                    format!("expected text, found {node}; put it in quotes"),
                );
            }
            _ => report.expected("text", node, path),
        }
        None
    }

    fn show(&self) -> String {
        if self.is_empty() {
            "\"\"".to_owned()
        } else {
            self.clone()
        }
    }
}

impl Value for bool {
    fn expected() -> String {
        "true or false".to_owned()
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        read_scalar(node, path, report, |kind| match kind {
            Kind::Bool(value) => Some(*value),
            _ => None,
        })
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

/// A whole number in a range that its type can hold.
macro_rules! number_value {
    ($type:ty, $range:expr) => {
        impl Value for $type {
            fn expected() -> String {
                format!("a whole number from {} to {}", $range.start(), $range.end())
            }

            fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
                read_scalar(node, path, report, |kind| match kind {
                    Kind::Number(number) => {
                        number.parse().ok().filter(|number| $range.contains(number))
                    }
                    _ => None,
                })
            }

            fn show(&self) -> String {
                self.to_string()
            }
        }
    };
}

number_value!(u16, 0..=u16::MAX);
number_value!(u32, 0..=1_000_000u32);
number_value!(usize, 0..=1000usize);

/// Reads a number of `unit` seconds each, from 0 to `max`.
fn span(kind: &Kind, unit: f64, max: f64) -> Option<Duration> {
    let Kind::Number(number) = kind else {
        return None;
    };
    let number: f64 = number.parse().ok()?;
    (0.0..=max)
        .contains(&number)
        .then(|| Duration::from_secs_f64(number * unit))
}

/// Seconds, as JupyterHub counts its timeouts.
impl Value for Duration {
    fn expected() -> String {
        "a number of seconds from 0 to 86400".to_owned()
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        read_scalar(node, path, report, |kind| span(kind, 1.0, 86_400.0))
    }

    fn show(&self) -> String {
        self.as_secs_f64().to_string()
    }
}

/// A time in seconds that may be longer than a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Span(pub Duration);

impl Span {
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl From<Duration> for Span {
    fn from(span: Duration) -> Self {
        Self(span)
    }
}

impl Value for Span {
    fn expected() -> String {
        "a number of seconds from 0 to 315360000".to_owned()
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        read_scalar(node, path, report, |kind| {
            span(kind, 1.0, 315_360_000.0).map(Span)
        })
    }

    fn show(&self) -> String {
        self.0.as_secs_f64().to_string()
    }
}

/// A time that the file gives in days.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Days(pub Duration);

impl Days {
    pub const fn new(days: u64) -> Self {
        Self(Duration::from_secs(days * 86_400))
    }
}

impl Value for Days {
    fn expected() -> String {
        "a number of days from 0 to 3650".to_owned()
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        read_scalar(node, path, report, |kind| {
            span(kind, 86_400.0, 3650.0).map(Days)
        })
    }

    fn show(&self) -> String {
        (self.0.as_secs_f64() / 86_400.0).to_string()
    }
}

/// A key that may be left out; `null` says the same.
impl<T: Value> Value for Option<T> {
    fn expected() -> String {
        T::expected()
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        match node.kind {
            Kind::Null => Some(None),
            _ => T::read(node, path, report).map(Some),
        }
    }

    fn show(&self) -> String {
        self.as_ref().map(T::show).unwrap_or_default()
    }
}

impl<T: Value> Value for Vec<T> {
    fn expected() -> String {
        format!("a list, each item {}", T::expected())
    }

    fn read(node: &Node, path: &str, report: &mut Report) -> Option<Self> {
        let Kind::List(items) = &node.kind else {
            report.expected(&Self::expected(), node, path);
            return None;
        };
        // All items are read before the first mistake ends it, so that all mistakes show.
        let items = items
            .iter()
            .enumerate()
            .map(|(index, item)| T::read(item, &format!("{path}[{index}]"), report));
        items.collect::<Vec<_>>().into_iter().collect()
    }

    fn show(&self) -> String {
        format!(
            "[{}]",
            self.iter().map(T::show).collect::<Vec<_>>().join(", ")
        )
    }
}

pub(super) use text_value;
