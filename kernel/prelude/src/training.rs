//! How training looks in a cell: a line that overwrites itself for each epoch, a curve of the losses that grows, and
//! tables of what came out.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use carrel_plot::Plot;
use carrel_runtime::{
    DisplayHandle, MimeBundle, ProgressBar, display, is_interrupted, register, tick,
};
use carrel_training::data::TableError;
use carrel_training::job::{JobError, JobList, JobStatus, Log};
use carrel_training::prelude::{History, Server, Step, Table, TrainError, Watcher};
use carrel_training::serving::{ServeError, ServerList};
use carrel_training::trainer::{Epoch, Host, set_host};

use crate::register_with_results;

/// Epochs may be short, and a frontend draws the whole curve each time.
const REDRAW_AFTER: Duration = Duration::from_millis(300);

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
    register_with_results::<_, TableError>(|table: &Table| {
        MimeBundle::plain(table.to_string()).with("text/html", table.html())
    });
    register_with_results::<_, JobError>(|status: &JobStatus| {
        MimeBundle::plain(status.to_string())
    });
    register_with_results::<_, JobError>(|log: &Log| MimeBundle::plain(log.to_string()));
    register_with_results::<_, ServeError>(|server: &Server| MimeBundle::plain(server.to_string()));
    register(|servers: &ServerList| {
        MimeBundle::plain(servers.to_string()).with("text/html", servers.html())
    });
    register_with_results::<_, JobError>(|jobs: &JobList| {
        MimeBundle::plain(jobs.to_string()).with("text/html", jobs.html())
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
    drawn: Option<Instant>,
    /// Epochs since.
    not_drawn: usize,
}

impl Bar {
    fn draw(&mut self) {
        self.not_drawn = 0;
        self.drawn = Some(Instant::now());
        // As with the bar in `step`.
        let _ = catch_unwind(AssertUnwindSafe(|| match &self.curve {
            Some(curve) => curve.update(&self.losses),
            None => self.curve = Some(display(&self.losses)),
        }));
    }
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
        self.not_drawn += 1;
        // One point is no curve.
        let due = match self.drawn {
            Some(drawn) => drawn.elapsed() >= REDRAW_AFTER,
            None => self.not_drawn > 1,
        };
        if due {
            self.draw();
        }
    }

    fn end(&mut self, _: &History) {
        if self.curve.is_some() && self.not_drawn > 0 {
            self.draw();
        }
    }
}
