//! How training looks in a cell: a line that overwrites itself for each epoch, a curve of the losses that grows, and
//! tables of what came out.

use std::panic::{AssertUnwindSafe, catch_unwind};

use carrel_plot::Plot;
use carrel_runtime::{DisplayHandle, MimeBundle, ProgressBar, display, is_interrupted, tick};
use carrel_training::job::{JobError, JobStatus};
use carrel_training::prelude::{History, Step, TrainError, Watcher};
use carrel_training::trainer::{Epoch, Host, set_host};

use crate::register_with_results;

pub(crate) fn register_all() {
    set_host(Host {
        interrupted: is_interrupted,
        unwind: stop,
        watcher: || {
            Box::new(Bar {
                losses: Plot::new().x_label("epoch").y_label("loss"),
                ..Bar::default()
            })
        },
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

/// A bar for the epoch that is under way, and a curve of the losses of those that were done.
#[derive(Default)]
struct Bar {
    bar: Option<ProgressBar>,
    losses: Plot,
    curve: Option<DisplayHandle>,
    epochs: usize,
}

impl Watcher for Bar {
    fn step(&mut self, step: &Step) {
        let bar = self.bar.get_or_insert_with(|| {
            let label = format!("epoch {}/{}", step.epoch + 1, step.epochs);
            ProgressBar::new(step.batches as u64).label(label)
        });
        bar.note(format!("loss {:.4}", step.loss));
        // At an interrupt the bar unwinds, but the trainer is to stop by itself, with a checkpoint; it looks next.
        let _ = catch_unwind(AssertUnwindSafe(|| bar.set(step.batch as u64)));
        if step.batch == step.batches {
            self.bar = None;
        }
    }

    fn epoch(&mut self, number: usize, epoch: &Epoch) {
        self.losses.push("training", (number as f64, epoch.loss));
        if let Some(loss) = epoch.test_loss {
            self.losses.push("test", (number as f64, loss));
        }
        self.epochs += 1;
        // One point is no curve. For the same reason as above.
        let _ = catch_unwind(AssertUnwindSafe(|| match &self.curve {
            Some(curve) => curve.update(&self.losses),
            None if self.epochs > 1 => self.curve = Some(display(&self.losses)),
            None => {}
        }));
    }
}
