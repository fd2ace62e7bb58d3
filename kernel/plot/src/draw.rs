//! Draws a plot with plotters, larger than it is shown: plotters knows whole pixels only, which would be steps.

use plotters::backend::SVGBackend;
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::coord::cartesian::Cartesian2d;
use plotters::drawing::{DrawingArea, DrawingAreaErrorKind, IntoDrawingArea};
use plotters::element::{Circle, Rectangle};
use plotters::series::LineSeries;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{Color, FontTransform, IntoFont, RGBColor, TextStyle};

use crate::axis::{Axis, label};
use crate::{Kind, Plot, Series};

/// Units of the drawing in a CSS pixel.
const SCALE: u32 = 8;
/// Text and axes: legible on light and dark, and the page's own text colour in HTML.
const INK: RGBColor = RGBColor(0x80, 0x80, 0x80);
const INK_TEXT: &str = "\"#808080\"";
/// Matplotlib's `tab10` without its grey, in which neighbours differ for most eyes; the blue is lighter, for dark pages.
const COLORS: [RGBColor; 9] = [
    RGBColor(0x2f, 0x86, 0xd6),
    RGBColor(0xff, 0x7f, 0x0e),
    RGBColor(0x2c, 0xa0, 0x2c),
    RGBColor(0xd6, 0x27, 0x28),
    RGBColor(0x94, 0x67, 0xbd),
    RGBColor(0x8c, 0x56, 0x4b),
    RGBColor(0xe3, 0x77, 0xc2),
    RGBColor(0xbc, 0xbd, 0x22),
    RGBColor(0x17, 0xbe, 0xcf),
];
/// Sizes in CSS pixels; plotters takes a font size for 1.24 times the one that it writes.
const SMALL: f64 = 11.0 * 1.24;
const LARGE: f64 = 14.0 * 1.24;
/// How wide a letter of the small font is, on average.
const LETTER: u32 = 6;
const MARGIN: u32 = 10;
const ROW: u32 = 20;
/// Part of a category that its bars take.
const BARS: f64 = 0.8;

type Backend<'a> = SVGBackend<'a>;
type Area<'a> = DrawingArea<Backend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, Backend<'b>, Cartesian2d<Axis, Axis>>;
type Drawn<T = ()> = Result<T, DrawingAreaErrorKind<std::io::Error>>;

pub fn svg(plot: &Plot) -> String {
    let (width, height) = plot.size;
    let mut text = String::new();
    if let Err(error) = draw(plot, &mut text) {
        return format!("<svg xmlns=\"http://www.w3.org/2000/svg\"><text>{error}</text></svg>");
    }
    let drawn = format!(
        "<svg width=\"{}\" height=\"{}\"",
        width * SCALE,
        height * SCALE
    );
    text.replacen(
        &drawn,
        &format!("<svg width=\"{width}\" height=\"{height}\""),
        1,
    )
}

pub fn html(plot: &Plot) -> String {
    let fitting = "<svg style=\"max-width:100%;height:auto\" ";
    let text = svg(plot).replacen("<svg ", fitting, 1);
    text.replace(INK_TEXT, "\"currentColor\"")
}

fn draw(plot: &Plot, text: &mut String) -> Drawn {
    let (width, height) = (plot.size.0 * SCALE, plot.size.1 * SCALE);
    let root = SVGBackend::with_string(text, (width, height)).into_drawing_area();
    let series: Vec<Series> = plot
        .series
        .iter()
        .map(|series| drawable(plot, series))
        .collect();
    let (x, y) = axes(plot, &series);
    let mut top = MARGIN;
    if !plot.title.is_empty() {
        let style = ink(LARGE, HPos::Center, VPos::Center);
        let middle = (width.cast_signed() / 2, units(top + ROW / 2));
        root.draw_text(&plot.title, &style, middle)?;
        top += ROW + 4;
    }
    top += legend(plot, &root, top)?;
    let letters = y
        .ticks()
        .iter()
        .map(|tick| label(*tick).len())
        .max()
        .unwrap_or(0);
    let left = letters as u32 * LETTER + 8 + row_if(!plot.y.text.is_empty());
    let mut chart = ChartBuilder::on(&root)
        .margin_top(top * SCALE)
        .margin_right(2 * MARGIN * SCALE)
        .margin_bottom(MARGIN * SCALE / 2)
        .margin_left(MARGIN * SCALE)
        .x_label_area_size((ROW + row_if(!plot.x.text.is_empty())) * SCALE)
        .y_label_area_size(left * SCALE)
        .build_cartesian_2d(x, y.clone())?;
    draw_axes(plot, &mut chart)?;
    let bars = series
        .iter()
        .filter(|series| series.kind == Kind::Bars)
        .count();
    let mut bars_before = 0;
    for (number, series) in series.iter().enumerate() {
        let color = COLORS[number % COLORS.len()];
        draw_series(&mut chart, series, color, &y, (bars_before, bars))?;
        bars_before += usize::from(series.kind == Kind::Bars);
    }
    root.present()
}

/// What the axes have a place for, without points that would not be seen apart.
fn drawable(plot: &Plot, series: &Series) -> Series {
    let fits = |value: f64, is_log: bool| value.is_finite() && (!is_log || value > 0.0);
    let is_log_x = plot.x.is_log && plot.categories.is_empty();
    let points = series.points.iter().copied();
    let points: Vec<_> = points
        .filter(|(x, y)| fits(*x, is_log_x) && fits(*y, plot.y.is_log))
        .collect();
    let points = match series.kind {
        Kind::Line => thinned(points, 2 * plot.size.0 as usize),
        Kind::Scatter | Kind::Bars => points,
    };
    Series {
        name: series.name.clone(),
        kind: series.kind,
        points,
    }
}

/// Of more points than `most`, the lowest and the highest of each stretch, in their order.
fn thinned(points: Vec<(f64, f64)>, most: usize) -> Vec<(f64, f64)> {
    if points.len() <= 2 * most {
        return points;
    }
    let stretches = points.chunks(points.len().div_ceil(most));
    stretches
        .flat_map(|stretch| {
            let by_y = |one: &usize, other: &usize| stretch[*one].1.total_cmp(&stretch[*other].1);
            let low = (0..stretch.len()).min_by(by_y).unwrap_or(0);
            let high = (0..stretch.len()).max_by(by_y).unwrap_or(0);
            [stretch[low.min(high)], stretch[low.max(high)]]
        })
        .collect()
}

fn axes(plot: &Plot, series: &[Series]) -> (Axis, Axis) {
    let points = || series.iter().flat_map(|series| &series.points);
    let has_bars = !plot.categories.is_empty();
    let (width, height) = plot.size;
    let x = match has_bars {
        true => Axis::categories(plot.categories.len()),
        false => {
            let ticks = width / 80;
            Axis::around(points().map(|(x, _)| *x), plot.x.is_log, ticks as usize)
        }
    };
    // Bars stand on zero.
    let zero = (has_bars && !plot.y.is_log).then_some(0.0);
    let values = points().map(|(_, y)| *y).chain(zero);
    (x, Axis::around(values, plot.y.is_log, height as usize / 40))
}

/// Names of the series beside their colours, in rows; gives the height of these.
fn legend(plot: &Plot, root: &Area<'_>, top: u32) -> Drawn<u32> {
    let named = plot.series.iter().enumerate();
    let mut left = 2 * MARGIN;
    let mut height = 0;
    for (number, series) in named.filter(|(_, series)| !series.name.is_empty()) {
        let width = 22 + (series.name.chars().count() as u32 + 2) * LETTER;
        if height == 0 || left + width > plot.size.0 {
            left = 2 * MARGIN;
            height += ROW;
        }
        let middle = top + height - ROW / 2;
        let color = COLORS[number % COLORS.len()].filled();
        let mark = match series.kind {
            Kind::Line => [(left, middle - 1), (left + 16, middle + 1)],
            Kind::Scatter | Kind::Bars => [(left + 4, middle - 4), (left + 12, middle + 4)],
        };
        root.draw(&Rectangle::new(
            mark.map(|(x, y)| (units(x), units(y))),
            color,
        ))?;
        let style = ink(SMALL, HPos::Left, VPos::Center);
        root.draw_text(&series.name, &style, (units(left + 22), units(middle)))?;
        left += width;
    }
    Ok(height)
}

fn draw_axes(plot: &Plot, chart: &mut Chart<'_, '_>) -> Drawn {
    let name = |x: &f64| match plot.categories.get(*x as usize) {
        Some(name) => name.clone(),
        None => label(*x),
    };
    let mut mesh = chart.configure_mesh();
    if !plot.categories.is_empty() {
        mesh.disable_x_mesh();
    }
    mesh.axis_style(INK.mix(0.6).stroke_width(SCALE))
        .bold_line_style(INK.mix(0.2).stroke_width(SCALE))
        .light_line_style(INK.mix(0.0))
        .set_all_tick_mark_size(4 * SCALE)
        .x_label_formatter(&name)
        .label_style(ink(SMALL, HPos::Center, VPos::Center))
        .axis_desc_style(ink(SMALL, HPos::Center, VPos::Center))
        .x_desc(plot.x.text.as_str())
        .y_desc(plot.y.text.as_str())
        .draw()
}

/// `bars` says which series of bars it is, and how many there are.
fn draw_series(
    chart: &mut Chart<'_, '_>,
    series: &Series,
    color: RGBColor,
    y: &Axis,
    bars: (usize, usize),
) -> Drawn {
    let points = series.points.iter().copied();
    match series.kind {
        Kind::Line if series.points.len() == 1 => dots(chart, points, color),
        Kind::Line => {
            let style = color.stroke_width(2 * SCALE);
            chart
                .draw_series(LineSeries::new(points, style))
                .map(|_| ())
        }
        Kind::Scatter => dots(chart, points, color.mix(0.8)),
        Kind::Bars => {
            let (number, count) = bars;
            let width = BARS / count as f64;
            let foot = y.start().max(0.0);
            let bars = points.map(|(at, value)| {
                let left = at - BARS / 2.0 + number as f64 * width;
                let corners = [(left, foot), (left + width * 0.95, value)];
                Rectangle::new(corners, color.filled())
            });
            chart.draw_series(bars).map(|_| ())
        }
    }
}

fn dots(
    chart: &mut Chart<'_, '_>,
    points: impl Iterator<Item = (f64, f64)>,
    color: impl Color,
) -> Drawn {
    let dots = points.map(|point| Circle::new(point, 3 * SCALE, color.filled()));
    chart.draw_series(dots).map(|_| ())
}

fn ink(size: f64, h_pos: HPos, v_pos: VPos) -> TextStyle<'static> {
    let font = ("sans-serif", size * f64::from(SCALE)).into_font();
    TextStyle::from(font.transform(FontTransform::None))
        .color(&INK)
        .pos(Pos::new(h_pos, v_pos))
}

fn row_if(is_there: bool) -> u32 {
    if is_there { ROW } else { 0 }
}

/// CSS pixels of a plot, which are few, in units of the drawing.
fn units(pixels: u32) -> i32 {
    (pixels * SCALE).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn polyline(svg: &str) -> Vec<&str> {
        let line = svg.split("<polyline").find(|part| part.contains("#2F86D6"));
        let points = line.and_then(|line| line.split("points=\"").nth(1));
        let points = points.and_then(|points| points.split('"').next());
        points.unwrap_or_default().split_whitespace().collect()
    }

    #[test]
    fn a_line_has_its_points_and_a_long_one_its_extremes() {
        let mut values = vec![0.0; 100_000];
        values[4321] = 7.0;
        let long = crate::plot(&values).size(300, 200);
        let points = polyline(&svg(&long)).len();
        assert!((600..1300).contains(&points), "{points} points");
        let heights = |plot: &Plot| {
            let svg = svg(plot);
            let points = polyline(&svg);
            let heights: std::collections::BTreeSet<_> = points
                .iter()
                .map(|point| point.split(',').nth(1).unwrap().to_owned())
                .collect();
            heights.len()
        };
        assert_eq!(heights(&long), 2, "the peak is lost");
        assert_eq!(polyline(&svg(&crate::plot([1, 3, 2]))).len(), 3);
    }

    #[test]
    fn what_no_axis_has_a_place_for_is_left_out() {
        let plot = crate::plot([1.0, f64::NAN, -1.0, 0.0, f64::INFINITY, 10.0]).log_y();
        assert_eq!(polyline(&svg(&plot)).len(), 2);
    }

    #[test]
    fn names_are_text_and_never_markup() {
        let plot = Plot::new()
            .line("<script>", [1, 2])
            .title("a & b")
            .x_label("\"x\"");
        let html = html(&plot);
        assert!(html.contains("&lt;script&gt;") && html.contains("a &amp; b"));
        assert!(!html.contains("<script"));
        assert!(html.contains("currentColor") && !html.contains(INK_TEXT));
    }
}
