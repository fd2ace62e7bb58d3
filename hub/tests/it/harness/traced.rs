//! What Hubs trace, as the statements that they ask their databases. Of all the process: nextest gives each test one of its
//! own.

use std::sync::{Arc, Mutex};
use std::{fmt, io};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

/// What was traced so far, by its text.
#[derive(Clone, Default)]
pub struct Traced(Arc<Mutex<Vec<String>>>);

impl Traced {
    /// What databases are asked from now on.
    pub fn queries() -> Self {
        Self::listen("sqlx::query", Level::DEBUG)
    }

    /// What code of `target` traces from now on.
    pub fn listen(target: &str, level: Level) -> Self {
        let traced = Self::default();
        let theirs = Targets::new().with_target(target, level);
        let listener = traced.clone().with_filter(theirs);
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(listener))
            .unwrap();
        traced
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// How many hold `text`.
    pub fn count(&self, text: &str) -> usize {
        let all = self.0.lock().unwrap();
        all.iter().filter(|traced| traced.contains(text)).count()
    }
}

impl<S: Subscriber> Layer<S> for Traced {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text::default();
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }
}

/// The first field that is a text; but sqlx tells a long statement in two: its first words, and all of it.
#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "db.statement" && !value.is_empty() || self.0.is_empty() {
            self.0 = value.trim().to_owned();
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

/// What Hubs log, as it would stand in a file.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// What code of `target` logs from now on.
    pub fn of(target: &str, level: Level) -> Self {
        let log = Self::default();
        let writer = log.clone();
        let lines = tracing_subscriber::fmt::layer()
            .with_ansi(false)
            .with_writer(move || writer.clone())
            .with_filter(Targets::new().with_target(target, level));
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(lines))
            .unwrap();
        log
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().unwrap()).into_owned()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
