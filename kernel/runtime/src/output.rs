//! The way out of a cell for everything but printed text.

use std::io::Write;
use std::sync::OnceLock;

use crate::interrupt::tick;
use crate::panics::Panic;

/// One value in several representations, by MIME type. JSON types carry their JSON text.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MimeBundle(pub Vec<(String, String)>);

/// What a cell sends besides stdout and stderr.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    Display(MimeBundle),
    /// The value of the last expression.
    Result(MimeBundle),
    ClearOutput {
        wait: bool,
    },
    /// A thread that is not the cell's own panicked.
    ThreadPanic(Panic),
}

type Sink = Box<dyn Fn(Output) + Send + Sync>;

static SINK: OnceLock<Sink> = OnceLock::new();

/// Sets where outputs go; the worker does so once, before the first cell. The sink returns when the kernel has
/// taken the output, so that text printed later also appears later.
pub fn set_sink(sink: impl Fn(Output) + Send + Sync + 'static) {
    // A second sink is ignored: outputs have one way out.
    let _ = SINK.set(Box::new(sink));
}

/// Sends `output` after all that was printed before it.
#[track_caller]
pub(crate) fn send(output: Output) {
    // Flushing fails only when the kernel is gone, and then nobody reads.
    let _ = std::io::stdout().flush();
    if let Some(sink) = SINK.get() {
        sink(output);
    }
    // Library code that shows its progress can be interrupted here.
    tick();
}

impl MimeBundle {
    /// A bundle of plain text.
    pub fn plain(text: impl Into<String>) -> Self {
        Self::default().with("text/plain", text)
    }

    /// The bundle with one more representation.
    #[must_use]
    pub fn with(mut self, mime: impl Into<String>, data: impl Into<String>) -> Self {
        self.0.push((mime.into(), data.into()));
        self
    }
}
