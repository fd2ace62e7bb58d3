//! What is wrong with a value of the configuration, and where in it.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// One mistake within a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Keys and indices that lead to it, outermost first.
    pub path: Vec<String>,
    /// For people: "expected a string, found 5".
    pub message: String,
    /// The value is taken all the same.
    pub warning: bool,
}

impl Mistake {
    pub(super) fn new(message: impl Into<String>) -> Self {
        Self {
            path: Vec::new(),
            message: message.into(),
            warning: false,
        }
    }

    pub(super) fn warning(message: impl Into<String>) -> Self {
        Self {
            warning: true,
            ..Self::new(message)
        }
    }

    /// [`Mistake::within`] several steps, innermost first.
    pub(super) fn within_all<'a>(self, steps: impl IntoIterator<Item = &'a str>) -> Self {
        steps.into_iter().fold(self, Self::within)
    }

    /// The same mistake, seen from further out.
    pub(super) fn within(mut self, step: impl ToString) -> Self {
        self.path.insert(0, step.to_string());
        self
    }
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for step in &self.path {
            write!(f, "{step}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// Reads a value as `T` and finds the keys that `T` does not have, which may not stand in the way (`passes_over`): those that are gone when it is written again.
/// (Kubernetes' types pass over unknown keys, and a misspelt one would never be missed.)
pub(super) fn read<T: Serialize + DeserializeOwned>(
    json: &str,
) -> Result<(T, Vec<Mistake>), Vec<Mistake>> {
    let whole = |error: serde_json::Error| vec![Mistake::new(sentence(&error))];
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let read: T =
        serde_path_to_error::deserialize(&mut deserializer).map_err(|error| vec![of(&error)])?;
    let given = serde_json::from_str(json).map_err(whole)?;
    let written = serde_json::to_value(&read).map_err(whole)?;
    let mut unknown = Vec::new();
    find_unknown(&given, &written, &mut unknown);
    Ok((read, unknown))
}

fn of(error: &serde_path_to_error::Error<serde_json::Error>) -> Mistake {
    use serde_path_to_error::Segment;
    let path = error.path().iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(key.clone()),
        Segment::Enum { variant } => Some(variant.clone()),
        Segment::Unknown => None,
    });
    Mistake {
        path: path.collect(),
        ..Mistake::new(sentence(error.inner()))
    }
}

/// Serde says it in its own order, with a place in the text that nobody sees: "invalid type: integer `5`, expected a
/// string at line 1 column 1".
fn sentence(error: &serde_json::Error) -> String {
    let message = error.to_string();
    let message = message
        .rsplit_once(" at line ")
        .map_or(message.as_str(), |(message, _)| message);
    match message.split_once(", expected ") {
        Some((found, expected)) => {
            let found = found.trim_start_matches("invalid type: ");
            let found = found.trim_start_matches("invalid value: ");
            format!("expected {expected}, found {found}")
        }
        None => message.to_owned(),
    }
}

fn find_unknown(given: &Value, written: &Value, unknown: &mut Vec<Mistake>) {
    match (given, written) {
        (Value::Object(given), Value::Object(written)) => {
            for (key, value) in given {
                let start = unknown.len();
                match written.get(key) {
                    Some(written) => find_unknown(value, written, unknown),
                    None if value.is_null() => {}
                    None => unknown.push(Mistake::new("unknown key")),
                }
                step_out(&mut unknown[start..], key);
            }
        }
        (Value::Array(given), Value::Array(written)) => {
            for (index, (value, written)) in given.iter().zip(written).enumerate() {
                let start = unknown.len();
                find_unknown(value, written, unknown);
                step_out(&mut unknown[start..], &index.to_string());
            }
        }
        _ => {}
    }
}

fn step_out(mistakes: &mut [Mistake], step: &str) {
    for mistake in mistakes {
        mistake.path.insert(0, step.to_owned());
    }
}
