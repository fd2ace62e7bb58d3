//! Plots of a few series of numbers, as SVG text. Knows no notebook and no tensor.
//!
//! ```
//! use carrel_plot::{Plot, plot};
//!
//! let squares = plot([0.0, 1.0, 4.0, 9.0]).title("squares");
//! let both = Plot::new()
//!     .line("measured", [(0.5, 1.2), (1.0, 2.1), (2.5, 5.3)])
//!     .scatter("outliers", [(1.5, 9.0)])
//!     .x_label("time in s")
//!     .log_y();
//! assert!(both.svg().starts_with("<svg") && squares.svg().contains("squares"));
//! ```

mod axis;
mod datum;
mod draw;

use std::fmt;

pub use datum::{Datum, Number};

/// A plot that is drawn when it is shown. Values that are not finite are left out, as are those at or below zero on a
/// logarithmic axis.
#[derive(Clone, PartialEq)]
pub struct Plot {
    title: String,
    x: AxisLabel,
    y: AxisLabel,
    /// Width and height in CSS pixels.
    size: (u32, u32),
    series: Vec<Series>,
    /// What the whole numbers from 0 on the horizontal axis are called, if there are bars.
    categories: Vec<String>,
}

#[derive(Debug, Clone, Default, PartialEq)]
struct AxisLabel {
    text: String,
    is_log: bool,
}

#[derive(Debug, Clone, PartialEq)]
struct Series {
    name: String,
    kind: Kind,
    points: Vec<(f64, f64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Line,
    Scatter,
    Bars,
}

/// A line through numbers, or through pairs `(x, y)`; `x` of the former are 0, 1, 2, ...
pub fn plot<D: Datum>(data: impl IntoIterator<Item = D>) -> Plot {
    Plot::new().line("", data)
}

impl Default for Plot {
    fn default() -> Self {
        Self {
            title: String::new(),
            x: AxisLabel::default(),
            y: AxisLabel::default(),
            size: (640, 400),
            series: Vec::new(),
            categories: Vec::new(),
        }
    }
}

/// The same plot with one thing more.
impl Plot {
    /// A plot without series.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A line through numbers or pairs. A name that is not empty stands in the legend.
    #[must_use]
    pub fn line<D: Datum>(self, name: &str, data: impl IntoIterator<Item = D>) -> Self {
        self.with(Kind::Line, name, points(data))
    }

    /// Dots at pairs, or at numbers over 0, 1, 2, ...
    #[must_use]
    pub fn scatter<D: Datum>(self, name: &str, data: impl IntoIterator<Item = D>) -> Self {
        self.with(Kind::Scatter, name, points(data))
    }

    /// Bars over names, such as `[("cats", 3), ("dogs", 5)]`. Those of several series stand beside each other.
    #[must_use]
    pub fn bars<L: Into<String>, N: Number>(
        mut self,
        name: &str,
        data: impl IntoIterator<Item = (L, N)>,
    ) -> Self {
        let mut points = Vec::new();
        for (label, value) in data {
            let label = label.into();
            let known = self.categories.iter().position(|known| *known == label);
            let at = known.unwrap_or_else(|| {
                self.categories.push(label);
                self.categories.len() - 1
            });
            points.push((at as f64, value.as_f64()));
        }
        self.with(Kind::Bars, name, points)
    }

    #[must_use]
    pub fn title(mut self, title: impl Into<String>) -> Self {
        self.title = title.into();
        self
    }

    /// What stands below the horizontal axis.
    #[must_use]
    pub fn x_label(mut self, label: impl Into<String>) -> Self {
        self.x.text = label.into();
        self
    }

    /// What stands beside the vertical axis.
    #[must_use]
    pub fn y_label(mut self, label: impl Into<String>) -> Self {
        self.y.text = label.into();
        self
    }

    /// A logarithmic horizontal axis.
    #[must_use]
    pub fn log_x(mut self) -> Self {
        self.x.is_log = true;
        self
    }

    /// A logarithmic vertical axis.
    #[must_use]
    pub fn log_y(mut self) -> Self {
        self.y.is_log = true;
        self
    }

    /// Width and height in CSS pixels, 640 and 400 if not said; each is kept between 100 and 4000.
    #[must_use]
    pub fn size(mut self, width: u32, height: u32) -> Self {
        self.size = (width.clamp(100, 4000), height.clamp(100, 4000));
        self
    }

    fn with(mut self, kind: Kind, name: &str, points: Vec<(f64, f64)>) -> Self {
        let name = name.to_owned();
        self.series.push(Series { name, kind, points });
        self
    }
}

impl Plot {
    /// Adds a point to the series of that name, or to a new line: of a number, `x` is the count of points before it.
    pub fn push(&mut self, name: &str, value: impl Datum) {
        let series = match self.series.iter().position(|series| series.name == name) {
            Some(at) => &mut self.series[at],
            None => self.series.push_mut(Series {
                name: name.to_owned(),
                kind: Kind::Line,
                points: Vec::new(),
            }),
        };
        series.points.push(value.point(series.points.len()));
    }

    /// An SVG image without background, in colours that can be read on light and on dark.
    pub fn svg(&self) -> String {
        draw::svg(self)
    }

    /// The same as a part of an HTML page, with text in the page's colour.
    pub fn html(&self) -> String {
        draw::html(self)
    }
}

fn points<D: Datum>(data: impl IntoIterator<Item = D>) -> Vec<(f64, f64)> {
    let data = data.into_iter().enumerate();
    data.map(|(index, datum)| datum.point(index)).collect()
}

/// In a few words, for frontends without images.
impl fmt::Debug for Plot {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Plot({:?}", self.title)?;
        for series in &self.series {
            let Series { name, kind, points } = series;
            write!(formatter, ", {kind:?} {name:?} of {}", points.len())?;
            if let Some((_, last)) = points.last() {
                write!(formatter, " ending at {last}")?;
            }
        }
        formatter.write_str(")")
    }
}
