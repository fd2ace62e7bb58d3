//! A column of a table: numbers or words. Numbers that stand for a name, such as ids and postal codes, keep their digits.

use std::cmp::Ordering;

use parquet::record::Field;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Column {
    Numbers {
        /// NaN where there is none.
        values: Vec<f64>,
        /// As they are written, where a float would lose digits of one of them; empty where there is none.
        texts: Option<Vec<String>>,
    },
    /// Empty where there is none.
    Words(Vec<String>),
}

impl Column {
    pub fn empty() -> Self {
        Self::Numbers {
            values: Vec::new(),
            texts: None,
        }
    }

    pub fn of_words(words: Vec<String>) -> Self {
        let numbers: Option<Vec<f64>> = words
            .iter()
            .map(|word| match word.is_empty() {
                true => Some(f64::NAN),
                false => word.parse().ok(),
            })
            .collect();
        match numbers {
            Some(values) if !values.iter().all(|x| x.is_nan()) => Self::Numbers {
                texts: words.iter().any(|word| is_name(word)).then_some(words),
                values,
            },
            _ => Self::Words(words),
        }
    }

    /// Adds the value of row `row`; what it is instead if it is none.
    pub fn push(&mut self, field: &Field, row: usize) -> Result<(), String> {
        let number = match field {
            Field::Null => f64::NAN,
            Field::Bool(truth) => f64::from(u8::from(*truth)),
            Field::Byte(x) => f64::from(*x),
            Field::Short(x) => f64::from(*x),
            Field::Int(x) => f64::from(*x),
            Field::UByte(x) => f64::from(*x),
            Field::UShort(x) => f64::from(*x),
            Field::UInt(x) => f64::from(*x),
            Field::Float16(x) => f64::from(*x),
            Field::Float(x) => f64::from(*x),
            Field::Double(x) => *x,
            Field::Long(x) => {
                self.push_number(*x as f64, Some(x.to_string()));
                return Ok(());
            }
            Field::ULong(x) => {
                self.push_number(*x as f64, Some(x.to_string()));
                return Ok(());
            }
            Field::Str(text) => {
                self.push_word(text, row);
                return Ok(());
            }
            other => {
                return Err(format!("{other:?}")
                    .split('(')
                    .next()
                    .unwrap_or_default()
                    .to_owned());
            }
        };
        self.push_number(number, None);
        Ok(())
    }

    /// Adds a number, written as `text` where a float might lose its digits.
    fn push_number(&mut self, number: f64, text: Option<String>) {
        match self {
            Self::Numbers { values, texts } => {
                if texts.is_none() && text.as_deref().is_some_and(is_name) {
                    *texts = Some(values.iter().map(|value| written(*value)).collect());
                }
                if let Some(texts) = texts {
                    texts.push(text.unwrap_or_else(|| written(number)));
                }
                values.push(number);
            }
            // A column has one type, so that this is a missing one.
            Self::Words(words) => words.push(String::new()),
        }
    }

    fn push_word(&mut self, word: &str, row: usize) {
        // What came before was missing.
        if let Self::Numbers { .. } = self {
            *self = Self::Words(vec![String::new(); row]);
        }
        if let Self::Words(words) = self {
            words.push(word.to_owned());
        }
    }

    /// The distinct values in order, and for each row the number of its value there.
    pub fn classes(&self) -> (Vec<u32>, Vec<String>) {
        match self {
            Self::Words(words) => numbered(words, Ord::cmp),
            Self::Numbers {
                values,
                texts: Some(texts),
            } => {
                let both: Vec<(f64, String)> =
                    values.iter().copied().zip(texts.iter().cloned()).collect();
                // Of those that are one float the shorter is the less.
                let (classes, distinct) = numbered(&both, |(x, a), (y, b)| {
                    (x.total_cmp(y)).then_with(|| (a.len(), a).cmp(&(b.len(), b)))
                });
                (
                    classes,
                    distinct.into_iter().map(|(_, text)| text).collect(),
                )
            }
            Self::Numbers { values, .. } => {
                let (classes, distinct) = numbered(values, f64::total_cmp);
                (classes, distinct.iter().map(ToString::to_string).collect())
            }
        }
    }

    /// Sets the missing ones of a column of numbers.
    pub fn fill(&mut self, value: f64) {
        if let Self::Numbers { values, texts } = self {
            for (at, own) in values.iter_mut().enumerate().filter(|(_, x)| x.is_nan()) {
                *own = value;
                if let Some(texts) = texts {
                    texts[at] = value.to_string();
                }
            }
        }
    }

    pub fn misses(&self, row: usize) -> bool {
        match self {
            Self::Numbers { values, .. } => values[row].is_nan(),
            Self::Words(words) => words[row].is_empty(),
        }
    }

    pub fn text(&self, row: usize) -> String {
        match self {
            Self::Numbers {
                texts: Some(texts), ..
            } => texts[row].clone(),
            Self::Numbers { values, .. } => written(values[row]),
            Self::Words(words) => words[row].clone(),
        }
    }

    pub fn keep(&mut self, rows: &[bool]) {
        let mut kept = rows.iter().cycle();
        let mut next = || kept.next().copied().unwrap_or_default();
        match self {
            Self::Numbers { values, texts } => {
                values.retain(|_| next());
                texts.iter_mut().for_each(|texts| texts.retain(|_| next()));
            }
            Self::Words(words) => words.retain(|_| next()),
        }
    }
}

/// Whether digits stand for a name: leading zeros (postal codes), a plus (telephone numbers), or more of them than a
/// float keeps (ids). `0.5`, `-3` and `1e300` are plain numbers.
fn is_name(word: &str) -> bool {
    let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    // 2^53 and its successor are one float.
    const MOST: u128 = 1 << f64::MANTISSA_DIGITS;
    word.starts_with('+')
        || (digits.len() > 1 && digits.starts_with('0'))
        || digits.parse::<u128>().map_or(true, |number| number >= MOST)
}

/// A number as text; nothing where there is none.
fn written(number: f64) -> String {
    match number.is_nan() {
        true => String::new(),
        false => number.to_string(),
    }
}

/// The distinct values in order, and for each value its number there.
fn numbered<T: Clone>(values: &[T], compare: impl Fn(&T, &T) -> Ordering) -> (Vec<u32>, Vec<T>) {
    let mut distinct = values.to_vec();
    distinct.sort_unstable_by(&compare);
    distinct.dedup_by(|a, b| compare(a, b).is_eq());
    let number = |value| {
        // It is there: both ways to say where are the place.
        let (Ok(place) | Err(place)) = distinct.binary_search_by(|other| compare(other, value));
        place as u32
    };
    (values.iter().map(number).collect(), distinct)
}
