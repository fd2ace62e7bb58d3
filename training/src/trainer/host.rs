//! Who looks on while a model trains, and may interrupt it: a notebook, a terminal, or the status file of a job.

use std::sync::OnceLock;
use std::time::Duration;

use super::{Epoch, History};

/// Where training stands after a step.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub epoch: usize,
    pub epochs: usize,
    pub batch: usize,
    /// Batches of one epoch.
    pub batches: usize,
    /// The mean over the batches of this epoch so far.
    pub loss: f64,
    /// Since training began, or went on.
    pub elapsed: Duration,
    /// What this rank learnt from meanwhile, such as pictures.
    pub items: usize,
}

impl Step {
    pub fn items_per_second(&self) -> f64 {
        self.items as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }
}

/// Is told of steps and epochs.
pub trait Watcher: Send {
    fn step(&mut self, _step: &Step) {}

    fn epoch(&mut self, _number: usize, _epoch: &Epoch) {}

    fn end(&mut self, _history: &History) {}
}

/// All of them are told.
impl Watcher for Vec<Box<dyn Watcher>> {
    fn step(&mut self, step: &Step) {
        self.iter_mut().for_each(|watcher| watcher.step(step));
    }

    fn epoch(&mut self, number: usize, epoch: &Epoch) {
        self.iter_mut()
            .for_each(|watcher| watcher.epoch(number, epoch));
    }

    fn end(&mut self, history: &History) {
        self.iter_mut().for_each(|watcher| watcher.end(history));
    }
}

/// What the program that training runs in offers to every trainer without a watcher of its own.
pub struct Host {
    /// Whether the person wants to end what runs.
    pub interrupted: fn() -> bool,
    /// Ends what runs, if the person wants it; called when all is in order.
    pub unwind: fn(),
    pub watcher: fn() -> Box<dyn Watcher>,
}

static HOST: OnceLock<Host> = OnceLock::new();

/// Makes the program known; only the first call counts.
pub fn set_host(host: Host) {
    // A second one is the same program's.
    let _ = HOST.set(host);
}

pub(crate) fn interrupted() -> bool {
    HOST.get().is_some_and(|host| (host.interrupted)())
}

pub(crate) fn unwind_if_interrupted() {
    if let Some(host) = HOST.get() {
        (host.unwind)();
    }
}

pub(super) fn watcher() -> Box<dyn Watcher> {
    match HOST.get() {
        Some(host) => (host.watcher)(),
        None => Box::new(Silent),
    }
}

struct Silent;

impl Watcher for Silent {}
