//! One axis: its range, where its ticks are and what they say.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

#[derive(Debug, Clone, PartialEq)]
pub struct Axis {
    is_log: bool,
    range: Range<f64>,
    ticks: Vec<f64>,
}

impl Axis {
    /// Around `values`, with about as many ticks.
    pub fn around(values: impl Iterator<Item = f64>, is_log: bool, ticks: usize) -> Self {
        let (least, most) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(least, most), v| {
            (least.min(v), most.max(v))
        });
        match is_log {
            true => Self::log(least, most, ticks),
            false => Self::linear(least, most, ticks),
        }
    }

    /// A place for each category, from 0.
    pub fn categories(count: usize) -> Self {
        Self {
            is_log: false,
            range: -0.5..count as f64 - 0.5,
            ticks: (0..count).map(|at| at as f64).collect(),
        }
    }

    fn linear(least: f64, most: f64, ticks: usize) -> Self {
        let (least, most) = match least <= most {
            true => (least, most),
            false => (0.0, 1.0),
        };
        // One value, or values that an f64 tells apart by its last bits only.
        let widened = (most.abs().max(least.abs()) * 1e-9).max(f64::MIN_POSITIVE);
        let (least, most) = match most - least > widened {
            true => (least, most),
            false if most == 0.0 => (-1.0, 1.0),
            false => (least - least.abs() * 0.1, most + most.abs() * 0.1),
        };
        // Halves, as the difference may be more than an f64 has.
        let step = nice((most / 2.0 - least / 2.0) * 2.0 / ticks.max(1) as f64);
        let first = (least / step).ceil() as i64;
        let last = (most / step).floor() as i64;
        let margin = (most - least) * 0.02;
        Self {
            is_log: false,
            range: least - margin..most + margin,
            ticks: (first..=last).map(|at| at as f64 * step).collect(),
        }
    }

    /// Powers of ten where there are enough of them, else also 2 and 5 times these.
    fn log(least: f64, most: f64, ticks: usize) -> Self {
        let (least, most) = match (least <= most, least < most) {
            (true, true) => (least, most),
            (true, false) => (least / 2.0, most * 2.0),
            (false, _) => (1.0, 10.0),
        };
        let decades = most.log10() - least.log10();
        let margin = 10f64.powf(decades * 0.02);
        let range = (least / margin).max(f64::MIN_POSITIVE)..(most * margin).min(f64::MAX);
        let (first, last) = (range.start.log10(), range.end.log10());
        let every = (decades / ticks.max(1) as f64).round().max(1.0);
        let factors: &[f64] = match decades {
            ..1.0 => &[1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0],
            ..3.0 => &[1.0, 2.0, 5.0],
            _ => &[1.0],
        };
        let mut found = Vec::new();
        let mut power = (first / every).floor() * every;
        while power <= last {
            let ticks = factors.iter().map(|factor| factor * 10f64.powf(power));
            found.extend(ticks.filter(|tick| range.contains(tick)));
            power += every;
        }
        Self {
            is_log: true,
            range,
            ticks: found,
        }
    }

    pub fn start(&self) -> f64 {
        self.range.start
    }

    pub fn ticks(&self) -> &[f64] {
        &self.ticks
    }
}

/// The next of 1, 2 and 5 times a power of ten.
fn nice(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    let fits = |factor: &&f64| **factor * power >= step * 0.999;
    factors.iter().find(fits).unwrap_or(&10.0) * power
}

/// A tick as people write it.
pub fn label(tick: f64) -> String {
    let size = tick.abs();
    if size != 0.0 && !(1e-4..1e6).contains(&size) {
        // The digits that are not rounding.
        let text = format!("{tick:.3e}");
        let (digits, power) = text.split_once('e').unwrap_or((&text, "0"));
        let digits = digits.trim_end_matches('0').trim_end_matches('.');
        return format!("{digits}e{power}");
    }
    let text = format!("{tick:.7}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    match text {
        "-0" => "0".to_owned(),
        text => text.to_owned(),
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, (from, to): (i32, i32)) -> i32 {
        let scale = |value: f64| if self.is_log { value.log10() } else { value };
        let (start, end) = (scale(self.range.start), scale(self.range.end));
        let part = (scale(*value) - start) / (end - start);
        from + (f64::from(to - from) * part).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, _: Hint) -> Vec<f64> {
        self.ticks.clone()
    }

    fn range(&self) -> Range<f64> {
        self.range.clone()
    }
}

impl ValueFormatter<f64> for Axis {
    fn format(value: &f64) -> String {
        label(*value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(values: &[f64], is_log: bool) -> Vec<String> {
        let axis = Axis::around(values.iter().copied(), is_log, 6);
        axis.ticks.iter().map(|tick| label(*tick)).collect()
    }

    #[test]
    fn ticks_are_round_numbers_within_the_values() {
        assert_eq!(
            labels(&[0.0, 1.0], false),
            ["0", "0.2", "0.4", "0.6", "0.8", "1"]
        );
        assert_eq!(labels(&[-13.0, 22.0], false), ["-10", "0", "10", "20"]);
        assert_eq!(
            labels(&[0.0, 3e-7], false),
            ["0", "5e-8", "1e-7", "1.5e-7", "2e-7", "2.5e-7", "3e-7"]
        );
        assert_eq!(
            labels(&[0.001, 1000.0], true),
            ["0.001", "0.01", "0.1", "1", "10", "100", "1000"]
        );
        assert_eq!(
            labels(&[0.4, 2.6], true),
            ["0.4", "0.5", "0.7", "1", "1.5", "2"]
        );
    }

    #[test]
    fn one_value_none_and_extreme_ones_have_an_axis_too() {
        for values in [
            &[][..],
            &[0.0],
            &[7.0],
            &[-1e300],
            &[f64::MIN, f64::MAX],
            &[1.0, 1.0 + 1e-15],
        ] {
            let axis = Axis::around(values.iter().copied(), false, 6);
            assert!(axis.range.start < axis.range.end, "{values:?} {axis:?}");
            assert!(
                axis.ticks.len() < 20,
                "{values:?}: {} ticks",
                axis.ticks.len()
            );
        }
        for values in [&[][..], &[5.0], &[f64::MIN_POSITIVE, f64::MAX]] {
            let axis = Axis::around(values.iter().copied(), true, 6);
            assert!(
                0.0 <= axis.range.start && axis.range.start < axis.range.end,
                "{values:?} {axis:?}"
            );
            assert!(
                axis.ticks.len() < 20,
                "{values:?}: {} ticks",
                axis.ticks.len()
            );
        }
    }
}
