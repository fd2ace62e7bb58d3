//! What Hubs ask their databases, statement by statement. Of all the process: nextest gives each test one of its own.

use std::fmt;
use std::sync::{Arc, Mutex};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Context, SubscriberExt as _};

/// The statements so far.
#[derive(Clone, Default)]
pub struct Queries(Arc<Mutex<Vec<String>>>);

impl Queries {
    /// From now on.
    pub fn listen() -> Self {
        let queries = Self::default();
        let theirs = Targets::new().with_target("sqlx::query", Level::DEBUG);
        let listener = queries.clone().with_filter(theirs);
        tracing::subscriber::set_global_default(tracing_subscriber::registry().with(listener))
            .unwrap();
        queries
    }

    pub fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// How many held `text`.
    pub fn count(&self, text: &str) -> usize {
        let all = self.0.lock().unwrap();
        all.iter().filter(|query| query.contains(text)).count()
    }
}

impl<S: Subscriber> Layer<S> for Queries {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut statement = Statement::default();
        event.record(&mut statement);
        self.0.lock().unwrap().push(statement.0);
    }
}

/// sqlx tells a long statement in two fields: its first words, and all of it.
#[derive(Default)]
struct Statement(String);

impl Visit for Statement {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "db.statement" && !value.is_empty() || self.0.is_empty() {
            self.0 = value.trim().to_owned();
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}
