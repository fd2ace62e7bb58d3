//! Which requests are written to the log with their times: the trace settings of KServe's protocol, as Triton has them.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::failure::Failure;

/// A setting by its name; what has no value is as it was at first.
pub type Changes = BTreeMap<String, Option<Vec<String>>>;

/// Of one model, or of all that have none of their own.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Settings {
    on: bool,
    /// One of so many requests.
    rate: u64,
    /// How many more; all where it is none.
    count: Option<u64>,
    /// Requests since one was traced.
    passed: u64,
}

impl Default for Settings {
    /// Triton's.
    fn default() -> Self {
        Self {
            on: false,
            rate: 1000,
            count: None,
            passed: 0,
        }
    }
}

#[derive(Default)]
pub struct Traces(Mutex<State>);

#[derive(Default)]
struct State {
    of_all: Settings,
    of_models: HashMap<String, Settings>,
}

impl Traces {
    /// The settings of a model, or those of all, by their names.
    #[must_use]
    pub fn get(&self, model: Option<&str>) -> BTreeMap<&'static str, Vec<String>> {
        let mut state = self.state();
        let Settings {
            on, rate, count, ..
        } = state.of(model).clone();
        let level = if on { "TIMESTAMPS" } else { "OFF" };
        let count = count.map_or_else(|| "-1".to_owned(), |count| count.to_string());
        [
            ("trace_level", level.to_owned()),
            ("trace_rate", rate.to_string()),
            ("trace_count", count),
            ("trace_mode", "log".to_owned()),
        ]
        .map(|(name, value)| (name, vec![value]))
        .into()
    }

    /// Changes settings of a model, which from then on has its own, or those of all.
    ///
    /// # Errors
    /// Where one is not known or cannot have such a value; then none is changed.
    pub fn change(&self, model: Option<&str>, changes: &Changes) -> Result<(), Failure> {
        let mut state = self.state();
        let mut settings = state.of(model).clone();
        for (name, values) in changes {
            settings.set(name, values.as_deref())?;
        }
        match model {
            Some(model) => drop(state.of_models.insert(model.to_owned(), settings)),
            None => state.of_all = settings,
        }
        Ok(())
    }

    /// Forgets the settings of models that are no longer there.
    pub fn keep(&self, is_there: impl Fn(&str) -> bool) {
        self.state().of_models.retain(|model, _| is_there(model));
    }

    /// Writes a request to the log, if it is its turn.
    pub fn request(&self, model: &str, version: i64, whole: Duration, computing: Option<Duration>) {
        if !self.state().of(Some(model)).is_next() {
            return;
        }
        let microseconds = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        let whole_us = microseconds(whole);
        let computing_us = computing.map(microseconds);
        tracing::info!(
            model,
            version,
            whole_us,
            computing_us,
            "A request for the model {model} {version} took {whole_us} us"
        );
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn of(&mut self, model: Option<&str>) -> &mut Settings {
        match model.and_then(|model| self.of_models.get_mut(model)) {
            Some(own) => own,
            None => &mut self.of_all,
        }
    }
}

impl Settings {
    fn set(&mut self, name: &str, values: Option<&[String]>) -> Result<(), Failure> {
        let (first, values) = (Self::default(), values.unwrap_or_default());
        let one = match values {
            [] => None,
            [one] => Some(&**one),
            _ => return Err(wrong(name, values)),
        };
        let number = |text: &str| text.parse::<u64>().map_err(|_| wrong(name, values));
        match (name, one) {
            ("trace_level", None) => self.on = first.on,
            ("trace_level", Some("OFF")) => self.on = false,
            ("trace_level", Some("TIMESTAMPS")) => (self.on, self.passed) = (true, u64::MAX),
            ("trace_rate", None) => self.rate = first.rate,
            ("trace_rate", Some(rate)) => self.rate = number(rate)?.max(1),
            ("trace_count", None | Some("-1")) => self.count = None,
            ("trace_count", Some(count)) => self.count = Some(number(count)?),
            ("trace_mode", None | Some("log")) => {}
            _ => return Err(wrong(name, values)),
        }
        Ok(())
    }

    /// Counts a request; whether it is to be traced.
    fn is_next(&mut self) -> bool {
        if !self.on || self.count == Some(0) {
            return false;
        }
        self.passed = self.passed.saturating_add(1);
        if self.passed < self.rate {
            return false;
        }
        self.passed = 0;
        self.count = self.count.map(|count| count - 1);
        true
    }
}

fn wrong(name: &str, values: &[String]) -> Failure {
    Failure::invalid(format!(
        "there is no trace setting {name:?} of {values:?}; requests are traced in the log: trace_level OFF or TIMESTAMPS, trace_rate, trace_count"
    ))
}

#[cfg(test)]
mod tests {
    use super::{Changes, Traces};

    fn changes<const N: usize>(all: [(&str, &str); N]) -> Changes {
        let all = all.map(|(name, value)| (name.to_owned(), Some(vec![value.to_owned()])));
        all.into()
    }

    #[test]
    fn one_of_so_many_is_traced_until_the_count_is_out() {
        let traces = Traces::default();
        let traced = |count: usize| {
            let turns = (0..count).map(|_| traces.state().of(Some("m")).is_next());
            turns.filter(|one| *one).count()
        };
        assert_eq!(traced(3000), 0);
        let settings = [("trace_level", "TIMESTAMPS"), ("trace_rate", "3")];
        traces.change(Some("m"), &changes(settings)).unwrap();
        assert_eq!(traced(9), 3);
        traces
            .change(Some("m"), &changes([("trace_count", "2")]))
            .unwrap();
        assert_eq!(traced(30), 2);
        assert_eq!(traces.get(Some("m"))["trace_count"], ["0"]);
        assert_eq!(traces.get(None)["trace_level"], ["OFF"]);
        let cleared = [("trace_count".to_owned(), None)].into();
        traces.change(Some("m"), &cleared).unwrap();
        assert_eq!(traced(9), 3);
        for wrong in [
            ("trace_file", "/tmp/a"),
            ("trace_rate", "often"),
            ("trace_level", "TENSORS"),
        ] {
            assert!(traces.change(None, &changes([wrong])).is_err(), "{wrong:?}");
        }
    }
}
