//! How training looks in a cell: a line that overwrites itself for each epoch, and tables of what came out.

use std::panic::{AssertUnwindSafe, catch_unwind};

use carrel_runtime::{MimeBundle, ProgressBar, is_interrupted, tick};
use carrel_training::job::{JobError, JobStatus};
use carrel_training::prelude::{History, Step, TrainError, Watcher};
use carrel_training::trainer::{Host, set_host};

use crate::register_with_results;

pub(crate) fn register_all() {
    set_host(Host {
        interrupted: is_interrupted,
        unwind: stop,
        watcher: || Box::new(Bar::default()),
    });
    register_with_results::<_, TrainError>(|history: &History| {
        MimeBundle::plain(history.to_string())
    });
    register_with_results::<_, JobError>(|status: &JobStatus| {
        MimeBundle::plain(status.to_string())
    });
}

/// No pointer to `tick` itself, which is told its caller and so has another form for pointers, one that the runtime's
/// library does not export.
fn stop() {
    tick();
}

/// A bar for the epoch that is under way.
#[derive(Default)]
struct Bar(Option<ProgressBar>);

impl Watcher for Bar {
    fn step(&mut self, step: &Step) {
        let bar = self.0.get_or_insert_with(|| {
            let label = format!("epoch {}/{}", step.epoch + 1, step.epochs);
            ProgressBar::new(step.batches as u64).label(label)
        });
        bar.note(format!("loss {:.4}", step.loss));
        // At an interrupt the bar unwinds, but the trainer is to stop by itself, with a checkpoint; it looks next.
        let _ = catch_unwind(AssertUnwindSafe(|| bar.set(step.batch as u64)));
        if step.batch == step.batches {
            self.0 = None;
        }
    }
}
