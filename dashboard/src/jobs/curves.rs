//! Loss and accuracy of each rank, read from the lines that training prints, and drawn as curves.

use std::collections::BTreeMap;

/// The most points of a curve that are kept.
const MOST_EPOCHS: u32 = 2000;
/// Whoever may print into a log says which rank it is of.
const MOST_RANKS: usize = 64;
/// The drawing's size and its margins, in units of its own.
const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 56.0;
const RIGHT: f64 = 12.0;
const TOP: f64 = 12.0;
const BOTTOM: f64 = 30.0;
/// Colours in the style sheet.
const COLOURS: usize = 8;

/// What was measured, by epoch.
type Series = BTreeMap<u32, f64>;

/// The measurements of a job, by name and rank.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Measured {
    loss: BTreeMap<u32, Series>,
    accuracy: BTreeMap<u32, Series>,
}

impl Measured {
    /// Reads the log of a replica, whose own rank is `rank` where its lines do not say.
    pub fn read(&mut self, rank: u32, log: &str) {
        let mut epoch = None;
        for line in log.lines() {
            if let Some((rank, number, loss)) = of_recipe(line) {
                epoch = Some(number);
                put(&mut self.loss, rank, number, loss);
            } else if let Some(accuracy) =
                number_after(line, "Test accuracy:").or_else(|| number_after(line, "accuracy="))
            {
                let of_rank = self.accuracy.entry(rank).or_default();
                let next = of_rank.last_key_value().map_or(0, |(last, _)| last + 1);
                let at = epoch.unwrap_or(next);
                put(&mut self.accuracy, rank, at, accuracy);
            }
        }
    }

    /// Takes the loss of each epoch, from the first.
    pub fn take_losses(&mut self, rank: u32, losses: &[f64]) {
        for (epoch, loss) in (0..).zip(losses) {
            put(&mut self.loss, rank, epoch, *loss);
        }
    }

    pub fn loss(&self) -> Option<Drawing> {
        Drawing::of("Loss", &self.loss, None)
    }

    pub fn accuracy(&self) -> Option<Drawing> {
        Drawing::of("Accuracy", &self.accuracy, Some(1.0))
    }
}

fn put(all: &mut BTreeMap<u32, Series>, rank: u32, epoch: u32, value: f64) {
    let fits = epoch < MOST_EPOCHS && (all.len() < MOST_RANKS || all.contains_key(&rank));
    if value.is_finite() && fits {
        all.entry(rank).or_default().insert(epoch, value);
    }
}

/// `Rank  0 , epoch  3 :  0.3698`, as the recipe prints it.
fn of_recipe(line: &str) -> Option<(u32, u32, f64)> {
    let rest = line.trim_start().strip_prefix("Rank ")?;
    let (rank, rest) = rest.split_once(',')?;
    let (epoch, loss) = rest.trim_start().strip_prefix("epoch ")?.split_once(':')?;
    Some((
        rank.trim().parse().ok()?,
        epoch.trim().parse().ok()?,
        loss.trim().parse().ok()?,
    ))
}

fn number_after(line: &str, mark: &str) -> Option<f64> {
    let (_, rest) = line.split_once(mark)?;
    let word = rest.split_whitespace().next()?;
    let number: f64 = word.trim_end_matches([',', ';', '.']).parse().ok()?;
    number.is_finite().then_some(number)
}

/// Curves with their axes, ready to be drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    pub name: &'static str,
    /// In words, for who does not see it.
    pub summary: String,
    pub curves: Vec<Curve>,
    /// Height and text of each line of the grid.
    pub rows: Vec<(String, String)>,
    /// Place and text of epochs.
    pub columns: Vec<(String, String)>,
    pub epochs: Vec<u32>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    pub rank: u32,
    /// The number of its colour.
    pub colour: usize,
    /// `x,y` of each point.
    pub points: Vec<String>,
    pub line: String,
    pub last: String,
    /// The value of each of the drawing's epochs; empty where there is none.
    pub values: Vec<String>,
}

impl Drawing {
    /// What an SVG shows of it.
    pub fn view(&self) -> String {
        format!("0 0 {WIDTH} {HEIGHT}")
    }

    /// As a table: each epoch with its value of each curve.
    pub fn numbers(&self) -> Vec<(u32, Vec<&str>)> {
        let epochs = self.epochs.iter().enumerate();
        let row = |(number, epoch): (usize, &u32)| {
            let values = self
                .curves
                .iter()
                .map(|curve| curve.values[number].as_str());
            (*epoch, values.collect())
        };
        epochs.map(row).collect()
    }

    pub fn left(&self) -> f64 {
        LEFT
    }

    pub fn right(&self) -> f64 {
        WIDTH - RIGHT
    }

    /// Where the texts of epochs stand.
    pub fn foot(&self) -> f64 {
        HEIGHT - BOTTOM / 3.0
    }

    fn of(name: &'static str, all: &BTreeMap<u32, Series>, most: Option<f64>) -> Option<Self> {
        let mut epochs: Vec<u32> = all.values().flat_map(|one| one.keys().copied()).collect();
        epochs.sort_unstable();
        epochs.dedup();
        let (first, last) = (*epochs.first()?, *epochs.last()?);
        let values = all.values().flat_map(BTreeMap::values).copied();
        let (highest, parts) = nice(most.unwrap_or_else(|| values.fold(0.0, f64::max)));
        let x = |epoch: u32| {
            let span = f64::from(last - first).max(1.0);
            // One epoch alone stands in the middle.
            let part = if first == last {
                0.5
            } else {
                f64::from(epoch - first) / span
            };
            LEFT + part * (WIDTH - LEFT - RIGHT)
        };
        let y = |value: f64| {
            let part = (value / highest).clamp(0.0, 1.0);
            HEIGHT - BOTTOM - part * (HEIGHT - TOP - BOTTOM)
        };
        let curves: Vec<_> = all
            .iter()
            .filter(|(_, series)| !series.is_empty())
            .map(|(rank, series)| curve(*rank, series, &epochs, x, y))
            .collect();
        let rows = (0..=parts).map(|part| {
            let value = highest * f64::from(part) / f64::from(parts);
            (format!("{:.1}", y(value)), shown(value))
        });
        let step = (epochs.len() / 10).max(1);
        let columns = epochs.iter().step_by(step);
        Some(Self {
            name,
            summary: summary(name, first, last, &curves),
            rows: rows.collect(),
            columns: columns
                .map(|epoch| (format!("{:.1}", x(*epoch)), epoch.to_string()))
                .collect(),
            curves,
            epochs,
        })
    }
}

fn curve(
    rank: u32,
    series: &Series,
    epochs: &[u32],
    x: impl Fn(u32) -> f64,
    y: impl Fn(f64) -> f64,
) -> Curve {
    let points: Vec<_> = series
        .iter()
        .map(|(epoch, value)| format!("{:.1},{:.1}", x(*epoch), y(*value)))
        .collect();
    let last = series.last_key_value();
    Curve {
        rank,
        colour: rank as usize % COLOURS,
        line: points.join(" "),
        points,
        last: last.map(|(_, value)| shown(*value)).unwrap_or_default(),
        values: epochs
            .iter()
            .map(|epoch| series.get(epoch).copied().map(shown).unwrap_or_default())
            .collect(),
    }
}

fn summary(name: &str, first: u32, last: u32, curves: &[Curve]) -> String {
    let ranks = curves
        .iter()
        .map(|curve| format!("rank {} at {}", curve.rank, curve.last));
    let ranks: Vec<_> = ranks.take(COLOURS).collect();
    let epochs = match first == last {
        true => format!("epoch {first}"),
        false => format!("epochs {first} to {last}"),
    };
    format!("{name} by epoch, {epochs}: {}", ranks.join(", "))
}

fn shown(value: f64) -> String {
    match value {
        0.0 => "0".to_owned(),
        small if small.abs() < 0.001 => format!("{small:.2e}"),
        value if value.abs() < 100.0 => {
            let text = format!("{value:.4}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        large => format!("{large:.0}"),
    }
}

/// The next round number, and in how many round parts it falls.
fn nice(value: f64) -> (f64, i32) {
    if value <= 0.0 || !value.is_finite() {
        return (1.0, 4);
    }
    let power = 10f64.powf(value.log10().floor());
    let steps = [
        (1.0, 4),
        (1.5, 3),
        (2.0, 4),
        (2.5, 5),
        (3.0, 3),
        (4.0, 4),
        (5.0, 5),
        (6.0, 3),
        (8.0, 4),
        (10.0, 5),
    ];
    let fits = |(step, _): &&(f64, i32)| value <= *step * power * 1.000_001;
    let (step, parts) = steps.iter().find(fits).copied().unwrap_or((10.0, 5));
    (step * power, parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "Downloading x\nProcessing...\nDone!\nRank  0 , epoch  0 :  1.2745472780232237\n\
        Rank  0 , epoch  1 :  0.5743547164872765\nRank  1 , epoch  1 :  0.6\nTest accuracy: 0.9776\nRank x , epoch 1 : 2";

    #[test]
    fn the_recipe_s_lines_are_read() {
        let mut measured = Measured::default();
        measured.read(0, LOG);
        let loss = measured.loss().unwrap();
        assert_eq!(loss.epochs, [0, 1]);
        assert_eq!(loss.curves.len(), 2);
        assert_eq!(loss.curves[0].values, ["1.2745", "0.5744"]);
        assert_eq!(loss.curves[1].values, ["", "0.6"]);
        assert_eq!(
            loss.summary,
            "Loss by epoch, epochs 0 to 1: rank 0 at 0.5744, rank 1 at 0.6"
        );
        let accuracy = measured.accuracy().unwrap();
        assert_eq!(
            (accuracy.epochs.as_slice(), accuracy.curves[0].last.as_str()),
            (&[1][..], "0.9776")
        );
    }

    #[test]
    fn what_is_no_measurement_is_none() {
        let mut measured = Measured::default();
        measured.read(
            0,
            "Rank 0 , epoch 0 : NaN\nloss\naccuracy=\n\u{0}\nRank 99999999999 , epoch 0 : 1",
        );
        assert_eq!((measured.loss(), measured.accuracy()), (None, None));
        measured.read(3, "accuracy=0.5\naccuracy=0.6");
        assert_eq!(measured.accuracy().unwrap().epochs, [0, 1]);
    }

    #[test]
    fn curves_stay_within_the_drawing() {
        let mut measured = Measured::default();
        measured.read(0, "Rank  0 , epoch  0 :  12345\nRank  0 , epoch  9 :  -3");
        for point in &measured.loss().unwrap().curves[0].points {
            let (x, y) = point.split_once(',').unwrap();
            let (x, y): (f64, f64) = (x.parse().unwrap(), y.parse().unwrap());
            assert!(
                (0.0..=WIDTH).contains(&x) && (0.0..=HEIGHT).contains(&y),
                "{point}"
            );
        }
        assert_eq!((nice(1.27), nice(0.0)), ((1.5, 3), (1.0, 4)));
    }
}
